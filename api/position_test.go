package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node/ledger"
)

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]position{
		"0":                   {},
		"17":                  {arrival: 17},
		"17-3":                {arrival: 17, index: 3},
		"17-3-00c0ffee":       {arrival: 17, index: 3, epoch: 0xc0ffee},
		"9223372036854775807": {arrival: 1<<63 - 1},
	} {
		if got, ok := parsePosition(text); !ok || got != want {
			t.Errorf("%q is read as %+v, %t", text, got, ok)
		}
	}
	for _, text := range []string{
		"", "-", "x", "-1", "1-", "1-x", "1-1000", "1-2-", "1-2-c0ffee", "1-2-00C0FFEE", "1-2-00000000", "1-2-00c0ffee-", "1--00c0ffee",
		"9223372036854775808", "00000000000000000000",
	} {
		if got, ok := parsePosition(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// wantGap takes the next event, which must tell of another ledger, from a cursor on.
func (s *stream) wantGap(from, to string) {
	s.t.Helper()
	e := s.want("gap")
	var g client.Gap
	if err := json.Unmarshal([]byte(e.data), &g); err != nil || g != (client.Gap{From: from, To: to, Reason: client.GapOtherLedger}) || e.id != to {
		s.t.Errorf("got %+v, want a gap from %s to %s (%v)", e, from, to, err)
	}
}

// lastCursor returns that of the last of some pings.
func (s *stream) lastCursor(texts ...string) (cursor string) {
	s.t.Helper()
	for _, text := range texts {
		cursor = s.wantPing(text).Cursor
	}
	return cursor
}

// TestACursorOfAnotherLedger has a reader go on at another node, which has more
// entries than the one that it comes from.
func TestACursorOfAnotherLedger(t *testing.T) {
	one, two := start(t), start(t)
	one.node.append(t, ledger.Gossip, time.Now(), "a", "b")
	two.node.append(t, ledger.Gossip, time.Now(), "c")
	two.node.append(t, ledger.Gossip, time.Now(), "b", "a", "d")
	cursor := one.open(t, "/events?since=0").lastCursor("a", "b")
	s := two.open(t, "/events?topics=ping", "Last-Event-ID", cursor)
	if first, err := s.next(); err != nil || first.id != "0-0" {
		t.Errorf("a reader that breaks off at once goes on from %+v, %v", first, err)
	}
	s.wantGap(cursor, "0-0")
	cursor = s.lastCursor("c", "b", "a", "d")

	two.node.append(t, ledger.Gossip, time.Now(), "e")
	two.open(t, "/events?since="+cursor).wantPing("e")

	// Who has had nothing has nothing to be told of.
	nothing := one.node.cursor("1-0")
	two.open(t, "/events?since="+nothing).wantPing("c")
}

// TestAnOlderCopyIsPutBack has a node go on with a copy of its data that was made
// some time ago.
func TestAnOlderCopyIsPutBack(t *testing.T) {
	dir, backup := t.TempDir(), t.TempDir()
	nodeOn := func(dir string) *testAPI {
		l, err := ledger.Open(ledger.Config{Path: filepath.Join(dir, "ledger.db"), NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		n := newFakeNode(t)
		n.ledger = l
		return serve(t, n, Config{Node: n})
	}
	lost := nodeOn(dir)
	for _, text := range []string{"a", "b"} { // the second is in the journal
		lost.node.append(t, ledger.Gossip, time.Now(), text)
	}
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"c", "d"} {
		lost.node.append(t, ledger.Gossip, time.Now(), text)
	}
	s := lost.open(t, "/events?topics=ping&since=0")
	early := s.lastCursor("a")
	atCopy := s.lastCursor("b")
	late := s.lastCursor("c", "d")

	back := nodeOn(backup)
	for _, text := range []string{"e", "d", "c", "f"} {
		back.node.append(t, ledger.CatchUp, time.Now(), text)
	}
	s = back.open(t, "/events?since="+late)
	s.wantGap(late, back.node.cursor("3-0"))
	s.lastCursor("e", "d", "c", "f")
	back.open(t, "/events?since="+atCopy).lastCursor("e", "d")
	back.open(t, "/events?since="+early).lastCursor("b", "e")
}
