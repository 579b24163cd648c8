package api

import (
	"net/http"
	"net/url"
	"unicode/utf8"

	"p2ping/node"
	"p2ping/node/entry"
)

// DefaultText is what is published when a request has no text of its own.
const DefaultText = "I'm alive"

// getPing publishes the query's text. It is the tutorial's curl.
func (s *Server) getPing(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "text", "wait", "timeout")
	if err != nil {
		return err
	}
	text := DefaultText
	if query.Has("text") {
		text = query.Get("text")
	}
	return s.publish(w, r, text, query)
}

// postPing publishes the body's text.
func (s *Server) postPing(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "wait", "timeout")
	if err != nil {
		return err
	}
	text, given, err := readField(w, r, "text")
	if err != nil {
		return err
	}
	if !given {
		text = DefaultText
	}
	return s.publish(w, r, text, query)
}

// publish publishes one text and answers, after receipts came if the query
// asks for some.
func (s *Server) publish(w http.ResponseWriter, r *http.Request, text string, query url.Values) error {
	if err := checkText(text); err != nil {
		return err
	}
	wait, err := parseWait(query)
	if err != nil {
		return err
	}
	if err := s.limiter.check(r, s.now()); err != nil {
		return err
	}
	p, replayed, err := s.publishOnce(r, text)
	if err != nil {
		return err
	}
	status := http.StatusOK
	made := s.scratch.Get().(*scratch)
	b := s.appendPublished(made.b[:0], &made.clock, &p)
	if wait.receipts > 0 {
		wait.extend(w)
		b, status = s.appendReceipts(b, r, p, replayed, wait)
	}
	b = append(b, "}\n"...)
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	answer(w, status, b)
	made.b = b
	s.scratch.Put(made)
	return nil
}

// scratch is what answers are made with, one after the other.
type scratch struct {
	b     []byte
	clock clock
}

// publishOnce publishes a text, but not if its idempotency key was used before:
// then the answer is the one of that time.
func (s *Server) publishOnce(r *http.Request, text string) (p node.Published, replayed bool, err error) {
	given := r.Header["Idempotency-Key"]
	switch {
	case len(given) == 0:
		p, err = s.node.Publish(r.Context(), text)
		return p, false, err
	case len(given) > 1:
		return p, false, refusef(http.StatusBadRequest, "the header Idempotency-Key is given %d times", len(given))
	case given[0] == "":
		return p, false, refuse(http.StatusBadRequest, "the header Idempotency-Key is empty", "leave it out for none")
	}
	results := s.publishKeyed(r.Context(), []line{{text: text, key: given[0]}})
	return results[0].published, results[0].replayed, results[0].err
}

// checkText says before anything is done what would be wrong with a ping.
func checkText(text string) error {
	switch {
	case text == "":
		return refuse(http.StatusBadRequest, "the text is empty", "leave it out for the default, "+DefaultText)
	case len(text) > entry.MaxText:
		return refusef(http.StatusRequestEntityTooLarge, "a text of %d bytes is too long: %d at most", len(text), entry.MaxText)
	case !utf8.ValidString(text):
		return refuse(http.StatusBadRequest, "the text is not valid UTF-8", "")
	}
	return nil
}
