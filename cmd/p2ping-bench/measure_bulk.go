package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bulkLines is how many pings are in one request, and bulkConns how many
	// requests are under way.
	bulkLines = 20_000
	bulkConns = 4
	// bulkPatience bounds one request, on a machine that does other things too.
	bulkPatience = time.Minute
)

// measureBulk sends many pings a request; (b) and (d) send them from within the
// first process.
func (b *bench) measureBulk(ctx context.Context) (sample, error) {
	s := make(sample)
	if err := b.bulkFlood(ctx, kindPubsub, s); err != nil {
		return nil, err
	}
	if err := b.bulkP2ping(ctx, s); err != nil {
		return nil, err
	}
	return s, b.bulkFlood(ctx, kindRelay, s)
}

func (b *bench) bulkFlood(ctx context.Context, k kind, s sample) error {
	return b.through(ctx, k, "bulk/"+string(k), s, func(l *line) (int, error) {
		f, err := l.flood(ctx, b.lasting, b.limit*relayHeadroom(k), pingSize, b.publish)
		return f.Sent, err
	})
}

// relayHeadroom lets (d), which is that much faster, run for as long as others.
func relayHeadroom(k kind) int {
	if k == kindRelay {
		return 10
	}
	return 1
}

func (b *bench) bulkP2ping(ctx context.Context, s sample) error {
	err := b.through(ctx, kindP2ping, "bulk/p2ping", s, func(l *line) (int, error) {
		t, err := b.bulkLoad(ctx, l.near())
		if err != nil {
			return 0, l.near().failure(err)
		}
		if t.done == 0 && t.failed > 0 {
			return 0, errNoBulk
		}
		return t.done, nil
	})
	if errors.Is(err, errNoBulk) {
		for _, series := range []string{"", " lost", " batch"} {
			b.missing["bulk/p2ping"+series] = errNoBulk.Error()
		}
		return nil
	}
	return err
}

// errNoBulk is returned for a p2ping from before there was such an endpoint.
var errNoBulk = errors.New("the node has no POST /pings")

// bulkLoad posts NDJSON over a few connections for a while. A line that was
// refused counts as refused, an endpoint that is not there as one failure.
func (b *bench) bulkLoad(ctx context.Context, p *proc) (tally, error) {
	lines := min(bulkLines, b.limit)
	body := strings.Repeat(`{"text":"`+filler(pingSize)+"\"}\n", lines)
	start := time.Now()
	end := start.Add(b.lasting)
	var sent, done, refused, failed atomic.Int64
	errs := make([]error, bulkConns)
	// A connection each, as with curl: at this many lines it costs nothing.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: bulkPatience}
	var conns sync.WaitGroup
	for i := range bulkConns {
		conns.Go(func() {
			for time.Now().Before(end) && sent.Add(int64(lines)) <= int64(b.limit) && failed.Load() == 0 && errs[i] == nil {
				var d, r int
				var found bool
				d, r, found, errs[i] = postLines(ctx, client, p, body)
				done.Add(int64(d))
				refused.Add(int64(r))
				if !found {
					failed.Add(1)
				}
			}
		})
	}
	conns.Wait()
	t := tally{done: int(done.Load()), refused: int(refused.Load()), failed: int(failed.Load()), took: time.Since(start)}
	return t, firstOf(errs)
}

// postLines posts one body and counts the answer's lines: those with an id were
// stored. found is false when there is no such endpoint.
func postLines(ctx context.Context, c *http.Client, p *proc, body string) (done, refused int, found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.api+"/pings", strings.NewReader(body))
	if err != nil {
		return 0, 0, true, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	answer, err := c.Do(req)
	if err != nil {
		return 0, 0, true, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return 0, 0, false, nil
	default:
		said, _ := io.ReadAll(io.LimitReader(answer.Body, keptTail))
		return 0, 0, true, fmt.Errorf("POST /pings answered %s: %s", answer.Status, said)
	}
	lines := bufio.NewReaderSize(answer.Body, maxEvent)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case bytes.Contains(line, []byte(`"id":"`)):
			done++
		default:
			refused++
		}
		if err == io.EOF {
			return done, refused, true, nil
		}
		if err != nil {
			return done, refused, true, err
		}
	}
}
