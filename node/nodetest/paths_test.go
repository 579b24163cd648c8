package nodetest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestShortestPaths(t *testing.T) {
	// Ten times the distance between the nodes' numbers, but 0 and 3 are far.
	latency := func(a, b int) time.Duration {
		if min(a, b) == 0 && max(a, b) == 3 {
			return 100
		}
		return time.Duration(10 * max(a-b, b-a))
	}
	tests := []struct {
		name  string
		links links
		from  int
		want  []time.Duration
	}{
		{"alone", links{nil}, 0, []time.Duration{0}},
		{"a line", links{{1}, {0, 2}, {1}}, 2, []time.Duration{20, 10, 0}},
		{"cut off", links{{1}, {0}, nil}, 0, []time.Duration{0, 10, unreached}},
		{"a detour is faster", links{{1, 3}, {0, 2}, {1, 3}, {2, 0}}, 0, []time.Duration{0, 10, 20, 30}},
		{"a direct way is faster", links{{1, 2}, {0, 3}, {0, 3}, {1, 2, 0}}, 1, []time.Duration{10, 0, 30, 20}},
		{"everyone", everyone(4), 0, []time.Duration{0, 10, 20, 30}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.links.shortest(tt.from, latency); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMingled(t *testing.T) {
	for _, count := range []int{1, 2, 5, 9, 10, 60, 500} {
		links := mingled(rand.New(rand.NewPCG(1, 0)), count)
		sum := 0
		for a, all := range links {
			sum += len(all)
			if len(all) < min(mingleMin, count-1) {
				t.Errorf("%d nodes: %d has %d peers", count, a, len(all))
			}
			for k, b := range all {
				if a == b || slices.Contains(all[:k], b) || !slices.Contains(links[b], a) {
					t.Errorf("%d nodes: %d is linked to %v", count, a, all)
				}
			}
		}
		if most := (2*mingleDraws + 1) * count; sum > most {
			t.Errorf("%d nodes: %d links", count, sum/2)
		}
	}
}
