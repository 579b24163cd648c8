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
