package ledger

import (
	"bytes"
	"os"
	"slices"
	"syscall"
	"testing"

	"p2ping/node/entry"
)

// lap makes a journal of frames with a record, two, three and so on, and returns
// what they hold, and where each begins, and the last ends.
func lap(tb testing.TB, s secret, frames, text int) (b []byte, all []Record, places []uint64) {
	tb.Helper()
	b = make([]byte, blockSize+journalLap)
	copy(b, s.label())
	next, place := uint64(10), uint64(0)
	for i := range frames {
		more := records(tb, next, i+1, text)
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

// Whichever byte is damaged, the other frames are there, and it is noticed: of
// the last frame, that its cursors may have been given out.
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
			if !found.lost && !found.torn {
				t.Fatalf("byte %d, of frame %d: a frame that is not whole was not noticed", at, frame)
			}
		}
	}
}

// A last frame that cannot be read may have been there. What an earlier lap
// left, and nothing, is none.
func TestRecoverTheEnd(t *testing.T) {
	s := secret{1}
	b, all, places := lap(t, s, 2, 200)
	end := position{secret: s, place: places[2], cursor: 13}
	bad := badSector{bytes.NewReader(b), int64(blockSize + places[1])}
	if found := recoverRecords(bad, position{secret: s, cursor: 10}); !equalRecords(found.records, all[:1]) || !found.torn || found.lost {
		t.Errorf("a bad sector: %+v", found)
	}
	for _, p := range []position{end, {secret: s, place: journalLap, cursor: 13}, {secret: s, place: journalLap + places[1], cursor: 13}} {
		if found := recoverRecords(bytes.NewReader(b), p); found.torn || found.lost || found.records != nil {
			t.Errorf("from %d: %+v", p.place, found)
		}
	}
	for _, cursor := range []uint64{1, 1 << 40} {
		empty := bytes.NewReader(make([]byte, blockSize+journalLap))
		if found := recoverRecords(empty, position{secret: s, cursor: cursor}); found.torn {
			t.Errorf("an empty journal: %+v", found)
		}
	}
}

// badSector cannot be read at one place.
type badSector struct {
	*bytes.Reader
	at int64
}

func (f badSector) ReadAt(b []byte, at int64) (int, error) {
	if at <= f.at && f.at < at+int64(len(b)) {
		n, _ := f.Reader.ReadAt(b[:f.at-at], at)
		return n, syscall.EIO
	}
	return f.Reader.ReadAt(b, at)
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

// An older copy of the bbolt file, beside a journal that has gone on for some
// laps: what is still in that is not lost, that more was there is reported, and
// no cursor is given twice.
func TestOlderFileBesideItsJournal(t *testing.T) {
	l, first := journalled(t)
	old := copied(t, l.path)
	held := []*entry.Entry{first}
	e := fakes(t, 2600, 1000)
	for i, laps := range []int{0, 1, 2} {
		from := len(held) - 1
		for _, x := range e[from : 500+1050*i] {
			add(t, l, x)
			held = append(held, x)
		}
		if got := int(l.journal.head / journalLap); got != laps {
			t.Fatalf("it is in lap %d", got)
		}
		path := copied(t, l.path)
		b, err := os.ReadFile(old)
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		kept := held
		if laps > 0 { // a lap has room for so many frames
			kept = append([]*entry.Entry{first}, held[len(held)-journalLap/blockSize:]...)
		}
		got := open(t, Config{Path: path, NoSync: true})
		sameKeys(t, got, kept)
		if s := got.State(); s.Damaged != min(laps, 1) {
			t.Errorf("lap %d: got %+v", laps, s)
		}
		for i, r := range arrivals(t, got, 100) {
			if r.Entry.ID != kept[i].ID {
				t.Fatalf("lap %d: entry %d is another", laps, i)
			}
		}
		if r := add(t, got, fake(t, 7, 7, "goes on")); r[0].Cursor <= l.State().Last {
			t.Errorf("lap %d: cursor %d was given out already", laps, r[0].Cursor)
		}
		add(t, got, fake(t, 8, 8, "and on"))
		sameKeys(t, revived(t, got), append(slices.Clone(kept), fake(t, 7, 7, "goes on"), fake(t, 8, 8, "and on")))
	}
}

// FuzzRecover reads a journal of which some bytes are others, from any position:
// what it finds is what was written, in order.
func FuzzRecover(f *testing.F) {
	s := secret{1}
	whole, all, places := lap(f, s, 4, 1500)
	written := make(map[uint64]Record)
	for _, r := range all {
		written[r.Cursor] = r
	}
	f.Add(uint32(0), []byte{}, uint32(0), uint8(10))
	f.Add(uint32(places[1]), whole[blockSize:blockSize+frameHead], uint32(0), uint8(10))
	f.Add(uint32(places[3]), make([]byte, blockSize), uint32(places[2]), uint8(13))
	f.Add(uint32(journalLap), []byte{1}, uint32(journalLap), uint8(20))
	f.Fuzz(func(t *testing.T, at uint32, b []byte, place uint32, cursor uint8) {
		file := memoryFile{slices.Clone(whole)}
		if int(at) < len(file.b) {
			copy(file.b[at:], b)
		}
		p := position{secret: s, place: blocks(int(place)), cursor: uint64(cursor)}
		found := recoverRecords(file, p)
		next := p.cursor
		for _, r := range found.records {
			if r.Cursor < next || !equalRecords([]Record{r}, []Record{written[r.Cursor]}) {
				t.Fatalf("found %+v, from %d on", r, next)
			}
			next = r.Cursor + 1
		}
		if found.end < p.place || len(found.records) == 0 && (found.end != p.place || found.lost) {
			t.Fatalf("from %d: %+v", p.place, found)
		}
	})
}

type memoryFile struct{ b []byte }

func (f memoryFile) ReadAt(b []byte, at int64) (int, error)  { return copy(b, f.b[at:]), nil }
func (f memoryFile) WriteAt(b []byte, at int64) (int, error) { return copy(f.b[at:], b), nil }
func (memoryFile) Sync() error                               { return nil }
func (memoryFile) Close() error                              { return nil }
