package client

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrUnreachable is wrapped by errors of calls that could not connect to the
// node at all: it did nothing.
var ErrUnreachable = errors.New("no node answers")

// Error is a node's refusal: the problem document (RFC 9457) of its answer.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Title names the kind of problem.
	Title string `json:"title"`
	// Detail says what was wrong this time.
	Detail string `json:"detail,omitempty"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// RetryAfter is how long the node asks to wait before the next try, 0 when
	// it doesn't say.
	RetryAfter time.Duration `json:"-"`
}

// Error gives the detail, or the title where there is none.
func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return e.Title
}

// Temporary tells that the same request may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		return true
	}
	return false
}

// problemType is the media type of a problem document.
const problemType = "application/problem+json"

// maxProblem bounds how much of a problem document is read, in bytes.
const maxProblem = 64 << 10

// problem makes an [*Error] of an answer that is no success. Answers of
// something other than a node become one too.
func problem(answer *http.Response) *Error {
	e := &Error{}
	if mediaType(answer) == problemType {
		if err := json.NewDecoder(io.LimitReader(answer.Body, maxProblem)).Decode(e); err != nil {
			e = &Error{Detail: "the node's problem document can't be read: " + err.Error()}
		}
	} else {
		e.Detail = "unexpected answer " + answer.Status
		if answer.Request != nil {
			e.Detail += " from " + answer.Request.URL.Host
		}
		e.Hint = "is that a p2ping node's API? Its P2P port is another"
	}
	e.Status = answer.StatusCode
	if e.Title == "" {
		e.Title = http.StatusText(answer.StatusCode)
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, time.Hour)
	}
	return e
}

// mediaType returns the answer's content type without parameters.
func mediaType(answer *http.Response) string {
	t, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return strings.ToLower(t)
}

// unreachable tells whether err arose before a connection stood.
func unreachable(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}
