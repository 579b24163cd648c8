package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// stopPatience is how long a process may take to end by itself. One that is
	// killed leaves its files behind, which the next on its directory reads.
	stopPatience = 30 * time.Second
	// keptTail is how much of what a process says is kept for an error.
	keptTail = 4 << 10
	// clockTick is the unit of times in /proc: USER_HZ, which is 100 everywhere.
	clockTick = time.Second / 100
)

// proc is a process that the benchmark started, and will end.
type proc struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // closed, it tells a role to end
	talk  *tail
	ended chan struct{}
	lines chan string // first line of the standard output; closed at its end
	api   string      // host:port
	addr  string      // multiaddr with /p2p/ID
}

// command says how to start a process.
type command struct {
	name string // for errors and progress
	path string
	args []string
	dir  string   // working directory, "" for the benchmark's own
	env  []string // added to the benchmark's own
	// stdout receives the standard output, nil throws it away but for the first line.
	stdout io.Writer
}

// start starts a process. The caller calls stop.
func start(c command) (*proc, error) {
	p := &proc{name: c.name, talk: &tail{}, ended: make(chan struct{}), lines: make(chan string, 1)}
	p.cmd = exec.Command(c.path, c.args...)
	p.cmd.Dir = c.dir
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.Stderr = p.talk
	p.cmd.WaitDelay = time.Second
	p.cmd.Stdout = c.stdout
	if c.stdout == nil {
		p.cmd.Stdout = &firstLine{line: p.lines}
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended shows in what it said
		close(p.ended)
	}()
	return p, nil
}

// stop ends the process, by force if need be, and waits for it.
func (p *proc) stop() {
	if p == nil {
		return
	}
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// stopAll stops processes, all at once.
func stopAll(procs []*proc) {
	var all sync.WaitGroup
	for _, p := range procs {
		all.Go(p.stop)
	}
	all.Wait()
}

// failure makes an error of what went wrong with the process and what it said
// last.
func (p *proc) failure(err error) error {
	if said := p.talk.String(); said != "" {
		return fmt.Errorf("%s: %w; it said: %s", p.name, err, said)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

var errEnded = errors.New("the process ended")

// firstOutput waits for the first line of the standard output.
func (p *proc) firstOutput(ctx context.Context) (string, error) {
	select {
	case line := <-p.lines:
		return line, nil
	case <-p.ended:
		return "", p.failure(errEnded)
	case <-ctx.Done():
		return "", p.failure(context.Cause(ctx))
	}
}

// memory is what a process keeps in memory, in MB of 1,000,000 bytes.
type memory struct {
	resident  float64 // VmRSS: all of it, the program's own pages included
	anonymous float64 // RssAnon: without what is only mapped from files
}

func (p *proc) memory() (memory, error) {
	path := "/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status"
	b, err := os.ReadFile(path)
	if err != nil {
		return memory{}, p.failure(err)
	}
	var m memory
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "RssAnon" {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
		if err != nil {
			return memory{}, fmt.Errorf("reading %s: %w", path, err)
		}
		if name == "VmRSS" {
			m.resident = kib * 1024 / 1e6
		} else {
			m.anonymous = kib * 1024 / 1e6
		}
	}
	return m, nil
}

// cpu returns the CPU time that the process used, in user and system mode.
func (p *proc) cpu() (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, p.failure(err)
	}
	return parseCPU(b)
}

// parseCPU reads fields 14 and 15 of /proc/PID/stat. The second is the
// program's name in brackets, which may hold anything.
func parseCPU(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("parsing %q: too few fields", stat)
	}
	var total time.Duration
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("parsing %q: %w", stat, err)
		}
		total += time.Duration(ticks) * clockTick
	}
	return total, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-keptTail):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// firstLine passes the first line on and throws the rest away.
type firstLine struct {
	line chan<- string
	b    []byte
	done bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	if f.done {
		return len(b), nil
	}
	f.b = append(f.b, b...)
	if line, _, found := bytes.Cut(f.b, []byte("\n")); found || len(f.b) > bufio.MaxScanTokenSize {
		f.line <- string(line)
		f.b, f.done = nil, true
	}
	return len(b), nil
}
