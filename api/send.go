package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"p2ping/node/entry"
)

const (
	// maxLine bounds a line of POST /pings in bytes: a text in JSON that escapes
	// each of its bytes, a key, and room around them.
	maxLine = maxBody
	// linesAhead bounds how many lines are read before they are published.
	linesAhead = entry.MaxPings
	// batchBytes bounds the texts that are handed to the node at one time: some
	// entries' worth, as a node that is short of room refuses a batch whole.
	batchBytes = 4 * entry.MaxData
	// busyPause is how long a stream of pings waits when the node is busy, and
	// busyTries how often.
	busyPause = 100 * time.Millisecond
	busyTries = 100
)

// numbered is a line of a request's body, or why it can't be published.
type numbered struct {
	number int
	line
	err error
}

// postPings publishes a ping for every line of the body, in their order, and
// answers each with a line, in the same order. It reads on while it answers,
// and no faster than it can publish: what is not answered was not taken.
func (s *Server) postPings(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	if err := wantLines(r); err != nil {
		return err
	}
	done, err := s.beginStream()
	if err != nil {
		return err
	}
	defer done()
	control := http.NewResponseController(w)
	// Without it, the body would be swallowed at the first answer. Only a test's
	// writer does not have it.
	_ = control.EnableFullDuplex()
	in := newLines(newLongBody(w, r), maxLine)
	lines := make(chan numbered, linesAhead)
	ctx, cancel := context.WithCancel(r.Context())
	var reading sync.WaitGroup
	read := false // the whole body
	defer func() {
		if !read {
			_ = control.SetReadDeadline(time.Unix(1, 0)) // ends the read under way
		}
		cancel()
		reading.Wait()
	}()
	send := &sender{server: s, r: r, out: s.newLongAnswer(w, ndjson)}
	reading.Go(func() {
		defer close(lines)
		readPings(ctx, in, lines)
	})
	for !read {
		read, err = send.next(lines)
		send.publish(ctx)
		send.answer()
		if err = errors.Join(err, r.Context().Err()); err != nil {
			s.cutOff(r, err)
		}
	}
	return nil
}

// wantLines refuses bodies that announce something else than lines. curl
// --data-binary announces a form.
func wantLines(r *http.Request) error {
	switch mediaType(r.Header.Get("Content-Type")) {
	case ndjson, "application/jsonl", "application/x-www-form-urlencoded", "text/plain":
		if r.Header.Get("Content-Encoding") == "" {
			return nil
		}
	}
	p := refuse(http.StatusUnsupportedMediaType, "the body is not "+ndjson, "send one JSON object a line")
	p.header, p.value = "Accept-Post", ndjson
	return p
}

// readPings reads lines until they end or ctx does.
func readPings(ctx context.Context, in *lines, out chan<- numbered) {
	for {
		b, err := in.next()
		n := numbered{number: in.number}
		switch {
		case errors.Is(err, errLongLine):
			n.err = refusef(http.StatusRequestEntityTooLarge, "the line is longer than %d bytes", maxLine)
		case err != nil:
			return // the end, or the connection's; what came is published
		case len(bytes.TrimSpace(b)) == 0:
			continue
		default:
			n.line, n.err = decodePing(b)
		}
		select {
		case out <- n:
		case <-ctx.Done():
			return
		}
	}
}

// decodePing reads the JSON of a [client.NewPing].
func decodePing(b []byte) (line, error) {
	if l, ok := plainPing(b); ok {
		return l, checkText(l.text)
	}
	return decodeJSON(b)
}

// decodeJSON is decodePing for all JSON there is, at ten times the cost of
// plainPing.
func decodeJSON(b []byte) (line, error) {
	fields, err := jsonObject(b)
	switch {
	case err != nil:
		return line{}, refusef(http.StatusBadRequest, `the line is not of the form {"text":"..."}: %v`, err)
	case !utf8.Valid(b):
		return line{}, refuse(http.StatusBadRequest, "the line is not valid UTF-8", "")
	case fields["text"] == nil:
		return line{}, refuse(http.StatusBadRequest, "the text is missing", `send {"text":"..."}`)
	}
	var l line
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw := fields[name]
		switch name {
		case "text":
			l.text, err = jsonString(raw)
		case "key":
			if l.key, err = jsonString(raw); err == nil && l.key == "" {
				err = errors.New("is empty: leave it out for none")
			}
		default:
			return line{}, refusef(http.StatusBadRequest, `the line has another field than "text" and "key": %.40q`, name)
		}
		if err != nil {
			return line{}, refusef(http.StatusBadRequest, "the field %q %v", name, err)
		}
	}
	return l, checkText(l.text)
}

// errStopping ends streams that can't end well.
var errStopping = errors.New("the server is stopping")

// sender publishes the lines of one request. Its buffers are used over and over:
// a stream has no end.
type sender struct {
	server *Server
	r      *http.Request
	out    *longAnswer

	batch   []numbered
	good    []line   // those of batch that are to be published
	results []result // of good
	answers []byte
	clock   clock
}

// next waits for a line and takes what else is there as the next batch. end
// tells that nothing follows.
func (d *sender) next(lines <-chan numbered) (end bool, err error) {
	d.batch = d.batch[:0]
	size := 0
	select {
	case n, ok := <-lines:
		if !ok {
			return true, nil
		}
		d.batch, size = append(d.batch, n), len(n.text)
	case <-d.server.stopping:
		return false, errStopping
	}
	for len(d.batch) < entry.MaxPings && size < batchBytes {
		select {
		case n, ok := <-lines:
			if !ok {
				return true, nil
			}
			d.batch, size = append(d.batch, n), size+len(n.text)
		default:
			return false, nil
		}
	}
	return false, nil
}

// publish publishes what is good of the batch.
func (d *sender) publish(ctx context.Context) {
	d.good = d.good[:0]
	for i := range d.batch {
		n := &d.batch[i]
		if n.err == nil {
			n.err = d.server.limiter.wait(ctx, d.r, d.server.now)
		}
		if n.err == nil {
			d.good = append(d.good, n.line)
		}
	}
	d.results = d.server.publishPatiently(ctx, d.good, d.results[:0])
}

// answer answers for each line of the batch.
func (d *sender) answer() {
	if len(d.batch) == 0 {
		return
	}
	results := d.results
	for i := range d.batch {
		n := &d.batch[i]
		r := &result{err: n.err}
		if n.err == nil {
			r, results = &results[0], results[1:]
		}
		d.answers = d.server.appendResult(d.answers, &d.clock, n.number, r)
		if len(d.answers) >= streamBuffer {
			d.write()
		}
	}
	d.write()
	if err := d.out.flush(); err != nil {
		d.server.cutOff(d.r, err)
	}
}

func (d *sender) write() {
	if _, err := d.out.Write(d.answers); err != nil {
		d.server.cutOff(d.r, err)
	}
	d.answers = d.answers[:0]
}

// publishPatiently appends the results of lines, and waits while the node is
// busy: the client waits with it, as nothing more is read.
func (s *Server) publishPatiently(ctx context.Context, lines []line, results []result) []result {
	results = s.publishAll(ctx, lines, results)
	for range busyTries {
		var again []line
		var at []int
		for i, r := range results {
			if busy(r.err) {
				again, at = append(again, lines[i]), append(at, i)
			}
		}
		if len(again) == 0 || pause(ctx, busyPause) != nil {
			break
		}
		for i, r := range s.publishAll(ctx, again, nil) {
			results[at[i]] = r
		}
	}
	return results
}

// appendResult appends the JSON of a [client.SendResult], and a newline.
func (s *Server) appendResult(b []byte, c *clock, number int, r *result) []byte {
	b = append(b, `{"line":`...)
	b = strconv.AppendInt(b, int64(number), 10)
	if r.err != nil {
		p := asProblem(r.err)
		doc, err := json.Marshal(&p.refusal)
		if err != nil {
			doc = []byte("{}") // can't be: client.Error always encodes
		}
		b = append(b, `,"error":`...)
		b = append(b, doc...)
		return append(b, "}\n"...)
	}
	if r.replayed {
		b = append(b, `,"replayed":true`...)
	}
	b = append(b, ',')
	// The fields of the object, without its opening brace.
	n := len(b)
	b = s.appendPublished(b, c, &r.published)
	b = append(b[:n], b[n+1:]...)
	return append(b, "}\n"...)
}
