package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multistream"
)

const (
	// answerTime is how long a connection may take to answer when it is put to
	// the test. A live one takes a round trip, and on a bad line a few.
	answerTime = 3 * time.Second
	// maxTests bounds the tests that wait to begin.
	maxTests = 64
)

// A peer that dials us while we are connected to it has mostly lost that
// connection: it was killed and started again, or its end of a partition timed
// out before ours. Ours then looks alive until QUIC's idle timeout, half a
// minute, and all that time pubsub and new streams keep to it and nothing of
// ours reaches the peer. So whenever a connection is not the only one to its
// peer, the older ones are put to the test, and those that don't answer are
// closed. Two peers that dialled each other at once keep both.

// doubled tells the watchdog of a new connection to a peer that we may have
// others to. It runs in the swarm and never blocks.
func (w *watchdog) doubled(n network.Network, conn network.Conn) {
	if len(n.ConnsToPeer(conn.RemotePeer())) < 2 {
		return
	}
	select {
	case w.doubles <- conn:
	default: // a crowd: the idle timeout finds the dead ones
	}
}

// testOlder closes the connections to newest's peer that are older than it and
// don't answer.
func (w *watchdog) testOlder(ctx context.Context, newest network.Conn) {
	for _, c := range older(w.host.Network().ConnsToPeer(newest.RemotePeer()), newest) {
		w.work.Go(func() {
			if !dead(ctx, c) || ctx.Err() != nil {
				return
			}
			w.logger.Info("a peer has connected again, and its old connection is dead: closing it", "peer", c.RemotePeer())
			if err := c.Close(); err != nil {
				w.logger.Debug("closing a dead connection", "peer", c.RemotePeer(), "err", err)
			}
		})
	}
}

// older returns the connections that were there before newest.
func older(conns []network.Conn, newest network.Conn) []network.Conn {
	return slices.DeleteFunc(slices.Clone(conns), func(c network.Conn) bool {
		return c.ID() == newest.ID() || c.Stat().Opened.After(newest.Stat().Opened)
	})
}

// dead reports whether nothing comes back over a connection. Which answer it
// is does not matter.
func dead(ctx context.Context, c network.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "test"))
	if err != nil {
		return isTimeout(err) // and not our own resource manager's refusal
	}
	defer s.Reset() //nolint:errcheck // it has served
	if err := s.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return false
	}
	return isTimeout(multistream.SelectProtoOrFail(ping.ID, s))
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
