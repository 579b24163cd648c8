package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	lowRate = 200 // pings a second
	// maxEvent bounds a line of the stream.
	maxEvent = 64 << 10
)

// measureLatency sends pings at a low rate: to p2ping by HTTP, over a new
// connection each as curl does, until the far node's stream shows them; to (b)
// from the call of Publish until the far subscription has them. Between the two
// are HTTP, the disk and the stream: so it sends to (c) too, by HTTP as to
// p2ping, until the far subscription has them, and measures what a curl to (a)
// takes.
func (b *bench) measureLatency(ctx context.Context) (sample, error) {
	s := make(sample)
	if err := b.latencyHello(ctx, s); err != nil {
		return nil, err
	}
	if err := b.latencyPubsub(ctx, s); err != nil {
		return nil, err
	}
	return s, b.latencyP2ping(ctx, s)
}

// lowCount is how many pings a run sends.
func (b *bench) lowCount() int { return max(min(int(b.lasting.Seconds()*lowRate), b.limit), 1) }

// curls sends stamped pings to a process, over a new connection each, and
// returns how long the answers took.
func (b *bench) curls(ctx context.Context, p *proc) ([]time.Duration, error) {
	n := b.lowCount()
	answers := make([]time.Duration, 0, n)
	err := atRate(ctx, lowRate, n, func(int) error {
		at := time.Now()
		err := once(ctx, p.api, pingRequest(stamped(at)))
		answers = append(answers, time.Since(at))
		return err
	})
	if err != nil {
		return nil, p.failure(err)
	}
	return answers, nil
}

func (b *bench) latencyHello(ctx context.Context, s sample) error {
	p, err := b.startRole(ctx, "hello")
	if err != nil {
		return err
	}
	defer p.stop()
	answers, err := b.curls(ctx, p)
	s["latency/hello answer"] = milliseconds(percentile(answers, 0.5))
	return err
}

// latencyPubsub measures (b), and then (c) in the same line.
func (b *bench) latencyPubsub(ctx context.Context, s sample) error {
	l, err := b.startLine(ctx, lineConfig{kind: kindPubsub})
	if err != nil {
		return err
	}
	defer l.stop()
	var paced int
	if err := callJSON(ctx, l.near(), http.MethodPost, fmt.Sprintf("/pace?rate=%d&limit=%d", lowRate, b.lowCount()), &paced); err != nil {
		return err
	}
	if paced, err = l.arrive(ctx, paced, l.patience()); err != nil {
		return err
	}
	answers, err := b.curls(ctx, l.near())
	if err != nil {
		return err
	}
	if _, err := l.arrive(ctx, paced+len(answers), l.patience()); err != nil {
		return err
	}
	var delays []time.Duration
	if err := getJSON(ctx, l.far(), "/delays", &delays); err != nil {
		return err
	}
	if len(delays) < paced {
		return l.far().failure(fmt.Errorf("%d of %d pings have delays", len(delays), paced))
	}
	s.delays("latency/pubsub", delays[:paced])
	s.delays("latency/pubsub by HTTP", delays[paced:])
	return nil
}

func (s sample) delays(series string, delays []time.Duration) {
	s[series+" p50"] = milliseconds(percentile(delays, 0.5))
	s[series+" p99"] = milliseconds(percentile(delays, 0.99))
}

func (b *bench) latencyP2ping(ctx context.Context, s sample) error {
	l, err := b.startLine(ctx, lineConfig{kind: kindP2ping})
	if err != nil {
		return err
	}
	defer l.stop()
	stream, status, err := openStream(ctx, l.far(), "/events?topics=ping")
	if err != nil {
		return err
	}
	if status == http.StatusNotFound {
		for _, series := range []string{"p50", "p99", "answer"} {
			b.missing["latency/p2ping "+series] = "the node has no /events"
		}
		return nil
	}
	defer stream.Close() //nolint:errcheck // all of it was read that was wanted
	seen := make(chan time.Duration, b.lowCount())
	go readStamps(stream, seen)
	answers, err := b.curls(ctx, l.near())
	if err != nil {
		return err
	}
	delays, err := collect(ctx, seen, len(answers))
	if err != nil {
		return l.far().failure(err)
	}
	s.delays("latency/p2ping", delays)
	s["latency/p2ping answer"] = milliseconds(percentile(answers, 0.5))
	return nil
}

// openStream opens a stream of events, which the caller closes, or returns the
// status that there was instead.
func openStream(ctx context.Context, p *proc, path string) (io.ReadCloser, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.api+path, nil)
	if err != nil {
		return nil, 0, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, p.failure(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, answer.StatusCode, nil
	}
	if err := answer.Body.Close(); err != nil {
		return nil, 0, err
	}
	if answer.StatusCode == http.StatusNotFound {
		return nil, answer.StatusCode, nil
	}
	return nil, 0, p.failure(fmt.Errorf("%s answered %s", path, answer.Status))
}

// readStamps sends the age of every stamped ping in a stream, at the time that
// its line is read, until the stream ends.
func readStamps(stream io.Reader, ages chan<- time.Duration) {
	defer close(ages)
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		now := time.Now()
		_, text, found := bytes.Cut(lines.Bytes(), []byte(`"text":"`))
		if !found {
			continue
		}
		if sent, ok := stampIn(text); ok {
			ages <- now.Sub(sent)
		}
	}
}

// collect waits for n ages.
func collect(ctx context.Context, ages <-chan time.Duration, n int) ([]time.Duration, error) {
	all := make([]time.Duration, 0, n)
	patience := time.NewTimer(repairPatience)
	defer patience.Stop()
	for len(all) < n {
		select {
		case age, ok := <-ages:
			if !ok {
				return nil, fmt.Errorf("the stream ended after %d of %d pings", len(all), n)
			}
			all = append(all, age)
		case <-patience.C:
			return nil, fmt.Errorf("the stream showed %d of %d pings", len(all), n)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return all, nil
}
