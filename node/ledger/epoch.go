package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Epoch names a stretch of a ledger's cursors: those that one process gave out.
// It is drawn by lot, and begins with the first entry that the process stores.
// Kafka's leader epochs do the same for the offsets of a log.
//
// A cursor alone does not say which ledger it is of. Another node's, one that was
// begun anew, and an older copy that was put back give out the same ones for other
// entries: whoever goes on from a cursor that he has kept would miss some, and not
// know. With its epoch he does: see [Ledger.Reach].
//
// Zero is no epoch: that of a ledger without entries, and of entries that were
// stored before there were any.
type Epoch uint32

// String returns 8 digits, in hexadecimal.
func (e Epoch) String() string { return fmt.Sprintf("%08x", uint32(e)) }

// epochDigits is the length of an epoch as text.
const epochDigits = 8

// ParseEpoch reads what String writes. It fails for none.
func ParseEpoch(s string) (Epoch, error) {
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil || v == 0 || len(s) != epochDigits || Epoch(v).String() != s {
		return 0, fmt.Errorf("%.20q is no epoch", s)
	}
	return Epoch(v), nil
}

func newEpoch() Epoch { return Epoch(1 + rand.Uint32N(1<<32-1)) }

// Reach returns the last cursor of an epoch, as far as this ledger has it, or false
// when it has not known the epoch. What was read up to a cursor that is no higher
// was read here, or in what this ledger was copied from: a reader goes on behind it.
// Above, cursors of the epoch were given out for entries that this ledger may have
// under others.
func (l *Ledger) Reach(e Epoch) (last uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, ok := l.epochs.end(e, l.totals.next)
	return next - 1, ok
}

// begun is an epoch and its first cursor.
type begun struct {
	epoch Epoch
	first uint64
}

// epochs are those of a ledger, oldest first. They are replaced, never changed.
type epochs []begun

// maxEpochs bounds them: they are kept on a page that each commit writes. Who has a
// cursor that is 256 starts of the node old begins anew, and misses nothing.
const maxEpochs = 256

// end returns the cursor that follows an epoch's last, where the ledger's next is
// given.
func (es epochs) end(e Epoch, next uint64) (uint64, bool) {
	for _, b := range slices.Backward(es) {
		if b.epoch == e && e != 0 {
			return next, true
		}
		next = b.first
	}
	return next, false
}

// current is the epoch of the newest cursor.
func (es epochs) current() Epoch {
	if len(es) == 0 {
		return 0
	}
	return es[len(es)-1].epoch
}

// newer reports whether es are of a later time than others of the same ledger.
func (es epochs) newer(others epochs) bool {
	return len(es) > 0 && (len(others) == 0 || es[len(es)-1].first > others[len(others)-1].first)
}

// begin returns the epochs with one more. Those that would not have begun before go.
func (es epochs) begin(e Epoch, first uint64) epochs {
	kept := es[max(0, len(es)-maxEpochs+1):].before(first)
	return append(slices.Clip(kept), begun{e, first})
}

// before returns the epochs that begin below a cursor. A file that has lost all the
// entries of the others is rebuilt without them: with them, those before would reach
// cursors that the rebuilt ledger is yet to give out.
func (es epochs) before(next uint64) epochs {
	for len(es) > 0 && es[len(es)-1].first >= next {
		es = es[:len(es)-1]
	}
	return es
}

// Epochs are stored as
//
//	version (1), then epoch (4) first cursor (8) for each, CRC-32C (4)
//
// under epochsKey in the meta bucket.
const (
	epochsKey     = "epochs"
	epochsVersion = 1
	begunSize     = 4 + 8
)

func (es epochs) encode() []byte {
	b := append(make([]byte, 0, 1+len(es)*begunSize+4), epochsVersion)
	for _, e := range es {
		b = binary.BigEndian.AppendUint32(b, uint32(e.epoch))
		b = binary.BigEndian.AppendUint64(b, e.first)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// decodeEpochs reads epochs. No bytes are none.
func decodeEpochs(b []byte) (epochs, error) {
	if b == nil {
		return nil, nil
	}
	n := (len(b) - 1 - 4) / begunSize
	if n < 1 || n > maxEpochs || len(b) != 1+n*begunSize+4 || b[0] != epochsVersion ||
		binary.BigEndian.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli()) {
		return nil, fmt.Errorf("%w: its epochs cannot be read", ErrDamaged)
	}
	es := make(epochs, n)
	for i := range es {
		at := b[1+i*begunSize:]
		es[i] = begun{Epoch(binary.BigEndian.Uint32(at)), binary.BigEndian.Uint64(at[4:])}
		if es[i].epoch == 0 || es[i].first == 0 || i > 0 && es[i].first <= es[i-1].first {
			return nil, fmt.Errorf("%w: its epochs make no sense", ErrDamaged)
		}
	}
	return es, nil
}

// epochs returns those that the bbolt file has. Those that cannot be read are none:
// who has a cursor of theirs begins anew.
func (s snapshot) epochs() epochs {
	es, err := decodeEpochs(s.meta.Get([]byte(epochsKey)))
	if err != nil {
		return nil
	}
	return es
}

// begin stores that an epoch begins with the cursor first, unless it has begun.
func (w *writer) begin(e Epoch, first uint64) error {
	es := w.epochs()
	if es.current() == e {
		return nil
	}
	return w.put(w.meta, []byte(epochsKey), es.begin(e, first).encode())
}
