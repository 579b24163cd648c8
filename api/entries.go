package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"p2ping/api/client"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// ndjson is the type of one JSON value a line.
const ndjson = "application/x-ndjson"

// Bounds of imports: what one holds in memory before it writes, and how many
// there may be at one time.
const (
	maxImports    = 4
	importEntries = 512
	importBytes   = 4 << 20
)

// getEntries exports the ledger in its order. An error on the way cuts the
// answer off, so that half of a ledger is never taken for a whole one.
func (s *Server) getEntries(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "ids")
	if err != nil {
		return err
	}
	write := s.writeEntries
	contentType := ndjson
	switch ids := query.Get("ids"); ids {
	case "", "0":
	case "1":
		write, contentType = s.writeIDs, "text/plain; charset=utf-8"
	default:
		return refusef(http.StatusBadRequest, "the parameter ids is 1 or 0, not %.40q", ids)
	}
	done, err := s.beginStream()
	if err != nil {
		return err
	}
	defer done()
	buffered := bufio.NewWriterSize(s.newLongAnswer(w, contentType), streamBuffer)
	if err := errors.Join(write(r.Context(), buffered), buffered.Flush()); err != nil {
		s.cutOff(r, fmt.Errorf("exporting the ledger: %w", err))
	}
	return nil
}

// writeIDs writes the ids that the ledger's digest is of, in its order.
func (s *Server) writeIDs(ctx context.Context, w io.Writer) error {
	l := s.node.Ledger()
	line := make([]byte, 0, 2*len(entry.ID{})+1)
	for key, err := range l.Keys(entry.Key{Time: l.State().Floor}, entry.LastKey()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		line = append(hex.AppendEncode(line[:0], key.ID[:]), '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) writeEntries(ctx context.Context, w io.Writer) error {
	l := s.node.Ledger()
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for record, err := range l.Range(entry.Key{Time: l.State().Floor}, entry.LastKey()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := encoder.Encode(EntryJSON(record.Entry)); err != nil {
			return err
		}
	}
	return nil
}

// EntryJSON returns e as it is exported.
func EntryJSON(e *entry.Entry) client.Entry {
	out := client.Entry{
		ID:     e.ID.String(),
		Author: e.Author.String(),
		Topic:  e.Topic,
		Time:   client.Time{Time: time.UnixMilli(e.Time)},
		Pings:  make([]client.EntryPing, len(e.Pings)),
		Raw:    e.Raw,
	}
	for i, p := range e.Pings {
		out.Pings[i] = client.EntryPing{Text: p.Text, SentAt: client.Time{Time: p.Time()}}
	}
	return out
}

// ParseEntry reads one line of an export and verifies it: the signature in raw
// must be its author's, and the other fields must say what raw says.
func ParseEntry(line []byte) (*entry.Entry, error) {
	var exported client.Entry
	if err := json.Unmarshal(line, &exported); err != nil {
		return nil, fmt.Errorf("reading an exported entry: %w", err)
	}
	e, err := entry.Parse(exported.Raw)
	if err != nil {
		return nil, err
	}
	want, err := json.Marshal(EntryJSON(e))
	if err != nil {
		return nil, fmt.Errorf("encoding an entry: %w", err)
	}
	got, err := json.Marshal(exported)
	if err != nil {
		return nil, fmt.Errorf("encoding an entry: %w", err)
	}
	if !bytes.Equal(got, want) {
		return nil, fmt.Errorf("%w: what it says in JSON is not what its author signed", entry.ErrInvalid)
	}
	return e, nil
}

// postEntries takes what verifies of an export into the ledger.
func (s *Server) postEntries(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	if err := wantLines(r); err != nil {
		return err
	}
	select {
	case s.imports <- struct{}{}:
		defer func() { <-s.imports }()
	default:
		return later(http.StatusServiceUnavailable, 5*time.Second, "other imports are under way", "")
	}
	im := &importer{server: s, ctx: r.Context()}
	if err := im.read(newLines(newLongBody(w, r), client.MaxLine)); err != nil {
		p := *asProblem(err)
		p.Detail = fmt.Sprintf("%s (%d entries had been taken before)", p.Detail, im.result.Taken)
		return &p
	}
	im.result.Errors = list(im.result.Errors)
	return answerJSON(w, im.result)
}

// importer takes the lines of one export. It lives as long as its request.
type importer struct {
	server *Server
	ctx    context.Context
	result client.Imported
	batch  []*entry.Entry
	bytes  int
}

func (im *importer) read(in *lines) error {
	for {
		line, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return im.flush()
		case errors.Is(err, errLongLine):
			im.refuse(in.number, err)
			continue
		case err != nil:
			return refusef(http.StatusBadRequest, "the body ends early: %v", err)
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		if err := im.take(in.number, line); err != nil {
			return err
		}
	}
}

func (im *importer) refuse(line int, err error) {
	im.result.Refused++
	im.result.Errors = addLineError(im.result.Errors, line, err.Error())
}

// take queues one line's entry, if it is to be admitted.
func (im *importer) take(number int, line []byte) error {
	e, err := ParseEntry(line)
	if err == nil {
		err = e.Admit(im.server.topic, im.server.now(), im.server.node.Ledger().State().Floor)
	}
	switch {
	case errors.Is(err, entry.ErrBelowFloor):
		im.result.Held++ // it was, until the floor passed it
		return nil
	case err != nil:
		im.refuse(number, err)
		return nil
	}
	im.batch = append(im.batch, e)
	im.bytes += len(e.Raw)
	if len(im.batch) < importEntries && im.bytes < importBytes {
		return nil
	}
	return im.flush()
}

// flush writes what is queued.
func (im *importer) flush() error {
	if len(im.batch) == 0 {
		return nil
	}
	records, err := im.server.node.Ledger().Append(im.ctx, ledger.Import, im.batch...)
	if err != nil {
		return err
	}
	im.result.Taken += len(records)
	im.result.Held += len(im.batch) - len(records)
	im.batch, im.bytes = im.batch[:0], 0
	return nil
}
