package ledger

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The pace of Run.
const (
	// scrubRest is the pause after each page of 256 records: a million
	// records take some two hours, at a load too small to be seen.
	scrubRest = time.Second
	// scrubFirst is when the first scrub begins, after the start; scrubEvery
	// is the time from the end of one to the next.
	scrubFirst = 10 * time.Minute
	scrubEvery = 24 * time.Hour
	// idleEvery is how often Run looks when nothing calls for it.
	idleEvery = time.Minute
)

// Run looks after the ledger until the context ends: it moves what is in the
// journal into the bbolt file, raises the floor and deletes what is below it,
// tries a full disk again, and, slowly, checks all that is stored. What fails is logged and tried again. It returns nil.
func (l *Ledger) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { l.scrubNowAndThen(ctx) })
	others.Go(func() { l.foldNowAndThen(ctx) })
	defer func() {
		cancel()
		others.Wait()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-l.kick:
		}
		timer.Reset(l.tend(time.Now()))
	}
}

// tend does what is due, and returns when to look again.
func (l *Ledger) tend(now time.Time) time.Duration {
	l.mend()
	if err := l.Prune(now); err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed) {
		l.logger.Error("pruning the ledger", "error", err)
	}
	l.release()
	if l.Writable() != nil {
		return probeAfter
	}
	if l.limits.age > 0 {
		return min(ageStep(l.limits.age), idleEvery)
	}
	return idleEvery
}

func (l *Ledger) scrubNowAndThen(ctx context.Context) {
	for wait := scrubFirst; rest(ctx, wait) == nil; wait = scrubEvery {
		dropped, err := l.scrub(ctx, scrubRest)
		switch {
		case ctx.Err() != nil || errors.Is(err, ErrClosed):
			return
		case err != nil:
			l.logger.Error("checking the ledger", "error", err)
		default:
			l.logger.Debug("checked the ledger", "dropped", dropped)
		}
	}
}
