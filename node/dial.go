package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// dialTimeout bounds one attempt to connect, name resolution and handshakes
// included. libp2p itself gives up on one address after 5 s.
const dialTimeout = 15 * time.Second

// Errors of dialling that trying again soon does not mend.
var (
	// ErrSelf is returned by [Node.Connect] for an address of this node's own.
	ErrSelf = errors.New("that is this node itself")
	// ErrTwin is returned by [Node.Connect] when another node has the same key.
	ErrTwin = errors.New("another node uses this identity")
	// errWrongPeer: somebody else answers at the address.
	errWrongPeer = errors.New("wrong peer ID")
)

// What leads to a node's API instead, or to something else.
var (
	errHTTPServer = errors.New("an HTTP server answers there; write the node's P2P port, such as 6001 where its HTTP port is 3001")
	errNotLibp2p  = errors.New("what answers there is not a libp2p node; write a node's P2P port, such as 6001 where its HTTP port is 3001")
)

// dialer connects to peers by address, and learns who they are where the
// address does not say it. Its methods may be called at any time.
type dialer struct {
	host    host.Host
	learned *learned
	logger  *slog.Logger
}

// connect makes a connection to the peer at the address that a person gave,
// as [ParseBootstrap] reads it. To be connected already is success.
func (d *dialer) connect(ctx context.Context, s string) (peer.ID, error) {
	b, err := ParseBootstrap(s)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	id, err := d.who(ctx, b)
	if err != nil {
		return "", err
	}
	return id, d.dial(ctx, b, id)
}

// who returns the ID of the peer at b: what b says, what was learned before,
// or what whoever answers there now says.
func (d *dialer) who(ctx context.Context, b Bootstrap) (peer.ID, error) {
	if b.ID == d.host.ID() {
		return "", fmt.Errorf("%w: %s has its peer ID; if another node is there, give it a key of its own", ErrSelf, b)
	}
	if b.ID != "" {
		return b.ID, nil
	}
	if p, ok := d.learned.lookup(b.Addr.String()); ok {
		return p.PeerID, nil
	}
	// Dial a peer that can't exist: whoever answers is not it, and libp2p says
	// who it is. No connection comes of it.
	_, public, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making a peer ID: %w", err)
	}
	nobody, err := peer.IDFromPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("making a peer ID: %w", err)
	}
	defer d.forget(nobody)
	d.host.Peerstore().AddAddr(nobody, b.Addr, peerstore.TempAddrTTL)
	_, err = d.host.Network().DialPeer(ctx, nobody)
	if mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](err); ok && mismatch.Actual != d.host.ID() {
		return mismatch.Actual, nil
	}
	return "", d.explain(ctx, b, err)
}

// dial connects to id at b's address, or at any other that libp2p knows of it,
// and remembers id if b did not say it.
func (d *dialer) dial(ctx context.Context, b Bootstrap, id peer.ID) error {
	// After a failure the swarm refuses to dial for 5 s to 5 min. Whoever calls
	// this has waited already.
	d.clearBackoff(id)
	if err := d.host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{b.Addr}}); err != nil {
		return d.explain(ctx, Bootstrap{Addr: b.Addr, ID: id}, err)
	}
	d.learn(b, id)
	return nil
}

// learn remembers who is at b's address, if b did not say it and nobody is
// remembered there.
func (d *dialer) learn(b Bootstrap, id peer.ID) {
	if b.ID != "" {
		return
	}
	if _, known := d.learned.lookup(b.Addr.String()); known {
		return
	}
	if _, err := d.learned.remember(b.Addr.String(), id, time.Now()); err != nil {
		d.logger.Warn("a learned peer ID is not remembered", "err", err)
	}
	// After it is on disk: who reads this may rely on it.
	d.logger.Info("learned the peer ID of a node whose address lacked it, and will accept no other there",
		"address", b.Addr, "peer", id, "file", d.learned.path())
}

func (d *dialer) clearBackoff(id peer.ID) {
	if s, ok := d.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(id)
	}
}

// forget removes every trace of a peer that does not exist.
func (d *dialer) forget(id peer.ID) {
	d.clearBackoff(id)
	d.host.Peerstore().ClearAddrs(id)
	d.host.Peerstore().RemovePeer(id)
}

// explain turns the error of a dial to b into one line for people.
func (d *dialer) explain(ctx context.Context, b Bootstrap, err error) error {
	if selfAt(b.Addr, err) {
		return fmt.Errorf("%w: %s is one of its own addresses", ErrSelf, b.Addr)
	}
	if at, other, ok := mismatchAt(b.Addr, err); ok {
		switch {
		case other == d.host.ID() && d.isOwn(at):
			return fmt.Errorf("%w: %s is one of its own addresses", ErrSelf, b.Addr)
		case other == d.host.ID():
			return fmt.Errorf("%w: %s answers with this node's own peer ID, %s; two nodes must not share a key: give one of them a new one",
				ErrTwin, b.Addr, other)
		}
		return d.wrongPeer(b, other)
	}
	return fmt.Errorf("connecting to %s: %w", b.Addr, reason(ctx, b.Addr, err))
}

// wrongPeer says that other answered where b.ID was expected.
func (d *dialer) wrongPeer(b Bootstrap, other peer.ID) error {
	p, ok := d.learned.lookup(b.Addr.String())
	if !ok || p.PeerID != b.ID {
		return fmt.Errorf("%w: %s was named, but %s answers at %s", errWrongPeer, b.ID, other, b.Addr)
	}
	return fmt.Errorf("%w: %s answered at %s on %s, but now %s does; if that is right, remove the address from %s, or write %s",
		errWrongPeer, b.ID, b.Addr, p.LearnedAt.Format(time.DateOnly), other, d.learned.path(), Bootstrap{b.Addr, other})
}

// isOwn reports whether addr leads to one of this host's own listeners.
func (d *dialer) isOwn(addr ma.Multiaddr) bool {
	own, _ := d.host.Network().InterfaceListenAddresses() // without them, the announced ones
	ip, port, ok := endpoint(addr)
	return ok && slices.ContainsFunc(append(own, d.host.Addrs()...), func(a ma.Multiaddr) bool {
		i, p, ok := endpoint(a)
		return ok && p == port && (i == ip || i.IsLoopback() && ip.IsLoopback())
	})
}

func endpoint(addr ma.Multiaddr) (ip netip.Addr, port int, ok bool) {
	raw, err := manet.ToIP(addr)
	if err != nil {
		return ip, 0, false
	}
	ip, ok = netip.AddrFromSlice(raw)
	return ip.Unmap(), portOf(addr), ok
}

// mismatchAt finds in a dial's error the peer that answered at addr, or at an
// address that addr resolves to, instead of the one expected.
func mismatchAt(addr ma.Multiaddr, err error) (at ma.Multiaddr, other peer.ID, ok bool) {
	dial, ok := errors.AsType[*swarm.DialError](err)
	if !ok {
		return nil, "", false
	}
	_, _, isIP := endpoint(addr)
	for _, e := range dial.DialErrors {
		mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](e.Cause)
		if ok && (!isIP || e.Address.Equal(addr)) {
			return e.Address, mismatch.Actual, true
		}
	}
	return nil, "", false
}

// selfAt reports whether a dial found that addr is one of our own.
func selfAt(addr ma.Multiaddr, err error) bool {
	dial, ok := errors.AsType[*swarm.DialError](err)
	if !ok {
		return errors.Is(err, swarm.ErrDialToSelf)
	}
	tried := dial.DialErrors
	if _, _, isIP := endpoint(addr); isIP { // leave out what else libp2p knew of the peer
		tried = slices.DeleteFunc(slices.Clone(tried), func(e swarm.TransportError) bool { return !e.Address.Equal(addr) })
	}
	return len(tried) > 0 && !slices.ContainsFunc(tried, func(e swarm.TransportError) bool {
		return !errors.Is(e.Cause, swarm.ErrDialToSelf)
	})
}

// reason boils a dial's error down to why it failed at addr. It has no local
// port or the like in it, so that two failures of the same kind read the same.
func reason(ctx context.Context, addr ma.Multiaddr, err error) error {
	if dial, ok := errors.AsType[*swarm.DialError](err); ok && len(dial.DialErrors) > 0 {
		err = dial.DialErrors[0].Cause
		_, _, isIP := endpoint(addr)
		for _, e := range dial.DialErrors {
			// Of what a name resolves to, rather an address where somebody answers.
			if e.Address.Equal(addr) || !isIP && portOf(e.Address) == portOf(addr) && foreign(e.Cause) != nil {
				err = e.Cause
			}
		}
	}
	if lookup := lookupError(ctx, addr); lookup != nil {
		err = lookup
	}
	if answer := foreign(err); answer != nil {
		return answer
	}
	if errors.Is(err, io.EOF) || errors.Is(err, network.ErrReset) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return errors.New("it hung up: is it a libp2p node?")
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("resolving %q: %s", dns.Name, lookupReason(dns))
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 && strings.Contains(text, "->") { // quic-go's have text only
		return errors.New(text[i+len(": "):])
	}
	return err
}

// foreign says what answered a dial if it can be told to be no libp2p node, or
// nil. The errors of WebSocket and multistream have text only.
func foreign(err error) error {
	switch text := err.Error(); {
	case strings.HasSuffix(text, "websocket: bad handshake"):
		return errHTTPServer
	case strings.HasSuffix(text, "message did not have trailing newline"): // HTTP's 400 is one
		return errNotLibp2p
	}
	return nil
}

func lookupReason(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "no such host"
	case err.IsTimeout:
		return "no answer from the name server"
	}
	return "the name server is not reached"
}

// lookupError resolves the name in addr, if it has one, once more: the swarm
// keeps to itself why it found no address.
func lookupError(ctx context.Context, addr ma.Multiaddr) error {
	for _, code := range []int{ma.P_DNS, ma.P_DNS4, ma.P_DNS6} {
		if name, err := addr.ValueForProtocol(code); err == nil {
			_, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
			return err
		}
	}
	return nil
}
