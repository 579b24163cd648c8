package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// The file of remembered peers.
const (
	peersFile = "peers.json"
	asideFile = "peers.json.damaged"
	// maxPeersSize bounds it in bytes, with room for editing by hand.
	maxPeersSize = maxRemembered * (512 + maxAddrs*256)
	// saveSoon is how long after a change it is written, when it has not been
	// for saveEvery.
	saveSoon  = time.Second
	saveEvery = 5 * time.Second
)

// savedPeer is an entry of the file.
type savedPeer struct {
	PeerID    peer.ID   `json:"peer_id"`
	Addresses []string  `json:"addresses"`
	SeenAt    time.Time `json:"seen_at"`
	Failures  int       `json:"failures,omitempty"`
}

type savedPeers struct {
	Peers []savedPeer `json:"peers"`
}

// encodePeers returns the file's content: the peers that were met, the last one
// first.
func encodePeers(b *book) ([]byte, error) {
	var file savedPeers
	for _, c := range b.contacts {
		if c.seen.IsZero() || len(c.addrs) == 0 {
			continue
		}
		seen := c.seen
		if c.filed.After(seen) {
			// A machine may begin each day in 1970, and learn what time it is later
			// than this node. What it met would be forgotten for being that old.
			seen = c.filed
		}
		p := savedPeer{PeerID: c.id, SeenAt: seen.UTC().Truncate(time.Second), Failures: c.failures}
		for _, a := range c.addrs {
			p.Addresses = append(p.Addresses, a.String())
		}
		file.Peers = append(file.Peers, p)
	}
	slices.SortFunc(file.Peers, func(a, b savedPeer) int {
		if d := b.SeenAt.Compare(a.SeenAt); d != 0 {
			return d
		}
		return slices.Compare([]byte(a.PeerID), []byte(b.PeerID))
	})
	data, err := json.MarshalIndent(file, "", "  ")
	return append(data, '\n'), err
}

// decodePeers enters the file's content in a book. It has been seen to be no
// longer than maxPeersSize.
func decodePeers(data []byte, b *book, now time.Time) error {
	var file savedPeers
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	for i, p := range file.Peers {
		if i == maxRemembered {
			break
		}
		seen := p.SeenAt
		if seen.After(now) {
			seen = now
		}
		if p.PeerID == b.self || !isEd25519(p.PeerID) || seen.IsZero() || now.Sub(seen) > rememberFor {
			continue
		}
		c := &contact{id: p.PeerID, source: Remembered, seen: seen, filed: p.SeenAt, failures: max(0, min(p.Failures, 1000)), lost: true}
		for _, s := range p.Addresses {
			a, err := ma.NewMultiaddr(s)
			if err != nil {
				return err
			}
			if len(c.addrs) < maxAddrs && dialable(a) {
				c.addrs = append(c.addrs, a)
			}
		}
		if len(c.addrs) > 0 {
			b.contacts[c.id] = c
		}
	}
	return nil
}

// recall reads the remembered peers. They are a convenience: a file that can't
// be read is put aside, and the node starts without.
func (f *Finder) recall(now time.Time) {
	if f.cfg.Dir == nil {
		return
	}
	err := f.readPeers(now)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	f.book = newBook(f.book.self, f.book.rng)
	f.cfg.Logger.Warn("the remembered peers can't be read: the file is put aside", "file", peersFile, "aside", asideFile, "err", err)
	if err := f.cfg.Dir.Rename(peersFile, asideFile); err != nil {
		f.cfg.Logger.Warn("putting a file aside", "file", peersFile, "err", err)
	}
}

func (f *Finder) readPeers(now time.Time) error {
	file, err := f.cfg.Dir.Open(peersFile)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxPeersSize+1))
	if err != nil {
		return err
	}
	if len(data) > maxPeersSize {
		return fmt.Errorf("it is longer than %d bytes", maxPeersSize)
	}
	return decodePeers(data, f.book, now)
}

// saver decides when to write the file.
type saver struct {
	at    time.Time // when it is due; zero: nothing changed
	saved time.Time
}

func (s *saver) change(now time.Time) {
	if !s.at.IsZero() {
		return
	}
	s.at = now.Add(saveSoon)
	if next := s.saved.Add(saveEvery); next.After(s.at) {
		s.at = next
	}
}

func (s *saver) due(now time.Time) bool { return !s.at.IsZero() && !s.at.After(now) }

// save writes the file, whole or not at all.
func (r *runner) save(now time.Time) {
	r.saver.at, r.saver.saved = time.Time{}, now
	if r.cfg.Dir == nil {
		return
	}
	r.mu.Lock()
	data, err := encodePeers(r.book)
	r.mu.Unlock()
	// It isn't synced: it is only a cache, and after a power cut, at worst, put
	// aside.
	if err == nil {
		err = r.cfg.Dir.WriteFile(peersFile+".tmp", data, 0o600)
	}
	if err == nil {
		err = r.cfg.Dir.Rename(peersFile+".tmp", peersFile)
	}
	if err != nil {
		r.cfg.Logger.Warn("peers are not remembered", "file", peersFile, "err", err)
	}
}
