package catchup

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// Bounds of a session in time and bytes.
const (
	// patience is how long a peer may take before it says anything in its
	// turn: fingerprinting a million entries takes 0.2 s, on a slow machine
	// that is busy with eight of us some seconds.
	patience = 10 * time.Second
	// slowest is the rate in bytes a second that a peer has to keep up on
	// average, beyond patience: a modem's. A drip of a byte a second ends.
	slowest = 4 << 10
	// maxSession bounds a session, at whatever rate: somebody else may want
	// the slot, and what is left is for the next.
	maxSession = 3 * time.Minute
	// maxSessionBytes bounds what one session may have us read: all entries
	// that it may bring, and all ranges that it may take to find them.
	maxSessionBytes = maxTurnBytes + 32<<20
)

// stream is what a session needs of a libp2p stream.
type stream interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// pace is how long a peer may still take in a turn, one way: patience, and a
// second more for every slowest bytes that it took or gave.
type pace struct {
	used  time.Duration
	bytes int
}

// allowance returns what is left for n bytes more.
func (p pace) allowance(n int) time.Duration {
	return patience + time.Duration(p.bytes+n)*time.Second/slowest - p.used
}

// wire reads and writes frames under deadlines.
type wire struct {
	stream   stream
	in       *bufio.Reader
	out      *bufio.Writer
	end      time.Time // of the session
	reading  pace
	writing  pace
	received int
	sent     int
	buf      []byte // what readFrame reads into
	frame    []byte // what write encodes into
}

func newWire(s stream) *wire {
	w := &wire{stream: s, end: time.Now().Add(maxSession)}
	w.in = bufio.NewReaderSize(pacedReader{w}, 16<<10)
	w.out = bufio.NewWriterSize(pacedWriter{w}, frameFill)
	w.buf = make([]byte, maxFrame)
	return w
}

// read returns the next frame. Its payload is good until the next read.
func (w *wire) read() (kind, []byte, error) { return readFrame(w.in, w.buf) }

// write writes a frame, maybe only when flush is called.
func (w *wire) write(k kind, payload []byte) error {
	w.frame = appendFrame(w.frame[:0], k, payload)
	if _, err := w.out.Write(w.frame); err != nil {
		return fmt.Errorf("writing a frame: %w", err)
	}
	return nil
}

func (w *wire) flush() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("writing a frame: %w", err)
	}
	w.writing = pace{}
	return nil
}

// turn starts the clock for the peer's next turn.
func (w *wire) turn() { w.reading = pace{} }

func (w *wire) deadline(now time.Time, allowance time.Duration) time.Time {
	if at := now.Add(allowance); at.Before(w.end) {
		return at
	}
	return w.end
}

// pacedReader counts what is read and sets a deadline for each read.
type pacedReader struct{ *wire }

func (r pacedReader) Read(b []byte) (int, error) {
	start := time.Now()
	if r.received >= maxSessionBytes {
		return 0, fmt.Errorf("%w: more than %d bytes in one session", errProtocol, maxSessionBytes)
	}
	if err := r.stream.SetReadDeadline(r.deadline(start, r.reading.allowance(0))); err != nil {
		return 0, err
	}
	n, err := r.stream.Read(b)
	r.received += n
	r.reading.bytes += n
	r.reading.used += time.Since(start)
	return n, err
}

// pacedWriter does the same for writes.
type pacedWriter struct{ *wire }

func (w pacedWriter) Write(b []byte) (int, error) {
	start := time.Now()
	if err := w.stream.SetWriteDeadline(w.deadline(start, w.writing.allowance(len(b)))); err != nil {
		return 0, err
	}
	n, err := w.stream.Write(b)
	w.sent += n
	w.writing.bytes += n
	w.writing.used += time.Since(start)
	return n, err
}
