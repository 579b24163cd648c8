package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// answerPatience bounds how long one answer may take under the heaviest load.
const answerPatience = 30 * time.Second

// load is what a number of connections do: send the same request again as soon
// as the answer to the last one is read.
type load struct {
	addr    string
	request []byte
	conns   int
	lasting time.Duration
	limit   int // requests in all
}

// tally counts requests by what became of them.
type tally struct {
	done    int // 2xx
	refused int // 429, 503, 507: told, and told why
	failed  int // anything else, a broken connection included
	took    time.Duration
}

func (t tally) sent() int { return t.done + t.refused + t.failed }

// run returns when all connections are done, which is the time of an answer
// after l.lasting.
func (l load) run(ctx context.Context) (tally, error) {
	start := time.Now()
	end := start.Add(l.lasting)
	var taken atomic.Int64
	more := func() bool { return ctx.Err() == nil && time.Now().Before(end) && taken.Add(1) <= int64(l.limit) }
	tallies, errs := make([]tally, l.conns), make([]error, l.conns)
	var conns sync.WaitGroup
	for i := range l.conns {
		conns.Go(func() { tallies[i], errs[i] = l.drive(ctx, more) })
	}
	conns.Wait()
	total := tally{took: time.Since(start)}
	for _, t := range tallies {
		total.done += t.done
		total.refused += t.refused
		total.failed += t.failed
	}
	return total, errors.Join(firstOf(errs), ctx.Err())
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// drive is one connection. It returns an error only when it can't connect.
func (l load) drive(ctx context.Context, more func() bool) (tally, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return tally{}, fmt.Errorf("connecting to %s: %w", l.addr, err)
	}
	defer conn.Close() //nolint:errcheck // what counts was answered
	in := bufio.NewReaderSize(conn, 4<<10)
	var t tally
	for more() {
		status, err := exchange(conn, in, l.request)
		switch {
		case err != nil:
			t.failed++
			return t, nil
		case status/100 == 2:
			t.done++
		case status == 429, status == 503, status == 507:
			t.refused++
		default:
			t.failed++
		}
	}
	return t, nil
}

// exchange sends a request and reads the answer. It does what an HTTP client
// must and no more, so that the machine is left to the nodes.
func exchange(conn net.Conn, in *bufio.Reader, request []byte) (status int, err error) {
	if err := conn.SetDeadline(time.Now().Add(answerPatience)); err != nil {
		return 0, err
	}
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	return readAnswer(in)
}

// readAnswer reads one answer, of known length or in chunks, and returns its
// status.
func readAnswer(in *bufio.Reader) (status int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("not a status line: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("not a status line: %q", line)
	}
	length, chunked := -1, false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, fmt.Errorf("not a length: %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	switch {
	case chunked:
		return status, skipChunks(in)
	case length < 0:
		return 0, errors.New("an answer of unknown length")
	}
	_, err = in.Discard(length)
	return status, err
}

// skipChunks reads a body in chunks, without trailers.
func skipChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return fmt.Errorf("not the size of a chunk: %q", line)
		}
		if _, err := in.Discard(int(size) + len("\r\n")); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// pingRequest is the tutorial's request with a text of its own.
func pingRequest(text string) []byte {
	return []byte("GET /ping?text=" + text + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
}

// postRequest sends a text that is too long for a URL.
func postRequest(text string) []byte {
	body := `{"text":"` + text + `"}`
	return []byte("POST /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// once opens a connection, sends one request and closes it, as curl does.
func once(ctx context.Context, addr string, request []byte) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what counts was answered
	status, err := exchange(conn, bufio.NewReader(conn), request)
	if err == nil && status != 200 {
		err = fmt.Errorf("the answer was %d", status)
	}
	return err
}

// atRate calls f n times, evenly spread at a rate a second. When f takes longer
// than its share, the calls after it come late.
func atRate(ctx context.Context, rate, n int, f func(i int) error) error {
	if rate <= 0 {
		return errors.New("a rate must be positive")
	}
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}
