package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"p2ping/api"
	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// restingBook is the ledger in a data directory whose node does not run.
type restingBook struct{ ledger *ledger.Ledger }

// maxLineErrors bounds how many refused lines are explained.
const maxLineErrors = 10

// Close closes the ledger. Its error would say that the file is closed badly,
// when every write was synced before.
func (b *restingBook) Close() { _ = b.ledger.Close() }

func (b *restingBook) WriteIDs(ctx context.Context, w io.Writer) error {
	buffered := bufio.NewWriter(w)
	for key, err := range b.ledger.Keys(b.floor(), entry.LastKey()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		fmt.Fprintln(buffered, key.ID)
	}
	return buffered.Flush()
}

func (b *restingBook) WriteEntries(ctx context.Context, w io.Writer) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for record, err := range b.ledger.Range(b.floor(), entry.LastKey()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := encoder.Encode(api.EntryJSON(record.Entry)); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

func (b *restingBook) floor() entry.Key { return entry.Key{Time: b.ledger.State().Floor} }

// Import takes what verifies and belongs to the topic of the entries that are
// there already, or the default one.
func (b *restingBook) Import(ctx context.Context, export io.Reader) (client.Imported, error) {
	const batchSize = 512
	topic, result := b.topic(), client.Imported{Errors: []client.LineError{}}
	batch := make([]*entry.Entry, 0, batchSize)
	flush := func() error {
		records, err := b.ledger.Append(ctx, ledger.Import, batch...)
		result.Taken += len(records)
		result.Held += len(batch) - len(records)
		batch = batch[:0]
		return err
	}
	for line, err := range exportLines(export) {
		if err != nil {
			return result, err
		}
		if line.err == nil {
			line.err = line.entry.Admit(topic, time.Now(), b.ledger.State().Floor)
		}
		switch {
		case errors.Is(line.err, entry.ErrBelowFloor):
			result.Held++
			continue
		case line.err != nil:
			result.Refused++
			result.Errors = addLineError(result.Errors, line)
			continue
		}
		if batch = append(batch, line.entry); len(batch) == batchSize {
			if err := flush(); err != nil {
				return result, err
			}
		}
	}
	return result, flush()
}

func (b *restingBook) topic() string {
	for record, err := range b.ledger.Range(b.floor(), entry.LastKey()) {
		if err == nil {
			return record.Entry.Topic
		}
	}
	return node.DefaultTopic
}

func addLineError(errs []client.LineError, line exportLine) []client.LineError {
	if len(errs) == maxLineErrors {
		return errs
	}
	return append(errs, client.LineError{Line: line.number, Detail: line.err.Error()})
}

// exportLine is a line of an export: an entry that verifies, or why it doesn't.
type exportLine struct {
	number int // from 1
	entry  *entry.Entry
	err    error
}

// exportLines reads and verifies an export. Its error ends it: what can't be
// read, or a line that is too long to be an entry.
func exportLines(r io.Reader) iter.Seq2[exportLine, error] {
	return func(yield func(exportLine, error) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(make([]byte, 0, 64<<10), client.MaxLine)
		number := 0
		for scanner.Scan() {
			number++
			if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
				continue
			}
			line := exportLine{number: number}
			line.entry, line.err = api.ParseEntry(scanner.Bytes())
			if !yield(line, nil) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(exportLine{}, fmt.Errorf("reading line %d: %w", number+1, err))
		}
	}
}
