package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The file that remembers learned peer IDs, and its bounds.
const (
	learnedFile = "bootstrap.json"
	// maxLearned bounds how many addresses are remembered; the one learned
	// first is forgotten first.
	maxLearned = 1024
	// maxLearnedSize bounds the file in bytes: maxLearned entries of the longest
	// address, with room.
	maxLearnedSize = maxLearned * (maxAddrLen + 512)
)

// learned remembers who answered at addresses that did not say it. It is to
// peers what known_hosts is to ssh. Its methods may be called at any time.
type learned struct {
	dir *os.Root // nil: in memory only

	mu    sync.Mutex
	peers []learnedPeer // oldest first
}

// learnedPeer is an entry of the file.
type learnedPeer struct {
	Address   string    `json:"address"`
	PeerID    peer.ID   `json:"peer_id"`
	LearnedAt time.Time `json:"learned_at"`
}

type learnedJSON struct {
	Peers []learnedPeer `json:"peers"`
}

// newLearned reads what was learned before. A file that can't be understood is
// an error, because to go on without it would be to trust whoever answers.
func newLearned(dir *os.Root) (*learned, error) {
	l := &learned{dir: dir}
	if dir == nil {
		return l, nil
	}
	peers, err := readLearned(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the learned peer IDs in %s: %w", l.path(), err)
	}
	l.peers = peers
	return l, nil
}

func readLearned(dir *os.Root) ([]learnedPeer, error) {
	f, err := dir.Open(learnedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxLearnedSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxLearnedSize {
		return nil, fmt.Errorf("it is longer than %d bytes; remove it to learn anew", maxLearnedSize)
	}
	peers, err := decodeLearned(data)
	if err != nil {
		return nil, fmt.Errorf("it is damaged; repair it, or remove it to learn anew: %w", err)
	}
	return peers, nil
}

func decodeLearned(data []byte) ([]learnedPeer, error) {
	var file learnedJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(file.Peers))
	for _, p := range file.Peers {
		switch {
		case p.Address == "" || len(p.Address) > maxAddrLen:
			return nil, fmt.Errorf("an address of %d bytes", len(p.Address))
		case p.PeerID == "":
			return nil, fmt.Errorf("%q without a peer ID", p.Address)
		case seen[p.Address]:
			return nil, fmt.Errorf("%q twice", p.Address)
		}
		seen[p.Address] = true
	}
	return file.Peers, nil
}

// lookup returns who answered at addr first.
func (l *learned) lookup(addr string) (learnedPeer, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.index(addr)
	if i < 0 {
		return learnedPeer{}, false
	}
	return l.peers[i], true
}

// remember keeps id for addr, on disk before it returns. Who is remembered
// for addr already stays: it returns whom.
func (l *learned) remember(addr string, id peer.ID, now time.Time) (peer.ID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.index(addr); i >= 0 {
		return l.peers[i].PeerID, nil
	}
	l.peers = append(l.peers, learnedPeer{Address: addr, PeerID: id, LearnedAt: now.UTC().Truncate(time.Second)})
	if over := len(l.peers) - maxLearned; over > 0 {
		l.peers = slices.Delete(l.peers, 0, over)
	}
	if l.dir == nil {
		return id, nil
	}
	data, err := json.MarshalIndent(learnedJSON{Peers: l.peers}, "", "  ")
	if err == nil {
		err = writeWhole(l.dir, learnedFile, append(data, '\n'))
	}
	if err != nil {
		return id, fmt.Errorf("remembering a peer ID in %s: %w", l.path(), err)
	}
	return id, nil
}

// path is the file's, for people.
func (l *learned) path() string {
	if l.dir == nil {
		return "memory"
	}
	return l.dir.Name() + string(os.PathSeparator) + learnedFile
}

// index returns where addr is in peers, or -1. mu is held.
func (l *learned) index(addr string) int {
	return slices.IndexFunc(l.peers, func(p learnedPeer) bool { return p.Address == addr })
}

// writeWhole replaces a file so that after a crash it is the old one or the new
// one, never a part: a temporary file, synced, renamed over it, and the rename
// synced.
func writeWhole(dir *os.Root, name string, data []byte) (err error) {
	temp := name + ".tmp"
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = dir.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	err = d.Sync()
	if runtime.GOOS == "windows" {
		err = nil // it can't sync directories, and journals what is done to them
	}
	return errors.Join(err, d.Close())
}
