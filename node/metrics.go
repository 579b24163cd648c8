package node

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node/ledger"
)

// metrics are the node's own counters. Label values are from closed sets;
// never a peer ID, of which anyone can make any number.
type metrics struct {
	published  prometheus.Counter     // pings published here
	stored     *prometheus.CounterVec // entries new to the ledger, by via
	lost       *prometheus.CounterVec // messages lost on the fast path, by where
	rejected   *prometheus.CounterVec // invalid messages, by reason
	ignored    *prometheus.CounterVec // valid messages that were not taken, by reason
	duplicates prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "p2ping", Name: name, Help: help}, labels)
	}
	return &metrics{
		published:  counter("pings_published_total", "Pings published by this node.").WithLabelValues(),
		stored:     counter("entries_stored_total", "Entries new to the ledger, by how they came.", "via"),
		lost:       counter("gossip_lost_total", "Messages lost on the fast path, by where. Catch-up fetches them.", "where"),
		rejected:   counter("entries_rejected_total", "Provably bad messages, by reason.", "reason"),
		ignored:    counter("entries_ignored_total", "Valid entries that were not taken, by reason.", "reason"),
		duplicates: counter("gossip_duplicates_total", "Messages that arrived more than once, as gossip makes them.").WithLabelValues(),
	}
}

// register registers the counters, and gauges that read the node's state when
// they are asked for it.
func (m *metrics) register(r prometheus.Registerer, n *Node) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "p2ping", Name: name, Help: help}, value)
	}
	state := func(value func(ledger.State) float64) func() float64 {
		return func() float64 { return value(n.ledger.State()) }
	}
	all := []prometheus.Collector{
		m.published, m.stored, m.lost, m.rejected, m.ignored, m.duplicates,
		gauge("topic_peers", "Peers on the topic.", func() float64 { return float64(n.gossip.members.count()) }),
		gauge("mesh_peers", "Peers in this node's mesh of the topic.", func() float64 { return float64(n.tracer.meshSize()) }),
		gauge("ledger_entries", "Entries in the ledger.", state(func(s ledger.State) float64 { return float64(s.Entries) })),
		gauge("ledger_pings", "Pings in the ledger.", state(func(s ledger.State) float64 { return float64(s.Pings) })),
		gauge("ledger_size_bytes", "Encoded size of the ledger's entries.", state(func(s ledger.State) float64 { return float64(s.Bytes) })),
		gauge("ledger_floor_seconds", "Unix time below which entries are forgotten.", state(func(s ledger.State) float64 { return float64(s.Floor) / 1000 })),
	}
	if n.distance != nil {
		all = append(all,
			gauge("mesh_near_peers", "Peers in the mesh that are wanted there for being near.",
				func() float64 { return float64(n.distance.wanted.Load().near) }),
			gauge("mesh_drawn_peers", "Peers in the mesh that are wanted there as they were drawn by lot.",
				func() float64 { return float64(n.distance.wanted.Load().drawn) }))
	}
	var errs []error
	for _, c := range all {
		errs = append(errs, r.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}
