package hook

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of an attempt, the values of a label.
const (
	resultTaken   = "taken"
	resultRefused = "refused"
	resultFailed  = "failed" // and is tried again
)

// register adds what an operator watches hooks by. A hook is named by its kind
// and number, as in the log: its target may have a password in it.
func (h *Hooks) register(r prometheus.Registerer) error {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "p2ping", Name: "hook_attempts_total", Help: "Attempts to hand a ping to a hook, by how they ended.",
	}, []string{"hook", "result"})
	errs := []error{r.Register(attempts)}
	for _, run := range h.runners {
		run.attempts = attempts.MustCurryWith(prometheus.Labels{"hook": run.name})
		for _, result := range []string{resultTaken, resultRefused, resultFailed} {
			run.attempts.WithLabelValues(result) // a series that is not there can't be alerted on
		}
		errs = append(errs, r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "p2ping", Name: "hook_behind_entries", Help: "How far the ledger's last entry is ahead of what is handed over.",
			ConstLabels: prometheus.Labels{"hook": run.name},
		}, func() float64 { return h.behind(run) })))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("registering the hooks' metrics: %w", err)
	}
	return nil
}

// behind returns how many places of the ledger a hook has not come to.
func (h *Hooks) behind(r *runner) float64 {
	next := r.ledger.State().Last + 1
	return float64(next - min(h.book.place(r.key).arrival, next))
}
