package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// fill appends entries of three pings each, one a second.
func (n *fakeNode) fill(tb testing.TB, entries int) {
	tb.Helper()
	from := time.Now().Add(-time.Hour)
	for i := range entries {
		e, err := n.sign(from.Add(time.Duration(i)*time.Second), fmt.Sprint(i, "a"), fmt.Sprint(i, "b <&>"), fmt.Sprint(i, "c"))
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := n.ledger.Append(tb.Context(), ledger.Gossip, e); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestTheDigestIsThatOfTheIDs(t *testing.T) {
	a := start(t)
	a.node.fill(t, 100)
	state, err := a.Sync(t.Context())
	if err != nil || state.Entries != 100 || state.Pings != 300 {
		t.Fatalf("got %+v, %v", state, err)
	}
	var ids bytes.Buffer
	if err := a.WriteIDs(t.Context(), &ids); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(ids.Bytes())
	if got := hex.EncodeToString(sum[:]); got != state.Digest {
		t.Errorf("sha256sum gives %s, the digest is %s", got, state.Digest)
	}
}

func TestExportIsTakenByAnother(t *testing.T) {
	a, b := start(t), start(t)
	a.node.fill(t, 1200)
	var export bytes.Buffer
	if err := a.WriteEntries(t.Context(), &export); err != nil {
		t.Fatal(err)
	}
	whole := export.String()
	got, err := b.Import(t.Context(), strings.NewReader(whole))
	if err != nil || got.Taken != 1200 || got.Held+got.Refused != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	got, err = b.Import(t.Context(), strings.NewReader(whole+"\n\n"))
	if err != nil || got.Held != 1200 || got.Taken+got.Refused != 0 {
		t.Fatalf("again: got %+v, %v", got, err)
	}
	one, err := a.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if two, err := b.Sync(t.Context()); err != nil || one.Digest != two.Digest {
		t.Errorf("digests differ: %+v, %+v, %v", one, two, err)
	}
	n := 0
	for e, err := range b.Entries(t.Context()) {
		if err != nil || len(e.Pings) != 3 {
			t.Fatalf("got %+v, %v", e, err)
		}
		n++
	}
	if n != 1200 {
		t.Errorf("%d entries", n)
	}
}

func TestImportTakesOnlyWhatVerifies(t *testing.T) {
	a := start(t)
	line := func(e *entry.Entry, change func(*client.Entry)) string {
		out := EntryJSON(e)
		out.Raw = bytes.Clone(out.Raw)
		if change != nil {
			change(&out)
		}
		b, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	sign := func(at time.Time, topic string) *entry.Entry {
		e, err := entry.Sign(a.node.key, topic, [8]byte{1}, []entry.Ping{{Text: "x", SentAt: at.UnixMicro()}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := sign(time.Now(), testTopic)
	for _, test := range []struct {
		name, line string
		taken      int
	}{
		{"not JSON", "x", 0},
		{"no raw", "{}", 0},
		{"a flipped bit", line(good, func(e *client.Entry) { e.Raw[50] ^= 1 }), 0},
		{"another text in JSON", line(good, func(e *client.Entry) { e.Pings[0].Text = "y" }), 0},
		{"another author in JSON", line(good, func(e *client.Entry) { e.Author = "y" }), 0},
		{"another topic", line(sign(time.Now(), "other"), nil), 0},
		{"from the future", line(sign(time.Now().Add(48*time.Hour), testTopic), nil), 0},
		{"too long a line", `{"raw":"` + strings.Repeat("A", client.MaxLine) + `"}`, 0},
		{"good", line(good, nil), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := a.Import(t.Context(), strings.NewReader("\n"+test.line))
			if err != nil || got.Taken != test.taken || got.Refused != 1-test.taken {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got.Refused == 1 && (len(got.Errors) != 1 || got.Errors[0].Line != 2) {
				t.Errorf("got %+v", got)
			}
		})
	}
	got, err := a.Import(t.Context(), strings.NewReader(strings.Repeat("x\n", 100)))
	if err != nil || got.Refused != 100 || len(got.Errors) != maxLineErrors {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzParseEntry(f *testing.F) {
	n := newFakeNode(f)
	e, err := n.sign(time.Unix(1700000000, 0), "a", "b")
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(EntryJSON(e))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseEntry(line)
		if err != nil {
			return
		}
		if _, err := entry.Parse(e.Raw); err != nil {
			t.Fatalf("took an entry that does not verify: %v", err)
		}
	})
}
