package main

import (
	"bytes"
	"testing"
)

func TestTable(t *testing.T) {
	const wide = "PEER  TOPIC  ADDRESS\naé    yes    -\nb     no     /ip4/\\x1b\n"
	const narrow = "PEER     aé\nTOPIC    yes\nADDRESS  -\n\nPEER     b\nTOPIC    no\nADDRESS  /ip4/\\x1b\n"
	for width, want := range map[int]string{0: wide, 80: wide, 17: wide, 16: narrow, 1: narrow} {
		var out bytes.Buffer
		tab := (&program{stdout: &out}).table("PEER", "TOPIC", "ADDRESS")
		tab.width = width
		tab.row("aé", "yes", "")
		tab.row("b", "no", "/ip4/\x1b")
		if err := tab.flush(); err != nil || out.String() != want {
			t.Errorf("on %d columns, %v:\n%swant\n%s", width, err, out.String(), want)
		}
	}
	for _, width := range []int{0, 3} {
		var out bytes.Buffer
		tab := (&program{stdout: &out}).table("PEER", "TOPIC")
		tab.width = width
		if err := tab.flush(); err != nil {
			t.Error(err)
		}
		if want := map[int]string{0: "PEER  TOPIC\n", 3: ""}[width]; out.String() != want {
			t.Errorf("an empty table on %d columns is %q, want %q", width, out.String(), want)
		}
	}
}
