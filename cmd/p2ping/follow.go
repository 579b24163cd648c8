package main

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/ledger"
)

// followPage is how many records are read from the ledger at a time.
const followPage = 64

// follow calls show with the pings that l gets after cursor, in the order of
// arrival, until ctx ends; then it shows what there is still and returns. It
// pulls, so a slow terminal costs nobody but itself. show must not keep what it
// is given.
func follow(ctx context.Context, l *ledger.Ledger, cursor uint64, show func([]shownPing) error) error {
	var authors authorNames
	var pings []shownPing
	for {
		changed := l.Changed() // before reading, so that nothing slips between
		last := ctx.Err() != nil
		for {
			records, err := l.After(cursor, followPage)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			cursor = records[len(records)-1].Cursor
			pings = authors.appendPings(pings[:0], records)
			if err := show(pings); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// authorNames remembers the last author in base58, which takes longer to make
// than all the rest of a line.
type authorNames struct {
	id   peer.ID
	text string
}

// appendPings appends the pings of records as they are shown.
func (a *authorNames) appendPings(pings []shownPing, records []ledger.Record) []shownPing {
	for _, r := range records {
		if r.Entry.Author != a.id {
			a.id, a.text = r.Entry.Author, r.Entry.Author.String()
		}
		for _, ping := range r.Entry.Pings {
			pings = append(pings, shownPing{
				text: ping.Text, author: a.text, via: r.Via.String(),
				sent: time.UnixMicro(ping.SentAt), received: r.ReceivedAt,
			})
		}
	}
	return pings
}
