package catchup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// outflow sends entries, within the bounds of a session.
type outflow struct {
	store Store
	wire  *wire
	frame []byte // the payload in the making
	sent  int    // entries
	bytes int    // of them
}

// errSpent is returned by outflow.add when the session's bounds are reached.
var errSpent = errors.New("no more entries in this session")

// send sends what is planned, in the order given, and reports whether that was
// all. What the store no longer holds is passed over.
func (o *outflow) send(plan []segment) (all bool, err error) {
	for _, s := range plan {
		if s.keys != nil {
			err = o.keys(s.keys)
		} else {
			err = o.rangeOf(s)
		}
		if err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, errSpent) {
		return false, err
	}
	return err == nil, o.close()
}

func (o *outflow) keys(keys []entry.Key) error {
	for _, k := range keys {
		r, err := o.store.Get(k)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading an entry to send: %w", err)
		}
		if err := o.add(r.Entry); err != nil {
			return err
		}
	}
	return nil
}

func (o *outflow) rangeOf(s segment) error {
	for r, err := range o.store.Range(s.lo, s.hi) {
		if err != nil {
			return fmt.Errorf("reading entries to send: %w", err)
		}
		if len(s.have) > 0 {
			if _, ok := slices.BinarySearchFunc(s.have, s.salt.short(r.Entry.ID), short.compare); ok {
				continue
			}
		}
		if err := o.add(r.Entry); err != nil {
			return err
		}
	}
	return nil
}

func (o *outflow) add(e *entry.Entry) error {
	if o.sent == maxTurnEntries || o.bytes+len(e.Raw) > maxTurnBytes {
		return errSpent
	}
	o.sent++
	o.bytes += len(e.Raw)
	o.frame = binary.AppendUvarint(o.frame, uint64(len(e.Raw)))
	o.frame = append(o.frame, e.Raw...)
	if len(o.frame) < frameFill {
		return nil
	}
	return o.close()
}

// close writes the last frame.
func (o *outflow) close() error {
	if len(o.frame) == 0 {
		return nil
	}
	err := o.wire.write(kindEntries, o.frame)
	o.frame = o.frame[:0]
	return err
}
