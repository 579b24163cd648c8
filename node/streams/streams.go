// Package streams has what p2ping's stream protocols share: the terms on which a
// stream is used, by whoever opened it, the places of those who are served at one
// time, and the work that must be over before a service is closed.
//
// Every byte on a stream is a stranger's. Whatever a protocol makes of them, its
// stream is accounted for by libp2p's resource manager, ends when its time is
// over, and is told apart by how it ended: a stream that went well is closed, any
// other reset, so that the other side does not take half an answer for a whole
// one. And a mistake in the code that reads it costs that stream, and not the
// node: the host's goroutine for it would end the process by a panic.
//
// How often somebody may ask is each protocol's own affair, as its price is: see
// gate in package catchup, askers in discovery and in status.
package streams

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/libp2p/go-libp2p/core/network"
)

// Terms are those of one protocol's streams.
type Terms struct {
	// Service is the name under which the resource manager accounts for them.
	Service string
	// Memory is what one may take, in bytes: what is read of it and what becomes
	// of that.
	Memory int
	// Logger is told of panics.
	Logger *slog.Logger
}

// Use lets talk use a stream until ctx ends, by which it is reset, and returns
// talk's error. Afterwards the stream is closed, or reset where there was an
// error or a panic, which becomes one. When the resource manager refuses the
// terms, talk is not called.
func (t Terms) Use(ctx context.Context, s network.Stream, talk func() error) (err error) {
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a panic in %s: %v", t.Service, r)
			t.Logger.Error("the use of a stream panicked", "service", t.Service, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
		if err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	}()
	if err := s.Scope().SetService(t.Service); err != nil {
		return fmt.Errorf("accounting for a stream: %w", err)
	}
	if err := s.Scope().ReserveMemory(t.Memory, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("reserving memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(t.Memory)
	return talk()
}
