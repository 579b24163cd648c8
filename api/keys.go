package api

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node"
	"p2ping/node/entry"
)

const (
	// keyLife is how long a key is remembered.
	keyLife = 24 * time.Hour
	// maxKeyLen bounds an idempotency key in bytes.
	maxKeyLen = 255
	// maxKeys bounds the keys that are remembered, at some 200 bytes each.
	maxKeys = 1 << 20
	// keyedTimeout bounds a publication that its client may have given up on.
	keyedTimeout = 25 * time.Second
	// forgetAtOnce bounds how many keys one commit forgets.
	forgetAtOnce = 1000
)

// keys remembers which idempotency keys were used, and for what, on disk.
//
// A key is recorded, with its text and the time that the ping will bear, before
// anything is published, and again with the outcome after. A key whose outcome
// is not recorded, as the process ended in between, is looked up in the ledger
// by that text and time. If it is not there, nobody can tell yet whether it was
// published: it may have reached a peer, from which catch-up brings it back.
// Such a key is refused until it is found, or forgotten.
//
// The file is made when the first key comes: most nodes never see one, and it
// takes several fsyncs.
type keys struct {
	path string

	opening sync.Mutex
	db      *bbolt.DB // guarded by opening; nil until there is a file
	closed  bool      // guarded by opening

	mu     sync.Mutex
	active map[keyHash]bool // guarded by mu; being published at this moment
	stamp  int64            // guarded by mu; the last time given out, in µs
	count  int              // guarded by mu; keys on disk
}

type keyHash [sha256.Size]byte

// Buckets: keyBucket holds hash -> record, ageBucket holds time (8) + hash, so
// that the oldest come first.
const (
	keyBucket = "keys"
	ageBucket = "age"
)

// keyRecord is what a key was used for.
type keyRecord struct {
	usedAt time.Time // to the millisecond
	text   keyHash   // the SHA-256 of the text
	sentAt int64     // µs, which the ping was to bear

	done       bool
	entry      entry.ID
	index      int
	topicPeers int
}

// keyRecordLen is: version, done, used at, text, sent at, entry, index, peers.
const keyRecordLen = 1 + 1 + 8 + 32 + 8 + 32 + 2 + 4

const keyRecordVersion = 1

func (k keyRecord) encode() []byte {
	b := make([]byte, 0, keyRecordLen)
	done := byte(0)
	if k.done {
		done = 1
	}
	b = append(b, keyRecordVersion, done)
	b = binary.BigEndian.AppendUint64(b, uint64(k.usedAt.UnixMilli()))
	b = append(b, k.text[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(k.sentAt))
	b = append(b, k.entry[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(k.index))
	return binary.BigEndian.AppendUint32(b, uint32(k.topicPeers))
}

func decodeKeyRecord(b []byte) (keyRecord, error) {
	if len(b) != keyRecordLen || b[0] != keyRecordVersion || b[1] > 1 {
		return keyRecord{}, errors.New("a damaged record of an idempotency key")
	}
	return keyRecord{
		done:       b[1] == 1,
		usedAt:     time.UnixMilli(int64(binary.BigEndian.Uint64(b[2:]))),
		text:       keyHash(b[10:42]),
		sentAt:     int64(binary.BigEndian.Uint64(b[42:])),
		entry:      entry.ID(b[50:82]),
		index:      int(binary.BigEndian.Uint16(b[82:])),
		topicPeers: int(binary.BigEndian.Uint32(b[84:])),
	}, nil
}

// claim is a key that somebody wants to use.
type claim struct {
	hash keyHash
	text keyHash
	// record is what the key was used for before, or now is.
	record keyRecord
	// used tells that it was used before.
	used bool
	// active tells that it is among keys.active on this claim's account.
	active bool
	// full tells that it can't be used unless it was used before.
	full bool
	// err is why it can't be used.
	err error
}

// newClaim checks a key's form.
func newClaim(key, text string) *claim {
	c := &claim{hash: sha256.Sum256([]byte(key)), text: sha256.Sum256([]byte(text))}
	if len(key) > maxKeyLen {
		c.err = refusef(http.StatusBadRequest, "an idempotency key of %d bytes is too long: %d at most", len(key), maxKeyLen)
	}
	return c
}

// claim looks the keys up and records those that are new, all in one commit.
// What is claimed without error and was not used before is active until
// release.
func (k *keys) claim(claims []*claim, now time.Time) error {
	k.begin(claims, now)
	err := k.batch(func(tx *bbolt.Tx) (added int, err error) {
		forgotten, err := forget(tx, now)
		if err != nil {
			return 0, err
		}
		added = -forgotten
		for _, c := range claims {
			if c.err != nil {
				continue
			}
			isNew, err := c.lookUp(tx, now)
			if err != nil {
				return 0, err
			}
			if isNew {
				added++
			}
		}
		return added, nil
	})
	if err != nil {
		k.release(claims)
		return fmt.Errorf("recording an idempotency key: %w", err)
	}
	for _, c := range claims {
		if c.err == nil && c.used && c.record.text != c.text {
			c.err = refuse(http.StatusUnprocessableEntity, "this idempotency key was used for another text", "make a new key for every ping")
		}
	}
	return nil
}

// begin makes the keys active that are not yet, and gives out times.
func (k *keys) begin(claims []*claim, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range claims {
		switch {
		case c.err != nil:
			continue
		case k.active[c.hash]:
			c.err = later(http.StatusConflict, time.Second, "a ping with this idempotency key is being published", "")
			continue
		}
		c.full = k.count+len(k.active) >= maxKeys
		k.active[c.hash] = true
		c.active = true
		k.stamp = max(k.stamp+1, now.UnixMicro())
		c.record = keyRecord{usedAt: now, text: c.text, sentAt: k.stamp}
	}
}

// release ends what claim began.
func (k *keys) release(claims []*claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range claims {
		if c.active {
			delete(k.active, c.hash)
		}
	}
}

// lookUp reads what the key was used for, or records what it is used for now.
// Where there is no room for it, it sets c.err. It may run more than once, as
// bbolt repeats transactions.
func (c *claim) lookUp(tx *bbolt.Tx, now time.Time) (isNew bool, err error) {
	b := tx.Bucket([]byte(keyBucket))
	v := b.Get(c.hash[:])
	switch {
	case v != nil:
		r, err := decodeKeyRecord(v)
		if err != nil {
			return false, err
		}
		if now.Sub(r.usedAt) < keyLife {
			c.record, c.used = r, true
			return false, nil
		}
		if err := tx.Bucket([]byte(ageBucket)).Delete(ageKey(r.usedAt, c.hash)); err != nil {
			return false, err
		}
	case c.full:
		c.err = later(http.StatusServiceUnavailable, time.Minute, "too many idempotency keys are remembered", "send new pings without")
		return false, nil
	}
	c.used = false
	if err := tx.Bucket([]byte(ageBucket)).Put(ageKey(c.record.usedAt, c.hash), nil); err != nil {
		return false, err
	}
	return v == nil, b.Put(c.hash[:], c.record.encode())
}

// settle records the outcome of keys. Should that not work, the ledger knows.
func (k *keys) settle(claims []*claim) error {
	if len(claims) == 0 {
		return nil
	}
	return k.batch(func(tx *bbolt.Tx) (int, error) {
		for _, c := range claims {
			if err := tx.Bucket([]byte(keyBucket)).Put(c.hash[:], c.record.encode()); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
}

// drop forgets keys for which nothing was published for certain.
func (k *keys) drop(claims []*claim) error {
	if len(claims) == 0 {
		return nil
	}
	return k.batch(func(tx *bbolt.Tx) (int, error) {
		for _, c := range claims {
			if err := tx.Bucket([]byte(keyBucket)).Delete(c.hash[:]); err != nil {
				return 0, err
			}
			if err := tx.Bucket([]byte(ageBucket)).Delete(ageKey(c.record.usedAt, c.hash)); err != nil {
				return 0, err
			}
		}
		return -len(claims), nil
	})
}

// batch runs f in a transaction that it may share with others, and keeps count
// of the keys.
func (k *keys) batch(f func(*bbolt.Tx) (added int, err error)) error {
	added := 0
	db, err := k.file()
	if err != nil {
		return err
	}
	err = db.Batch(func(tx *bbolt.Tx) (err error) {
		added, err = f(tx)
		return err
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.count += added
	k.mu.Unlock()
	return nil
}

// forget deletes some of the keys that are old enough.
func forget(tx *bbolt.Tx, now time.Time) (n int, err error) {
	c := tx.Bucket([]byte(ageBucket)).Cursor()
	old := uint64(max(0, now.Add(-keyLife).UnixMilli()))
	for k, _ := c.First(); k != nil && n < forgetAtOnce; k, _ = c.First() {
		if len(k) != 8+len(keyHash{}) || binary.BigEndian.Uint64(k) > old {
			break
		}
		if err := tx.Bucket([]byte(keyBucket)).Delete(k[8:]); err != nil {
			return 0, err
		}
		if err := c.Delete(); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func ageKey(at time.Time, hash keyHash) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), hash[:]...)
}

// answer returns what a key that was used before stands for.
func (k keyRecord) answer(text string) node.Published {
	return node.Published{
		Entry: k.entry, Index: k.index, Text: text, SentAt: time.UnixMicro(k.sentAt).UTC(), TopicPeers: k.topicPeers,
	}
}
