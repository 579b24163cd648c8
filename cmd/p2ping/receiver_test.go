package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver is a web server that pings are posted to.
type receiver struct {
	mu       sync.Mutex
	statuses []int // of the next answers; 0 waits until the other side gives up
	requests *lines
	accepted *lines // bodies, a line each
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	status := http.StatusOK
	r.mu.Lock()
	if len(r.statuses) > 0 {
		status, r.statuses = r.statuses[0], r.statuses[1:]
	}
	r.mu.Unlock()
	user, password, _ := req.BasicAuth()
	fmt.Fprintf(r.requests, "%d %s %s %s %s:%s %s\n", status, req.Method, req.URL.Path, req.Header.Get("Content-Type"), user, password, body)
	switch status {
	case 0:
		<-req.Context().Done()
		return
	case http.StatusTemporaryRedirect:
		w.Header().Set("Location", "/moved")
	case http.StatusOK:
		fmt.Fprintf(r.accepted, "%s\n", body)
	}
	w.WriteHeader(status)
}

type receiversKey struct{}

func cmdReceiver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: receiver NAME HOST:PORT [STATUS...]")
	}
	r := &receiver{requests: newLines(), accepted: newLines()}
	for _, arg := range args[2:] {
		status, err := strconv.Atoi(arg)
		ts.Check(err)
		r.statuses = append(r.statuses, status)
	}
	l, err := net.Listen("tcp", args[1])
	ts.Check(err)
	server := &http.Server{Handler: r}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	ts.Setenv(strings.ToUpper(args[0])+"_HOST", l.Addr().String())
	ts.Value(receiversKey{}).(map[string]*receiver)[args[0]] = r
	ts.Defer(func() {
		_ = server.Close()
		<-ended
		ts.Logf("[%s was asked]\n%s", args[0], r.requests.all)
	})
}

func receiverOf(ts *testscript.TestScript, name string) *receiver {
	r := ts.Value(receiversKey{}).(map[string]*receiver)[name]
	if r == nil {
		ts.Fatalf("no receiver %q was started", name)
	}
	return r
}

// awaitLines waits until n lines match.
func awaitLines(ts *testscript.TestScript, l *lines, re *regexp.Regexp, n int) {
	deadline := time.After(patience)
	for {
		found, changed := l.matches(re)
		if len(found) >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			ts.Fatalf("only %d of %d lines match %q after %v:\n%s", len(found), n, re, patience, l.all)
		}
	}
}

func cmdAsked(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: asked NAME REGEXP [N]")
	}
	awaitLines(ts, receiverOf(ts, args[0]).requests, regexp.MustCompile(args[1]), number(ts, args[2:], 1))
}

func cmdAccepted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: accepted NAME N")
	}
	r, n := receiverOf(ts, args[0]), number(ts, args[1:], 0)
	awaitLines(ts, r.accepted, regexp.MustCompile("."), n)
	all, _ := r.accepted.matches(regexp.MustCompile(".*"))
	if len(all) != n {
		ts.Fatalf("%d pings were accepted, want %d: %q", len(all), n, all)
	}
	for _, line := range all {
		fmt.Fprintln(ts.Stdout(), line[0])
	}
}

func cmdAwaitFile(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: await-file FILE REGEXP")
	}
	re := regexp.MustCompile(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && re.Match(content) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not match %q after %v: %s, %v", args[0], re, patience, content, err)
		}
	}
}
