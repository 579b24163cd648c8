package main

import (
	"context"
	"time"

	"p2ping/node/ledger"
)

// followPage is how many records are read from the ledger at a time.
const followPage = 256

// follow calls show for every ping that l gets after cursor, in the order of
// arrival, until ctx ends; then it shows what there is still and returns. It
// pulls, so a slow terminal costs nobody but itself.
func follow(ctx context.Context, l *ledger.Ledger, cursor uint64, show func(shownPing) error) error {
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
			for _, r := range records {
				cursor = r.Cursor
				if err := showRecord(r, show); err != nil {
					return err
				}
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

// showRecord calls show for each ping of a record.
func showRecord(r ledger.Record, show func(shownPing) error) error {
	for _, ping := range r.Entry.Pings {
		err := show(shownPing{
			text: ping.Text, author: r.Entry.Author.String(), via: r.Via.String(),
			sent: time.UnixMicro(ping.SentAt), received: r.ReceivedAt,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
