package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/api/client"
	"p2ping/node/ledger"
)

const (
	// window bounds how far a hook looks beyond a ping that is not handed over:
	// other authors' pings go on meanwhile.
	window = 256
	// attempts bounds how many of a hook's run at one time.
	attempts = 4
	// page is how many records are read from the ledger at one time.
	page = 64
	// grace is how long an attempt may go on when all is to end.
	grace = 2 * time.Second
	// Bounds of the pause before another attempt.
	firstPause = time.Second
	maxPause   = time.Minute
)

// deliverer hands one ping over, given as JSON. It is called by several
// goroutines. Any error but a [refusal] asks for another attempt.
type deliverer interface {
	deliver(ctx context.Context, ping []byte) error
}

// refusal is an error after which another attempt would not help.
type refusal struct{ error }

// busy is an error that says how long to wait before the next attempt.
type busy struct {
	error
	after time.Duration
}

// runner is one hook at work. Everything in it belongs to the goroutine of run,
// but for what is said otherwise.
type runner struct {
	ledger    *ledger.Ledger
	self      peer.ID
	deliverer deliverer
	key       string
	name      string // kind and number
	attempts  *prometheus.CounterVec
	logger    *slog.Logger
	moved     func(to place) // tells up to where all is handed over
	at        place          // what is to be read next

	records []ledger.Record     // read, not in the queue yet
	queue   []*task             // from the first that is not handed over, in order of arrival
	waiting map[peer.ID][]*task // of authors that have a task under way, behind it
	running int
	done    chan outcome
	slots   chan struct{} // holds one for each attempt under way
}

// task is one ping to be handed over.
type task struct {
	record ledger.Record
	index  int
	over   bool // it is handed over, or refused
}

// outcome is what became of a task when its goroutine ends.
type outcome struct {
	task *task
	over bool
}

// run works until ctx ends.
func (r *runner) run(ctx context.Context) error {
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.waiting = make(map[peer.ID][]*task)
	r.done, r.slots = make(chan outcome), make(chan struct{}, attempts)
	for {
		changed := r.ledger.Changed() // before reading, so that nothing slips between
		if err := r.fill(func(t *task) { r.begin(ctx, hard, t) }); err != nil {
			cancel()
			stop()
			r.drain()
			return err
		}
		select {
		case <-changed:
		case o := <-r.done:
			r.finish(ctx, hard, o)
		case <-ctx.Done():
			defer time.AfterFunc(grace, stop).Stop()
			r.drain()
			return nil
		}
	}
}

// fill reads what is new, as far as there is room for it.
func (r *runner) fill(begin func(*task)) error {
	for len(r.queue) < window {
		if len(r.records) == 0 {
			if more, err := r.read(); err != nil || !more {
				return err
			}
		}
		record := r.records[0]
		r.records = r.records[1:]
		for i := r.at.index; i < len(record.Entry.Pings); i++ {
			t := &task{record: record, index: i}
			r.queue = append(r.queue, t)
			begin(t)
		}
		r.at = place{arrival: record.Cursor + 1}
	}
	return nil
}

// resume returns where to begin, when that was the place at the end: there, if it is
// one in this ledger. In an older copy of it, that is what came to the copy; of
// another ledger, nothing has been handed over.
func (r *runner) resume(at place) place {
	last, known := r.ledger.State().Last, at.epoch == 0
	if !known {
		last, known = r.ledger.Reach(at.epoch)
	}
	switch to := (place{arrival: last + 1}); {
	case known && (at.arrival <= last || at.arrival == last+1 && at.index == 0):
		return place{arrival: at.arrival, index: at.index}
	case known && at.epoch != 0:
		r.logger.Warn("the ledger is an older copy: starting with what has come to it", "from", at.String(), "to", to.String())
		return to
	}
	r.logger.Warn("the ledger is another one than before: starting with its first ping", "from", at.String())
	return place{}
}

// read gets the next records, and logs when there should have been some
// between.
func (r *runner) read() (more bool, err error) {
	last := r.ledger.State().Last // before After: what is up to here, After sees or it is forgotten
	r.records, err = r.ledger.After(r.at.arrival-min(r.at.arrival, 1), page)
	if err != nil {
		return false, err
	}
	next := last + 1
	if len(r.records) > 0 {
		next = r.records[0].Cursor
	}
	if next > r.at.arrival {
		to := place{arrival: next}
		if r.at.arrival > 0 {
			r.logger.Warn("a gap: pings were forgotten before they were handed over (--retention)", "from", r.at.String(), "to", to.String())
		}
		r.at = to
		if len(r.queue) == 0 {
			r.moved(to)
		}
	}
	return len(r.records) > 0, nil
}

// begin hands a task over, when those before it of its author are.
func (r *runner) begin(ctx, hard context.Context, t *task) {
	author := t.record.Entry.Author
	behind, active := r.waiting[author]
	if active {
		r.waiting[author] = append(behind, t)
		return
	}
	r.waiting[author] = nil
	r.work(ctx, hard, t)
}

func (r *runner) work(ctx, hard context.Context, t *task) {
	r.running++
	go func() {
		r.done <- outcome{t, r.insist(ctx, hard, t)}
	}()
}

// finish notes that a task has ended, and begins the next of its author. A task
// that ended without being handed over did so as all is to end: what is behind
// it must not overtake it.
func (r *runner) finish(ctx, hard context.Context, o outcome) {
	r.note(o)
	if !o.over {
		return
	}
	author := o.task.record.Entry.Author
	behind := r.waiting[author]
	if len(behind) == 0 {
		delete(r.waiting, author)
		return
	}
	r.waiting[author] = behind[1:]
	r.work(ctx, hard, behind[0])
}

// note takes down how a task ended, and tells how far all is handed over now.
func (r *runner) note(o outcome) {
	r.running--
	o.task.over = o.over
	var to place
	for len(r.queue) > 0 && r.queue[0].over {
		to = r.queue[0].behind()
		r.queue = r.queue[1:]
	}
	if to != (place{}) {
		r.moved(to)
	}
}

// drain waits for the tasks that are under way.
func (r *runner) drain() {
	for r.running > 0 {
		r.note(<-r.done)
	}
}

// insist tries to hand a task over until it is, or is refused, or ctx ends.
// It runs on a goroutine of its own.
func (r *runner) insist(ctx, hard context.Context, t *task) bool {
	ping, err := t.json(r.self, r.ledger)
	if err != nil {
		r.logger.Error("skipping a ping that can't be written as JSON", "id", t.id(), "err", err)
		return true
	}
	for tries := 0; ; tries++ {
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		err := r.deliverer.deliver(hard, ping)
		<-r.slots
		if err == nil {
			r.attempts.WithLabelValues(resultTaken).Inc()
			return true
		}
		if hard.Err() != nil {
			return false // cut off: the next start repeats it
		}
		if _, refused := errors.AsType[refusal](err); refused {
			r.attempts.WithLabelValues(resultRefused).Inc()
			r.logger.Warn("a hook refused a ping, which is skipped", "id", t.id(), "err", err)
			return true
		}
		r.attempts.WithLabelValues(resultFailed).Inc()
		wait := pause(tries, rand.Float64())
		if b, ok := errors.AsType[busy](err); ok {
			wait = max(wait, min(b.after, maxPause))
		}
		r.logger.Warn("a hook failed and is tried again", "id", t.id(), "tries", tries+1, "in", wait.Round(time.Millisecond), "err", err)
		if !sleep(ctx, wait) {
			return false
		}
	}
}

// pause returns how long to wait after n failures in a row before this one,
// with full jitter, which is from [0, 1).
func pause(n int, jitter float64) time.Duration {
	const least = 50 * time.Millisecond // a failing hook must not spin
	// Six doublings reach the longest; more would overflow in the end.
	longest := min(maxPause, firstPause<<min(n, 6))
	return max(least, time.Duration(jitter*float64(longest)))
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *task) id() string { return fmt.Sprintf("%s-%d", t.record.Entry.ID, t.index) }

// behind is the place after the task, the cursor of its ping.
func (t *task) behind() place {
	if t.index+1 < len(t.record.Entry.Pings) {
		return place{arrival: t.record.Cursor, index: t.index + 1}
	}
	return place{arrival: t.record.Cursor + 1}
}

// json writes the ping, which is in l, as the API's streams do.
func (t *task) json(self peer.ID, l *ledger.Ledger) ([]byte, error) {
	e := t.record.Entry
	p := e.Pings[t.index]
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(client.Ping{
		ID: t.id(), Text: p.Text, Author: e.Author.String(),
		SentAt: client.Time{Time: p.Time()}, ReceivedAt: client.Time{Time: t.record.ReceivedAt},
		Via: t.record.Via.String(), Cursor: inEpoch(l, t.behind()).String(), Self: e.Author == self,
	})
	return b.Bytes(), err
}
