package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fataler is a test, or a script of one.
type fataler interface {
	Fatalf(format string, args ...any)
}

// process is one background process and what it has printed.
type process struct {
	cmd      *exec.Cmd
	out, err *lines
	ended    chan struct{} // closed when it has ended and all was read
}

// lines collects an output, and wakes who waits for more.
type lines struct {
	mu      sync.Mutex
	all     []byte
	changed chan struct{} // closed at the next write
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, b...)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(b), nil
}

// matches returns the complete lines that match, and what is closed when
// there may be more.
func (l *lines) matches(re *regexp.Regexp) ([][]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found [][]string
	for line := range strings.Lines(string(l.all)) {
		if m := re.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil && strings.HasSuffix(line, "\n") {
			found = append(found, m)
		}
	}
	return found, l.changed
}

// await waits until n lines match.
func (p *process) await(t fataler, l *lines, re *regexp.Regexp, n int) [][]string {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		found, changed := l.matches(re)
		if len(found) >= n {
			return found
		}
		select {
		case <-changed:
			continue
		case <-p.ended:
			if found, _ = l.matches(re); len(found) >= n {
				return found
			}
			t.Fatalf("the process ended with %d of %d lines that match %q:\n%s%s", len(found), n, re, p.out.all, p.err.all)
		case <-deadline.C:
			t.Fatalf("only %d of %d lines match %q after %v:\n%s%s", len(found), n, re, patience, p.out.all, p.err.all)
		}
	}
}

// onLoopback is in the environment of every node that a test starts.
const onLoopback = "P2PING_LISTEN=/ip4/127.0.0.1"

// launch starts a command in a directory, with nothing in its environment but env.
func launch(dir string, env []string, command string, args ...string) (*process, error) {
	path, err := exec.LookPath(command)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), out: newLines(), err: newLines(), ended: make(chan struct{})}
	p.cmd.Args[0] = command
	p.cmd.Dir, p.cmd.Env = dir, env
	if command != "ip" { // which runs in a network of the test's own
		p.cmd.Env = append([]string{onLoopback}, env...) // what env says goes before it
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the state is read from cmd
	}()
	return p, nil
}

// kill ends the process as a crash would, and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// ready waits until the node is up, and returns its API's URL and its loopback
// address for TCP. A line of the log before its banner may end in a peer's.
func (p *process) ready(t fataler) (api, addr string) {
	addr = p.await(t, p.err, regexp.MustCompile(`^  (/ip4/127\.0\.0\.1/tcp/\d+/p2p/\w+)$`), 1)[0][1]
	return p.await(t, p.err, regexp.MustCompile(`curl .*(https?://\S+)/ping`), 1)[0][1], addr
}

// end waits for the end and compares the exit code; -1 stands for a signal.
func (p *process) end(t fataler, code int) {
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("it runs on after %v:\n%s", patience, p.err.all)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d, want %d:\n%s%s", got, code, p.out.all, p.err.all)
	}
}

// The ports that freePorts looks through lie below those that systems give out
// by themselves, to listeners at port 0 and to outgoing connections: one of
// those may be taken while a node that is to come back to it is down.
const firstPort, lastPort = 10000, 32000

// nextPort is where freePorts goes on, so that no two tests get the same. It
// begins anywhere, for other processes that do the same.
var nextPort = struct {
	sync.Mutex
	port int
}{port: firstPort + rand.IntN(lastPort-firstPort)}

// freePorts finds ports for nodes that must be known before they run, free for
// TCP and UDP.
func freePorts(n int) ([]string, error) {
	nextPort.Lock()
	defer nextPort.Unlock()
	var ports []string
	for range lastPort - firstPort {
		if len(ports) == n {
			return ports, nil
		}
		if isFree(nextPort.port) {
			ports = append(ports, strconv.Itoa(nextPort.port))
		}
		if nextPort.port++; nextPort.port == lastPort {
			nextPort.port = firstPort
		}
	}
	return nil, fmt.Errorf("there are no %d free ports from %d to %d", n, firstPort, lastPort)
}

func isFree(port int) bool {
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	return u.Close() == nil
}

// request makes one request, with a body of plain text if any.
func request(c *http.Client, method, url, body string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
