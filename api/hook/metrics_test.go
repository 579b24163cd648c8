package hook

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"p2ping/api/client"
)

// metric returns a metric's value of the series whose labels have these values.
func (b *bench) metric(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	b.t.Fatalf("no metric %s of %q", name, labels)
	return 0
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var works atomic.Bool
		stop := b.start(func(_ context.Context, p client.Ping) error {
			switch {
			case p.Text == "refused":
				return refusal{errors.New("no")}
			case !works.Load():
				return errors.New("not yet")
			}
			return nil
		}, "hook")
		is := func(behind, taken, refused float64, failed bool) {
			t.Helper()
			synctest.Wait()
			if got := b.metric("p2ping_hook_behind_entries", "exec 1"); got != behind {
				t.Errorf("%v entries behind, want %v", got, behind)
			}
			if got := b.metric("p2ping_hook_attempts_total", "exec 1", "taken"); got != taken {
				t.Errorf("%v pings taken, want %v", got, taken)
			}
			if got := b.metric("p2ping_hook_attempts_total", "exec 1", "refused"); got != refused {
				t.Errorf("%v pings refused, want %v", got, refused)
			}
			if got := b.metric("p2ping_hook_attempts_total", "exec 1", "failed"); (got > 0) != failed {
				t.Errorf("%v attempts failed", got)
			}
		}
		is(0, 0, 0, false)
		b.add(0, "one", "two")
		b.add(0, "refused")
		is(2, 0, 0, true)
		works.Store(true)
		time.Sleep(time.Minute)
		is(0, 2, 1, true)
		stop()
	})
}
