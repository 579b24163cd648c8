package nodetest

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// packets sends count numbered packets from one address to another, a
// millisecond apart, and returns those that arrive, in order of arrival.
func packets(t *testing.T, w *wire, count int) []int {
	t.Helper()
	from, to := w.endpoint(address(0)), w.endpoint(address(1))
	defer from.Close()
	var got []int
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			k, _, err := to.ReadFrom(buf)
			if err != nil {
				return
			}
			got = append(got, int(binary.BigEndian.Uint32(buf[:k])))
		}
	}()
	for i := range count {
		if _, err := from.WriteTo(binary.BigEndian.AppendUint32(nil, uint32(i)), address(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Minute)
	to.Close()
	<-done
	return got
}

func TestWire(t *testing.T) {
	const count = 1000
	tests := []struct {
		name  string
		fault func(*wire)
		check func(got []int) bool
	}{
		{"nothing wrong", func(*wire) {}, func(got []int) bool { return len(got) == count && slices.IsSorted(got) }},
		{"cut", func(w *wire) { w.cut[hopBetween(0, 1)] = true }, func(got []int) bool { return len(got) == 0 }},
		{"cut the other way", func(w *wire) { w.cut[hopBetween(1, 0)] = true }, func(got []int) bool { return len(got) == count }},
		{"loss", func(w *wire) { w.loss = 0.3 }, func(got []int) bool { return len(got) > 600 && len(got) < 800 }},
		{"copies", func(w *wire) { w.double = 0.5 }, func(got []int) bool {
			return len(got) > 1400 && len(got) < 1600 && len(slices.Compact(slices.Sorted(slices.Values(got)))) == count
		}},
		{"reordering", func(w *wire) { w.jitter = 50 * time.Millisecond }, func(got []int) bool {
			return len(got) == count && !slices.IsSorted(got)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(1, nil)
				w.net.Start()
				defer w.net.Close()
				tt.fault(w)
				if got := packets(t, w, count); !tt.check(got) {
					t.Errorf("%d of %d packets arrived: %v...", len(got), count, got[:min(20, len(got))])
				}
			})
		})
	}
}

// rtt pings b from a with libp2p's own ping protocol.
func rtt(t *testing.T, n *Network, a, b int) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	res, ok := <-ping.Ping(ctx, n.Nodes[a].Host(), n.Nodes[b].ID)
	if !ok {
		return 0, ctx.Err()
	}
	return res.RTT, res.Error
}

func TestHostsOnTheWire(t *testing.T) {
	Run(t, 1, Options{HostsOnly: true}, func(t *testing.T, n *Network) {
		n.Start(n.Line(3)...)
		if err := n.Connect(0, 1); err != nil {
			t.Fatal(err)
		}
		if d, err := rtt(t, n, 0, 1); err != nil || d < 20*time.Millisecond || d > 25*time.Millisecond {
			t.Errorf("a round trip over two hops of 10 ms took %v, %v", d, err)
		}
		n.SlowOneWay(0, 1, 100*time.Millisecond)
		if d, err := rtt(t, n, 0, 1); err != nil || d < 110*time.Millisecond || d > 120*time.Millisecond {
			t.Errorf("a round trip over hops of 100 and 10 ms took %v, %v", d, err)
		}
		n.Calm()

		n.CutOneWay(1, 0)
		if d, err := rtt(t, n, 0, 1); err == nil {
			t.Errorf("a ping came back over a cut hop in %v", d)
		}
		n.Heal()
		if _, err := rtt(t, n, 0, 1); err != nil {
			t.Errorf("after healing: %v", err)
		}

		n.Loss(0.3)
		n.Duplicate(0.3)
		n.Reorder(20 * time.Millisecond)
		if _, err := rtt(t, n, 0, 1); err != nil {
			t.Errorf("on a bad wire: %v", err)
		}
		n.Calm()

		n.Partition([]int{0, 1})
		if err := n.Connect(0, 2); err == nil {
			t.Error("a connection across a partition")
		}
		n.Heal()
		if err := n.Connect(0, 2); err != nil {
			t.Errorf("after the partition: %v", err)
		}
	})
}

func TestStopAndCrash(t *testing.T) {
	Run(t, 1, Options{HostsOnly: true}, func(t *testing.T, n *Network) {
		n.Start(n.Line(2)...)
		gone := func() time.Duration {
			began := time.Now()
			for n.Connections(0, 1) > 0 {
				time.Sleep(100 * time.Millisecond)
			}
			return time.Since(began)
		}
		connect := func() {
			if err := n.Connect(0, 1); err != nil {
				t.Fatal(err)
			}
		}
		connect()
		n.Stop(1)
		if d := gone(); d > time.Second {
			t.Errorf("a clean stop was noticed after %v", d)
		}
		n.Start(1)
		connect()
		n.Crash(1)
		if d := gone(); d < 25*time.Second || d > 40*time.Second {
			t.Errorf("a crash was noticed after %v, not QUIC's idle timeout of 30 s", d)
		}
		n.Start(1)
		connect()
		if _, err := rtt(t, n, 0, 1); err != nil {
			t.Errorf("after the restart: %v", err)
		}
	})
}

func TestDoubleDial(t *testing.T) {
	Run(t, 1, Options{HostsOnly: true}, func(t *testing.T, n *Network) {
		n.Start(n.Line(2)...)
		if got := n.DoubleDial(0, 1); got != 2 {
			t.Errorf("%d connections", got)
		}
	})
}

// TestDeaf shows that the fault bites: plain pubsub never recovers from it.
func TestDeaf(t *testing.T) {
	Run(t, 1, Options{HostsOnly: true}, func(t *testing.T, n *Network) {
		n.Start(n.Line(2)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var topics [2]*pubsub.Topic
		for i := range topics {
			ps, err := pubsub.NewGossipSub(ctx, n.Nodes[i].Host())
			if err != nil {
				t.Fatal(err)
			}
			if topics[i], err = ps.Join("x"); err != nil {
				t.Fatal(err)
			}
		}
		sub, err := topics[1].Subscribe()
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Connect(0, 1); err != nil {
			t.Fatal(err)
		}
		hears := func() bool {
			time.Sleep(5 * time.Second)
			if err := topics[0].Publish(ctx, []byte("x")); err != nil {
				t.Fatal(err)
			}
			wait, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_, err := sub.Next(wait)
			return err == nil
		}
		if !hears() {
			t.Error("nothing arrives over a healthy stream")
		}
		if got := n.Deaf(0, 1); got != 1 {
			t.Errorf("reset %d streams", got)
		}
		if hears() {
			t.Error("pubsub mends a reset stream by itself now: the watchdog may go")
		}
		if n.Nodes[0].Host().Network().Connectedness(n.Nodes[1].ID) != network.Connected {
			t.Error("not connected any more")
		}
		cancel()
		n.ResetStreams(0, 1, PubSub)
	})
}
