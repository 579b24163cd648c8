package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// readmeCommand is a command in a fenced block of the README, with the output
// that is shown under it, if any.
type readmeCommand struct {
	line   string
	output []string
}

// readmeCommands reads the blocks marked sh, whose lines are commands, and
// console, whose commands follow a $.
func readmeCommands(t *testing.T) []readmeCommand {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []readmeCommand
	block := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		prompted, isPrompt := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			block = strings.TrimPrefix(line, "```")
		case block == "sh" && line != "":
			commands = append(commands, readmeCommand{line: line})
		case block == "console" && isPrompt:
			commands = append(commands, readmeCommand{line: prompted})
		case block == "console" && len(commands) > 0:
			last := &commands[len(commands)-1]
			last.output = append(last.output, line)
		}
	}
	return commands
}

// reader follows the README: it runs its commands in its order, with other
// ports.
type reader struct {
	t      *testing.T
	dir    string
	env    []string
	ports  *strings.Replacer
	nodes  []*process
	pinged int
}

// TestReadme runs every command of the README: nodes in terminals of their
// own, all else in one, and wants each to succeed.
func TestReadme(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the README's reader has %s, this machine has not", tool)
		}
	}
	commands := readmeCommands(t)
	if len(commands) < 8 {
		t.Fatalf("only %d commands found in the README", len(commands))
	}
	r := newReader(t)
	for _, c := range commands {
		switch {
		case c.line == "go test ./...":
			// which this is
		case c.line == "go run ./cmd/p2ping demo":
			r.demo(c.output)
		case strings.HasPrefix(c.line, "HTTP_PORT="):
			r.node(c.line)
		default:
			r.command(c.line)
		}
	}
	if len(r.nodes) != 3 || r.pinged == 0 {
		t.Errorf("the README starts %d nodes and sends %d pings", len(r.nodes), r.pinged)
	}
}

func newReader(t *testing.T) *reader {
	t.Helper()
	free, err := freePorts(6)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for i, port := range []string{"3001", "3002", "3003", "6001", "6002", "6003"} {
		pairs = append(pairs, port, free[i])
	}
	r := &reader{t: t, dir: t.TempDir(), ports: strings.NewReplacer(pairs...)}
	// A client command finds the node of port 6001 by itself, here it has another.
	r.env = []string{"HOME=" + r.dir, "PATH=" + os.Getenv("PATH"), "P2PING_API=" + r.ports.Replace("http://localhost:3001")}
	path, err := exec.LookPath("p2ping")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(r.dir, "p2ping")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) launch(command string, args ...string) *process {
	r.t.Helper()
	p, err := launch(r.dir, r.env, command, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(p.kill)
	return p
}

// node starts a node, and lets it find the others.
func (r *reader) node(line string) {
	p := r.launch("bash", "-c", "exec env "+r.ports.Replace(line))
	p.ready(r.t)
	if strings.Contains(line, "PEERS=") {
		p.await(r.t, p.err, regexp.MustCompile("connected to a bootstrap peer"), 1)
	}
	r.nodes = append(r.nodes, p)
}

// command runs a command, and waits until every node shows what it published.
func (r *reader) command(line string) {
	p := r.launch("bash", "-o", "pipefail", "-c", r.ports.Replace(line))
	p.end(r.t, 0)
	if strings.Contains(line, "/ping") {
		r.pinged++
		for _, n := range r.nodes {
			n.await(r.t, n.out, regexp.MustCompile(`  from `), r.pinged)
		}
	}
	if strings.Contains(line, " sync --with") && !strings.Contains(string(p.out.all), "3 of 3 agree") {
		r.t.Errorf("%s: %s", line, p.out.all)
	}
}

// demo runs the demo, pings its first node, and compares what is shown with
// what the README shows.
func (r *reader) demo(want []string) {
	p := r.launch("p2ping", "demo", "--http-port", "0", "--p2p-port", "0")
	curl := p.await(r.t, p.err, regexp.MustCompile(`node 1: (curl http://\S+)$`), 1)[0][1]
	p.await(r.t, p.err, regexp.MustCompile(`^Ctrl-C`), 1)
	r.launch("bash", "-c", curl).end(r.t, 0)
	p.await(r.t, p.out, regexp.MustCompile(`^node \d \| `), 3)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	p.end(r.t, 0)
	got := strings.Split(strings.TrimSpace(string(p.err.all)+string(p.out.all)), "\n")
	if alike(got) != alike(want) {
		r.t.Errorf("the demo shows\n%s\nand not, as the README has it,\n%s", alike(got), alike(want))
	}
}

// alike leaves out what differs between two runs: numbers, the way a ping came,
// and the order in which nodes show it.
func alike(lines []string) string {
	numbers := regexp.MustCompile(`\d+(\.\d+)?(µs|ms|s)|\d\d\d+|\d\d:\d\d:\d\d\.\d+|p2ping [^:]+:`)
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i] = numbers.ReplaceAllString(lines[i], "#")
		// a catch-up that happens to run is faster at times
		lines[i] = strings.Replace(lines[i], "#  gossip", "caught up", 1)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
