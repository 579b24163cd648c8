package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain lets transcripts run the real main, as processes of its own, by
// the name p2ping.
func TestMain(m *testing.M) {
	testscript.Main(leakFree{m}, map[string]func(){"p2ping": main, "consume": consume})
}

// leakFree fails tests that leave goroutines behind.
type leakFree struct{ m *testing.M }

func (l leakFree) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// patience is how long a transcript waits for what must come. It is no
// measure of speed: only a failure takes as long.
const patience = 60 * time.Second

// TestTranscripts runs testdata/*.txt. Beside testscript's own commands they
// have these; a regexp is matched against each line of an output:
//
//	start NAME p2ping ARGS...      start a process that the script goes on beside
//	ready NAME                     wait until node NAME is up; sets NAME_API, NAME_ID, NAME_ADDR (TCP)
//	await NAME out|err REGEXP [N]  wait until N lines (1 if not given) match
//	count NAME out|err REGEXP N    compare the number of lines that match by now
//	await-peers NAME N             wait until node NAME has N peers on its topic; N+ is at least N
//	terminate NAME [CODE]          SIGTERM, wait for the end, compare the exit code (0 if not given)
//	interrupt NAME [CODE]          the same with Ctrl-C's signal
//	hang-up NAME [CODE]            the same with that of a terminal that is closed; [hang-up] tells if it is not ignored
//	crash NAME                     SIGKILL, wait for the end
//	ended NAME [CODE]              wait for the end, compare the exit code
//	exits CODE COMMAND ARGS...     run a command as exec does, and compare the exit code
//	[!] http METHOD URL [BODY]     make a request, print its answer to stdout; with ! it must not be 2xx
//	curls N URL                    make N requests at a time, each with a text of its own, and check every answer
//	setfrom VAR REGEXP             set VAR to the first group of REGEXP in the last stdout
//	same A B                       compare two texts
//	free-ports VAR...              set each VAR to a port that was free just now
//	port-of VAR ADDR               set VAR to the port in a multiaddr or URL
//	url-of VAR NAME N              set VAR to the API's URL of node N of the demo NAME
//	receiver NAME HOST:PORT STATUS...  serve webhooks, with these answers and then 200; 0 never answers; sets NAME_HOST
//	asked NAME REGEXP [N]          wait for N requests that match "STATUS METHOD PATH TYPE USER:PASSWORD BODY"
//	accepted NAME N                wait for N requests answered 200, and no more; print their bodies to stdout
//	await-file FILE REGEXP         wait until a file's content matches
//	sha256 DIGEST                  compare the SHA-256 of the last stdout
//	replace FROM TO OLD NEW        copy a file, with OLD replaced in it once
//	bytes FILE TEXT                write TEXT, with Go's escapes in it, to a file
func TestTranscripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_STATE_HOME", "")
			env.Setenv("XDG_CONFIG_HOME", "")
			name, value, _ := strings.Cut(onLoopback, "=")
			env.Setenv(name, value)
			env.Values[receiversKey{}] = make(map[string]*receiver)
			env.Values[processesKey{}] = &processes{byName: make(map[string]*process)}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start":        cmdStart,
			"ready":        cmdReady,
			"await":        cmdAwait,
			"count":        cmdCount,
			"await-peers":  cmdAwaitPeers,
			"terminate":    signaller(syscall.SIGTERM),
			"interrupt":    signaller(os.Interrupt),
			"hang-up":      signaller(syscall.SIGHUP),
			"crash":        cmdCrash,
			"ended":        cmdEnded,
			"exits":        cmdExits,
			"http":         cmdHTTP,
			"curls":        cmdCurls,
			"setfrom":      cmdSetFrom,
			"same":         cmdSame,
			"free-ports":   cmdFreePorts,
			"port-of":      cmdPortOf,
			"url-of":       cmdURLOf,
			"receiver":     cmdReceiver,
			"asked":        cmdAsked,
			"accepted":     cmdAccepted,
			"await-file":   cmdAwaitFile,
			"sha256":       cmdSHA256,
			"replace":      cmdReplace,
			"bytes":        cmdBytes,
			"small-disk":   cmdSmallDisk,
			"fill":         cmdFill,
			"await-status": cmdAwaitStatus,
			"await-sync":   cmdAwaitSync,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "mounts":
				return runtime.GOOS == "linux" && (os.Geteuid() == 0 || os.Getenv("CI") == "true"), nil
			case "hang-up":
				return !signal.Ignored(syscall.SIGHUP), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		RequireUniqueNames: true,
	})
}

type processesKey struct{}

// processes are the background processes of one script, which runs on one
// goroutine.
type processes struct{ byName map[string]*process }

func processOf(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey{}).(*processes).byName[name]
	if p == nil {
		ts.Fatalf("no process %q was started", name)
	}
	return p
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND ARGS...")
	}
	var env []string
	for _, v := range scriptVariables {
		if value := ts.Getenv(v); value != "" {
			env = append(env, v+"="+value)
		}
	}
	p, err := launch(ts.MkAbs("."), env, args[1], args[2:]...)
	ts.Check(err)
	ts.Value(processesKey{}).(*processes).byName[args[0]] = p
	ts.Defer(func() {
		p.kill()
		ts.Logf("[%s stdout]\n%s[%s stderr]\n%s", args[0], p.out.all, args[0], p.err.all)
	})
}

// scriptVariables are what a script may set for the processes it starts.
var scriptVariables = append([]string{
	"HOME", "PATH", "TMPDIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "NO_COLOR", "GOCOVERDIR",
	"P2PING_API", "P2PING_CONFIG", "HTTP_PORT", "P2P_PORT", "PEERS",
}, settingVariables()...)

func settingVariables() []string {
	var all []string
	for _, s := range settingsTable() {
		all = append(all, s.variable())
	}
	return all
}

func cmdReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready NAME")
	}
	api, addr := processOf(ts, args[0]).ready(ts)
	name := strings.ToUpper(args[0])
	ts.Setenv(name+"_API", api)
	ts.Setenv(name+"_ADDR", addr)
	ts.Setenv(name+"_ID", addr[strings.LastIndex(addr, "/")+1:])
}

// outputArgs reads NAME out|err REGEXP and what follows.
func outputArgs(ts *testscript.TestScript, args []string) (*process, *lines, *regexp.Regexp, []string) {
	if len(args) < 3 || !slices.Contains([]string{"out", "err"}, args[1]) {
		ts.Fatalf("want NAME out|err REGEXP, not %q", args)
	}
	re, err := regexp.Compile(args[2])
	ts.Check(err)
	p := processOf(ts, args[0])
	if args[1] == "err" {
		return p, p.err, re, args[3:]
	}
	return p, p.out, re, args[3:]
}

func number(ts *testscript.TestScript, args []string, byDefault int) int {
	if len(args) == 0 {
		return byDefault
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	return n
}

func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	p, l, re, rest := outputArgs(ts, args)
	if neg {
		ts.Fatalf("waiting for nothing takes for ever: use count")
	}
	p.await(ts, l, re, number(ts, rest, 1))
}

func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	p, l, re, rest := outputArgs(ts, args)
	found, _ := l.matches(re)
	if want := number(ts, rest, 1); (len(found) == want) == neg {
		ts.Fatalf("%d lines match %q, want %d:\n%s%s", len(found), re, want, p.out.all, p.err.all)
	}
}

// signaller makes a command that sends a signal and waits for the end.
func signaller(signal os.Signal) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		p := processOf(ts, args[0])
		ts.Check(p.cmd.Process.Signal(signal))
		p.end(ts, number(ts, args[1:], 0))
	}
}

func cmdCrash(ts *testscript.TestScript, _ bool, args []string) {
	p := processOf(ts, args[0])
	ts.Check(p.cmd.Process.Kill())
	p.end(ts, -1)
}

func cmdEnded(ts *testscript.TestScript, _ bool, args []string) {
	processOf(ts, args[0]).end(ts, number(ts, args[1:], 0))
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want, code := number(ts, args, 0), 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d: %s", code, want, ts.ReadFile("stderr"))
	}
}

func cmdAwaitPeers(ts *testscript.TestScript, _ bool, args []string) {
	url := ts.Getenv(strings.ToUpper(args[0])+"_API") + "/peers"
	least, more := strings.CutSuffix(args[1], "+")
	want := number(ts, []string{least}, 1)
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, answer, err := request(http.DefaultClient, "GET", url, "")
		ts.Check(err)
		// Who has no agent yet has not said what it speaks, nor where it is.
		unknown := strings.Contains(answer, `"agent":""`)
		if n := strings.Count(answer, `"on_topic":true`); !unknown && (n == want || more && n > want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s has other peers than %d after %v: %s", args[0], want, patience, answer)
		}
	}
}

func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: http METHOD URL [BODY]")
	}
	body := ""
	if len(args) == 3 {
		body = args[2]
	}
	status, answer, err := request(http.DefaultClient, args[0], args[1], body)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), answer)
	if (status/100 == 2) == neg {
		ts.Fatalf("%s %s answers %d: %s", args[0], args[1], status, answer)
	}
}

func cmdCurls(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: curls N URL")
	}
	n := number(ts, args, 0)
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer c.CloseIdleConnections()
	failures := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			text := fmt.Sprintf("curl %d of %d", i, n)
			status, answer, err := request(c, "POST", args[1]+"/ping", text)
			if err != nil || status != http.StatusOK && status != http.StatusCreated || !strings.Contains(answer, `"`+text+`"`) {
				failures[i] = fmt.Errorf("%q: status %d: %s: %w", text, status, answer, cmp.Or(err, errors.New("not its own answer")))
			}
		})
	}
	all.Wait()
	for _, err := range failures {
		ts.Check(err)
	}
}

func cmdSetFrom(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: setfrom VAR REGEXP")
	}
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("%q matches nothing in the last stdout", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if (args[0] == args[1]) == neg {
		ts.Fatalf("%q and %q", args[0], args[1])
	}
}

func cmdFreePorts(ts *testscript.TestScript, _ bool, args []string) {
	ports, err := freePorts(len(args))
	ts.Check(err)
	for i, name := range args {
		ts.Setenv(name, ports[i])
	}
}

func cmdPortOf(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(`(?:/tcp/|127\.0\.0\.1:)(\d+)`).FindStringSubmatch(args[1])
	if m == nil {
		ts.Fatalf("no port in %q", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func cmdURLOf(ts *testscript.TestScript, _ bool, args []string) {
	p := processOf(ts, args[1])
	re := regexp.MustCompile(`^  node ` + args[2] + `: curl (http://\S+)/ping$`)
	ts.Setenv(args[0], p.await(ts, p.err, re, 1)[0][1])
}

func cmdSHA256(ts *testscript.TestScript, neg bool, args []string) {
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(ts.ReadFile("stdout")))); (got == args[0]) == neg {
		ts.Fatalf("the digest is %s, want %s", got, args[0])
	}
}

func cmdReplace(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[0])
	after := strings.Replace(before, args[2], args[3], 1)
	if after == before {
		ts.Fatalf("%q is not in %s", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(after), 0o600))
}

func cmdBytes(ts *testscript.TestScript, _ bool, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// TestVariablesOfTheTest keeps the machine's own settings out of transcripts.
func TestVariablesOfTheTest(t *testing.T) {
	for _, v := range settingVariables() {
		if _, ok := os.LookupEnv(v); ok {
			t.Errorf("%s is set outside: transcripts may not mean what they say", v)
		}
	}
}
