package discovery

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what is done. Label values are from closed sets.
type metrics struct {
	asked    *prometheus.CounterVec // by result
	answered *prometheus.CounterVec // by result
	dials    *prometheus.CounterVec // by source and result
	bytes    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "p2ping", Subsystem: "discovery", Name: name, Help: help}, labels)
	}
	m := &metrics{
		asked:    counter("asked_total", "Times this node asked a peer for others, by result.", "result"),
		answered: counter("answered_total", "Times a peer asked this node for others, by result.", "result"),
		dials:    counter("dials_total", "Dials of peers that were found, by how, and by result.", "found", "result"),
		bytes:    counter("exchanged_bytes_total", "Bytes of questions and answers, both ways.").WithLabelValues(),
	}
	if r == nil {
		return m, nil
	}
	if err := errors.Join(r.Register(m.asked), r.Register(m.answered), r.Register(m.dials), r.Register(m.bytes)); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

// outcome is the label of a result.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errProtocol):
		return "misbehaved"
	case errors.Is(err, errBusy):
		return "refused"
	case errors.Is(err, errOtherTopic):
		return "other_topic"
	}
	return "failed"
}
