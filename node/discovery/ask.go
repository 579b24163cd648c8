package discovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// When peers are asked, while more are needed.
const (
	// askFirst is how long after a peer joined it is asked: it has met more
	// by then than when a whole network starts at once.
	askFirst = 500 * time.Millisecond
	// askSoon is the first interval of asking. It doubles with each answer that
	// brings nobody new, up to askLate: a small network never has enough.
	askSoon = 2 * time.Second
	askLate = 5 * time.Minute
	// maxAsks bounds the questions under way.
	maxAsks = 2
	// maxJoined bounds those who joined and wait to be asked.
	maxJoined = 16
	// askTime bounds one question.
	askTime = 10 * time.Second
	// twinAfter is how long peers must have been seeing another node with our
	// identity: a connection that we lost may look alive to them for half a
	// minute.
	twinAfter = 45 * time.Second
)

// rhythm decides whom to ask and when.
type rhythm struct {
	self     peer.ID
	interval time.Duration
	next     time.Time
	active   int
	// recent are those who joined and were not asked yet.
	recent []joiner
	twin   time.Time // since when we are told of one; zero: we are not
}

type joiner struct {
	id peer.ID
	at time.Time // to be asked from then on
}

func newRhythm(self peer.ID) rhythm { return rhythm{self: self, interval: askSoon} }

// joined notes that a peer joined the topic: it may know others.
func (r *rhythm) joined(id peer.ID, now time.Time) {
	if len(r.recent) < maxJoined {
		r.recent = append(r.recent, joiner{id, now.Add(jitter(askFirst))})
	}
	if r.interval = askSoon; r.next.After(now.Add(r.interval)) {
		r.next = now.Add(jitter(r.interval))
	}
}

// whom returns whom to ask now, if anybody: who has joined, or one of those
// who may be asked.
func (r *rhythm) whom(now time.Time, may []peer.ID) (peer.ID, bool) {
	for i, j := range r.recent {
		if !j.at.After(now) {
			r.recent = slices.Delete(r.recent, i, i+1)
			if slices.Contains(may, j.id) {
				return j.id, true
			}
			return r.whom(now, may)
		}
	}
	if r.next.After(now) || len(may) == 0 {
		return "", false
	}
	r.next = now.Add(jitter(r.interval))
	return may[rand.IntN(len(may))], true
}

// answered notes how many an answer brought.
func (r *rhythm) answered(fresh int, now time.Time) {
	if fresh > 0 {
		r.interval = askSoon
		return
	}
	r.interval = min(2*r.interval, askLate)
	if at := now.Add(jitter(r.interval)); at.After(r.next) {
		r.next = at
	}
}

// ask asks one peer, if it is time.
func (r *runner) ask(ctx context.Context, now time.Time) {
	if r.asking.active >= maxAsks {
		return
	}
	id, ok := r.asking.whom(now, r.askable())
	if !ok {
		return
	}
	r.asking.active++
	go func() {
		a, err := r.question(ctx, id)
		r.results <- func(now time.Time) { r.answered(ctx, id, a, err, now) }
	}()
}

// askable returns the members who speak the protocol. Where there are none, any
// connected peer may say why: another node with this node's identity, which is
// taken for it.
func (r *runner) askable() []peer.ID {
	from := r.cfg.Peers()
	if len(from) == 0 {
		from = r.cfg.Host.Network().Peers()
	}
	return slices.DeleteFunc(slices.Clone(from), func(id peer.ID) bool { return !r.speaks(id) })
}

func (f *Finder) speaks(id peer.ID) bool {
	ours, err := f.cfg.Host.Peerstore().SupportsProtocols(id, Protocol)
	return err == nil && len(ours) > 0
}

// answered takes in an answer.
func (r *runner) answered(ctx context.Context, id peer.ID, a answer, err error, now time.Time) {
	r.asking.active--
	if ctx.Err() != nil {
		return
	}
	r.metrics.asked.WithLabelValues(outcome(err)).Inc()
	if err != nil {
		r.cfg.Logger.Debug("asking for peers", "peer", id, "err", err)
		r.asking.answered(0, now)
		return
	}
	by := endOf(r.cfg.Host.Network().ConnsToPeer(id))
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := 0
	for _, rec := range a.records {
		rec.addrs = takeable(rec.addrs, by)
		if r.book.tell(rec, Exchange, now) {
			fresh++
		}
	}
	r.asking.answered(fresh, now)
	r.twins(a.twin, now)
}

// twins takes in whether a peer sees another node with our identity. mu is
// held.
func (r *runner) twins(seen bool, now time.Time) {
	switch {
	case !seen:
		r.asking.twin, r.state.Twin = time.Time{}, false
	case r.asking.twin.IsZero():
		r.asking.twin = now
	case now.Sub(r.asking.twin) >= twinAfter && !r.state.Twin:
		r.state.Twin = true
		r.cfg.Logger.Error("another node uses this node's identity: peers see both; give one of them a key of its own",
			"peer", r.cfg.Host.ID())
	}
	if seen {
		r.asking.interval = min(r.asking.interval, twinAfter/2)
	}
}

// question asks one connected peer.
func (f *Finder) question(ctx context.Context, id peer.ID) (a answer, err error) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "connected peers are asked"), askTime)
	defer cancel()
	s, err := f.cfg.Host.NewStream(ctx, id, Protocol)
	if err != nil {
		return a, fmt.Errorf("opening a stream: %w", err)
	}
	err = f.terms().Use(ctx, s, func() error {
		q := request{topic: topicTag(f.cfg.Topic), instance: f.instance, most: maxRecords}
		if _, err := s.Write(q.encode()); err != nil {
			return fmt.Errorf("writing a request: %w", err)
		}
		f.metrics.bytes.Add(requestSize)
		if err := s.CloseWrite(); err != nil {
			return fmt.Errorf("writing a request: %w", err)
		}
		var n int
		a, n, err = readAnswer(s)
		f.metrics.bytes.Add(float64(n))
		return err
	})
	return a, err
}
