package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"p2ping/node"
)

func TestCurlLine(t *testing.T) {
	for _, c := range []struct {
		url  string
		s    settings
		want string
	}{
		{"http://127.0.0.1:3001", settings{}, "curl http://127.0.0.1:3001/ping"},
		{"unix:/run/p2ping/socket", settings{}, "curl --unix-socket /run/p2ping/socket http://localhost/ping"},
		{
			"https://127.0.0.1:1",
			settings{TLSCert: "/my keys/it's.pem", TokenFile: "/t$x"},
			`curl --cacert '/my keys/it'\''s.pem' -H "Authorization: Bearer $(cat '/t$x')" https://127.0.0.1:1/ping`,
		},
	} {
		if got := curlLine(c.url, c.s); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

func TestPageURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:3001": "http://127.0.0.1:3001/", "https://[::1]:1": "https://[::1]:1/", "unix:/run/socket": "",
	} {
		if got := pageURL(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestExplainListen(t *testing.T) {
	denied := fmt.Errorf("listen: %w", syscall.EACCES)
	for _, c := range []struct {
		address string
		err     error
		hint    bool
	}{
		{"127.0.0.1:80", denied, true},
		{"unix:/root/socket", denied, false},
		{"127.0.0.1:80", node.ErrPortInUse, false},
	} {
		err := explainListen(c.address, c.err)
		if _, hint := errors.AsType[*failure](err); hint != c.hint || !errors.Is(err, c.err) {
			t.Errorf("%s: %v: a hint: %v, want %v", c.address, err, hint, c.hint)
		}
	}
}

func TestExplainPortsInUse(t *testing.T) {
	for _, inUse := range []error{node.ErrPortInUse, &node.PortInUseError{Port: 6001, Err: node.ErrPortInUse}} {
		err := explainStart(settings{}, fmt.Errorf("listening: %w", inUse), "or --shift 1")
		if _, hint := errors.AsType[*failure](err); !hint || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%v: %v", inUse, err)
		}
	}
}

func TestLibraryLevel(t *testing.T) {
	for own, want := range map[slog.Level]slog.Level{
		slog.LevelDebug: slog.LevelInfo, slog.LevelInfo: slog.LevelError, slog.LevelWarn: slog.LevelError, slog.LevelError: slog.LevelError,
	} {
		if got := libraryLevel(own); got != want {
			t.Errorf("at %v libraries log from %v, want %v", own, got, want)
		}
	}
}

func TestDurationsInLogs(t *testing.T) {
	for format, want := range map[string]string{"json": `"in":"1.5s"`, "text": " in=1.5s"} {
		var out bytes.Buffer
		slog.New(newHandler(&out, format, slog.LevelInfo)).Info("tried again", "in", 1500*time.Millisecond)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
