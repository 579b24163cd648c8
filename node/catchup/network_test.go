package catchup

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"p2ping/node/entry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lan is some hosts on a simulated network, all connected, on a fake clock.
type lan struct {
	t     *testing.T // the bubble's
	hosts []host.Host
	log   *slog.Logger
}

const latency = 10 * time.Millisecond // one way

// onLAN runs a test in a bubble with n connected hosts.
func onLAN(t *testing.T, n int, test func(*lan)) {
	t.Helper()
	// The simulated network is not made for goroutines in parallel with -race.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		link := simnet.LinkSettings{BitsPerSecond: 200 * simlibp2p.OneMbps}
		net, meta, err := simlibp2p.SimpleLibp2pNetwork([]simlibp2p.NodeLinkSettingsAndCount{
			{LinkSettings: simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}, Count: n},
		}, simnet.StaticLatency(latency), simlibp2p.NetworkSettings{})
		if err != nil {
			t.Fatal(err)
		}
		net.Start()
		t.Cleanup(func() {
			for _, h := range meta.Nodes {
				h.Close()
			}
			time.Sleep(2 * time.Second) // impostors notice
			net.Close()
		})
		l := &lan{t: t, hosts: meta.Nodes, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
		for i, h := range l.hosts {
			for _, other := range l.hosts[i+1:] {
				if err := h.Connect(t.Context(), peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Second)
		test(l)
	})
}

// node is a Syncer at work.
type node struct {
	*Syncer
	store *memory
	reg   *prometheus.Registry

	mu    sync.Mutex
	admit func(*entry.Entry) error // guarded by mu
}

// start makes a Syncer on the i-th host, whose topic peers are all others, and
// runs it until the test ends.
func (l *lan) start(i int, store *memory, change ...func(*Config)) *node {
	l.t.Helper()
	n := &node{store: store, reg: prometheus.NewRegistry(), admit: admitAll}
	cfg := Config{
		Host:   l.hosts[i],
		Ledger: store,
		Topic:  topic,
		Peers: func() []peer.ID {
			return slices.DeleteFunc(l.hosts[i].Network().Peers(), func(p peer.ID) bool { return p == l.hosts[i].ID() })
		},
		Admit: func(e *entry.Entry) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.admit(e)
		},
		Logger:     l.log.With("node", i),
		Registerer: n.reg,
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if n.Syncer, err = New(cfg); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("running node %d: %v", i, err)
		}
		if err := n.Close(); err != nil {
			l.t.Errorf("closing node %d: %v", i, err)
		}
	})
	return n
}

func quietly(n *Config) { n.Peers = func() []peer.ID { return nil } }

func (l *lan) id(i int) peer.ID { return l.hosts[i].ID() }

// about returns what a node remembers of the i-th host.
func (l *lan) about(n *node, i int) PeerState {
	for _, s := range n.State() {
		if s.PeerID == l.id(i) {
			return s
		}
	}
	return PeerState{}
}

// counted returns the sum of a counter's series that have the label value.
func (n *node) counted(name, value string) int {
	families, err := n.reg.Gather()
	if err != nil {
		panic(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				if f.GetName() == name && label.GetValue() == value {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return int(sum)
}

// impostor answers sessions on the i-th host as the test sees fit.
func (l *lan) impostor(i int, answer func(network.Stream, *wire)) {
	l.hosts[i].SetStreamHandler(Protocol, func(s network.Stream) {
		defer s.Reset()
		answer(s, newWire(s))
	})
}

// dial begins a session from the i-th host with the j-th.
func (l *lan) dial(i, j int) (network.Stream, *wire) {
	l.t.Helper()
	s, err := l.hosts[i].NewStream(l.t.Context(), l.id(j), Protocol)
	if err != nil {
		l.t.Fatal(err)
	}
	return s, newWire(s)
}

// helloOf is an honest hello with a dishonest set.
func helloOf(count int) hello {
	return hello{topic: topicTag(topic), clock: time.Now().UnixMilli(), takes: true, count: count}
}

// now is a time, in Unix ms, in the bubble's clock.
func now() int64 { return time.Now().UnixMilli() }

// recent makes n entries of the last seconds in the bubble's clock, which is the
// same in every bubble: so they are made once.
func recent(family string, n int) []*entry.Entry {
	made.Lock()
	defer made.Unlock()
	all := made.entries[family]
	for i := len(all); i < n; i++ {
		all = append(all, entryAt(bubble-3_600_000+int64(i)*10, family))
	}
	if made.entries == nil {
		made.entries = make(map[string][]*entry.Entry)
	}
	made.entries[family] = all
	return slices.Clone(all[:n])
}

var made struct {
	sync.Mutex
	entries map[string][]*entry.Entry
}

// bubble is when time begins in a bubble: 2000-01-01, in Unix ms.
const bubble = 946_684_800_000
