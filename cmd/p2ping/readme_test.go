package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"p2ping/api/client"
)

// readmeCommand is a command in a fenced block of the README, with the output
// that is shown under it, if any; or a whole program.
type readmeCommand struct {
	line     string
	output   []string
	language string // of the program in line, "" for a command
}

// readmeCommands reads the blocks marked sh, whose lines are commands, console,
// whose commands follow a $, and bash and python, which are programs.
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
			if block == "bash" || block == "python" {
				commands = append(commands, readmeCommand{language: block})
			}
		case block == "bash" || block == "python":
			commands[len(commands)-1].line += line + "\n"
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
	for _, tool := range []string{"bash", "curl", "sha256sum", "setsid", "jq", "python3"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing here, so the README goes unread", tool)
		} else if err != nil {
			t.Skipf("the README's reader has %s, this machine has not", tool)
		}
	}
	commands := readmeCommands(t)
	if len(commands) < 8 {
		t.Fatalf("only %d commands found in the README", len(commands))
	}
	r := newReader(t)
	programs := 0
	for _, c := range commands {
		switch {
		case c.language != "":
			programs++
			r.program(c.language, c.line)
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
	if len(r.nodes) != 3 || r.pinged == 0 || programs != 2 {
		t.Errorf("the README starts %d nodes, sends %d pings and has %d programs", len(r.nodes), r.pinged, programs)
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

// program runs a program that prints all pings and those that come, kills it,
// and wants it to go on where it was. Python's publishes its arguments.
func (r *reader) program(language, text string) {
	file := map[string]string{"bash": "cursor", "python": "cursor.txt"}[language]
	start := func(args ...string) *process {
		command := []string{map[string]string{"bash": "bash", "python": "python3"}[language], "-c", r.ports.Replace(text)}
		return r.launch("setsid", append(command, args...)...)
	}
	var args []string
	if language == "python" {
		args = []string{"from Python, with its own library"}
		r.pinged++
	}
	first := start(args...)
	first.await(r.t, first.out, regexp.MustCompile("."), r.pinged)
	for _, arg := range args {
		first.await(r.t, first.out, regexp.MustCompile("^"+arg+"$"), 1)
	}
	last := r.newest()
	r.poll(func() bool {
		noted, err := os.ReadFile(filepath.Join(r.dir, file))
		return err == nil && strings.TrimSpace(string(noted)) == last.Cursor
	}, language+" notes the cursor "+last.Cursor)
	// All of it, and no goodbyes: setsid made it a process group.
	if err := killGroup(first.cmd.Process.Pid); err != nil {
		r.t.Fatal(err)
	}
	<-first.ended

	missed := "nobody ran the program in " + language
	r.command("./p2ping ping '" + missed + "'")
	r.pinged++
	second := start()
	second.await(r.t, second.out, regexp.MustCompile(missed), 1)
	if got := strings.Trim(string(second.out.all), "\"\n"); got != missed {
		r.t.Errorf("the program in %s, run again, shows %q, want the ping it missed alone", language, got)
	}
	if err := killGroup(second.cmd.Process.Pid); err != nil {
		r.t.Fatal(err)
	}
	<-second.ended
}

// newest returns the newest ping of the first node.
func (r *reader) newest() client.Ping {
	status, answer, err := request(http.DefaultClient, "GET", r.ports.Replace("http://localhost:3001")+"/pings?limit=1", "")
	if err != nil || status != http.StatusOK {
		r.t.Fatalf("status %d, %s, %v", status, answer, err)
	}
	var page client.Pings
	if err := json.Unmarshal([]byte(answer), &page); err != nil || len(page.Pings) != 1 {
		r.t.Fatalf("%s: %v", answer, err)
	}
	return page.Pings[0]
}

// poll waits until something is so.
func (r *reader) poll(so func() bool, what string) {
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("not after %v: %s", patience, what)
		}
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

// alike leaves out what differs between two runs: days, numbers, the way a ping
// came, and the order in which nodes show it.
func alike(lines []string) string {
	numbers := regexp.MustCompile(`\d+-\d\d-\d\d|\d+(\.\d+)?(µs|ms|s)|\d\d\d+|\d\d:\d\d:\d\d\.\d+|p2ping [^:]+:`)
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i] = numbers.ReplaceAllString(lines[i], "#")
		// a catch-up that happens to run is faster at times
		lines[i] = strings.Replace(lines[i], "#  gossip", "caught up", 1)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
