package node

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func TestFromWhere(t *testing.T) {
	tests := []struct{ remote, want string }{
		{"/ip4/127.0.0.1/tcp/4001", FromMachine},
		{"/ip6/::1/udp/4001/quic-v1", FromMachine},
		{"/ip4/192.168.1.7/tcp/4001", FromNetwork},
		{"/ip4/172.17.0.2/tcp/4001/ws", FromNetwork},
		{"/ip4/169.254.3.4/tcp/4001", FromNetwork},
		{"/ip6/fd00::7/tcp/4001", FromNetwork},
		{"/ip6/fe80::7/tcp/4001", FromNetwork},
		{"/ip4/1.2.3.4/udp/4001/quic-v1", FromInternet},
		{"/ip6/2a00::7/tcp/4001", FromInternet},
		{"/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS/p2p-circuit", ""},
		{"/ip4/0.0.0.0/tcp/4001", ""},
	}
	for _, test := range tests {
		if got := fromWhere(ma.StringCast(test.remote)); got != test.want {
			t.Errorf("%s is from %q, want %q", test.remote, got, test.want)
		}
	}
}

// TestReached has one host dial another, before and after it is watched: who
// was dialled is reachable, who dialled knows nothing.
func TestReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		a, b, c := s.host(1, newKey(t)), s.host(2, newKey(t)), s.host(3, newKey(t))
		defer a.Close()
		defer b.Close()
		defer c.Close()
		ra, rb := newReached(a, time.Now), newReached(b, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		connectHosts(t, a, b)
		go ra.run(ctx)
		go rb.run(ctx)
		synctest.Wait()
		first := time.Now().UTC()
		is := func(r *reached, want ...Reach) {
			t.Helper()
			synctest.Wait()
			if got := r.list(); !slices.Equal(got, want) {
				t.Errorf("reached: %v, want %v", got, want)
			}
		}
		is(ra)
		is(rb, Reach{FromInternet, first})
		time.Sleep(time.Minute)
		connectHosts(t, c, b)
		is(rb, Reach{FromInternet, rb.list()[0].At})
		if at := rb.list()[0].At; at.Sub(first) < time.Minute {
			t.Errorf("the second who dialled came at %v, the first at %v", at, first)
		}
		stop()
		synctest.Wait()
	})
}
