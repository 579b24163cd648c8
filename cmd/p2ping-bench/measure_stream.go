package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// streamTries is how often a stream is resumed, for a median.
	streamTries = 25
	// resumeBack is how many pings before the end a stream is resumed.
	resumeBack = 100
	// crowd is how many follow at a time.
	crowd = 64
	// streamPatience bounds the wait for what a stream owes.
	streamPatience = time.Minute
)

// measureStreams has p's events followed, whose ledger holds n entries of a ping
// each: resumed before the end, resumed at the end, and live.
func (b *bench) measureStreams(ctx context.Context, s sample, n int, p *proc) error {
	ctx, cancel := context.WithTimeout(ctx, streamPatience+4*b.lasting)
	defer cancel()
	if err := measureResume(ctx, s, n, p); err != nil {
		return p.failure(err)
	}
	if err := measureNext(ctx, s, n, p); err != nil {
		return p.failure(err)
	}
	one, err := b.cpuLive(ctx, p, 1)
	if err != nil {
		return p.failure(err)
	}
	many, err := b.cpuLive(ctx, p, crowd)
	if err != nil {
		return p.failure(err)
	}
	s[sized("ledger/stream cpu", n)] = microseconds(one)
	s[sized("ledger/stream cpu more", n)] = microseconds(many-one) / (crowd - 1)
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// measureResume resumes a stream some pings before its end, and reads them.
func measureResume(ctx context.Context, s sample, n int, p *proc) error {
	back := min(resumeBack, n)
	from := strconv.Itoa(n-back+1) + "-0"
	size := 0
	took, err := median(streamTries, func() error {
		e, err := openEvents(ctx, p, from)
		if err != nil {
			return err
		}
		defer e.Close() //nolint:errcheck // all of it was read that was wanted
		err = e.pings(back)
		size = e.size
		return err
	})
	s[sized("ledger/stream resume", n)] = milliseconds(took)
	s[sized("ledger/stream bytes", n)] = float64(size) / float64(back)
	return err
}

// measureNext resumes a stream at its end, publishes a ping and waits for it.
func measureNext(ctx context.Context, s sample, n int, p *proc) error {
	last, err := lastEvent(ctx, p)
	if err != nil {
		return err
	}
	took, err := median(streamTries, func() error {
		e, err := openEvents(ctx, p, last)
		if err != nil {
			return err
		}
		defer e.Close() //nolint:errcheck // all of it was read that was wanted
		if err := once(ctx, p.api, pingRequest(filler(pingSize))); err != nil {
			return err
		}
		err = e.pings(1)
		last = e.last
		return err
	})
	s[sized("ledger/stream next", n)] = milliseconds(took)
	return err
}

// median does f some times and returns how long it takes.
func median(times int, f func() error) (time.Duration, error) {
	all := make([]time.Duration, times)
	for i := range all {
		var err error
		if all[i], err = timed(f); err != nil {
			return 0, err
		}
	}
	return percentile(all, 0.5), nil
}

// lastEvent returns from where a stream would go on that has had everything.
func lastEvent(ctx context.Context, p *proc) (string, error) {
	e, err := openEvents(ctx, p, "")
	if err != nil {
		return "", err
	}
	defer e.Close() //nolint:errcheck // all of it was read that was wanted
	_, err = e.event()
	return e.last, err
}

// cpuLive returns the CPU time that the node takes for a ping, from its
// publication until all followers have it.
func (b *bench) cpuLive(ctx context.Context, p *proc, followers int) (time.Duration, error) {
	n := b.lowCount()
	errs := make([]error, followers)
	var reading sync.WaitGroup
	defer reading.Wait()
	for i := range followers {
		e, err := openEvents(ctx, p, "")
		if err == nil {
			_, err = e.event() // the stream stands
		}
		if err != nil {
			return 0, err
		}
		defer e.Close() //nolint:errcheck // which ends its reader, if nothing else has
		reading.Go(func() { errs[i] = e.pings(n) })
	}
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := publishAt(ctx, p, lowRate, n); err != nil {
		return 0, err
	}
	reading.Wait()
	if err := firstOf(errs); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return (after - before) / time.Duration(n), err
}

// publishAt publishes n pings at a rate a second, over one connection.
func publishAt(ctx context.Context, p *proc, rate, n int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.api)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what counts was answered
	in := bufio.NewReader(conn)
	return atRate(ctx, rate, n, func(int) error {
		status, err := exchange(conn, in, pingRequest(filler(pingSize)))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the answer was %d", status)
		}
		return err
	})
}

// events is a stream of pings.
type events struct {
	io.Closer
	lines *bufio.Scanner
	last  string // the id that was read last
	size  int    // bytes read
}

// openEvents opens a stream of pings after those up to an id, "" for those from
// now on. The caller closes it.
func openEvents(ctx context.Context, p *proc, last string) (*events, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.api+"/events?topics=ping", nil)
	if err != nil {
		return nil, err
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("/events answered %s", answer.Status), answer.Body.Close())
	}
	e := &events{Closer: answer.Body, lines: bufio.NewScanner(answer.Body)}
	e.lines.Buffer(nil, maxEvent)
	return e, nil
}

// event reads an event and returns its name, "" for a comment.
func (e *events) event() (name string, err error) {
	for e.lines.Scan() {
		line := e.lines.Text()
		e.size += len(line) + 1
		if line == "" {
			return name, nil
		}
		switch field, value, _ := strings.Cut(line, ": "); field {
		case "event":
			name = value
		case "id":
			e.last = value
		}
	}
	if err := e.lines.Err(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

// pings reads n pings.
func (e *events) pings(n int) error {
	for n > 0 {
		name, err := e.event()
		if err != nil {
			return err
		}
		if name == "ping" {
			n--
		}
	}
	return nil
}
