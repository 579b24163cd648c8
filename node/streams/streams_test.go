package streams

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/libp2p/go-libp2p/core/network"
)

// fake is a stream that notes how it ended.
type fake struct {
	network.Stream
	scope
	ended []string
}

func (f *fake) Scope() network.StreamScope { return &f.scope }
func (f *fake) Close() error               { f.ended = append(f.ended, "closed"); return nil }
func (f *fake) Reset() error               { f.ended = append(f.ended, "reset"); return nil }

// scope notes what a stream is granted. Each refusal is an error, if it is set.
type scope struct {
	network.StreamScope
	noService, noMemory error
	service             string
	memory              int
}

func (s *scope) SetService(name string) error {
	s.service = name
	return s.noService
}

func (s *scope) ReserveMemory(size int, _ uint8) error {
	if s.noMemory == nil {
		s.memory += size
	}
	return s.noMemory
}

func (s *scope) ReleaseMemory(size int) { s.memory -= size }

func TestUse(t *testing.T) {
	wrong := errors.New("it went wrong")
	for _, test := range []struct {
		name   string
		stream fake
		talk   func() error
		want   string // how it ended, and with what error
	}{
		{"all is well", fake{}, func() error { return nil }, "closed"},
		{"an error", fake{}, func() error { return wrong }, "reset: it went wrong"},
		{"a panic", fake{}, func() error { panic("boom") }, "reset: a panic in p2ping.test: boom"},
		{"no such service", fake{scope: scope{noService: wrong}}, nil, "reset: accounting for a stream: it went wrong"},
		{"no memory", fake{scope: scope{noMemory: wrong}}, nil, "reset: reserving memory: it went wrong"},
	} {
		var log bytes.Buffer
		terms := Terms{Service: "p2ping.test", Memory: 100, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		s := test.stream
		err := terms.Use(t.Context(), &s, func() error {
			if s.memory != 100 || s.service != "p2ping.test" {
				t.Errorf("%s: %d bytes for %q", test.name, s.memory, s.service)
			}
			return test.talk()
		})
		got := strings.Join(s.ended, ", ")
		if err != nil {
			got += ": " + err.Error()
		}
		if got != test.want || s.memory != 0 {
			t.Errorf("%s: %s, want %s; %d bytes are still reserved", test.name, got, test.want, s.memory)
		}
		if logged := strings.Contains(log.String(), "boom"); logged != (test.name == "a panic") {
			t.Errorf("%s: the log has %q", test.name, log.String())
		}
	}
}

// TestUseEndsInTime has the time end while a stream is used: it is reset, by
// which whoever reads it wakes up.
func TestUseEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var s fake
		err := Terms{Service: "p2ping.test", Logger: slog.New(slog.DiscardHandler)}.Use(ctx, &s, func() error {
			cancel()
			synctest.Wait()
			if len(s.ended) != 1 || s.ended[0] != "reset" {
				t.Errorf("the stream is %v when its time is over", s.ended)
			}
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) || len(s.ended) != 2 || s.ended[1] != "reset" {
			t.Errorf("%v, %v", err, s.ended)
		}
	})
}
