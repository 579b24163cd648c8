// Package entry turns bytes into values and back: the signed message that is
// the unit of p2ping's network and ledger, its id, and the pings in it.
//
// An [Entry] is one GossipSub message under libp2p's StrictSign policy, as any
// libp2p peer with default settings publishes it. Its data field holds a batch
// of one to [MaxPings] pings (entry.proto). The package is pure: no clock, no
// network, no disk. Everything it reads is taken for hostile: lengths are
// checked before anything is allocated, and whether an entry is valid depends
// on its bytes alone, so that two honest nodes never disagree about it.
//
// [Parse] is for bytes from a peer or a file and checks the signature;
// [FromMessage] is for a message whose signature pubsub has checked already;
// [ParseTrusted] is for bytes that this node itself verified and stored.
package entry

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"unicode/utf8"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of an entry. They are part of the protocol: changing one splits the
// network into nodes that admit an entry and nodes that don't.
const (
	// MaxTopic bounds the topic's length in bytes.
	MaxTopic = 256
	// MaxRaw bounds a whole encoded entry: its data and, generously, the
	// author, sequence number, topic, signature and key around it.
	MaxRaw = MaxData + 1024
)

// signPrefix is what libp2p's pubsub specification puts before the bytes that
// an author signs.
const signPrefix = "libp2p-pubsub:"

// authorPrefix begins the peer ID of every Ed25519 key: an identity multihash
// (0x00) of 36 bytes (0x24) that hold the protobuf of a public key, type
// Ed25519 (0x08 0x01), 32 bytes of key (0x12 0x20).
const authorPrefix = "\x00\x24\x08\x01\x12\x20"

const (
	authorLen = len(authorPrefix) + ed25519.PublicKeySize
	seqnoLen  = 8
)

// ErrInvalid is wrapped by every error about bytes that no honest author can
// have sent: such an entry may be rejected, and its sender held to account.
var ErrInvalid = errors.New("invalid entry")

// Entry is one signed message and what it says. Its fields are read only:
// entries are shared between goroutines without a lock.
type Entry struct {
	// ID is the SHA-256 of the bytes that the author signed.
	ID ID
	// Author is the peer that signed it, always an Ed25519 identity.
	Author peer.ID
	// Topic is the GossipSub topic it was signed for: 1 to MaxTopic bytes of
	// valid UTF-8.
	Topic string
	// Time is the first ping's SentAt in Unix milliseconds, cut down.
	Time int64
	// Pings holds 1 to MaxPings pings in the author's order. Their texts share
	// memory: clone one that outlives the entry.
	Pings []Ping
	// Raw is the canonical encoding: the pubsub message's protobuf with the
	// fields from, data, seqno, topic and signature, in that order.
	Raw []byte
}

// Key returns the entry's place in a ledger.
func (e *Entry) Key() Key { return Key{Time: e.Time, ID: e.ID} }

// Parse decodes one entry that came from a peer or a file and verifies its
// signature. Any encoding of the message will do, the entry's Raw is the
// canonical one. The argument is not retained. Errors wrap [ErrInvalid].
func Parse(raw []byte) (*Entry, error) {
	f, err := decodeFields(raw)
	if err != nil {
		return nil, err
	}
	e, signed, err := f.entry()
	if err != nil {
		return nil, err
	}
	public := ed25519.PublicKey(f.from[len(authorPrefix):])
	if !ed25519.Verify(public, signed, f.signature) {
		return nil, fmt.Errorf("%w: the signature is not %s's", ErrInvalid, e.Author)
	}
	return e, nil
}

// ParseTrusted decodes one entry whose signature this node has verified
// before, such as a record of its own ledger. It is [Parse] without that
// check: comparing the ID shows whether the bytes that were signed are still
// the same, but says nothing of the signature beside them.
func ParseTrusted(raw []byte) (*Entry, error) {
	f, err := decodeFields(raw)
	if err != nil {
		return nil, err
	}
	e, _, err := f.entry()
	return e, err
}

// FromMessage makes an entry of a message that pubsub received under
// StrictSign, which means that its signature was verified. The message is not
// retained. Its errors wrap [ErrInvalid].
func FromMessage(m *pb.Message) (*Entry, error) {
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return nil, fmt.Errorf("%w: unknown fields in the message", ErrInvalid)
	}
	e, _, err := fields{
		from:      m.GetFrom(),
		data:      m.GetData(),
		seqno:     m.GetSeqno(),
		topic:     m.GetTopic(),
		signature: m.GetSignature(),
		key:       m.GetKey(),
	}.entry()
	return e, err
}

// Sign makes an entry as pubsub would: signed by key, which must be Ed25519,
// with the given sequence number. It serves tests and tools; nodes publish
// through pubsub, which signs. Errors wrap [ErrInvalid] unless the key itself
// fails.
func Sign(key crypto.PrivKey, topic string, seqno [seqnoLen]byte, pings []Ping) (*Entry, error) {
	author, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("deriving the author's peer ID: %w", err)
	}
	data, err := EncodeData(pings)
	if err != nil {
		return nil, err
	}
	f := fields{from: []byte(author), data: data, seqno: seqno[:], topic: topic}
	f.signature, err = key.Sign(f.appendSigned([]byte(signPrefix)))
	if err != nil {
		return nil, fmt.Errorf("signing an entry: %w", err)
	}
	e, _, err := f.entry()
	return e, err
}

// entry checks every field but the signature's truth and builds the entry. It
// returns the bytes that the author signed as well.
func (f fields) entry() (e *Entry, signed []byte, err error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	pings, err := DecodeData(f.data)
	if err != nil {
		return nil, nil, err
	}
	signed, raw := f.encode()
	return &Entry{
		ID:     sha256.Sum256(signed),
		Author: peer.ID(f.from),
		Topic:  f.topic,
		Time:   pings[0].SentAt / 1000,
		Pings:  pings,
		Raw:    raw,
	}, signed, nil
}

// check says what is wrong with the fields around the data, or nil.
func (f fields) check() error {
	switch {
	case len(f.from) != authorLen || string(f.from[:len(authorPrefix)]) != authorPrefix:
		return fmt.Errorf("%w: its author has no Ed25519 identity", ErrInvalid)
	case len(f.seqno) != seqnoLen:
		return fmt.Errorf("%w: a sequence number of %d bytes, not %d", ErrInvalid, len(f.seqno), seqnoLen)
	case len(f.signature) != ed25519.SignatureSize:
		return fmt.Errorf("%w: a signature of %d bytes, not %d", ErrInvalid, len(f.signature), ed25519.SignatureSize)
	case len(f.key) != 0 && !isKeyOf(f.key, f.from):
		return fmt.Errorf("%w: its key is not its author's", ErrInvalid)
	}
	return CheckTopic(f.topic)
}

// CheckTopic says why no entry can be for the topic, or nil. Its errors wrap
// [ErrInvalid].
func CheckTopic(topic string) error {
	if len(topic) == 0 || len(topic) > MaxTopic {
		return fmt.Errorf("%w: a topic of %d bytes, not 1 to %d", ErrInvalid, len(topic), MaxTopic)
	}
	if !utf8.ValidString(topic) {
		return fmt.Errorf("%w: a topic that is not valid UTF-8", ErrInvalid)
	}
	return nil
}

// isKeyOf reports whether key is the public key of the author from, in
// whatever encoding: nobody signs the key field, so whoever passes a message on
// can rewrite it, and what pubsub lets pass must not be held against a sender.
func isKeyOf(key, from []byte) bool {
	if string(key) == string(from[2:]) {
		return true
	}
	public, err := crypto.UnmarshalPublicKey(key)
	return err == nil && peer.ID(from).MatchesPublicKey(public)
}
