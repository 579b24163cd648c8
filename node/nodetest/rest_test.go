package nodetest

import (
	"runtime"
	"testing"
	"time"
)

// exchanged adds up the bytes of discovery's questions and answers, counted at
// both ends.
func (n *Network) exchanged(t *testing.T) float64 {
	t.Helper()
	sum := 0.0
	for _, d := range n.Nodes {
		families, err := d.life.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "p2ping_discovery_exchanged_bytes_total" {
				sum += f.GetMetric()[0].GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestTrafficAtRest measures what a network of -rest nodes, which all knew but
// one at first, sends when nothing happens. It promises nothing.
func TestTrafficAtRest(t *testing.T) {
	if *restFlag == 0 {
		t.Skip("measures only when asked to, with -rest N")
	}
	const settling, measured = 10 * time.Minute, 10
	Run(t, 1, discovering(), func(t *testing.T, n *Network) {
		n.Start(n.Star(*restFlag)...)
		time.Sleep(settling)
		checkDegrees(t, n)
		sent, asked := n.wire.stats.bytes, n.exchanged(t)
		time.Sleep(measured * time.Minute)
		var memory runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&memory)
		count := len(n.Nodes)
		t.Logf("%d nodes at rest: a node sends %d bytes a minute, of which %.1f are discovery's; %d KiB of heap a node",
			count, (n.wire.stats.bytes-sent)/count/measured, (n.exchanged(t)-asked)/2/float64(count)/measured, int(memory.HeapAlloc)/count>>10)
	})
}
