package api

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"time"

	"p2ping/api/client"
)

// stall is how long a stream waits for the other side to take or give
// something before it is cut off.
const stall = 30 * time.Second

// streamBuffer is how much of a stream is gathered before it is sent, in bytes.
const streamBuffer = 32 << 10

// longAnswer writes an answer of any length: each write has a deadline of its
// own, in place of the server's for the whole answer.
type longAnswer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

// newLongAnswer begins an answer of 200. From here on errors can only cut it off.
func (s *Server) newLongAnswer(w http.ResponseWriter, contentType string) *longAnswer {
	a := &longAnswer{w: w, control: http.NewResponseController(w), stall: s.stall}
	// The server's deadline for reading would end the request's context.
	_ = a.control.SetReadDeadline(time.Time{})
	_ = a.control.SetWriteDeadline(time.Now().Add(a.stall))
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	return a
}

// Write implements io.Writer.
func (a *longAnswer) Write(b []byte) (int, error) {
	// A writer without deadlines is a test's.
	_ = a.control.SetWriteDeadline(time.Now().Add(a.stall))
	return a.w.Write(b)
}

// flush sends what was written.
func (a *longAnswer) flush() error {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.stall))
	return a.control.Flush()
}

// cutOff ends an answer that has begun so that the client notices: without its
// last chunk.
func (s *Server) cutOff(r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.logger.Warn("cut off an answer", "path", r.URL.Path, "err", err)
	}
	panic(http.ErrAbortHandler)
}

// longBody reads a body of any length: the other side must go on sending, but
// may take as long as it likes.
type longBody struct {
	r       io.Reader
	control *http.ResponseController
	err     error // how it ended
}

func newLongBody(w http.ResponseWriter, r *http.Request) *longBody {
	return &longBody{r: r.Body, control: http.NewResponseController(w)}
}

// Read implements io.Reader. It puts off the answer's deadline as well, which
// the server set when the request began. After the end it sets no deadline: the
// server then waits for the client to leave, and would take one for that.
func (b *longBody) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	_ = b.control.SetReadDeadline(time.Now().Add(stall))
	_ = b.control.SetWriteDeadline(time.Now().Add(2 * stall))
	n, b.err = b.r.Read(p)
	return n, b.err
}

// errLongLine is returned for a line that was too long and has been skipped.
var errLongLine = errors.New("the line is too long")

// lines reads lines of bounded length.
type lines struct {
	r *bufio.Reader
	// number of the line last read, from 1.
	number int
}

// newLines reads lines of at most limit bytes.
func newLines(r io.Reader, limit int) *lines {
	return &lines{r: bufio.NewReaderSize(r, limit+1)}
}

// next returns the next line, without its newline, until another call. It
// returns errLongLine for one that it skipped, io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return nil, err
	}
	l.number++
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case errors.Is(err, io.EOF):
		return line, nil
	case !errors.Is(err, bufio.ErrBufferFull):
		return nil, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.r.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, errLongLine
}

// maxLineErrors bounds how many bad lines an answer lists.
const maxLineErrors = 10

// addLineError lists what is wrong with a line, if there is room.
func addLineError(list []client.LineError, line int, detail string) []client.LineError {
	if len(list) == maxLineErrors {
		return list
	}
	return append(list, client.LineError{Line: line, Detail: detail})
}
