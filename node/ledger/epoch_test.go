package ledger

import (
	"slices"
	"testing"
)

func TestEpochsEnd(t *testing.T) {
	es := epochs{{7, 1}, {9, 10}, {8, 20}}
	for _, tt := range []struct {
		epochs epochs
		epoch  Epoch
		end    uint64
		known  bool
	}{
		{es, 7, 10, true},
		{es, 9, 20, true},
		{es, 8, 25, true}, // the last one's is the ledger's
		{es, 6, 0, false},
		{es, 0, 0, false},
		{nil, 7, 0, false},
	} {
		if end, known := tt.epochs.end(tt.epoch, 25); known != tt.known || known && end != tt.end {
			t.Errorf("%v, %d: got %d, %t", tt.epochs, tt.epoch, end, known)
		}
	}
}

func TestEpochsAreBounded(t *testing.T) {
	var es epochs
	for i := range 3 * maxEpochs {
		before := slices.Clone(es)
		next := es.begin(Epoch(i+1), uint64(10*i+1))
		if !slices.Equal(es, before) {
			t.Fatal("what others read was changed")
		}
		es = next
	}
	if len(es) != maxEpochs || es.current() != 3*maxEpochs || es[0].epoch != 2*maxEpochs+1 {
		t.Errorf("%d are kept, from %d to %d", len(es), es[0].epoch, es.current())
	}
	if es = es.begin(1<<20, es[9].first); len(es) != 9 || es.current() != 1<<20 {
		t.Errorf("%v begins before what came later", es)
	}
	if got, err := decodeEpochs(es.encode()); err != nil || !slices.Equal(got, es) {
		t.Errorf("read back: %v, %v", got, err)
	}
}

func TestDecodeEpochs(t *testing.T) {
	good := epochs{{7, 1}, {9, 10}}
	for name, b := range map[string][]byte{
		"empty":        {},
		"none":         epochs{}.encode(),
		"too many":     make(epochs, maxEpochs+1).encode(),
		"zero":         epochs{{0, 1}}.encode(),
		"no cursor":    epochs{{1, 0}}.encode(),
		"falling":      epochs{{7, 10}, {9, 10}}.encode(),
		"cut short":    good.encode()[:20],
		"another byte": append(good.encode(), 0),
		"damaged":      append([]byte{epochsVersion, 1}, good.encode()[2:]...),
		"version":      append([]byte{2}, good.encode()[1:]...),
	} {
		if es, err := decodeEpochs(b); err == nil {
			t.Errorf("%s: got %v", name, es)
		}
	}
}

func FuzzDecodeEpochs(f *testing.F) {
	f.Add(epochs{{7, 1}, {9, 10}}.encode())
	f.Add([]byte{epochsVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		es, err := decodeEpochs(b)
		if err != nil || es == nil {
			return
		}
		if again := es.encode(); string(again) != string(b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func TestParseEpoch(t *testing.T) {
	for range 1000 {
		e := newEpoch()
		if got, err := ParseEpoch(e.String()); err != nil || got != e {
			t.Fatalf("%s became %s, %v", e, got, err)
		}
	}
	for _, s := range []string{"", "00000000", "1", "000000001", "+0000001", "0x000001", "DEADBEEF", "deadbeeg", "0000 001"} {
		if e, err := ParseEpoch(s); err == nil {
			t.Errorf("%q is taken for %s", s, e)
		}
	}
}

// reaches checks how far a ledger has an epoch; with no end, it must not know it.
func reaches(t *testing.T, l *Ledger, e Epoch, end uint64) {
	t.Helper()
	if last, known := l.Reach(e); known != (end > 0) || known && last != end {
		t.Errorf("epoch %s reaches %d, %t, want %d", e, last, known, end)
	}
}

func TestEpochsBeginWithEntries(t *testing.T) {
	l := open(t, Config{NoSync: true})
	if e := l.State().Epoch; e != 0 {
		t.Errorf("an empty ledger is of epoch %s", e)
	}
	e := fakes(t, 5, 1000)
	add(t, l, e[0])
	add(t, l, e[1]) // by the journal
	first := l.State().Epoch
	reaches(t, l, first, 2)
	l = reopen(t, l, Config{NoSync: true})
	if e := l.State().Epoch; e != first {
		t.Errorf("epoch %s became %s without an entry", first, e)
	}
	add(t, l, e[1]) // held already
	reaches(t, l, first, 2)
	add(t, l, e[2])
	second := l.State().Epoch
	if second == first || second == 0 {
		t.Errorf("another process has epoch %s, too", second)
	}
	add(t, l, e[3])
	killed := revived(t, l)
	for _, l := range []*Ledger{l, killed, reopen(t, l, Config{NoSync: true})} {
		reaches(t, l, first, 2)
		reaches(t, l, second, 4)
		reaches(t, l, first+1, 0)
	}
}

// TestCopyThatIsPutBack has an older copy of a ledger go on, and tell its cursors
// from those that the ledger gave out after the copy was made.
func TestCopyThatIsPutBack(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 9, 1000)
	add(t, l, e[:3]...)
	add(t, l, e[3]) // is in the journal
	was := l.State().Epoch
	older := revived(t, l)
	add(t, l, e[4:7]...)
	reaches(t, l, was, 7)
	reaches(t, older, was, 4)
	add(t, older, e[8], e[7])
	reaches(t, older, was, 4)
	reaches(t, older, older.State().Epoch, 6)
	reaches(t, l, older.State().Epoch, 0)
}

// TestEpochsOfLostEntries has a rebuild find epochs of cursors that it does not come
// to: who read up to one of them must not be taken for up to date.
func TestEpochsOfLostEntries(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 2, 1000)
	if err := l.restore(nil, []found{{cursor: 1, record: Record{Cursor: 1, Via: Own, Entry: e[0]}}}, epochs{{7, 1}, {9, 5 * cursorJump}}); err != nil {
		t.Fatal(err)
	}
	reaches(t, l, 7, l.State().Last)
	reaches(t, l, 9, 0)
	last := l.State().Last
	add(t, l, e[1])
	reaches(t, l, 7, last)
	reaches(t, l, l.State().Epoch, last+1)
}

// TestManyEpochs has as many as there may be, which takes the meta bucket to a page of
// its own.
func TestManyEpochs(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3*maxEpochs+1, 1000)
	for _, e := range e[:len(e)-1] {
		add(t, l, e)
	}
	var many epochs
	for i := range maxEpochs {
		many = many.begin(Epoch(i+1), uint64(2*i+1))
	}
	if err := l.update(func(s snapshot) ([]Record, error) {
		return nil, s.put(s.meta, []byte(epochsKey), many.encode())
	}); err != nil {
		t.Fatal(err)
	}
	l = reopen(t, l, Config{NoSync: true})
	reaches(t, l, 1, 2)
	reaches(t, l, maxEpochs, 3*maxEpochs)
	add(t, l, e[len(e)-1])
	newest := l.State().Epoch
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Rebuild(l.path); err != nil {
		t.Fatal(err)
	}
	l = open(t, Config{Path: l.path, NoSync: true})
	sameKeys(t, l, e)
	reaches(t, l, 1, 0) // the oldest went
	reaches(t, l, 2, 4)
	reaches(t, l, newest, l.State().Last)
}

// TestEpochsThatCannotBeRead are no reason not to open a ledger.
func TestEpochsThatCannotBeRead(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 2, 1000)
	add(t, l, e[0])
	was := l.State().Epoch
	if err := l.update(func(s snapshot) ([]Record, error) {
		return nil, s.put(s.meta, []byte(epochsKey), []byte("damaged"))
	}); err != nil {
		t.Fatal(err)
	}
	l = reopen(t, l, Config{NoSync: true})
	reaches(t, l, was, 0)
	add(t, l, e[1])
	reaches(t, l, l.State().Epoch, 2)
}
