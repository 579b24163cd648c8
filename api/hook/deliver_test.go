package hook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	for _, test := range []struct {
		name, line string
		fails      string // what the error says, "" for none
		logged     string
	}{
		{name: "reads the ping", line: "grep -q '^{\"text\":\"$(exit 3)\"}$'"},
		{name: "reads nothing", line: "true"},
		{name: "prints", line: "cat; echo too >&2", logged: "too"},
		{name: "fails", line: "echo why >&2; exit 3", fails: "exit status 3: why"},
		{name: "is no command", line: "/nowhere/command", fails: "exit status 127"},
		{name: "prints for ever", line: "yes | head -c 10000000", logged: "[...]"},
		{name: "takes too long", line: "tail -f /dev/null | cat", fails: "it took longer than 300ms"},
		{name: "leaves something running", line: "tail -f /dev/null & true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			c := &command{shell: "sh", line: test.line, timeout: time.Minute, logger: slog.New(slog.NewTextHandler(&log, nil))}
			if strings.Contains(test.fails, "longer") {
				c.timeout = 300 * time.Millisecond
			}
			err := c.deliver(t.Context(), []byte("{\"text\":\"$(exit 3)\"}\n"))
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("error %v, want one that says %q", err, test.fails)
			}
			if !strings.Contains(log.String(), test.logged) || test.logged == "" && log.Len() > 0 || log.Len() > 2*maxOutput {
				t.Errorf("the log has %d bytes: %.500s", log.Len(), log.String())
			}
		})
	}
}

// TestCommandIsKilledWhole cuts a command off, and what it started with it, and
// yet tells what it printed.
func TestCommandIsKilledWhole(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	c := &command{shell: "sh", line: "echo begun; mkfifo " + fifo + "; (exec 3<>" + fifo + "; echo up >&3; tail -f /dev/null) & wait", timeout: time.Minute, logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the node ends")
	done := make(chan error, 1)
	go func() { done <- c.deliver(ctx, []byte("{}\n")) }()
	var alive *os.File
	for deadline := time.Now().Add(time.Minute); alive == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the command does not begin")
		}
		alive, _ = os.Open(fifo) // waits for the writer, once it is there
	}
	defer alive.Close()
	if _, err := alive.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) || !strings.HasSuffix(err.Error(), ": begun") {
		t.Errorf("error %v", err)
	}
	if _, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading from what it started: %v", err)
	}
}

func TestWebhook(t *testing.T) {
	var got []string
	mux := http.NewServeMux()
	mux.HandleFunc("/taken", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "password" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.Header.Get("Content-Type")+" "+r.UserAgent()+" "+string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("/moved", http.RedirectHandler("/taken", http.StatusPermanentRedirect))
	mux.HandleFunc("/moved-whole", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/taken", http.StatusPermanentRedirect)
	})
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusTemporaryRedirect))
	mux.Handle("/see-other", http.RedirectHandler("/taken", http.StatusSeeOther))
	mux.Handle("/gone", http.NotFoundHandler())
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, test := range []struct {
		path    string
		works   bool
		refused bool
		after   time.Duration
	}{
		{path: "/taken", works: true},
		{path: "/moved", works: true},
		{path: "/moved-whole", works: true},
		{path: "/loop"},
		{path: "/see-other"},
		{path: "/gone", refused: true},
		{path: "/later", after: 7 * time.Second},
		{path: "/broken"},
		{path: "/cut"},
	} {
		w, err := newWebhook(strings.Replace(server.URL, "//", "//user:password@", 1)+test.path+"?secret", "1.0")
		if err != nil {
			t.Fatal(err)
		}
		w.client.Timeout = time.Minute // a busy machine is no slow server
		err = w.deliver(t.Context(), []byte("{\"id\":\"x\"}\n"))
		w.client.CloseIdleConnections()
		_, refused := errors.AsType[refusal](err)
		b, _ := errors.AsType[busy](err)
		if (err == nil) != test.works || refused != test.refused || b.after != test.after {
			t.Errorf("%s: error %v, refused %v, again after %v", test.path, err, refused, b.after)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "password")) {
			t.Errorf("%s: the error tells credentials: %v", test.path, err)
		}
	}
	for _, line := range got {
		if line != `POST application/json p2ping/1.0 {"id":"x"}` {
			t.Errorf("the server got %q", line)
		}
	}
	if len(got) != 3 {
		t.Errorf("the server took %d pings, want 3", len(got))
	}
}

func TestCheckURL(t *testing.T) {
	for target, good := range map[string]bool{
		"http://localhost":                   true,
		"https://user:secret@example.com/a?": true,
		"ftp://example.com":                  false,
		"example.com":                        false,
		"http://":                            false,
		"http://a b":                         false,
		"":                                   false,
	} {
		if err := CheckURL(target); (err == nil) != good {
			t.Errorf("%q: %v", target, err)
		}
	}
}
