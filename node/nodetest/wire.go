package nodetest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/marcopolo/simnet"
)

// linkSettings is what every node's own line to the simulated internet can
// carry: enough that bandwidth is never the reason why a test fails, small
// enough that a burst queues and CoDel drops packets as a real router would.
func linkSettings() simnet.NodeBiDiLinkSettings {
	link := simnet.LinkSettings{BitsPerSecond: 100 * simnet.Mibps}
	return simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}
}

// hop is one direction between two nodes.
type hop struct{ from, to netip.Addr }

// wire is the simulated internet and everything that is wrong with it.
//
// simnet has one hook, LatencyFunc, which its router calls for each packet: it
// can delay and so reorder, but neither drop nor copy. Those two therefore
// happen a step earlier, where a host writes a packet: each host's simnet
// endpoint is wrapped in a [tap], which asks the wire for the packet's fate.
// A fault bites packets sent after it was set; those in flight still arrive.
type wire struct {
	net   simnet.Simnet
	world *World // nil: the same latency and line for all

	mu      sync.Mutex // guards all below, and net.NewEndpoint
	rng     *rand.Rand
	latency time.Duration
	flat    bool                  // latency counts even where there is a world
	slow    map[hop]time.Duration // one way, instead of latency
	jitter  time.Duration         // up to so much more, drawn for each packet
	loss    float64
	double  float64
	cut     map[hop]bool
	stats   wireStats
}

// wireStats counts packets as they are written, and the bytes in them.
type wireStats struct{ sent, cut, lost, doubled, bytes int }

func newWire(seed uint64, world *World) *wire {
	w := &wire{
		world:   world,
		rng:     rand.New(rand.NewPCG(seed, 1)),
		latency: 10 * time.Millisecond,
		slow:    make(map[hop]time.Duration),
		cut:     make(map[hop]bool),
	}
	w.net.LatencyFunc = w.delay
	w.net.Logger = discard() // it logs packets to hosts that are not up yet
	return w
}

// delay is simnet's LatencyFunc: called by its router for each packet.
func (w *wire) delay(p *simnet.Packet) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := hop{ipOf(p.From), ipOf(p.To)}
	d, ok := w.slow[h]
	switch {
	case ok:
	case w.world != nil && !w.flat:
		d = w.world.latency(indexOf(h.from), indexOf(h.to))
	default:
		d = w.latency
	}
	if w.jitter > 0 {
		d += rand.N(w.jitter)
	}
	return d
}

// copies says how often a packet of so many bytes that is written now is to be
// sent: 0 when it is lost.
func (w *wire) copies(h hop, size int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.sent++
	w.stats.bytes += size
	switch {
	case w.cut[h]:
		w.stats.cut++
		return 0
	case w.loss > 0 && w.rng.Float64() < w.loss:
		w.stats.lost++
		return 0
	case w.double > 0 && w.rng.Float64() < w.double:
		w.stats.doubled++
		return 2
	}
	return 1
}

// endpoint attaches a host at addr to the wire. A host that comes back at the
// address of one that is gone takes its place; closing is the host's business.
func (w *wire) endpoint(addr *net.UDPAddr) *tap {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := linkSettings()
	if w.world != nil {
		line = w.world.line(indexOf(ipOf(addr)))
	}
	return &tap{SimConn: w.net.NewEndpoint(addr, line), wire: w, from: ipOf(addr)}
}

// set changes the wire under its lock.
func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// tap is a host's simnet endpoint with the wire's faults on the way out. Once
// its host has crashed it stays silent, even when another host takes over the
// address.
type tap struct {
	*simnet.SimConn
	wire *wire
	from netip.Addr

	mu     sync.Mutex
	silent bool
}

// WriteTo sends the packet as often as the wire wants, and never fails.
func (t *tap) WriteTo(p []byte, addr net.Addr) (int, error) {
	t.mu.Lock()
	silent := t.silent
	t.mu.Unlock()
	if silent {
		return len(p), nil
	}
	for range t.wire.copies(hop{t.from, ipOf(addr)}, len(p)) {
		if n, err := t.SimConn.WriteTo(p, addr); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// silence drops whatever is written from now on.
func (t *tap) silence() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silent = true
}

// ipOf returns the IPv4 address of a simulated UDP address.
func ipOf(a net.Addr) netip.Addr {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(udp.IP)
	return ip.Unmap()
}
