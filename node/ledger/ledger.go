package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// Errors of this package. Others come wrapped from the operating system.
var (
	// ErrNotFound is returned by Get and Find for what the ledger lacks.
	ErrNotFound = errors.New("no such entry in the ledger")
	// ErrFull is returned by Append when there is no room on the disk.
	// Nothing of that call was stored. It passes when there is room.
	ErrFull = errors.New("no room for the ledger on the disk")
	// ErrDamaged is wrapped by errors about a file whose structure cannot be
	// trusted any more, or that is no ledger. Rebuild helps.
	ErrDamaged = errors.New("the ledger is damaged")
	// ErrLocked is returned by Open and Rebuild while another process has the
	// file open.
	ErrLocked = errors.New("another process has the ledger open")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("the ledger is closed")
)

// Config says where a ledger is and what it keeps. Only Path is required.
type Config struct {
	// Path is the bbolt file. It is made, readable by its owner only, when it
	// does not exist; its directory is not.
	Path string
	// Retention is for how long entries are kept, by their own time. Zero
	// keeps them for ever.
	Retention time.Duration
	// MaxEntries bounds the number of entries. Zero is no bound. The bound
	// holds after each Prune; between two, the ledger may exceed it.
	MaxEntries int
	// MaxBytes bounds State.Bytes, as MaxEntries bounds their number.
	MaxBytes int64
	// NoSync leaves out fsync: for tests on a fake clock only.
	NoSync bool
	// Logger receives what nobody called for: damage found, a disk filling up.
	// Nil discards.
	Logger *slog.Logger
}

// State describes a ledger at one moment.
type State struct {
	// Entries and Pings count what is kept, from the floor on.
	Entries, Pings int
	// Bytes is what the kept entries take on disk, about: their encoded size
	// and a fixed overhead for each.
	Bytes int64
	// Floor is the time in Unix milliseconds below which entries are
	// forgotten. It only rises.
	Floor int64
	// First is a cursor that no kept record's is below, and after pruning the
	// oldest's. Last is the newest cursor given out, zero when none was.
	First, Last uint64
	// Epoch is that of Last, zero for none. Last, and whatever was taken from the
	// ledger before, is of this epoch or was given out before it.
	Epoch Epoch
	// Full is set while the disk is.
	Full bool
	// Damaged counts the records that were found damaged, and dropped, since
	// the ledger was opened.
	Damaged int
}

// Ledger is an open ledger. Its methods may be called concurrently.
type Ledger struct {
	path     string
	limits   limits
	logger   *slog.Logger
	noSync   bool
	db       *bbolt.DB
	queue    queue
	prefixes prefixes
	suspects suspects
	file     *os.File // db's; closed by db
	// broken is set when db must not be touched any more. See begin.
	broken atomic.Bool
	// change runs a function in a writing transaction and commits. It is
	// replaced in tests of a disk that fails.
	change func(func(*bbolt.Tx) error) error
	// kick wakes Run: a limit is exceeded, or the disk is full. Capacity 1.
	kick chan struct{}
	// held tells Run that records are pending, crowded that they are many.
	// Capacity 1.
	held, crowded chan struct{}
	// finding is held by the one search that may be under way. Capacity 1.
	finding chan struct{}
	// epoch is that of the cursors that this Ledger gives out. It begins with the
	// first of them, in the bbolt file: until then, none may come by the journal.
	epoch Epoch
	// touched counts the bytes of the file that were mapped into memory since
	// they were last given back.
	touched atomic.Int64
	// floor repeats totals.floor for readers without a lock.
	floor atomic.Int64

	// writing serialises update. It is taken before mu.
	writing sync.Mutex

	// journal is nil until it is made. It is set under mu by the leader of the
	// queue, who may read it without.
	journal *journal
	retry   time.Time // the leader's: when it may be tried again to make it

	mu      sync.Mutex
	totals  totals        // guarded by mu; the file's and those of what is pending
	epochs  epochs        // guarded by mu
	first   uint64        // guarded by mu
	recent  recent        // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced at each change
	direct  bool          // guarded by mu; the journal must not be written to
	unsure  bool          // guarded by mu; the file has records of a commit that failed
	full    bool          // guarded by mu
	tried   time.Time     // guarded by mu; when a write last failed for want of room
	damaged int           // guarded by mu
}

// Open opens the ledger at config.Path, or makes it. It fails with [ErrLocked]
// or [ErrDamaged], or an error of the operating system.
func Open(config Config) (*Ledger, error) {
	l := &Ledger{
		path:    config.Path,
		limits:  limits{age: config.Retention, entries: int64(config.MaxEntries), bytes: config.MaxBytes},
		logger:  config.Logger,
		noSync:  config.NoSync,
		kick:    make(chan struct{}, 1),
		held:    make(chan struct{}, 1),
		crowded: make(chan struct{}, 1),
		finding: make(chan struct{}, 1),
		changed: make(chan struct{}),
		recent:  newRecent(),
		epoch:   newEpoch(),
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	l.queue.init()
	var err error
	if l.db, l.file, err = openFile(config.Path, config.NoSync, l.logger); err != nil {
		return nil, fmt.Errorf("opening ledger %q: %w", config.Path, err)
	}
	l.change = func(f func(*bbolt.Tx) error) error { return l.inTx(true, f) }
	if err = l.reload(); err == nil {
		err = l.openJournal()
	}
	if err != nil {
		return nil, fmt.Errorf("opening ledger %q: %w", config.Path, errors.Join(hinted(err), l.closeFiles()))
	}
	if err := l.sync(); err != nil {
		l.logger.Error("waiting for the disk to have all that the ledger has", "path", config.Path, "error", err)
		l.mu.Lock()
		l.direct, l.unsure = true, true // until a commit makes sure
		l.mu.Unlock()
	}
	if floor := time.UnixMilli(l.floor.Load()); floor.After(time.Now()) {
		l.logger.Error("the ledger forgets everything up to a time that has not come: the clock was wrong, or is; "+rebuildHint,
			"path", config.Path, "floor", floor)
	}
	return l, nil
}

// sync makes durable what was read from the files: a process that was killed
// may not have waited for that.
func (l *Ledger) sync() error {
	if l.noSync {
		return nil
	}
	err := l.db.Sync()
	if l.journal != nil {
		err = errors.Join(err, l.journal.file.Sync())
	}
	return err
}

// Close waits for the commit that is under way, stores what is in the journal
// in the bbolt file, if there is room, and closes both. Further calls do nothing.
func (l *Ledger) Close() error {
	if !l.queue.close() {
		return nil
	}
	err := l.settled()
	if errors.Is(err, ErrFull) {
		err = nil // it is said already, and the journal keeps it
	}
	l.writing.Lock() // a prune or scrub that is under way ends with ErrClosed at its next step
	defer l.writing.Unlock()
	if err = errors.Join(err, l.closeFiles()); err != nil {
		return fmt.Errorf("closing ledger %q: %w", l.path, err)
	}
	return nil
}

func (l *Ledger) closeFiles() error {
	var err error
	if l.journal != nil {
		err = l.journal.file.Close()
	}
	if l.broken.Load() {
		return errors.Join(err, l.file.Close()) // the mapping stays until the process ends
	}
	return errors.Join(err, l.db.Close())
}

// State describes the ledger now.
func (l *Ledger) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stateOf(l.totals)
}

// stateOf makes a State of totals. The caller holds l.mu.
func (l *Ledger) stateOf(t totals) State {
	return State{
		Entries: int(t.entries),
		Pings:   int(t.pings),
		Bytes:   t.bytes,
		Floor:   t.floor,
		First:   min(l.first, t.next),
		Last:    t.next - 1,
		Epoch:   l.epochs.current(),
		Full:    l.full,
		Damaged: l.damaged,
	}
}

// Changed returns a channel that is closed when the ledger changes next: an
// entry was appended, or the floor rose. Take it before reading After.
func (l *Ledger) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// publish makes a committed change visible. The caller holds l.writing, and
// not l.mu.
func (l *Ledger) publish(s standing, added []Record) {
	l.mu.Lock()
	l.settle(s)
	l.unsure = false
	for _, r := range added {
		l.recent.push(r)
	}
	exceeded := l.limits.exceeded(l.totals)
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	if exceeded {
		l.wake()
	}
}

// standing is what the bbolt file says of itself.
type standing struct {
	totals   totals
	position position
	epochs   epochs
}

// standing returns what a transaction says of the bbolt file.
func (s snapshot) standing() (standing, error) {
	p, _, err := s.position()
	return standing{*s.totals, p, s.epochs()}, err
}

// settle notes what the bbolt file has: all below its next cursor, and what is
// in the journal before its position. The caller holds l.mu.
func (l *Ledger) settle(s standing) {
	t := s.totals
	l.epochs = s.epochs
	l.recent.settle(t.next - 1)
	if l.journal != nil && s.position.secret == l.journal.secret {
		l.journal.tail = s.position.place
	}
	for _, r := range l.recent.above(l.recent.stored) {
		if r.Entry.Time >= t.floor {
			t.add(rowOf(r))
		}
	}
	t.next = max(t.next, l.totals.next)
	l.totals = t
	l.floor.Store(t.floor)
}

// reload takes what is kept in memory from the file: at the start, and after a
// commit that failed, as then only the file knows.
func (l *Ledger) reload() error {
	return l.look(func(s snapshot) error {
		first, err := s.first()
		if err != nil {
			return err
		}
		now, err := s.standing()
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.first = first; s.next > l.totals.next {
			l.recent.reset(s.next - 1) // it has records that were said to have failed
			l.unsure = l.totals.next > 0
		}
		l.settle(now)
		return nil
	})
}

// position returns where the journal begins that the file lacks, and false when
// there never was one.
func (s snapshot) position() (position, bool, error) {
	return decodePosition(s.meta.Get([]byte(journalKey)))
}

// first returns the lowest cursor in the log, or the next one.
func (s snapshot) first() (uint64, error) {
	k, _ := s.log.Cursor().First()
	if k == nil {
		return s.next, nil
	}
	return decodeCursor(k)
}

// wake makes Run look after the ledger soon. It never blocks.
func (l *Ledger) wake() { nudge(l.kick) }
