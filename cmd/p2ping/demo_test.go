package main

import (
	"bytes"
	"testing"
)

func TestUntilDone(t *testing.T) {
	var out bytes.Buffer
	done := make(chan struct{})
	w := &untilDone{done: done, w: &out}
	for _, line := range []string{"before\n", "after\n"} {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if line == "before\n" {
			close(done)
		}
	}
	if out.String() != "before\n" {
		t.Errorf("%q is written", out.String())
	}
}

func TestShape(t *testing.T) {
	for _, test := range []struct {
		nodes          int
		topology, want string
	}{
		{1, "full", "1 node"},
		{3, "line", "3 nodes, connected as a line"},
		{3, "full", "3 nodes, each connected to all others"},
	} {
		if got := (&demo{nodes: test.nodes, topology: test.topology}).shape(); got != test.want {
			t.Errorf("%d as %s: %q, want %q", test.nodes, test.topology, got, test.want)
		}
	}
}
