package nodetest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorld(t *testing.T) {
	const count = 2000
	for _, test := range []struct {
		even     bool
		inEurope int // of them, about
	}{{false, 990}, {true, 250}} {
		w := newWorld(1, count, test.even)
		if !slices.Equal(w.places, newWorld(1, count, test.even).places) {
			t.Error("another world under the same seed")
		}
		fast, inEurope := 0, 0
		for i, p := range w.places {
			if d := w.latency(i, (i+1)%count); d < 2*time.Millisecond || d > 220*time.Millisecond {
				t.Errorf("%v from %d to its neighbour", d, i)
			}
			if p.fast {
				fast++
			}
			if p.region == europe {
				inEurope++
			}
			if got := indexOf(ipOf(address(i))); got != i {
				t.Errorf("the address of %d is that of %d", i, got)
			}
		}
		if fast < 300 || fast > 500 || inEurope < test.inEurope-100 || inEurope > test.inEurope+100 {
			t.Errorf("even is %t: %d fast lines and %d nodes in Europe", test.even, fast, inEurope)
		}
	}
}

func TestWorldOnTheWire(t *testing.T) {
	const count = 6
	opts := Options{HostsOnly: true, World: newWorld(1, count, true)}
	Run(t, 1, opts, func(t *testing.T, n *Network) {
		n.Start(n.Line(count)...)
		for a := range count {
			for b := range a {
				if err := n.Connect(a, b); err != nil {
					t.Fatal(err)
				}
				want := opts.World.latency(a, b) + opts.World.latency(b, a)
				if got, err := rtt(t, n, a, b); err != nil || got < want || got > want+2*time.Millisecond {
					t.Errorf("a round trip from %d to %d took %v, not %v: %v", a, b, got, want, err)
				}
			}
		}
	})
}

// TestLines sends 100 packets of 10,000 bits at once, from a node to one at the
// same place.
func TestLines(t *testing.T) {
	for _, test := range []struct {
		fast bool
		want time.Duration
	}{{true, time.Millisecond}, {false, 20 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			const count, size = 100, 1250
			w := newWire(1, &World{places: []place{{fast: test.fast}, {fast: test.fast}}})
			w.net.Start()
			defer w.net.Close()
			from, to := w.endpoint(address(0)), w.endpoint(address(1))
			defer from.Close()
			defer to.Close()
			began := time.Now()
			go func() {
				for range count {
					if _, err := from.WriteTo(make([]byte, size), address(1)); err != nil {
						t.Error(err)
					}
				}
			}()
			for range count {
				if _, _, err := to.ReadFrom(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			// The first packet goes at once.
			if took := time.Since(began); took < test.want*9/10 || took > test.want*11/10+time.Millisecond {
				t.Errorf("on a line that is fast is %t, they took %v", test.fast, took)
			}
		})
	}
}
