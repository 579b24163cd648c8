package main

import "testing"

func TestNearest(t *testing.T) {
	verbs := []string{"run", "ping", "peers", "history", "--bootstrap", "--json"}
	for typed, want := range map[string]string{
		"pnig": "ping", "pping": "ping", "pin": "ping", "peer": "peers", "histroy": "history",
		"--bootstap": "--bootstrap", "--jsn": "--json", "nur": "", "xyz": "", "": "",
		"--an-option-that-nobody-has-ever-thought-of-and-that-goes-on-and-on": "",
	} {
		if got := nearest(typed, verbs); got != want {
			t.Errorf("%q is taken for %q, want %q", typed, got, want)
		}
	}
	if got := nearest("ping", nil); got != "" {
		t.Errorf("of no names, %q is nearest", got)
	}
}

func TestSlips(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "ab", 2}, {"ab", "ab", 0}, {"ab", "ba", 1}, {"ab", "b", 1}, {"ab", "cb", 1}, {"abc", "cab", 2}, {"ca", "abc", 3},
	} {
		if there, back := slips(c.a, c.b), slips(c.b, c.a); there != c.want || back != c.want {
			t.Errorf("%q and %q: %d and %d slips, want %d", c.a, c.b, there, back, c.want)
		}
	}
}
