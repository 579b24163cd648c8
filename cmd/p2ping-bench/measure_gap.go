package main

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node/catchup"
	"p2ping/node/entry"
)

// catchUpPatience bounds one reconciliation.
const catchUpPatience = 2 * time.Minute

// syncer makes a side take part in catch-up.
func (s *side) syncer(peers ...peer.ID) (*catchup.Syncer, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	syncer, err := catchup.New(catchup.Config{
		Host: s.host, Ledger: s.ledger, Topic: pubsubTopic,
		Peers:      func() []peer.ID { return peers },
		Admit:      func(e *entry.Entry) error { return e.Admit(pubsubTopic, time.Now(), s.ledger.State().Floor) },
		Registerer: registry,
	})
	return syncer, registry, err
}

// measureGap makes a gap between two equal ledgers, has the lacking side ask the
// full one until it is closed, and sees what that took.
func measureGap(ctx context.Context, s sample, g gap, n int, a *author, full, lacking *side) (err error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	size, err := full.add(ctx, a, g, n)
	if err != nil {
		return err
	}
	for _, side := range []*side{full, lacking} { // what a node at work has cached
		if _, _, err := side.ledger.Digest(); err != nil {
			return err
		}
	}
	id, err := connect(ctx, lacking.host, full.addr)
	if err != nil {
		return err
	}
	answers, _, err := full.syncer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answers.Close()) }()
	asks, registry, err := lacking.syncer(id)
	if err != nil {
		return err
	}
	before, start := cpuOfSelf(), time.Now()
	running := make(chan error, 1)
	go func() { running <- asks.Run(ctx) }()
	asks.PeerJoined(id)
	err = awaitSessions(ctx, registry, g.missing)
	took, used := time.Since(start), cpuOfSelf()-before
	if err = errors.Join(err, asks.Close(), <-running); err != nil {
		return err
	}
	cost, err := sessionsIn(registry) // complete only now
	if err != nil {
		return err
	}
	if full.ledger.State().Entries != lacking.ledger.State().Entries {
		return errors.New("the ledgers still differ")
	}
	g.record(s, n, cost, took, used, float64(size))
	return nil
}

// sessions is what the sessions of one side came to.
type sessions struct{ ended, received, bytes, turns float64 }

// awaitSessions waits until sessions have brought what was missing.
func awaitSessions(ctx context.Context, registry *prometheus.Registry, missing int) error {
	const often = time.Millisecond
	for {
		cost, err := sessionsIn(registry)
		if err != nil || cost.ended > 0 && cost.received >= float64(missing) {
			return err
		}
		if err := sleep(ctx, often); err != nil {
			return err
		}
	}
}

func sessionsIn(registry *prometheus.Registry) (s sessions, err error) {
	families, err := registry.Gather()
	if err != nil {
		return s, err
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "p2ping_catchup_sessions_total":
				s.ended += m.GetCounter().GetValue()
			case "p2ping_catchup_bytes_total":
				s.bytes += m.GetCounter().GetValue()
			case "p2ping_catchup_round_trips":
				s.turns += m.GetHistogram().GetSampleSum()
			case "p2ping_catchup_entries_total":
				if m.GetLabel()[0].GetValue() == "received" {
					s.received += m.GetCounter().GetValue()
				}
			}
		}
	}
	return s, nil
}

// record enters what closing a gap took. size is that of the entries that were
// missing.
func (g gap) record(s sample, n int, cost sessions, took, used time.Duration, size float64) {
	s[g.series("time", n)] = milliseconds(took)
	s[g.series("bytes", n)] = (cost.bytes - size) / float64(max(g.missing, 1))
	s[g.series("rounds", n)] = cost.turns
	s[g.series("rate", n)] = perSecond(g.missing, used)
}
