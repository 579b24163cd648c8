package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

const (
	// entrySpacing is the time between two made-up entries, and firstEntry how
	// long ago the first was sent: a ledger of a million ends before now.
	entrySpacing = 100 * time.Millisecond
	firstEntry   = 240 * time.Hour
	fillBatch    = 10_000
	// journalSuffix is what the ledger's journal is called beside its file.
	journalSuffix = ".journal"
)

// author makes entries up.
type author struct {
	key   crypto.PrivKey
	id    peer.ID
	first time.Time
	seqno uint64
}

func newAuthor() (*author, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return &author{key: key, id: id, first: time.Now().Add(-firstEntry).Truncate(time.Millisecond)}, nil
}

// at is when entry i was sent.
func (a *author) at(i int) time.Time { return a.first.Add(time.Duration(i) * entrySpacing) }

func (a *author) pings(at time.Time) []entry.Ping {
	return []entry.Ping{{Text: filler(pingSize), SentAt: at.UnixMicro()}}
}

// forged makes an entry whose signature is not one. A ledger trusts who gives
// it entries, so it does to fill one; a million signatures take half a minute.
func (a *author) forged(at time.Time) (*entry.Entry, error) {
	data, err := entry.EncodeData(a.pings(at))
	if err != nil {
		return nil, err
	}
	a.seqno++
	topic := pubsubTopic
	m := pb.Message{
		From: []byte(a.id), Data: data, Topic: &topic, Signature: make([]byte, 64),
		Seqno: binary.BigEndian.AppendUint64(nil, a.seqno),
	}
	raw, err := proto.Marshal(&m)
	if err != nil {
		return nil, err
	}
	return entry.ParseTrusted(raw)
}

// signed makes an entry that passes every check.
func (a *author) signed(at time.Time) (*entry.Entry, error) {
	a.seqno++
	var seqno [8]byte
	binary.BigEndian.PutUint64(seqno[:], a.seqno)
	return entry.Sign(a.key, pubsubTopic, seqno, a.pings(at))
}

// fill appends the entries from number from to number to, in large commits and
// without fsync.
func (a *author) fill(ctx context.Context, path string, from, to int, one func(time.Time) (*entry.Entry, error)) (err error) {
	l, err := ledger.Open(ledger.Config{Path: path, NoSync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for from < to {
		var batch []*entry.Entry
		for ; from < to && len(batch) < fillBatch; from++ {
			e, err := one(a.at(from))
			if err != nil {
				return err
			}
			batch = append(batch, e)
		}
		if _, err := l.Append(ctx, ledger.Import, batch...); err != nil {
			return err
		}
	}
	return nil
}

// ledgerOf returns a ledger file of n made-up entries, which is made when it is
// asked for first and must not be changed.
func (b *bench) ledgerOf(ctx context.Context, n int) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("ledger-%d.db", n))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.sayf("  making a ledger of %d entries", n)
	a, err := newAuthor()
	if err != nil {
		return "", err
	}
	if err := a.fill(ctx, path, 0, n, a.forged); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}

// copyLedger copies a ledger that nobody has open into a data directory. If it
// has a journal, that goes with it: without, the ledger is taken for one that
// lost its newest entries.
func copyLedger(dir, path string) error {
	to := filepath.Join(dir, "ledger.db")
	if err := errors.Join(copyFile(to, path), syncFile(to)); err != nil {
		return err
	}
	if err := copyFile(to+journalSuffix, path+journalSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncFile has a file written to the disk, so that nobody's fsync waits for it
// while it is measured.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
