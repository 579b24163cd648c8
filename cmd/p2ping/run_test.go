package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"p2ping/node"
)

func TestRequireBootstrap(t *testing.T) {
	for _, test := range []struct {
		name    string
		readyIn time.Duration
		stopIn  time.Duration
		fails   bool
	}{
		{name: "reached", readyIn: 3 * time.Second, stopIn: time.Hour},
		{name: "never reached", readyIn: time.Hour, stopIn: time.Hour, fails: true},
		{name: "stopped before", readyIn: time.Hour, stopIn: time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.stopIn)
				defer cancel()
				begin := time.Now()
				err := requireBootstrap(ctx, func() node.Readiness {
					return node.Readiness{Ready: time.Since(begin) >= test.readyIn, Reasons: []string{"refused"}}
				})
				if (err != nil) != test.fails {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begin); took > bootstrapPatience {
					t.Errorf("it took %v", took)
				}
				if err != nil && !strings.Contains(err.Error(), "refused") {
					t.Errorf("error %q does not say why", err)
				}
			})
		})
	}
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := within(time.Second, func() error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v", err)
		}
		release := make(chan struct{})
		begin := time.Now()
		err := within(time.Second, func() error { <-release; return nil })
		if err == nil || time.Since(begin) != time.Second {
			t.Errorf("error %v after %v", err, time.Since(begin))
		}
		close(release)
	})
}

func TestEdges(t *testing.T) {
	for _, test := range []struct {
		topology string
		nodes    int
		degrees  []int
	}{
		{"line", 1, []int{0}},
		{"line", 3, []int{1, 2, 1}},
		{"ring", 2, []int{1, 1}},
		{"ring", 4, []int{2, 2, 2, 2}},
		{"star", 4, []int{3, 1, 1, 1}},
		{"full", 4, []int{3, 3, 3, 3}},
	} {
		known := edges(test.topology, test.nodes)
		if got := degrees(known); !slices.Equal(got, test.degrees) {
			t.Errorf("%s of %d: %v, degrees %v, want %v", test.topology, test.nodes, known, got, test.degrees)
		}
		for i, others := range known {
			if slices.ContainsFunc(others, func(j int) bool { return j >= i }) {
				t.Errorf("%s of %d: node %d is told of %v, which start later", test.topology, test.nodes, i, others)
			}
		}
	}
}

func TestDefaultVerb(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"p2ping", "p2ping run"},
		{"p2ping --p2p-port 1", "p2ping run --p2p-port 1"},
		{"p2ping --help", "p2ping --help"},
		{"p2ping -v", "p2ping -v"},
		{"p2ping ping hello", "p2ping ping hello"},
		{"p2ping --generate-shell-completion", "p2ping --generate-shell-completion"},
		{"p2ping --boot --generate-shell-completion", "p2ping run --boot --generate-shell-completion"},
		{"p2ping - --generate-shell-completion", "p2ping - --generate-shell-completion"},
	} {
		if got := strings.Join(withDefaultVerb(strings.Fields(test.in)), " "); got != test.want {
			t.Errorf("%q becomes %q, want %q", test.in, got, test.want)
		}
	}
}

func TestAPIURL(t *testing.T) {
	for _, test := range []struct{ told, real, want string }{
		{"127.0.0.1:0", "127.0.0.1:4711", "http://127.0.0.1:4711"},
		{"0.0.0.0:80", "0.0.0.0:80", "http://127.0.0.1:80"},
		{":80", "[::]:80", "http://127.0.0.1:80"},
		{"[::1]:80", "[::1]:80", "http://[::1]:80"},
		{"unix:/run/p2ping", "/run/p2ping", "unix:/run/p2ping"},
		{"unix:@p2ping", "@p2ping", "unix:@p2ping"},
	} {
		if got := apiURL(test.told, test.real, false); got != test.want {
			t.Errorf("%s on %s is %q, want %q", test.told, test.real, got, test.want)
		}
	}
}
