package catchup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Bounds of frames, part of the protocol.
const (
	// frameFill is the size in bytes at which a frame is full enough to send:
	// large enough that headers cost nothing, small enough to be a unit of
	// progress on a slow link.
	frameFill = 64 << 10
	// maxFrame bounds a frame's payload: a frame is closed by the entry or
	// range that takes it past frameFill.
	maxFrame = frameFill + entry.MaxRaw + 64
	// maxTime is the last millisecond of the year 9999, as in package entry.
	maxTime = 253402300799999
	// maxCount bounds what a peer may claim to hold: far beyond any disk, and
	// sums of such counts do not overflow. In 32 bits a liar's may, which spoils
	// no more than what is shown of it.
	maxCount = 1 << min(40, strconv.IntSize-8)
)

// errProtocol is wrapped by errors about frames that no honest peer sends.
var errProtocol = errors.New("breach of the catch-up protocol")

// kind says what a frame holds.
type kind byte

// The kinds of frames. A turn is hello alone, busy alone, or
// [welcome] ranges* entries* end; a welcome that says "equal" ends at once.
const (
	kindHello   kind = 1
	kindWelcome kind = 2
	kindBusy    kind = 3
	kindRanges  kind = 4
	kindEntries kind = 5
	kindEnd     kind = 6
)

// appendFrame appends a frame: its length as a varint, its kind, its payload.
func appendFrame(b []byte, k kind, payload []byte) []byte {
	b = binary.AppendUvarint(b, uint64(1+len(payload)))
	b = append(b, byte(k))
	return append(b, payload...)
}

// byteReader is what frames are read from.
type byteReader interface {
	io.Reader
	io.ByteReader
}

// readFrame reads one frame into buf, which must hold maxFrame bytes, and
// returns its kind and its payload, a part of buf.
func readFrame(r byteReader, buf []byte) (kind, []byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, fmt.Errorf("reading a frame's length: %w", err)
	}
	if n < 1 || n > maxFrame+1 {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes, not 1 to %d", errProtocol, n, maxFrame+1)
	}
	k, err := r.ReadByte()
	if err != nil {
		return 0, nil, fmt.Errorf("reading a frame's kind: %w", noEOF(err))
	}
	payload := buf[:n-1]
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("reading a frame: %w", noEOF(err))
	}
	return kind(k), payload, nil
}

// noEOF makes the end of a stream in the middle of a frame unexpected.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// hello opens a session: who the initiator thinks it is in time, and what it
// holds from its floor to its horizon.
type hello struct {
	topic       [4]byte // the start of the topic's SHA-256: see topicTag
	clock       int64   // Unix ms
	floor       int64   // Unix ms
	takes       bool    // whether it takes entries in this session
	count       int
	fingerprint ledger.Digest
}

// topicTag keeps nodes of different topics from comparing their ledgers.
func topicTag(topic string) [4]byte {
	sum := sha256.Sum256([]byte(topic))
	return [4]byte(sum[:4])
}

const (
	flagTakes = 1 << 0 // hello, welcome
	flagEqual = 1 << 1 // welcome
	flagLeft  = 1 << 0 // end
	flagLater = 1 << 1 // end
)

func (h hello) encode() []byte {
	b := append(make([]byte, 0, 64), h.topic[:]...)
	b = binary.AppendUvarint(b, uint64(h.clock))
	b = binary.AppendUvarint(b, uint64(h.floor))
	b = append(b, flag(h.takes, flagTakes))
	b = binary.AppendUvarint(b, uint64(h.count))
	return append(b, h.fingerprint[:]...)
}

func decodeHello(b []byte) (hello, error) {
	d := decoder{b: b}
	var h hello
	copy(h.topic[:], d.take(len(h.topic)))
	h.clock = int64(d.uvarint(maxTime))
	h.floor = int64(d.uvarint(maxTime))
	h.takes = d.flags(flagTakes)&flagTakes != 0
	h.count = int(d.uvarint(maxCount))
	copy(h.fingerprint[:], d.take(len(h.fingerprint)))
	return h, d.end("hello")
}

// welcome answers a hello. Its times are sent as differences to the hello's.
type welcome struct {
	clock int64 // Unix ms
	floor int64 // Unix ms
	takes bool
	equal bool // nothing differs, and nothing follows
}

func (w welcome) encode(h hello) []byte {
	b := binary.AppendVarint(nil, w.clock-h.clock)
	b = binary.AppendVarint(b, w.floor-h.floor)
	return append(b, flag(w.takes, flagTakes)|flag(w.equal, flagEqual))
}

func decodeWelcome(b []byte, h hello) (welcome, error) {
	d := decoder{b: b}
	var w welcome
	w.clock = d.time(h.clock)
	w.floor = d.time(h.floor)
	flags := d.flags(flagTakes | flagEqual)
	w.takes, w.equal = flags&flagTakes != 0, flags&flagEqual != 0
	return w, d.end("welcome")
}

// busy answers a hello that is not taken up: come back in so many seconds.
type busy struct{ seconds int }

// maxBusy bounds in seconds how long a peer can put us off.
const maxBusy = 60

func (p busy) encode() []byte { return binary.AppendUvarint(nil, uint64(p.seconds)) }

func decodeBusy(b []byte) (busy, error) {
	d := decoder{b: b}
	p := busy{seconds: int(d.uvarint(maxBusy))}
	return p, d.end("busy")
}

// end closes a turn.
type end struct {
	left  bool // more differs than this session takes: another should follow
	later bool // this side has entries to send, and asks for another turn
}

func (e end) encode() []byte {
	return []byte{flag(e.left, flagLeft) | flag(e.later, flagLater)}
}

func decodeEnd(b []byte) (end, error) {
	d := decoder{b: b}
	flags := d.flags(flagLeft | flagLater)
	return end{left: flags&flagLeft != 0, later: flags&flagLater != 0}, d.end("end")
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

// decoder reads a payload. After the first error it yields zeros; end tells.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errProtocol}, args...)...)
	}
}

// take returns the next n bytes, a part of the payload, or nil.
func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.b) {
		d.fail("a payload that ends early")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// uvarint reads a varint of at most limit.
func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 || v > limit {
		d.fail("a number that is not 0 to %d", limit)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// time reads a time in Unix ms, sent as its difference to base.
func (d *decoder) time(base int64) int64 {
	v, n := binary.Varint(d.b)
	if d.err != nil || n <= 0 || v < -maxTime || v > maxTime || base+v < 0 || base+v > maxTime {
		d.fail("a time outside the years 1970 to 9999")
		return 0
	}
	d.b = d.b[n:]
	return base + v
}

// flags reads a byte with no bits but the known ones.
func (d *decoder) flags(known byte) byte {
	b := d.take(1)
	if d.err != nil {
		return 0
	}
	if b[0]&^known != 0 {
		d.fail("unknown flags %#x", b[0])
		return 0
	}
	return b[0]
}

// end returns the first error, or one if the payload goes on.
func (d *decoder) end(what string) error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes after the end", len(d.b))
	}
	if d.err != nil {
		return fmt.Errorf("decoding a %s frame: %w", what, d.err)
	}
	return nil
}
