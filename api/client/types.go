package client

import (
	"fmt"
	"time"
)

// timeFormat is RFC 3339 with all six digits of microseconds, so that written
// times have one length and sort as text.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// Time is a time that JSON writes as RFC 3339 in UTC with microseconds. It
// reads every RFC 3339 time.
type Time struct{ time.Time }

// AppendText appends t as it is written in JSON, without the quotes.
func (t Time) AppendText(b []byte) ([]byte, error) {
	return t.UTC().AppendFormat(b, timeFormat), nil
}

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(make([]byte, 0, len(timeFormat)+2), `"`+timeFormat+`"`), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	if err := t.Time.UnmarshalJSON(b); err != nil {
		return fmt.Errorf("reading a time: %w", err)
	}
	return nil
}

// Published is the answer to a ping: it is on the node's disk and signed.
type Published struct {
	// ID names the ping for ever, in every node. Opaque.
	ID string `json:"id"`
	// Text is what was published.
	Text string `json:"text"`
	// Author is the peer ID of the node that signed it.
	Author string `json:"author"`
	// SentAt is the time that the author's clock gave it.
	SentAt Time `json:"sent_at"`
	// TopicPeers is the number of peers that it was handed to directly. With
	// none, peers that come later catch up.
	TopicPeers int `json:"topic_peers"`
	// Receipts are the nodes that have stored it, quickest first, where they
	// were asked for.
	Receipts []Receipt `json:"receipts,omitempty"`
}

// Ping is one ping as history and streams give it.
type Ping struct {
	// ID names the ping for ever, in every node. Opaque.
	ID   string `json:"id"`
	Text string `json:"text"`
	// Author is the peer ID of the node that signed it.
	Author string `json:"author"`
	// SentAt is the time that the author's clock gave it, ReceivedAt the time
	// that this node's gave it when it was stored.
	SentAt     Time `json:"sent_at"`
	ReceivedAt Time `json:"received_at"`
	// Via is how it came: "own", "gossip", "catch-up" or "import".
	Via string `json:"via"`
	// From is the peer ID of the neighbour that brought it by gossip, while the
	// node remembers that: "" in older history.
	From string `json:"from,omitempty"`
	// Cursor is the place behind the ping in this node's order of arrival: a
	// stream that begins there gives what came after. Opaque, and of no use at
	// another node.
	Cursor string `json:"cursor"`
	// Self tells that this node is the author.
	Self bool `json:"self"`
}

// Pings is a page of history, the newest last.
type Pings struct {
	Pings []Ping `json:"pings"`
	// Next is a link to the page before this one in time, "" when there is none.
	Next string `json:"next,omitempty"`
}

// NewPing is a ping to be published, a line of NDJSON each.
type NewPing struct {
	// Text is 1 to 4,096 bytes of UTF-8.
	Text string `json:"text"`
	// Key is an idempotency key, "" for none: see [Request].
	Key string `json:"key,omitempty"`
}

// SendResult is what became of one line. Either Error is nil, or ID and the
// rest of Published are empty.
type SendResult struct {
	// Line is which line this is about, from 1.
	Line int `json:"line"`
	// Replayed tells that an earlier request with the same key published it.
	Replayed bool `json:"replayed,omitempty"`
	Published
	Error *Error `json:"error,omitempty"`
}

// Gap tells that a stream does not go on where it was asked to, From, but at To.
type Gap struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Reason is one of the constants below, or another of a later version's.
	Reason string `json:"reason"`
}

// Why there is a gap.
const (
	// GapForgotten: what arrived between From and To is not kept any more.
	GapForgotten = "forgotten"
	// GapOtherLedger: From is another ledger's cursor. Either it is another node's, or
	// this one has lost its data since, or an older copy of them was put back. All
	// that may have been missed comes after To, with some that was had already.
	GapOtherLedger = "other_ledger"
)

// What can happen to a peer.
const (
	PeerConnected    = "connected"
	PeerDisconnected = "disconnected"
	// PeerJoined and PeerLeft are about the node's topic.
	PeerJoined = "joined"
	PeerLeft   = "left"
)

// PeerEvent tells what happened to a peer.
type PeerEvent struct {
	Change string `json:"change"`
	Peer
}

// Receipt says that another node has stored a ping.
type Receipt struct {
	PeerID string `json:"peer_id"`
	// Latency is the time from publishing to its answer, in milliseconds.
	Latency float64 `json:"latency_ms"`
}

// ID is what a node is and where it can be reached.
type ID struct {
	PeerID string `json:"peer_id"`
	// PublicKey is libp2p's protobuf encoding of the key; base64 in JSON.
	PublicKey []byte `json:"public_key"`
	// Addresses are full multiaddrs that end in /p2p/ID, ready for --bootstrap.
	Addresses []string `json:"addresses"`
	Topic     string   `json:"topic"`
	// Agent is the user agent that peers see.
	Agent     string `json:"agent"`
	Version   string `json:"version"`
	StartedAt Time   `json:"started_at"`
	// Reached is from where peers have dialled the node since it runs, nearest
	// first. That nobody has proves nothing.
	Reached []Reach `json:"reached"`
}

// Reach is the proof that a node can be reached from somewhere.
type Reach struct {
	From string `json:"from"` // this machine, a private network or the internet
	At   Time   `json:"at"`   // of the last peer that dialled from there
}

// Peers is the answer of GET /peers.
type Peers struct {
	Peers []Peer `json:"peers"`
}

// Peer is one connected peer.
type Peer struct {
	PeerID string `json:"peer_id"`
	// Addresses are the multiaddrs of its connections.
	Addresses []string `json:"addresses"`
	// Direction is "inbound" or "outbound".
	Direction string `json:"direction"`
	// Transport is the way it is connected by, such as "quic-v1".
	Transport string `json:"transport"`
	// Security is what encrypts the connection, such as "tls".
	Security string `json:"security"`
	Agent    string `json:"agent"`
	// OnTopic tells whether it takes part in the node's topic.
	OnTopic bool `json:"on_topic"`
	// InMesh tells whether pings are exchanged with it directly.
	InMesh bool `json:"in_mesh"`
	// RTT is the measured round trip in milliseconds, 0 when not known yet.
	RTT         float64 `json:"rtt_ms"`
	ConnectedAt Time    `json:"connected_at"`
	// Found is how the node came to know it.
	Found string `json:"found,omitempty"`
}

// Connected is the answer of POST /peers.
type Connected struct {
	PeerID string `json:"peer_id"`
}

// Readiness is the answer of GET /readyz, whichever way it turns out.
type Readiness struct {
	Ready bool `json:"ready"`
	// Reasons say what is missing, in words for people; none when ready.
	Reasons []string `json:"reasons"`
}

// Sync says what a node's ledger holds and how it compares with its peers'.
type Sync struct {
	Entries int `json:"entries"`
	Pings   int `json:"pings"`
	// Bytes is the size of the ledger on disk.
	Bytes int64 `json:"bytes"`
	// Full tells that the disk is full: publishing is refused until there is room.
	Full bool `json:"full"`
	// Floor is the time below which entries are forgotten, 1970 when none are.
	Floor Time `json:"floor"`
	// Digest is the SHA-256, in hexadecimal, of the ids of all entries from the
	// floor in order, one a line as GET /entries?ids=1 gives them.
	Digest string     `json:"digest"`
	Peers  []PeerSync `json:"peers"`
}

// PeerSync is the outcome of the last comparison with one peer.
type PeerSync struct {
	PeerID string `json:"peer_id"`
	// ComparedAt is when it ended.
	ComparedAt Time `json:"compared_at"`
	// Agreed tells that both ledgers were found equal.
	Agreed bool `json:"agreed"`
	// Missing and Extra count the entries that this node lacked and the peer lacked.
	Missing int `json:"missing"`
	Extra   int `json:"extra"`
	// Skew is how far the peer's clock is ahead of this node's, in milliseconds.
	Skew float64 `json:"skew_ms"`
	// Error is why the comparison failed, if it did.
	Error string `json:"error,omitempty"`
}

// Entry is one signed entry as it is exported, a line of NDJSON each. Raw
// alone proves it: the other fields repeat for people what Raw holds.
type Entry struct {
	// ID is the SHA-256 of the signed bytes, 64 hexadecimal digits.
	ID     string `json:"id"`
	Author string `json:"author"`
	Topic  string `json:"topic"`
	// Time is the entry's place in the ledger, in whole milliseconds.
	Time  Time        `json:"time"`
	Pings []EntryPing `json:"pings"`
	// Raw is the pubsub message's protobuf; base64 in JSON.
	Raw []byte `json:"raw"`
}

// EntryPing is one ping of an [Entry].
type EntryPing struct {
	Text   string `json:"text"`
	SentAt Time   `json:"sent_at"`
}

// Imported is the answer of POST /entries. Every line that is not blank is
// counted once.
type Imported struct {
	// Taken counts the entries that are new in the ledger, and on disk.
	Taken int `json:"taken"`
	// Held counts those it had already, and those below its floor.
	Held int `json:"held"`
	// Refused counts the lines that did not verify.
	Refused int `json:"refused"`
	// Errors say why, for the first few.
	Errors []LineError `json:"errors"`
}

// LineError is what was wrong with one line of NDJSON.
type LineError struct {
	// Line counts from 1.
	Line   int    `json:"line"`
	Detail string `json:"detail"`
}
