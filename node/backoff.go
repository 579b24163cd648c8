package node

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Times between two attempts to connect to a peer.
const (
	// minRetry keeps full jitter from making two attempts at once.
	minRetry = 200 * time.Millisecond
	// firstRetry is the most that passes between the first two attempts. It
	// doubles up to a cap that depends on how long the peer has been away.
	firstRetry = time.Second
	// recentCap keeps two promises: a bootstrap peer that returns is connected
	// within 15 s, and ledgers are equal 10 s after a partition heals.
	recentCap  = 5 * time.Second
	recentFor  = 10 * time.Minute
	absentCap  = 10 * time.Second
	absentFor  = 6 * time.Hour
	missingCap = 30 * time.Second
	// wrongRetry is for peers that need a person to mend them.
	wrongRetry = time.Minute
)

// retryDelay returns how long to wait after the n-th failure in a row, from 0,
// of a peer that has been away for absent. jitter is from [0, 1): full jitter,
// so that those who lost the same peer at once don't come back at once.
func retryDelay(n int, absent time.Duration, err error, jitter float64) time.Duration {
	if errors.Is(err, errWrongPeer) || errors.Is(err, ErrTwin) {
		return wrongRetry
	}
	limit := missingCap
	switch {
	case absent < recentFor:
		limit = recentCap
	case absent < absentFor:
		limit = absentCap
	}
	// Five doublings reach every cap; more would overflow in the end.
	limit = min(limit, firstRetry<<min(n, 5))
	return max(minRetry, time.Duration(jitter*float64(limit)))
}

// direction is who dialled a connection.
type direction uint8

const (
	dialledByNobody direction = 0
	dialledByUs     direction = 1
	dialledByThem   direction = 2
	dialledByBoth             = dialledByUs | dialledByThem
)

func directionOf(conns []network.Conn) direction {
	d := dialledByNobody
	for _, c := range conns {
		if c.Stat().Direction == network.DirInbound {
			d |= dialledByThem
		} else {
			d |= dialledByUs
		}
	}
	return d
}

// minGrace is longer than a handshake takes on all but the slowest networks;
// a node that is told to connect is never later than two of them.
const minGrace = 250 * time.Millisecond

// grace returns how long to leave the other side to dial first. Two peers that
// dial each other at once end up with two connections, and when one of them is
// closed GossipSub may go deaf one way. So who dialled the lost connection
// dials again, and where that decides nothing, the lower peer ID. The other
// side may not know us or not reach us: it is a delay, not a rule.
func grace(self, other peer.ID, last direction, jitter float64) time.Duration {
	if last == dialledByUs || last != dialledByThem && self < other {
		return 0
	}
	return minGrace + time.Duration(jitter*float64(minGrace))
}
