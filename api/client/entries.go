package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
)

// Entries yields every entry of the node's ledger in its order. It is not
// verified: see p2ping verify. After an error there is nothing more.
func (c *Client) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		answer, err := c.stream(ctx, "/entries")
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer closeBody(answer)
		for line, err := range eachLine(answer.Body) {
			var e Entry
			if err == nil {
				err = json.Unmarshal(line, &e)
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading entries from %s: %w", c.where, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// WriteEntries writes the node's whole ledger to w as NDJSON, an [Entry] a
// line, as it comes. After an error w holds a part of it.
func (c *Client) WriteEntries(ctx context.Context, w io.Writer) error {
	return c.copy(ctx, "/entries", w)
}

// WriteIDs writes the ids of all entries to w, one a line, in the ledger's
// order: the SHA-256 of what it writes is [Sync]'s Digest.
func (c *Client) WriteIDs(ctx context.Context, w io.Writer) error {
	return c.copy(ctx, "/entries?ids=1", w)
}

// Import hands an export, as WriteEntries writes it, to the node, which takes
// what verifies.
func (c *Client) Import(ctx context.Context, export io.Reader) (Imported, error) {
	answer, err := c.upload(ctx, "/entries", export)
	if err != nil {
		return Imported{}, err
	}
	defer closeBody(answer)
	return succeed[Imported](c, answer)
}

func (c *Client) copy(ctx context.Context, path string, w io.Writer) error {
	answer, err := c.stream(ctx, path)
	if err != nil {
		return err
	}
	defer closeBody(answer)
	if _, err := io.Copy(w, answer.Body); err != nil {
		return fmt.Errorf("copying from %s: %w", c.where, err)
	}
	return nil
}

// stream makes a request whose answer is read as it comes. The caller closes
// its body.
func (c *Client) stream(ctx context.Context, path string) (*http.Response, error) {
	answer, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer closeBody(answer)
		return nil, problem(answer)
	}
	return answer, nil
}

// eachLine yields lines of at most MaxLine bytes, valid until the next. The part
// of a line that an error cuts off is none.
func eachLine(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), MaxLine)
		whole := false
		lines.Split(func(data []byte, atEOF bool) (advance int, token []byte, err error) {
			advance, token, err = bufio.ScanLines(data, atEOF)
			whole = advance > 0 && data[advance-1] == '\n'
			return advance, token, err
		})
		for lines.Scan() {
			if !whole && lines.Err() != nil {
				break
			}
			if !yield(lines.Bytes(), nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(nil, fmt.Errorf("a line is longer than %d bytes", MaxLine))
		case err != nil:
			yield(nil, err)
		}
	}
}
