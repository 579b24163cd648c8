package nodetest

import (
	"fmt"
	"runtime"
	"time"
)

// meter reads what a network costs.
type meter struct {
	n     *Network
	began time.Time
	bytes int
	// received counts the payloads that each life received.
	received map[*life]float64
}

func (n *Network) meter() (*meter, error) {
	m := &meter{n: n, began: time.Now(), received: make(map[*life]float64)}
	n.wire.set(func() { m.bytes = n.wire.stats.bytes })
	for _, d := range n.Nodes {
		if d.Member() == nil {
			continue
		}
		count, err := d.life.received()
		if err != nil {
			return nil, fmt.Errorf("reading node %d's metrics: %w", d.Index, err)
		}
		m.received[d.life] = count
	}
	return m, nil
}

// bytesSince is what all nodes sent since, and in how many minutes.
func (m *meter) bytesSince(later *meter) (bytes, minutes float64) {
	return float64(later.bytes - m.bytes), later.began.Sub(m.began).Minutes()
}

// receivedSince is how many payloads a node received since, on average over
// those that ran all the time.
func (m *meter) receivedSince(later *meter) float64 {
	sum, lives := 0.0, 0
	for l, before := range m.received {
		if now, ok := later.received[l]; ok {
			sum += now - before
			lives++
		}
	}
	return sum / float64(max(1, lives))
}

// received counts the messages that gossip brought, each as often as it came.
func (l *life) received() (float64, error) {
	families, err := l.metrics.Gather()
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case f.GetName() == "p2ping_gossip_duplicates_total",
				f.GetName() == "p2ping_entries_ignored_total",
				f.GetName() == "p2ping_entries_stored_total" && m.GetLabel()[0].GetValue() == "gossip":
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum, err
}

// memory is what the process has live, in bytes.
func memory() (heap, stacks float64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), float64(m.StackInuse)
}
