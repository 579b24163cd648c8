package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// problem is an error with the problem document that tells of it.
type problem struct {
	refusal
	// header and value are set on the answer, unless empty.
	header, value string
	// body is the document, where it has more to say than Error.
	body []byte
}

// refusal is a client.Error under a name that leaves its method Error visible.
type refusal = client.Error

// refuse makes a problem. The hint, which says what to do, may be empty.
func refuse(status int, detail, hint string) *problem {
	return &problem{refusal: refusal{Status: status, Title: http.StatusText(status), Detail: detail, Hint: hint}}
}

func refusef(status int, format string, args ...any) *problem {
	return refuse(status, fmt.Sprintf(format, args...), "")
}

// later makes a problem that will have gone after a while.
func later(status int, after time.Duration, detail, hint string) *problem {
	p := refuse(status, detail, hint)
	p.RetryAfter = after
	return p
}

// asProblem is the one table from errors to statuses.
func asProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refusef(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", e.Limit)
	}
	switch {
	case errors.Is(err, entry.ErrInvalid):
		return refuse(http.StatusBadRequest, err.Error(), "")
	case errors.Is(err, ledger.ErrFull), errors.Is(err, syscall.ENOSPC):
		return refuse(http.StatusInsufficientStorage, err.Error(),
			"make room on the disk, or let the node keep less: --retention, --max-ledger")
	case errors.Is(err, node.ErrBusy):
		return later(http.StatusServiceUnavailable, time.Second, err.Error(), "send more slowly, or many pings in one request")
	case errors.Is(err, node.ErrStopped):
		return later(http.StatusServiceUnavailable, 5*time.Second, err.Error(), "start the node again")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "the node did not manage in time", "")
	}
	return refuse(http.StatusInternalServerError, err.Error(), "look into the node's log")
}

// write answers with the problem document.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.header != "" {
		h.Set(p.header, p.value)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds())))) // earlier would be too early
	}
	body := p.body
	if body == nil {
		var err error
		if body, err = marshal(&p.refusal); err != nil {
			body = []byte("{}\n") // can't be: client.Error always encodes
		}
	}
	w.WriteHeader(p.Status)
	w.Write(body)
}

// stack returns the stack of a panicking goroutine, cut to what a log bears.
func stack() string {
	b := debug.Stack()
	return string(b[:min(len(b), 4096)])
}
