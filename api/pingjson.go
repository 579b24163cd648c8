package api

import (
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// maxAuthors bounds the peer IDs whose text an encoder remembers.
const maxAuthors = 1024

// encoder writes pings as JSON, by hand, as streams write millions; tests hold
// it to what encoding/json writes. It serves one goroutine.
type encoder struct {
	self    peer.ID
	from    func(entry.Key) peer.ID // who brought an entry, "" where that is forgotten
	authors map[peer.ID]string
	clock   clock

	ledger *ledger.Ledger
	epoch  ledger.Epoch // of upTo
	upTo   uint64       // a cursor that the ledger has given out
}

func (s *Server) newEncoder() *encoder {
	return &encoder{self: s.self, from: s.node.CameFrom, authors: map[peer.ID]string{s.self: s.author}, ledger: s.node.Ledger()}
}

// cursor appends a position with its epoch, or, when something in the ledger lies
// before it, with that one's, or a later one.
func (e *encoder) cursor(b []byte, p position) []byte {
	if p.arrival > e.upTo {
		state := e.ledger.State()
		e.epoch, e.upTo = state.Epoch, state.Last
	}
	if p.epoch == 0 && !p.start() && !p.beyond(e.upTo) {
		p.epoch = e.epoch
	}
	return p.append(b)
}

// author returns a peer ID in base58, which takes longer to make than all the
// rest of a ping.
func (e *encoder) author(id peer.ID) string {
	text, ok := e.authors[id]
	if !ok {
		if len(e.authors) >= maxAuthors {
			clear(e.authors)
		}
		text = id.String()
		e.authors[id] = text
	}
	return text
}

// ping appends ping i of a record as the JSON of a [client.Ping].
func (e *encoder) ping(b []byte, r *ledger.Record, i int) []byte {
	p := r.Entry.Pings[i]
	b = append(b, `{"id":"`...)
	b = appendPingID(b, r.Entry.ID, i)
	b = append(b, `","text":`...)
	b = appendString(b, p.Text)
	b = append(b, `,"author":"`...)
	b = append(b, e.author(r.Entry.Author)...)
	b = append(b, `","sent_at":"`...)
	b = e.clock.append(b, p.Time())
	b = append(b, `","received_at":"`...)
	b = e.clock.append(b, r.ReceivedAt)
	b = append(b, `","via":"`...)
	b = append(b, r.Via.String()...)
	if r.Via == ledger.Gossip {
		if from := e.from(r.Entry.Key()); from != "" {
			b = append(b, `","from":"`...)
			b = append(b, e.author(from)...)
		}
	}
	b = append(b, `","cursor":"`...)
	b = e.cursor(b, behind(r, i))
	b = append(b, `","self":`...)
	b = strconv.AppendBool(b, r.Entry.Author == e.self)
	return append(b, '}')
}

// appendPublished appends p as the JSON of a [client.Published], without the
// closing brace.
func (s *Server) appendPublished(b []byte, c *clock, p *node.Published) []byte {
	b = append(b, `{"id":"`...)
	b = appendPingID(b, p.Entry, p.Index)
	b = append(b, `","text":`...)
	b = appendString(b, p.Text)
	b = append(b, `,"author":"`...)
	b = append(b, s.author...) // nodes publish in their own name alone
	b = append(b, `","sent_at":"`...)
	b = c.append(b, p.SentAt)
	b = append(b, `","topic_peers":`...)
	return strconv.AppendInt(b, int64(p.TopicPeers), 10)
}

// clock writes times as [client.Time] does. It remembers the last second's
// text, which takes as long to make as half of a ping: times come in order.
type clock struct {
	second int64
	text   []byte // up to the point, empty for none yet
}

// append appends t, of the years 0 to 9999.
func (c *clock) append(b []byte, t time.Time) []byte {
	if second := t.Unix(); second != c.second || len(c.text) == 0 {
		c.second, c.text = second, t.UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, c.text...)
	us := t.Nanosecond() / int(time.Microsecond)
	for digit := 100_000; digit > 0; digit /= 10 {
		b = append(b, byte('0'+us/digit%10))
	}
	return append(b, 'Z')
}
