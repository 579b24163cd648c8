package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"p2ping/api/client"
)

var consumerKills = flag.Int("consumer-kills", 50, "how often TestConsumerKills kills a consumer")

const (
	// pingsPerKill are published for each time a consumer is killed.
	pingsPerKill = 200
	// lead is how far they are published ahead of the consumer.
	lead = 50
)

// consume is a program of its own: it follows a node in one of two ways,
// writes each ping with its cursor to a file, and after a restart goes on
// behind the last that is there. It ends when it has written the ping "end".
//
//	consume sse|ndjson URL FILE
func consume() {
	if err := consumeTo(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "consume:", err)
		os.Exit(1)
	}
}

func consumeTo(way, base, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	cursor, err := resumeAt(f)
	if err != nil {
		return err
	}
	req, err := http.NewRequest("GET", base+"/pings?follow=1&since="+url.QueryEscape(cursor), nil)
	if way == "sse" {
		req, err = http.NewRequest("GET", base+"/events?topics=ping&since=0", nil)
		req.Header.Set("Last-Event-ID", cursor)
	}
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for line, err := range jsonLines(answer) {
		if err != nil {
			return err
		}
		var ping client.Ping
		if err := json.Unmarshal(line, &ping); err != nil {
			return err
		}
		if ping.Cursor == "" {
			return fmt.Errorf("no ping: %s", line)
		}
		if _, err := fmt.Fprintf(f, "%s %s\n", ping.Cursor, ping.ID); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, ping.Cursor)
		if ping.Text == "end" {
			return nil
		}
	}
	return errors.New("the stream ended")
}

// resumeAt reads the cursor of the last whole line, "0" in an empty file, and
// cuts off what is behind it.
func resumeAt(f *os.File) (string, error) {
	content, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	whole := content[:bytes.LastIndexByte(content, '\n')+1]
	if err := f.Truncate(int64(len(whole))); err != nil {
		return "", err
	}
	if _, err := f.Seek(int64(len(whole)), io.SeekStart); err != nil {
		return "", err
	}
	if len(whole) == 0 {
		return "0", nil
	}
	last := whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
	return strings.Fields(string(last))[0], nil
}

// jsonLines yields the JSON of either kind of stream.
func jsonLines(answer *http.Response) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if answer.StatusCode != http.StatusOK {
			yield(nil, errors.New(answer.Status))
			return
		}
		prefix := []byte("data: ")
		if answer.Header.Get("Content-Type") == "application/x-ndjson" {
			prefix = nil
		}
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() {
			line, ok := bytes.CutPrefix(lines.Bytes(), prefix)
			if ok && len(line) > 0 && !yield(line, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// progress counts lines that are written to it.
type progress struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed at the next line
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n += bytes.Count(b, []byte("\n"))
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

func (p *progress) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// await returns nil when n lines have come.
func (p *progress) await(n int) error {
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		got, changed := p.n, p.changed
		p.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			return fmt.Errorf("only %d of %d pings were consumed after %v", got, n, patience)
		}
	}
}

// TestConsumerKills kills a consumer again and again while pings flow. What it
// has noted in the end is every ping, in order, exactly once.
func TestConsumerKills(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	c := newCluster(t, 1)
	path := filepath.Join(t.TempDir(), "consumed")
	consumed := &progress{changed: make(chan struct{})}

	published, killed := make(chan []string, 1), make(chan struct{})
	go func() { published <- publishMany(t, c.clients[0], *consumerKills*pingsPerKill, consumed, killed) }()
	for i := range *consumerKills {
		p := startConsumer(t, consumed, []string{"sse", "ndjson"}[i%2], c.url(0), path)
		// It reads up to lead more, and may note as many again of which it doesn't tell.
		goal := consumed.count() + 1 + random.IntN(pingsPerKill-3*lead)
		if err := consumed.await(goal); err != nil {
			t.Fatal(err)
		}
		_ = p.Process.Kill()
		_ = p.Wait() // it was killed
	}
	close(killed)
	last := startConsumer(t, consumed, "sse", c.url(0), path)
	ids := <-published // which gives up on a consumer that stands still
	defer time.AfterFunc(patience, func() { _ = last.Process.Kill() }).Stop()
	if err := last.Wait(); err != nil {
		t.Fatalf("the last consumer did not come to the end: %v", err)
	}
	checkConsumed(t, path, ids)
}

func startConsumer(t *testing.T, out io.Writer, way, base, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("consume", way, base, path)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// publishMany publishes n pings, never far ahead of who consumes them and the
// last when told to, and returns their ids.
func publishMany(t *testing.T, c *client.Client, n int, consumed *progress, last <-chan struct{}) []string {
	t.Helper()
	texts := func(yield func(client.NewPing) bool) {
		for i := range n {
			if i%10 == 0 && consumed.await(i-lead) != nil {
				return // which fails the test
			}
			text := strconv.Itoa(i)
			if i == n-1 {
				select {
				case <-last:
				case <-t.Context().Done():
					return
				}
				text = "end"
			}
			if !yield(client.NewPing{Text: text}) {
				return
			}
		}
	}
	ids := make([]string, 0, n)
	for result, err := range c.Send(t.Context(), texts) {
		if err != nil || result.Error != nil {
			t.Errorf("sending ping %d: %v, %v", len(ids), err, result.Error)
			break
		}
		ids = append(ids, result.ID)
	}
	return ids
}

// checkConsumed compares a consumer's file with what was published.
func checkConsumed(t *testing.T, path string, published []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen, cursors := make(map[string]int), make(map[string]bool)
	for line := range strings.Lines(string(content)) {
		cursor, id, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || cursors[cursor] {
			t.Fatalf("line %d, %q, is broken or has the cursor of another", len(cursors)+1, line)
		}
		cursors[cursor] = true
		seen[id]++
	}
	for _, id := range published {
		if seen[id] != 1 {
			t.Errorf("ping %s was consumed %d times", id, seen[id])
		}
	}
	if want := *consumerKills * pingsPerKill; len(seen) != want || len(published) != want {
		t.Errorf("%d pings consumed, %d published, want %d", len(seen), len(published), want)
	}
}
