package ledger

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"p2ping/node/entry"
)

// damage is a record that failed its check, with the row that points to it. Of
// one that was found in the log only the row's cursor is known.
type damage struct {
	key entry.Key
	at  row
	err error
}

// drop removes damaged records from index and log, so that the ledger lacks
// them and catch-up fetches them again. It reports what it drops.
func (l *Ledger) drop(found []damage) int {
	if len(found) == 0 {
		return 0
	}
	dropped := make([]damage, 0, len(found))
	err := l.update(func(s snapshot) ([]Record, error) {
		dropped = dropped[:0]
		lowest := entry.LastKey()
		for _, d := range found {
			if at, ok := s.lookup(d.key); !ok || at != d.at {
				continue // another has dropped it
			}
			if err := errors.Join(s.delete(s.index, d.key.Append(nil)), s.delete(s.log, appendCursor(nil, d.at.cursor))); err != nil {
				return nil, err
			}
			if d.key.Time >= s.floor {
				s.remove(d.at)
			}
			lowest = lower(lowest, d.key)
			dropped = append(dropped, d)
		}
		if len(dropped) == 0 {
			return nil, errNothing
		}
		l.prefixes.invalidate(lowest)
		return nil, nil
	})
	if err != nil {
		l.logger.Error("dropping damaged records", "error", err, "records", len(found))
		return 0
	}
	l.mu.Lock()
	l.damaged += len(dropped)
	for _, d := range dropped {
		l.recent.forget(d.at.cursor)
	}
	l.mu.Unlock()
	for _, d := range dropped {
		l.logger.Warn("dropped a damaged record; catch-up will fetch it again",
			"cursor", d.at.cursor, "entry", d.key.ID.String(), "error", d.err)
	}
	return len(dropped)
}

// dropLogged removes damaged records that were found in the log. It takes a
// look at all index rows, for their keys.
func (l *Ledger) dropLogged(found []damage) {
	if len(found) == 0 {
		return
	}
	wanted := make(map[uint64]error, len(found))
	for _, d := range found {
		wanted[d.at.cursor] = d.err
	}
	var known []damage
	err := l.look(func(s snapshot) error {
		s.scan(entry.Key{}, entry.LastKey(), func(key entry.Key, at row) bool {
			if err, ok := wanted[at.cursor]; ok {
				known = append(known, damage{key: key, at: at, err: err})
			}
			return len(known) < len(wanted)
		})
		return nil
	})
	if err == nil {
		l.drop(known)
		for _, d := range known {
			delete(wanted, d.at.cursor)
		}
		err = l.mendLog(slices.Sorted(maps.Keys(wanted)))
	}
	if err != nil {
		l.logger.Error("dropping damaged records", "error", err)
	}
}

// maxSuspects bounds the damaged index rows that are remembered until they are
// dropped. More are found again.
const maxSuspects = 1024

// suspects are index rows that a scan found damaged, by their encoded keys,
// whatever those have become.
type suspects struct {
	any atomic.Bool // there may be some that are not reported

	mu   sync.Mutex
	rows map[string]bool // guarded by mu; true when reported
}

// add notes a row. It copies the key.
func (s *suspects) add(key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rows) >= maxSuspects || len(key) > 2*entry.KeySize {
		return
	}
	if s.rows == nil {
		s.rows = make(map[string]bool)
	}
	if _, known := s.rows[string(key)]; !known {
		s.rows[string(key)] = false
		s.any.Store(true)
	}
}

// report logs those that are new.
func (s *suspects) report(logger *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.any.Store(false)
	n := 0
	for key, reported := range s.rows {
		if !reported {
			s.rows[key] = true
			n++
		}
	}
	logger.Warn("the ledger's index has damaged rows", "rows", n)
}

// all returns the rows' keys.
func (s *suspects) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, 0, len(s.rows))
	for key := range s.rows {
		keys = append(keys, key)
	}
	return keys
}

// forget forgets rows that were dropped.
func (s *suspects) forget(keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.rows, key)
	}
}

// mend drops the index rows that scans found damaged. Their records stay in the
// log until scrub puts them back into the index, or catch-up has brought them
// again. A row that cannot even be found by its key is left: only a rebuild
// gets rid of that.
func (l *Ledger) mend() int {
	keys := l.suspects.all()
	if len(keys) == 0 {
		return 0
	}
	var gone []string
	err := l.update(func(s snapshot) ([]Record, error) {
		gone = gone[:0]
		for _, key := range keys {
			k := []byte(key)
			v := s.index.Get(k)
			if _, _, err := decodeRow(k, v); v == nil || err == nil {
				continue
			}
			s.forget(v)
			if err := s.delete(s.index, k); err != nil {
				return nil, err
			}
			gone = append(gone, key)
		}
		if len(gone) == 0 {
			return nil, errNothing
		}
		l.prefixes.invalidate(entry.Key{})
		return nil, nil
	})
	if err != nil {
		l.logger.Error("dropping damaged index rows", "error", err)
		return 0
	}
	l.suspects.forget(gone)
	if left := len(keys) - len(gone); left > 0 {
		l.logger.Error("the ledger's index has damaged rows that cannot be dropped; "+rebuildHint, "rows", left)
	}
	l.mu.Lock()
	l.damaged += len(gone)
	l.mu.Unlock()
	return len(gone)
}
