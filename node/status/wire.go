package status

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of an answer, part of the protocol.
const (
	// MaxPeers bounds the topic peers that one answer tells of.
	MaxPeers = 64
	// maxAgent bounds a user agent, in bytes.
	maxAgent = 128
	// maxID bounds a peer ID, in bytes. An Ed25519 key's has 38.
	maxID = 64
	// maxCount bounds all counts: the integers that every JSON reader has.
	maxCount = 1<<53 - 1
	// maxRTT bounds a round trip time. What takes longer is no connection.
	maxRTT = time.Hour
	// maxAddrs bounds the addresses told of one peer: a transport or two for
	// IPv4 and IPv6. It also is what a lie costs whoever believes it.
	maxAddrs = 4
	// maxAddr bounds an address in bytes. The longest that is dialled has 21.
	maxAddr = 64
	// maxAnswer is the largest encoding within these bounds, and room for a
	// later version's fields.
	maxAnswer = 24 << 10
	// tagSize is that of a request, which is nothing but a topic's tag.
	tagSize = 4
)

// errProtocol is wrapped by errors about what no honest peer sends.
var errProtocol = errors.New("breach of the status protocol")

// Report is what a node tells of itself.
type Report struct {
	// Agent is the node's user agent: at most 128 bytes of UTF-8. A peer's has
	// U+FFFD for what could disturb a terminal.
	Agent string
	// Entries and Pings count what its ledger holds.
	Entries, Pings int64
	// TopicPeers counts all its topic peers, Peers are some of them: at most
	// MaxPeers, each once.
	TopicPeers int
	Peers      []Peer
}

// Peer is a topic peer that a node tells of.
type Peer struct {
	ID peer.ID
	// InMesh says that the node exchanges pings with it directly.
	InMesh bool
	// RTT is the round trip time that the node measured, to the microsecond; 0
	// when it has not.
	RTT time.Duration
	// Addrs are where it can be reached, without /p2p/ID, as far as the asker may
	// know: at most 4.
	Addrs []ma.Multiaddr
	// Silent says that it answers nobody: nothing is told of where it is.
	Silent bool
}

// topicTag is what stands for a topic on the wire: the start of its SHA-256.
func topicTag(topic string) [tagSize]byte {
	sum := sha256.Sum256([]byte(topic))
	return [tagSize]byte(sum[:tagSize])
}

// Field numbers: message Status { string agent = 1; uint64 entries = 2;
// uint64 pings = 3; uint64 topic_peers = 4; repeated Peer peers = 5; }
// message Peer { bytes id = 1; bool in_mesh = 2; uint64 rtt = 3; repeated bytes
// addrs = 4; bool silent = 5; }, rtt in microseconds.
const (
	fieldAgent      = 1
	fieldEntries    = 2
	fieldPings      = 3
	fieldTopicPeers = 4
	fieldPeers      = 5

	fieldID     = 1
	fieldInMesh = 2
	fieldRTT    = 3
	fieldAddrs  = 4
	fieldSilent = 5
)

// encode encodes a report. Zeros are left out, as in all protobuf.
func (r Report) encode() []byte {
	var b []byte
	if r.Agent != "" {
		b = protowire.AppendTag(b, fieldAgent, protowire.BytesType)
		b = protowire.AppendString(b, r.Agent)
	}
	b = appendCount(b, fieldEntries, uint64(r.Entries))
	b = appendCount(b, fieldPings, uint64(r.Pings))
	b = appendCount(b, fieldTopicPeers, uint64(r.TopicPeers))
	for _, p := range r.Peers {
		b = protowire.AppendTag(b, fieldPeers, protowire.BytesType)
		b = protowire.AppendBytes(b, p.encode())
	}
	return b
}

func (p Peer) encode() []byte {
	b := protowire.AppendTag(nil, fieldID, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte(p.ID))
	if p.InMesh {
		b = appendCount(b, fieldInMesh, 1)
	}
	b = appendCount(b, fieldRTT, uint64(p.RTT.Microseconds()))
	for _, a := range p.Addrs {
		b = protowire.AppendTag(b, fieldAddrs, protowire.BytesType)
		b = protowire.AppendBytes(b, a.Bytes())
	}
	if p.Silent {
		b = appendCount(b, fieldSilent, 1)
	}
	return b
}

func appendCount(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

// readReport reads an answer to the end of the stream.
func readReport(r io.Reader) (Report, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return Report{}, fmt.Errorf("reading an answer: %w", err)
	}
	return decodeReport(b)
}

// decodeReport decodes an answer: bounds first, known fields of their own type
// and at most once, unknown ones passed over, and no peer twice.
func decodeReport(b []byte) (r Report, err error) {
	if len(b) > maxAnswer {
		return Report{}, fmt.Errorf("%w: an answer of more than %d bytes", errProtocol, maxAnswer)
	}
	if len(b) == 0 {
		return Report{}, fmt.Errorf("%w: an empty answer", errProtocol)
	}
	told := make(map[peer.ID]struct{})
	err = fields(b, func(f field) (err error) {
		switch f.num {
		case fieldAgent:
			r.Agent, err = f.text(maxAgent)
		case fieldEntries:
			r.Entries, err = f.count(maxCount)
		case fieldPings:
			r.Pings, err = f.count(maxCount)
		case fieldTopicPeers:
			var n int64
			n, err = f.count(math.MaxInt32)
			r.TopicPeers = int(n)
		case fieldPeers:
			if len(r.Peers) == MaxPeers {
				return fmt.Errorf("%w: more than %d peers", errProtocol, MaxPeers)
			}
			var p Peer
			if p, err = decodePeer(f); err != nil {
				return err
			}
			if _, ok := told[p.ID]; ok {
				return fmt.Errorf("%w: a peer twice", errProtocol)
			}
			told[p.ID] = struct{}{}
			r.Peers = append(r.Peers, p)
		}
		return err
	}, fieldPeers)
	if err == nil && r.TopicPeers < len(r.Peers) {
		err = fmt.Errorf("%w: more peers than it counts", errProtocol)
	}
	if err != nil {
		return Report{}, err
	}
	return r, nil
}

func decodePeer(f field) (p Peer, err error) {
	if f.typ != protowire.BytesType {
		return p, f.mistyped()
	}
	count := 0
	err = fields(f.bytes, func(f field) (err error) {
		switch f.num {
		case fieldID:
			if f.typ != protowire.BytesType {
				return f.mistyped()
			}
			if len(f.bytes) > maxID {
				return fmt.Errorf("%w: a peer ID of %d bytes", errProtocol, len(f.bytes))
			}
			if p.ID, err = peer.IDFromBytes(f.bytes); err != nil {
				return fmt.Errorf("%w: not a peer ID", errProtocol)
			}
		case fieldInMesh:
			p.InMesh, err = f.flag()
		case fieldRTT:
			var n int64
			n, err = f.count(maxRTT.Microseconds())
			p.RTT = time.Duration(n) * time.Microsecond
		case fieldAddrs:
			if f.typ != protowire.BytesType {
				return f.mistyped()
			}
			if count++; count > maxAddrs || len(f.bytes) > maxAddr {
				return fmt.Errorf("%w: more than %d addresses, or of more than %d bytes", errProtocol, maxAddrs, maxAddr)
			}
			// One that can't be read is of a kind that a later version knows.
			if a, err := ma.NewMultiaddrBytes(f.bytes); err == nil {
				p.Addrs = append(p.Addrs, a)
			}
		case fieldSilent:
			p.Silent, err = f.flag()
		}
		return err
	}, fieldAddrs)
	if err == nil && p.ID == "" {
		err = fmt.Errorf("%w: a peer without its ID", errProtocol)
	}
	return p, err
}

// field is one field of a message.
type field struct {
	num    protowire.Number
	typ    protowire.Type
	bytes  []byte // of a length-delimited one
	varint uint64 // of a varint
}

func (f field) mistyped() error {
	return fmt.Errorf("%w: field %d of wire type %d", errProtocol, f.num, f.typ)
}

func (f field) count(most int64) (int64, error) {
	if f.typ != protowire.VarintType {
		return 0, f.mistyped()
	}
	if f.varint > uint64(most) {
		return 0, fmt.Errorf("%w: field %d is %d, over %d", errProtocol, f.num, f.varint, most)
	}
	return int64(f.varint), nil
}

func (f field) flag() (bool, error) {
	n, err := f.count(1)
	return n == 1, err
}

func (f field) text(most int) (string, error) {
	if f.typ != protowire.BytesType {
		return "", f.mistyped()
	}
	if len(f.bytes) > most || !utf8.Valid(f.bytes) {
		return "", fmt.Errorf("%w: field %d is not at most %d bytes of UTF-8", errProtocol, f.num, most)
	}
	return string(f.bytes), nil
}

// lastKnown is the highest field number that a message has here.
const lastKnown = fieldPeers

// fields calls f for each field of a message. Known ones come at most once, but
// for the repeated one; groups are refused, as they nest.
func fields(b []byte, f func(field) error, repeated protowire.Number) error {
	var seen [lastKnown + 1]bool
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errProtocol, protowire.ParseError(n))
		}
		b = b[n:]
		one := field{num: num, typ: typ}
		switch typ {
		case protowire.BytesType:
			one.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			one.varint, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type, protowire.Fixed64Type:
			n = protowire.ConsumeFieldValue(num, typ, b)
		default:
			return fmt.Errorf("%w: wire type %d", errProtocol, typ)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errProtocol, protowire.ParseError(n))
		}
		b = b[n:]
		if num <= lastKnown && num != repeated {
			if seen[num] {
				return fmt.Errorf("%w: field %d twice", errProtocol, num)
			}
			seen[num] = true
		}
		if err := f(one); err != nil {
			return err
		}
	}
	return nil
}
