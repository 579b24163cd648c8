package main

import (
	"slices"
	"testing"
	"time"
)

func TestSummarise(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   summary
	}{
		{nil, summary{}},
		{[]float64{3}, summary{3, 3, 3}},
		{[]float64{9, 1, 4}, summary{4, 1, 9}},
		{[]float64{8, 2, 4, 6}, summary{5, 2, 8}},
	} {
		given := slices.Clone(c.values)
		if got := summarise(c.values); got != c.want {
			t.Errorf("summarise(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(given, c.values) {
			t.Errorf("summarise changed its argument to %v", c.values)
		}
	}
}

func TestRatios(t *testing.T) {
	for _, c := range []struct{ values, base, want []float64 }{
		{nil, nil, []float64{}},
		{[]float64{6, 8}, []float64{2, 4}, []float64{3, 2}},
		{[]float64{6, 8, 9}, []float64{2}, []float64{3}},
		{[]float64{6, 8}, []float64{0, 4}, []float64{2}},
	} {
		if got := ratios(c.values, c.base); !slices.Equal(got, c.want) {
			t.Errorf("ratios(%v, %v) = %v, want %v", c.values, c.base, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[99-i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		values []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 0.5, 0},
		{[]time.Duration{7}, 0.99, 7},
		{hundred, 0, 1},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := percentile(c.values, c.p); got != c.want {
			t.Errorf("percentile(%d values, %v) = %d, want %d", len(c.values), c.p, got, c.want)
		}
	}
}

func TestPerSecond(t *testing.T) {
	if got := perSecond(500, 250*time.Millisecond); got != 2000 {
		t.Errorf("perSecond = %v, want 2000", got)
	}
	if got := perSecond(5, 0); got != 0 {
		t.Errorf("perSecond in no time = %v, want 0", got)
	}
}

func TestGoal(t *testing.T) {
	for _, c := range []struct {
		goal  goal
		value float64
		want  bool
	}{
		{atLeast(6), 6, true},
		{atLeast(6), 5.999, false}, // never rounded up
		{atMost(1.1), 1.1, true},
		{atMost(1.1), 1.1001, false},
		{atMost(0), 0, true},
		{atMost(0), 1, false},
	} {
		if got := c.goal.met(c.value); got != c.want {
			t.Errorf("%s met by %v: %v, want %v", c.goal, c.value, got, c.want)
		}
	}
}
