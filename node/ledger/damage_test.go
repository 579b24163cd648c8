package ledger

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// damageRecord flips a bit in the stored record with a cursor.
func damageRecord(t *testing.T, l *Ledger, cursor uint64) {
	t.Helper()
	poke(t, l, logBucket, appendCursor(nil, cursor), func(v []byte) []byte {
		v[len(v)-1] ^= 1
		return v
	})
}

// poke changes a stored value behind the ledger's back, or deletes it.
func poke(t *testing.T, l *Ledger, bucket string, key []byte, change func([]byte) []byte) {
	t.Helper()
	if err := l.settled(); err != nil {
		t.Fatal(err)
	}
	err := l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		v := b.Get(key)
		if v == nil {
			t.Fatalf("there is no %x", key)
		}
		if v = change(bytes.Clone(v)); v == nil {
			return b.Delete(key)
		}
		return b.Put(key, v)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// However a damaged record is come upon, it is dropped and reported, what
// follows it is read, and it can be stored again.
func TestDamagedRecords(t *testing.T) {
	for name, read := range map[string]func(*testing.T, *Ledger, []*entry.Entry){
		"Range":     readRange,
		"RangeDown": readRangeDown,
		"After":     readArrivals,
		"Get":       readEach,
		"Scrub":     readScrub,
	} {
		t.Run(name, func(t *testing.T) {
			logger, logged := logTo(t)
			l := open(t, Config{NoSync: true})
			e := fakes(t, 50, 1000)
			add(t, l, e...)
			damageRecord(t, l, 1)
			damageRecord(t, l, 11)
			// Another entry under its cursor: right by its checksum alone.
			other := appendRecord(nil, Record{Cursor: 21, Entry: fake(t, 99, 5000, "other")})
			poke(t, l, logBucket, appendCursor(nil, 21), func([]byte) []byte { return other })
			l = reopen(t, l, Config{NoSync: true, Logger: logger})
			read(t, l, e)
			held := append(append(append([]*entry.Entry(nil), e[1:10]...), e[11:20]...), e[21:]...)
			sameKeys(t, l, held)
			if s := l.State(); s.Damaged != 3 {
				t.Errorf("got %d damaged", s.Damaged)
			}
			if n := strings.Count(logged(), "dropped a damaged record"); n != 3 {
				t.Errorf("%d reports: %s", n, logged())
			}
			if again := add(t, l, e...); len(again) != 3 || again[0].Cursor != 51 {
				t.Errorf("stored again: %+v", again)
			}
			sameKeys(t, l, e)
		})
	}
}

func readRange(t *testing.T, l *Ledger, _ []*entry.Entry) {
	t.Helper()
	for _, err := range l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func readRangeDown(t *testing.T, l *Ledger, _ []*entry.Entry) {
	t.Helper()
	for _, err := range l.RangeDown(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readArrivals does not find the entry under the wrong cursor, which the index
// does not point to, so that Range has to.
func readArrivals(t *testing.T, l *Ledger, _ []*entry.Entry) {
	t.Helper()
	arrivals(t, l, 10)
	readRange(t, l, nil)
}

func readEach(t *testing.T, l *Ledger, e []*entry.Entry) {
	t.Helper()
	for _, x := range e {
		if _, err := l.Get(x.Key()); err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}

func readScrub(t *testing.T, l *Ledger, _ []*entry.Entry) {
	t.Helper()
	if n, err := l.Scrub(t.Context()); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// A follower gets on past a stretch of damage that is longer than its page.
func TestAfterPassesDamage(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 100, 1000)
	add(t, l, e...)
	for cursor := uint64(11); cursor <= 50; cursor++ {
		damageRecord(t, l, cursor)
	}
	l = reopen(t, l, Config{NoSync: true})
	if got := arrivals(t, l, 7); len(got) != 60 || got[10].Cursor != 51 {
		t.Errorf("got %d", len(got))
	}
	sameKeys(t, l, append(append([]*entry.Entry(nil), e[:10]...), e[50:]...))
}

// Damaged index rows do not stop a scan, and are dropped by the next scrub,
// which finds their records in the log.
func TestScrubMendsTheIndex(t *testing.T) {
	logger, logged := logTo(t)
	l := open(t, Config{NoSync: true, Logger: logger})
	e := fakes(t, 300, 1000)
	add(t, l, e...)
	for _, i := range []int{0, 100, 299} {
		poke(t, l, indexBucket, e[i].Key().Append(nil), func(v []byte) []byte { v[3] ^= 4; return v })
	}
	// A row without a record, and a record without a row.
	poke(t, l, logBucket, appendCursor(nil, 51), func([]byte) []byte { return nil })
	poke(t, l, indexBucket, e[60].Key().Append(nil), func([]byte) []byte { return nil })

	if n := len(keysOf(t, l)); n != 296 {
		t.Errorf("got %d keys", n)
	}
	n, err := l.Scrub(t.Context())
	if n != 4 || err != nil { // three rows, and the one without a record
		t.Errorf("dropped %d, %v", n, err)
	}
	sameKeys(t, l, append(append([]*entry.Entry(nil), e[:50]...), e[51:]...))
	if got := arrivals(t, l, 100); len(got) != 299 {
		t.Errorf("got %d in order of arrival", len(got))
	}
	if !strings.Contains(logged(), "put records back") {
		t.Errorf("not reported: %s", logged())
	}
	if n, err := l.Scrub(t.Context()); n != 0 || err != nil {
		t.Errorf("the second time: dropped %d, %v", n, err)
	}
}

// Without a scrub, what scans found is mended by Run, and catch-up brings the
// entries again; scrub then removes the records that nothing points to.
func TestMend(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 300, 1000)
	add(t, l, e...)
	for _, i := range []int{0, 100, 299} {
		poke(t, l, indexBucket, e[i].Key().Append(nil), func(v []byte) []byte { v[3] ^= 4; return v })
	}
	if d, s, err := l.Digest(); err != nil || d != digestOf(text(e[1:100])+text(e[101:299])) {
		t.Errorf("got %s %+v %v", d, s, err)
	}
	if n := l.mend(); n != 3 {
		t.Errorf("mended %d", n)
	}
	sameKeys(t, l, append(append([]*entry.Entry(nil), e[1:100]...), e[101:299]...))
	if again := add(t, l, e...); len(again) != 3 {
		t.Errorf("stored %d again", len(again))
	}
	sameKeys(t, l, e)
	if n, err := l.Scrub(t.Context()); n != 0 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	sameKeys(t, l, e)
	if n := stored(t, l); n != len(e) {
		t.Errorf("%d records are in the file", n)
	}
}

// An entry whose row is damaged can be stored without a mend before.
func TestAppendOverADamagedRow(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3, 1000)
	add(t, l, e...)
	poke(t, l, indexBucket, e[1].Key().Append(nil), func(v []byte) []byte { v[0] ^= 4; return v })
	if r := add(t, l, e...); len(r) != 1 {
		t.Errorf("stored %d", len(r))
	}
	sameKeys(t, l, e)
}

func TestRecount(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 30, 1000)
	add(t, l, e...)
	want := l.State()
	poke(t, l, metaBucket, []byte(totalsKey), func(v []byte) []byte {
		wrong, err := decodeTotals(v)
		if err != nil {
			t.Fatal(err)
		}
		wrong.entries, wrong.pings, wrong.bytes = 1, 2, 3
		return wrong.encode()
	})
	l = reopen(t, l, Config{NoSync: true})
	if l.State() == want {
		t.Fatal("the test changed nothing")
	}
	if _, err := l.Scrub(t.Context()); err != nil || l.State() != want {
		t.Errorf("got %+v, %v, want %+v", l.State(), err, want)
	}
}

func TestScrubEndsWithItsContext(t *testing.T) {
	l := open(t, Config{NoSync: true})
	add(t, l, fakes(t, 1000, 1000)...)
	if _, err := l.scrub(cancelled(t), scrubRest); err == nil {
		t.Error("it did not end")
	}
}
