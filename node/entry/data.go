package entry

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of an entry's data, part of the protocol.
const (
	// MaxData bounds the encoded pings of one entry in bytes.
	MaxData = 64 << 10
	// MaxPings bounds the pings of one entry.
	MaxPings = 1000
	// MaxText bounds a ping's text in bytes.
	MaxText = 4096
	// maxSentAt is the last microsecond of the year 9999, the last that
	// RFC 3339 can write.
	maxSentAt = 253402300799999999
	// pingOverhead bounds what a ping needs beside its text: two tags and
	// lengths of the ping and the text, a tag and nine bytes of time, absolute
	// or since the ping before.
	pingOverhead = 1 + 3 + 1 + 2 + 1 + 9
)

// Field numbers of entry.proto.
const (
	dataPings  = 1
	pingText   = 1
	pingSentAt = 2
	pingAfter  = 3
)

var errYears = fmt.Errorf("%w: a time outside the years 1970 to 9999", ErrInvalid)

// Ping is one text with the time its author sent it.
type Ping struct {
	// Text is 1 to MaxText bytes of valid UTF-8.
	Text string
	// SentAt is in Unix microseconds by the author's clock, 1970 to 9999.
	SentAt int64
}

// Time returns SentAt as a time in UTC.
func (p Ping) Time() time.Time { return time.UnixMicro(p.SentAt).UTC() }

// Check says why no entry can hold the ping, or nil. Its errors wrap
// [ErrInvalid].
func (p Ping) Check() error {
	switch {
	case p.Text == "":
		return fmt.Errorf("%w: a ping without a text", ErrInvalid)
	case len(p.Text) > MaxText:
		return fmt.Errorf("%w: a text of %d bytes, over %d", ErrInvalid, len(p.Text), MaxText)
	case !utf8.ValidString(p.Text):
		return fmt.Errorf("%w: a text that is not valid UTF-8", ErrInvalid)
	case p.SentAt < 0 || p.SentAt > maxSentAt:
		return errYears
	}
	return nil
}

// MaxEncodedSize bounds what the ping adds to an entry's data, in bytes. Pings
// whose bounds add up to at most [MaxData] fit into one entry.
func (p Ping) MaxEncodedSize() int { return len(p.Text) + pingOverhead }

// EncodeData encodes 1 to [MaxPings] pings as an entry's data: the first with
// the time it was sent at, each other with how long after the one before that
// was. It fails, with an error that wraps [ErrInvalid], where [DecodeData]
// would.
func EncodeData(pings []Ping) ([]byte, error) {
	if len(pings) == 0 || len(pings) > MaxPings {
		return nil, fmt.Errorf("%w: %d pings, not 1 to %d", ErrInvalid, len(pings), MaxPings)
	}
	size := 0
	for i, p := range pings {
		if err := p.Check(); err != nil {
			return nil, err
		}
		size += protowire.SizeTag(dataPings) + protowire.SizeBytes(timeOf(pings, i).size(p.Text))
	}
	if size > MaxData {
		return nil, fmt.Errorf("%w: %d bytes of data, over %d", ErrInvalid, size, MaxData)
	}
	data := make([]byte, 0, size)
	for i, p := range pings {
		t := timeOf(pings, i)
		data = protowire.AppendTag(data, dataPings, protowire.BytesType)
		data = protowire.AppendVarint(data, uint64(t.size(p.Text)))
		data = protowire.AppendTag(data, pingText, protowire.BytesType)
		data = protowire.AppendString(data, p.Text)
		data = t.append(data)
	}
	return data, nil
}

// timeField is the field that says when a ping was sent. The zero value is
// none: at the same time as the ping before.
type timeField struct {
	num   protowire.Number
	value uint64
}

// timeOf returns the field for ping i. All pings have been checked, so that no
// difference overflows.
func timeOf(pings []Ping, i int) timeField {
	if i == 0 {
		return timeField{pingSentAt, uint64(pings[0].SentAt)}
	}
	after := pings[i].SentAt - pings[i-1].SentAt
	if after == 0 {
		return timeField{}
	}
	return timeField{pingAfter, protowire.EncodeZigZag(after)}
}

// size is how long a ping with this text is as the content of its field.
func (t timeField) size(text string) int {
	n := protowire.SizeTag(pingText) + protowire.SizeBytes(len(text))
	if t.num != 0 {
		n += protowire.SizeTag(t.num) + protowire.SizeVarint(t.value)
	}
	return n
}

func (t timeField) append(b []byte) []byte {
	if t.num == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, t.num, protowire.VarintType), t.value)
}

// DecodeData decodes an entry's data strictly: bounds first, every known field
// at most once and of its own type, one way of saying when a ping was sent,
// unknown fields passed over. Its errors wrap [ErrInvalid].
func DecodeData(data []byte) ([]Ping, error) {
	if len(data) > MaxData {
		return nil, fmt.Errorf("%w: %d bytes of data, over %d", ErrInvalid, len(data), MaxData)
	}
	count, err := countPings(data)
	if err != nil {
		return nil, err
	}
	if count == 0 || count > MaxPings {
		return nil, fmt.Errorf("%w: %d pings, not 1 to %d", ErrInvalid, count, MaxPings)
	}
	var texts strings.Builder
	texts.Grow(len(data))
	pings := make([]Ping, 0, count)
	err = eachField(data, func(num protowire.Number, v value) error {
		if num != dataPings {
			return nil
		}
		p, err := decodePing(v.bytes, pings, &texts)
		pings = append(pings, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return pings, nil
}

// countPings walks data once, so that decoding can allocate exactly.
func countPings(data []byte) (int, error) {
	count := 0
	err := eachField(data, func(num protowire.Number, v value) error {
		if num != dataPings {
			return nil
		}
		count++
		return v.want(protowire.BytesType)
	})
	return count, err
}

// decodePing decodes the ping that comes after those before. Its text is copied
// to the end of texts, which has room for it, so that a thousand pings cost one
// allocation.
func decodePing(b []byte, before []Ping, texts *strings.Builder) (Ping, error) {
	var p Ping
	var after int64
	var once onceEach
	err := eachField(b, func(num protowire.Number, v value) error {
		switch num {
		case pingText:
			if len(v.bytes) > MaxText {
				return fmt.Errorf("%w: a text of %d bytes, over %d", ErrInvalid, len(v.bytes), MaxText)
			}
			start := texts.Len()
			texts.Write(v.bytes)
			p.Text = texts.String()[start:]
			return once.want(num, v, protowire.BytesType)
		case pingSentAt:
			p.SentAt = int64(v.varint)
			return once.want(num, v, protowire.VarintType)
		case pingAfter:
			after = protowire.DecodeZigZag(v.varint)
			return once.want(num, v, protowire.VarintType)
		}
		return nil
	})
	if err != nil {
		return Ping{}, err
	}
	if !once.saw(pingSentAt) {
		p.SentAt, err = sentAfter(before, after)
	} else if once.saw(pingAfter) {
		err = fmt.Errorf("%w: a ping with a time of its own and one after another's", ErrInvalid)
	}
	if err != nil {
		return Ping{}, err
	}
	return p, p.Check()
}

// sentAfter returns the time so many microseconds after the last ping of before.
func sentAfter(before []Ping, after int64) (int64, error) {
	if len(before) == 0 {
		return 0, fmt.Errorf("%w: the first ping has no time of its own", ErrInvalid)
	}
	last := before[len(before)-1].SentAt
	if after < -last || after > maxSentAt-last { // as their sum can overflow
		return 0, errYears
	}
	return last + after, nil
}
