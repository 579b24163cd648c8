package ledger

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// lossyFile is a file on a disk that may lose what was written since the last
// sync, each sector for itself.
type lossyFile struct {
	journalFile
	durable []byte
	cache   []byte
	dirty   map[int]bool // sectors
	crash   func()       // is called before each step that makes a difference
}

const sector = 512

func (f *lossyFile) WriteAt(b []byte, at int64) (int, error) {
	copy(f.cache[at:], b)
	for s := int(at) / sector; s*sector < int(at)+len(b); s++ {
		f.dirty[s] = true
	}
	f.crash()
	return f.journalFile.WriteAt(b, at)
}

func (f *lossyFile) Sync() error {
	f.crash()
	for s := range f.dirty {
		copy(f.durable[s*sector:(s+1)*sector], f.cache[s*sector:])
	}
	clear(f.dirty)
	f.crash()
	return nil
}

// image returns what the disk may have after a loss of power.
func (f *lossyFile) image(r *rand.Rand) []byte {
	b := slices.Clone(f.durable)
	keep := r.IntN(3) // of three: hardly any, some, most
	for s := range f.dirty {
		if r.IntN(4) <= keep {
			copy(b[s*sector:(s+1)*sector], f.cache[s*sector:])
		}
	}
	return b
}

// Whenever the power fails, and whatever of what was written since the last
// sync is lost, all that was acknowledged is there, nothing that nobody
// appended, each call's entries together, and cursors never go back.
func TestPowerLoss(t *testing.T) {
	r := seeded(t)
	losses := fromEnv(t, "P2PING_KILLS", 40)
	l, first := journalled(t)
	p := &powerLoss{t: t, r: r, held: []*entry.Entry{first}, last: l.State().Last}
	p.commit(l)
	inner := l.change
	l.change = func(f func(*bbolt.Tx) error) error {
		if err := inner(f); err != nil {
			return err
		}
		p.lose() // the commit may count already, or not
		p.commit(l)
		p.lose()
		return nil
	}
	b, err := os.ReadFile(l.path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	p.journal = &lossyFile{journalFile: l.journal.file, durable: b, cache: slices.Clone(b), dirty: make(map[int]bool), crash: p.lose}
	l.journal.file = p.journal
	for seq := uint64(1); p.losses < losses || l.journal.head < 2*journalLap; {
		var batch []*entry.Entry
		for range 1 + r.IntN(1+r.IntN(80)) {
			batch = append(batch, fake(t, seq, int64(1000+seq), strings.Repeat("x", r.IntN(4000)+1)))
			seq++
		}
		p.coming = batch
		records := add(t, l, batch...)
		p.coming, p.held, p.last = nil, append(p.held, batch...), records[len(records)-1].Cursor
		p.lose()
		p.look()
		if r.IntN(100) == 0 {
			if err := l.settled(); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.change, p.journal.crash = inner, func() {}
	t.Logf("%d losses of power, %d entries, %d laps", p.losses, len(p.held), l.journal.head/journalLap)
}

// powerLoss is what TestPowerLoss knows at any moment.
type powerLoss struct {
	t       *testing.T
	r       *rand.Rand
	file    []byte // the bbolt file, as it was committed last
	journal *lossyFile
	held    []*entry.Entry // acknowledged
	coming  []*entry.Entry // of the call that is under way
	last    uint64         // the last cursor that was handed out
	losses  int
	unseen  []loss // not looked at yet, as their ledger is at work
}

// loss is what a loss of power leaves, and what was true then.
type loss struct {
	file, journal []byte
	held, coming  []*entry.Entry
	last          uint64
}

func (p *powerLoss) commit(l *Ledger) {
	var err error
	if p.file, err = os.ReadFile(l.path); err != nil {
		p.t.Error(err)
	}
}

// lose has the power fail, at few of the moments at which it is called.
func (p *powerLoss) lose() {
	if p.r.IntN(40) == 0 {
		p.losses++
		p.unseen = append(p.unseen, loss{p.file, p.journal.image(p.r), slices.Clone(p.held), slices.Clone(p.coming), p.last})
	}
}

func (p *powerLoss) look() {
	for _, lost := range p.unseen {
		lost.check(p.t, p.r.IntN(4) == 0)
	}
	p.unseen = nil
}

// check opens what is left.
func (p loss) check(t *testing.T, thoroughly bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := errors.Join(os.WriteFile(path, p.file, 0o600), writeSparse(path+journalSuffix, p.journal)); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(filepath.Dir(path))
	l, err := Open(Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held := p.held
	if len(p.coming) > 0 && l.Has(p.coming[0].Key()) {
		held = slices.Concat(held, p.coming)
	}
	if s := l.State(); s.Damaged > 0 || s.Last < p.last || s.Entries != len(held) {
		t.Fatalf("got %+v, but cursor %d was handed out, and there were %d entries", s, p.last, len(held))
	}
	for _, e := range held {
		if !l.Has(e.Key()) {
			t.Fatal("an acknowledged entry is lost")
		}
	}
	if thoroughly {
		sameKeys(t, l, held)
	}
	if more := add(t, l, fake(t, 1<<60, 1, "after the loss")); more[0].Cursor <= p.last {
		t.Fatalf("cursor %d was handed out before %d", more[0].Cursor, p.last)
	}
}
