package discovery

import (
	"errors"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// TestAnsweredBy has a dial fail: only if somebody else answered at every address
// is the peer gone. Else whoever adds an address to those of a peer that is away
// could have it forgotten.
func TestAnsweredBy(t *testing.T) {
	refused := swarm.TransportError{Cause: syscall.ECONNREFUSED}
	liar := swarm.TransportError{Cause: sec.ErrPeerIDMismatch{Expected: idOf(t, 1), Actual: idOf(t, 2)}}
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"another", &swarm.DialError{DialErrors: []swarm.TransportError{liar}}, true},
		{"another by all transports", &swarm.DialError{DialErrors: []swarm.TransportError{liar, liar}}, true},
		{"nobody", &swarm.DialError{DialErrors: []swarm.TransportError{refused}}, false},
		{"nobody, and another elsewhere", &swarm.DialError{DialErrors: []swarm.TransportError{refused, liar}}, false},
		{"another, and nobody elsewhere", &swarm.DialError{DialErrors: []swarm.TransportError{liar, refused}}, false},
		{"more than are told", &swarm.DialError{DialErrors: []swarm.TransportError{liar}, Skipped: 1}, false},
		{"nothing was dialled", &swarm.DialError{}, false},
		{"no dial at all", errors.New("something else"), false},
	} {
		if other, ok := answeredBy(test.err); ok != test.want || ok && other != idOf(t, 2) {
			t.Errorf("%s: %q, %t, want %t", test.name, other, ok, test.want)
		}
	}
}
