package node

import (
	"testing"

	"p2ping/node/entry"
)

func TestSourcesAreBounded(t *testing.T) {
	var s sources
	if got := s.get(entry.Key{}); got != "" {
		t.Errorf("an entry that never came came from %q", got)
	}
	for i := range int64(3 * maxSources / 2) {
		s.add(entry.Key{Time: i}, "a")
	}
	if len(s.from) != maxSources || len(s.latest) != maxSources {
		t.Errorf("%d and %d are remembered, want %d", len(s.from), len(s.latest), maxSources)
	}
	for at, want := range map[int64]bool{0: false, maxSources/2 - 1: false, maxSources / 2: true, 3*maxSources/2 - 1: true} {
		if got := s.get(entry.Key{Time: at}) != ""; got != want {
			t.Errorf("entry %d is remembered: %t, want %t", at, got, want)
		}
	}
}
