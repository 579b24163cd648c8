package api

import (
	"net/http"
	"strconv"
	"unicode/utf8"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
)

// DefaultText is what is published when a request has no text of its own.
const DefaultText = "I'm alive"

// getPing publishes the query's text. It is the tutorial's curl.
func (s *Server) getPing(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "text")
	if err != nil {
		return err
	}
	text := DefaultText
	if query.Has("text") {
		text = query.Get("text")
	}
	return s.publish(w, r, text)
}

// postPing publishes the body's text.
func (s *Server) postPing(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	text, given, err := readField(w, r, "text")
	if err != nil {
		return err
	}
	if !given {
		text = DefaultText
	}
	return s.publish(w, r, text)
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request, text string) error {
	if err := checkText(text); err != nil {
		return err
	}
	p, err := s.node.Publish(r.Context(), text)
	if err != nil {
		return err
	}
	b := s.buffers.Get().(*[]byte)
	*b = append(s.appendPublished((*b)[:0], p), '\n')
	answer(w, http.StatusOK, *b)
	s.buffers.Put(b)
	return nil
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

// appendPublished appends p as the JSON of a [client.Published]. By hand, as
// this is the answer that is given tens of thousands of times a second; a test
// holds it to what encoding/json writes.
func (s *Server) appendPublished(b []byte, p node.Published) []byte {
	b = append(b, `{"id":"`...)
	b = appendPingID(b, p.Entry, p.Index)
	b = append(b, `","text":`...)
	b = appendString(b, p.Text)
	b = append(b, `,"author":"`...)
	if p.Author == s.self {
		b = append(b, s.author...)
	} else {
		b = append(b, p.Author.String()...)
	}
	b = append(b, `","sent_at":"`...)
	b, _ = client.Time{Time: p.SentAt}.AppendText(b)
	b = append(b, `","topic_peers":`...)
	b = strconv.AppendInt(b, int64(p.TopicPeers), 10)
	return append(b, '}')
}
