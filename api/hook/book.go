package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"p2ping/node/ledger"
)

const (
	// File is the file in the data directory that holds the hooks' places.
	File = "hooks.json"
	// maxFile bounds it, in bytes: some ten thousand hooks.
	maxFile = 1 << 20
	// saveEvery is the least time between two writes: each is an fsync, which
	// the ledger shares the disk with. A crash repeats what was handed over in
	// the meantime.
	saveEvery = 100 * time.Millisecond
)

// place lies between two pings in the ledger's order of arrival, like the
// API's cursors: it names the ping that comes next.
type place struct {
	arrival uint64 // the cursor of its entry
	index   int    // in there
	epoch   ledger.Epoch
}

func (p place) String() string {
	s := strconv.FormatUint(p.arrival, 10) + "-" + strconv.Itoa(p.index)
	if p.epoch != 0 {
		s += "-" + p.epoch.String()
	}
	return s
}

func parsePlace(s string) (p place, err error) {
	arrival, rest, _ := strings.Cut(s, "-")
	index, epoch, more := strings.Cut(rest, "-")
	if p.arrival, err = strconv.ParseUint(arrival, 10, 63); err != nil {
		return place{}, fmt.Errorf("%q is no cursor", s)
	}
	i, err := strconv.ParseUint(index, 10, 16)
	if err != nil {
		return place{}, fmt.Errorf("%q is no cursor", s)
	}
	p.index = int(i)
	if more {
		if p.epoch, err = ledger.ParseEpoch(epoch); err != nil {
			return place{}, fmt.Errorf("%q is no cursor: %w", s, err)
		}
	}
	return p, nil
}

// keyOf names a hook in the file: by a hash, as there may be a password in it.
func keyOf(kind, target string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + target))
	return hex.EncodeToString(sum[:16])
}

// written is the file's content.
type written struct {
	Hooks map[string]string `json:"hooks"`
}

// book keeps the hooks' places on disk.
type book struct {
	dir    *os.Root
	logger *slog.Logger
	dirty  chan struct{}    // holds one when places may differ from the file
	kept   map[string]place // what the file holds; for one goroutine at a time

	mu     sync.Mutex
	places map[string]place
}

// read returns what the file says, nothing when there is none.
func (b *book) read() (map[string]place, error) {
	f, err := b.dir.Open(File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the hooks' places: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading the hooks' places: %w", err)
	}
	places, err := parseBook(content)
	if err != nil {
		return nil, fmt.Errorf("reading %s (without it, hooks start at the pings from now on): %w", File, err)
	}
	return places, nil
}

func parseBook(content []byte) (map[string]place, error) {
	var w written
	if err := json.Unmarshal(content, &w); err != nil {
		return nil, err
	}
	places := make(map[string]place, len(w.Hooks))
	for key, text := range w.Hooks {
		p, err := parsePlace(text)
		if err != nil {
			return nil, err
		}
		places[key] = p
	}
	return places, nil
}

// set moves a hook's place.
func (b *book) set(key string, to place) {
	b.mu.Lock()
	b.places[key] = to
	b.mu.Unlock()
	select {
	case b.dirty <- struct{}{}:
	default: // it is to be written anyway
	}
}

// place returns a hook's place.
func (b *book) place(key string) place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.places[key]
}

// run writes places down as they move, and at the end.
func (b *book) run(ctx context.Context) {
	failing := false
	save := func() {
		err := b.write()
		if err != nil && !failing {
			b.logger.Warn("hooks' places can't be written: a restart would repeat what was handed over", "err", err)
		}
		failing = err != nil
	}
	for {
		select {
		case <-b.dirty:
			save()
		case <-ctx.Done():
			save()
			return
		}
		sleep(ctx, saveEvery)
	}
}

// write replaces the file, unless it holds all that already.
func (b *book) write() error {
	const temporary = File + ".new"
	b.mu.Lock()
	places := maps.Clone(b.places)
	b.mu.Unlock()
	if maps.Equal(places, b.kept) {
		return nil
	}
	w := written{Hooks: make(map[string]string, len(places))}
	for key, p := range places {
		w.Hooks[key] = p.String()
	}
	content, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the hooks' places: %w", err)
	}
	if err := writeSynced(b.dir, temporary, append(content, '\n')); err != nil {
		return fmt.Errorf("writing the hooks' places: %w", err)
	}
	if err := b.dir.Rename(temporary, File); err != nil {
		return fmt.Errorf("writing the hooks' places: %w", err)
	}
	b.kept = places
	return nil
}

// syncName makes it durable that there is a file, or another one than before.
func (b *book) syncName() error {
	d, err := b.dir.Open(".")
	if err != nil {
		return fmt.Errorf("writing the hooks' places: %w", err)
	}
	_ = d.Sync() // some systems can't sync a directory: nothing to be done then
	return d.Close()
}

// writeSynced writes a file to the disk, so that renaming it can't leave an
// empty one after a loss of power.
func writeSynced(dir *os.Root, name string, content []byte) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
