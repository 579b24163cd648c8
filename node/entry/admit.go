package entry

import (
	"errors"
	"fmt"
	"time"
)

// MaxFuture is how far ahead of a node's clock an entry's time may be. Clocks
// are wrong in real life, mostly by hours: a time zone, a day.
const MaxFuture = 24 * time.Hour

// Why a valid entry is not taken into a ledger, or not yet. None of them is the
// sender's fault: a node ignores the entry, forwards it to nobody and punishes
// nobody. What is wrong with the entry itself is an [ErrInvalid] instead.
var (
	// ErrTopic is returned for an entry of another topic. It will never be
	// admitted here: a node drops it for good.
	ErrTopic = errors.New("entry of another topic")
	// ErrNotYet is returned for an entry more than [MaxFuture] ahead of the
	// clock. A node drops it without remembering that it did, so that
	// catch-up brings it again, and it is admitted, when its time comes.
	ErrNotYet = errors.New("entry from too far in the future")
	// ErrBelowFloor is returned for an entry older than what the ledger
	// keeps. A node drops it and does not ask for it again: the floor only
	// rises.
	ErrBelowFloor = errors.New("entry below the floor")
)

// Admit says why a ledger for topic does not take the entry, at the time now
// and with its floor in Unix milliseconds: [ErrTopic], [ErrBelowFloor] or
// [ErrNotYet], looked at in that order, or nil. Apart from its node's clock and
// floor the answer depends on the entry alone, never on who sent it or by which
// way it came, so that two honest ledgers end up equal.
func (e *Entry) Admit(topic string, now time.Time, floor int64) error {
	switch {
	case e.Topic != topic:
		return fmt.Errorf("%w: %q, not %q", ErrTopic, e.Topic, topic)
	case e.Time < floor:
		return fmt.Errorf("%w: it is of %s", ErrBelowFloor, e.Pings[0].Time().Format(time.RFC3339))
	case e.Time > now.Add(MaxFuture).UnixMilli():
		return fmt.Errorf("%w: it is of %s", ErrNotYet, e.Pings[0].Time().Format(time.RFC3339))
	}
	return nil
}
