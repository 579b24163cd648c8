package ledger

import (
	"bytes"
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

// lap makes a journal of frames with a record, two, three and so on, and returns
// what they hold, and where each begins, and the last ends.
func lap(t *testing.T, s secret, frames, text int) (b []byte, all []Record, places []uint64) {
	t.Helper()
	b = make([]byte, blockSize+journalLap)
	copy(b, s.label())
	next, place := uint64(10), uint64(0)
	for i := range frames {
		more := records(t, next, i+1, text)
		frame := appendFrame(nil, s, place, more)
		copy(b[blockSize+place:], frame)
		all, places = append(all, more...), append(places, place)
		next += uint64(len(more))
		place += uint64(len(frame))
	}
	return b, all, append(places, place)
}

// Wherever what was written ends, the frames before that are there, and the
// rest is no damage.
func TestRecoverCutAnywhere(t *testing.T) {
	s := secret{1}
	b, all, places := lap(t, s, 3, 100)
	end := int(places[len(places)-1])
	for cut := range end {
		if cut%blockSize > 900 && cut%100 > 0 {
			continue // only padding
		}
		r := bytes.NewReader(b[:blockSize+cut])
		found := recoverRecords(r, position{secret: s, cursor: 10})
		n := 0 // whole frames, but for the padding
		for n < 3 && places[n]+frameHead+uint64(sizeOf(b[blockSize+places[n]:])) <= uint64(cut) {
			n++
		}
		if want := all[:n*(n+1)/2]; !equalRecords(found.records, want) || found.lost || found.end != places[n] {
			t.Fatalf("cut at %d: got %d records, want %d; %+v", cut, len(found.records), len(want), found)
		}
	}
}

func sizeOf(frame []byte) uint32 {
	h, _ := decodeHead(frame)
	return h.size
}

// Whichever byte is damaged, the other frames are there, and it is noticed
// unless it is the last frame's.
func TestRecoverFlips(t *testing.T) {
	s := secret{1}
	b, all, places := lap(t, s, 5, 200)
	r := seeded(t)
	for frame := range 5 {
		begin, size := places[frame], uint64(frameHead+sizeOf(b[blockSize+places[frame]:]))
		first := frame * (frame + 1) / 2
		want := slices.Concat(all[:first], all[first+frame+1:])
		for at := begin; at < begin+size; at++ {
			if at > begin+100 && r.IntN(20) > 0 {
				continue
			}
			flip := byte(1 + r.IntN(255))
			b[blockSize+at] ^= flip
			found := recoverRecords(bytes.NewReader(b), position{secret: s, cursor: 10})
			b[blockSize+at] ^= flip
			if !equalRecords(found.records, want) || found.lost != (frame < 4) {
				t.Fatalf("byte %d, of frame %d: got %d records, want %d; %v", at, frame, len(found.records), len(want), found.lost)
			}
			if torn := at >= begin+24; torn && !found.torn {
				t.Fatalf("byte %d, of frame %d: a frame that is not whole was not noticed", at, frame)
			}
		}
	}
}

// A position within the lap, over its end, and one whose cursor another frame
// has.
func TestRecoverFromAPosition(t *testing.T) {
	s := secret{1}
	b, all, places := lap(t, s, 5, 1500)
	for n := range 6 {
		found := recoverRecords(bytes.NewReader(b), position{secret: s, place: places[n], cursor: 10 + uint64(n*(n+1)/2)})
		if !equalRecords(found.records, all[n*(n+1)/2:]) || found.lost || found.torn || found.end != places[5] {
			t.Errorf("from frame %d: got %d records, %+v", n, len(found.records), found)
		}
	}
	for _, cursor := range []uint64{10, 25} {
		if found := recoverRecords(bytes.NewReader(b), position{secret: s, place: journalLap, cursor: cursor}); len(found.records) > 0 || found.lost {
			t.Errorf("from the next lap: %+v", found)
		}
	}
	if found := recoverRecords(bytes.NewReader(b), position{secret: s, cursor: 25}); len(found.records) > 0 || found.lost || found.end != 0 {
		t.Errorf("with all of them stored: %+v", found)
	}
	split := records(t, 25, 3, 3000)
	j := &journal{file: memoryFile{b}, secret: s}
	end, err := j.write(2*journalLap-blockSize, split)
	if err != nil {
		t.Fatal(err)
	}
	found := recoverRecords(bytes.NewReader(b), position{secret: s, place: 2*journalLap - blockSize, cursor: 25})
	if !equalRecords(found.records, split) || found.lost || found.end != end || end != 2*journalLap+2*blockSize {
		t.Errorf("over the lap's end: got %d records, %+v", len(found.records), found)
	}
}

type memoryFile struct{ b []byte }

func (f memoryFile) ReadAt(b []byte, at int64) (int, error)  { return copy(b, f.b[at:]), nil }
func (f memoryFile) WriteAt(b []byte, at int64) (int, error) { return copy(f.b[at:], b), nil }
func (memoryFile) Sync() error                               { return nil }
func (memoryFile) Close() error                              { return nil }

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
