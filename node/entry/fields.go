package entry

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of libp2p's pubsub Message.
const (
	messageFrom      = 1
	messageData      = 2
	messageSeqno     = 3
	messageTopic     = 4
	messageSignature = 5
	messageKey       = 6
)

// fields are the parts of a pubsub Message. The slices alias what they were
// decoded from.
type fields struct {
	from, data, seqno []byte
	topic             string
	signature, key    []byte
}

// decodeFields decodes a pubsub Message: bounds first, each field at most
// once, and no unknown ones, as those would be signed but not understood.
func decodeFields(raw []byte) (fields, error) {
	if len(raw) > MaxRaw {
		return fields{}, fmt.Errorf("%w: %d bytes, over %d", ErrInvalid, len(raw), MaxRaw)
	}
	var f fields
	var once onceEach
	err := eachField(raw, func(num protowire.Number, v value) error {
		switch num {
		case messageFrom:
			f.from = v.bytes
		case messageData:
			f.data = v.bytes
		case messageSeqno:
			f.seqno = v.bytes
		case messageTopic:
			if len(v.bytes) > MaxTopic {
				return fmt.Errorf("%w: a topic of %d bytes, over %d", ErrInvalid, len(v.bytes), MaxTopic)
			}
			f.topic = string(v.bytes)
		case messageSignature:
			f.signature = v.bytes
		case messageKey:
			f.key = v.bytes
		default:
			return fmt.Errorf("%w: unknown field %d in the message", ErrInvalid, num)
		}
		return once.want(num, v, protowire.BytesType)
	})
	if err != nil {
		return fields{}, err
	}
	return f, nil
}

// maxOverhead bounds what the tags and lengths of five fields add to their
// contents: at most 1 and 3 bytes each.
const maxOverhead = 5 * (1 + 3)

// encode returns the bytes that the author signed, and the canonical encoding.
// They share memory: one is a prefix and the fields that are signed, the other
// those fields and the signature.
func (f fields) encode() (signed, raw []byte) {
	contents := len(f.from) + len(f.data) + len(f.seqno) + len(f.topic) + len(f.signature)
	b := make([]byte, 0, len(signPrefix)+contents+maxOverhead)
	b = f.appendSigned(append(b, signPrefix...))
	end := len(b)
	b = f.appendSignature(b)
	return b[:end:end], b[len(signPrefix):len(b):len(b)]
}

// appendSigned appends the fields that are signed, in the order of their
// numbers, as every libp2p implementation writes them.
func (f fields) appendSigned(b []byte) []byte {
	b = protowire.AppendTag(b, messageFrom, protowire.BytesType)
	b = protowire.AppendBytes(b, f.from)
	b = protowire.AppendTag(b, messageData, protowire.BytesType)
	b = protowire.AppendBytes(b, f.data)
	b = protowire.AppendTag(b, messageSeqno, protowire.BytesType)
	b = protowire.AppendBytes(b, f.seqno)
	b = protowire.AppendTag(b, messageTopic, protowire.BytesType)
	return protowire.AppendString(b, f.topic)
}

func (f fields) appendSignature(b []byte) []byte {
	b = protowire.AppendTag(b, messageSignature, protowire.BytesType)
	return protowire.AppendBytes(b, f.signature)
}

// value is one field's content: bytes for length-delimited fields, varint for
// varints, neither for the fixed widths, which no known field has.
type value struct {
	typ    protowire.Type
	bytes  []byte
	varint uint64
}

func (v value) want(typ protowire.Type) error {
	if v.typ != typ {
		return fmt.Errorf("%w: a field of wire type %d, not %d", ErrInvalid, v.typ, typ)
	}
	return nil
}

// onceEach has a bit for every known field number that was seen.
type onceEach uint8

func (o *onceEach) want(num protowire.Number, v value, typ protowire.Type) error {
	if o.saw(num) {
		return fmt.Errorf("%w: field %d twice", ErrInvalid, num)
	}
	*o |= 1 << num
	return v.want(typ)
}

// saw reports whether a field was there.
func (o onceEach) saw(num protowire.Number) bool { return o&(1<<num) != 0 }

// eachField calls f for every field of the protobuf b, and fails on what is
// not well formed, groups included: they nest, and no known field is one.
func eachField(b []byte, f func(protowire.Number, value) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrInvalid, protowire.ParseError(n))
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: field number %d", ErrInvalid, num)
		}
		b = b[n:]
		v := value{typ: typ}
		switch typ {
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v.varint, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type, protowire.Fixed64Type:
			n = protowire.ConsumeFieldValue(num, typ, b)
		default:
			return fmt.Errorf("%w: wire type %d", ErrInvalid, typ)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrInvalid, protowire.ParseError(n))
		}
		b = b[n:]
		if err := f(num, v); err != nil {
			return err
		}
	}
	return nil
}
