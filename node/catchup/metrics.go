package catchup

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// role is which side began a session: a label of metrics.
type role string

const (
	roleInitiator role = "initiator"
	roleResponder role = "responder"
)

// metrics are what Prometheus sees of catch-up.
type metrics struct {
	sessions *prometheus.CounterVec
	entries  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	refused  prometheus.Counter
	turns    prometheus.Histogram
	seconds  prometheus.Histogram
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "p2ping_catchup_sessions_total",
			Help: "Catch-up sessions that ended, by who began them and how they ended.",
		}, []string{"role", "result"}),
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "p2ping_catchup_entries_total",
			Help: "Entries that changed hands by catch-up: sent, received and new, or received and held already.",
		}, []string{"direction"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "p2ping_catchup_bytes_total",
			Help: "Bytes of catch-up frames, entries included.",
		}, []string{"direction"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "p2ping_catchup_refused_total",
			Help: "Entries brought by catch-up that were not admitted.",
		}),
		turns: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "p2ping_catchup_round_trips",
			Help:    "Round trips of sessions that compared two ledgers.",
			Buckets: []float64{1, 2, 3, 4, 6, 8, maxTurns},
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "p2ping_catchup_session_seconds",
			Help:    "Duration of sessions that compared two ledgers.",
			Buckets: []float64{.001, .01, .1, 1, 10, 100},
		}),
	}
	if to == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.sessions, m.entries, m.bytes, m.refused, m.turns, m.seconds} {
		errs = append(errs, to.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) observe(as role, r result, o outcome, took time.Duration) {
	m.sessions.WithLabelValues(string(as), string(r)).Inc()
	m.entries.WithLabelValues("sent").Add(float64(o.sent))
	m.entries.WithLabelValues("received").Add(float64(o.added))
	m.entries.WithLabelValues("held").Add(float64(o.held))
	m.bytes.WithLabelValues("sent").Add(float64(o.bytesOut))
	m.bytes.WithLabelValues("received").Add(float64(o.bytesIn))
	m.refused.Add(float64(o.refused))
	if o.compared {
		m.turns.Observe(float64(o.turns))
		m.seconds.Observe(took.Seconds())
	}
}
