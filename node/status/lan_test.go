package status

import (
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
)

// lan is some hosts on a simulated network, on a fake clock.
type lan struct {
	t     *testing.T // the bubble's
	hosts []host.Host
	// guest is a host that is on no topic.
	guest peer.ID
}

// onLAN runs a test in a bubble with n connected hosts.
func onLAN(t *testing.T, n int, test func(*lan)) {
	t.Helper()
	apart(t, n, func(l *lan) {
		for i := range n {
			for j := range i {
				l.link(i, j)
			}
		}
		time.Sleep(time.Second)
		test(l)
	})
}

// apart runs a test in a bubble with n hosts.
func apart(t *testing.T, n int, test func(*lan)) {
	t.Helper()
	// The simulated network is not made for goroutines in parallel with -race.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		link := simnet.LinkSettings{BitsPerSecond: 200 * simlibp2p.OneMbps}
		net, meta, err := simlibp2p.SimpleLibp2pNetwork([]simlibp2p.NodeLinkSettingsAndCount{
			{LinkSettings: simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}, Count: n},
		}, simnet.StaticLatency(10*time.Millisecond), simlibp2p.NetworkSettings{})
		if err != nil {
			t.Fatal(err)
		}
		net.Logger = slog.New(slog.DiscardHandler) // it logs packets to nowhere
		net.Start()
		t.Cleanup(func() {
			for _, h := range meta.Nodes {
				h.Close()
			}
			time.Sleep(2 * time.Second) // what is left of connections ends
			net.Close()
		})
		test(&lan{t: t, hosts: meta.Nodes})
	})
}

// link connects two hosts.
func (l *lan) link(i, j int) {
	l.t.Helper()
	to := l.hosts[j]
	if err := l.hosts[i].Connect(l.t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		l.t.Fatal(err)
	}
}

// mapper makes a Mapper on the i-th host, whose topic peers are those it is
// connected to.
func (l *lan) mapper(i int, change ...func(*Config)) *Mapper {
	l.t.Helper()
	cfg := Config{
		Host:  l.hosts[i],
		Topic: topic,
		Report: func() Report {
			r := Report{Agent: "node", Entries: 1, Pings: int64(i)}
			for _, id := range l.hosts[i].Network().Peers() {
				if id != l.guest {
					r.Peers = append(r.Peers, Peer{ID: id, InMesh: true})
				}
			}
			return r
		},
		Member: func(id peer.ID) bool { return id != l.guest },
		Logger: slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	m, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return m
}
