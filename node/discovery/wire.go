package discovery

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of an answer, part of the protocol.
const (
	// maxRecords is twice the peers that a node wants: one answer is enough.
	maxRecords = 16
	// maxAddrs is three transports on IPv4 and IPv6, and two to spare.
	maxAddrs = 8
	// maxAddr bounds an address in bytes. The longest that is taken has 21.
	maxAddr = 64
	// maxAnswer is maxRecords of the largest records, and their framing.
	maxAnswer = maxRecords * (64 + maxAddrs*(maxAddr+4))
	// requestSize: topic, instance, most.
	requestSize = 4 + 8 + 1
)

// errProtocol is wrapped by errors about what no honest peer sends.
var errProtocol = errors.New("breach of the peers protocol")

// request asks for peers.
type request struct {
	// topic is the start of the topic's SHA-256: networks don't mix.
	topic [4]byte
	// instance is drawn when a node starts: two nodes of one identity differ
	// in it.
	instance [8]byte
	// most is how many records are wanted.
	most uint8
}

// topicTag is what stands for a topic on the wire.
func topicTag(topic string) [4]byte {
	sum := sha256.Sum256([]byte(topic))
	return [4]byte(sum[:4])
}

func (r request) encode() []byte {
	b := append(make([]byte, 0, requestSize), r.topic[:]...)
	b = append(b, r.instance[:]...)
	return append(b, r.most)
}

func readRequest(r io.Reader) (q request, err error) {
	var b [requestSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return q, fmt.Errorf("reading a request: %w", err)
	}
	copy(q.topic[:], b[:4])
	copy(q.instance[:], b[4:12])
	q.most = b[12]
	return q, nil
}

// record is a peer and where it is reached. Nobody has signed it: who dials it
// finds out whether it is true.
type record struct {
	id    peer.ID
	addrs []ma.Multiaddr
}

// answer is what a request is answered with.
type answer struct {
	records []record
	// twin says that another node with the asker's identity is connected too.
	twin bool
}

// Field numbers: message Peers { repeated Peer peers = 1; bool twin = 2; }
// message Peer { bytes id = 1; repeated bytes addrs = 2; }.
const (
	fieldPeers = 1
	fieldTwin  = 2
	fieldID    = 1
	fieldAddrs = 2
)

func (a answer) encode() []byte {
	var b []byte
	for _, r := range a.records {
		p := protowire.AppendTag(nil, fieldID, protowire.BytesType)
		p = protowire.AppendBytes(p, []byte(r.id))
		for _, addr := range r.addrs {
			p = protowire.AppendTag(p, fieldAddrs, protowire.BytesType)
			p = protowire.AppendBytes(p, addr.Bytes())
		}
		b = protowire.AppendTag(b, fieldPeers, protowire.BytesType)
		b = protowire.AppendBytes(b, p)
	}
	if a.twin {
		b = protowire.AppendTag(b, fieldTwin, protowire.VarintType)
		b = protowire.AppendVarint(b, 1)
	}
	return b
}

// readAnswer reads an answer to the end of the stream.
func readAnswer(r io.Reader) (answer, int, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return answer{}, len(b), fmt.Errorf("reading an answer: %w", err)
	}
	if len(b) > maxAnswer {
		return answer{}, len(b), fmt.Errorf("%w: an answer of more than %d bytes", errProtocol, maxAnswer)
	}
	a, err := decodeAnswer(b)
	return a, len(b), err
}

// decodeAnswer decodes an answer. Addresses that can't be read are left out,
// as a later version may know kinds of which this one does not.
func decodeAnswer(b []byte) (a answer, err error) {
	err = fields(b, func(num protowire.Number, raw []byte, n uint64) error {
		switch num {
		case fieldPeers:
			if len(a.records) == maxRecords {
				return fmt.Errorf("%w: more than %d records", errProtocol, maxRecords)
			}
			r, err := decodeRecord(raw)
			if err != nil {
				return err
			}
			a.records = append(a.records, r)
		case fieldTwin:
			a.twin = n != 0
		}
		return nil
	})
	return a, err
}

func decodeRecord(b []byte) (r record, err error) {
	count := 0
	err = fields(b, func(num protowire.Number, raw []byte, _ uint64) error {
		switch num {
		case fieldID:
			id, err := peer.IDFromBytes(raw)
			if err != nil || !isEd25519(id) {
				return fmt.Errorf("%w: not the ID of an Ed25519 key", errProtocol)
			}
			r.id = id
		case fieldAddrs:
			if count++; count > maxAddrs || len(raw) > maxAddr {
				return fmt.Errorf("%w: more than %d addresses, or of more than %d bytes", errProtocol, maxAddrs, maxAddr)
			}
			if addr, err := ma.NewMultiaddrBytes(raw); err == nil {
				r.addrs = append(r.addrs, addr)
			}
		}
		return nil
	})
	if err == nil && r.id == "" {
		err = fmt.Errorf("%w: a record without a peer ID", errProtocol)
	}
	return r, err
}

// fields calls f for each field: raw is a length-delimited one's content, n a
// varint. Others are passed over.
func fields(b []byte, f func(num protowire.Number, raw []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errProtocol, protowire.ParseError(n))
		}
		b = b[n:]
		var raw []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			raw, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type, protowire.Fixed64Type:
			n = protowire.ConsumeFieldValue(num, typ, b)
		default:
			return fmt.Errorf("%w: a group", errProtocol)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errProtocol, protowire.ParseError(n))
		}
		b = b[n:]
		if typ != protowire.BytesType && typ != protowire.VarintType {
			continue
		}
		if err := f(num, raw, v); err != nil {
			return err
		}
	}
	return nil
}

// isEd25519 reports whether a peer ID holds an Ed25519 key, as those of all
// who can author pings do.
func isEd25519(id peer.ID) bool {
	key, err := id.ExtractPublicKey()
	return err == nil && key.Type() == crypto.Ed25519
}
