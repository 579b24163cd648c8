package catchup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"p2ping/node/entry"
)

// errBusy is returned by a session that the other side did not take up.
var errBusy = errors.New("the peer is busy")

// session is one conversation with one peer over one stream. It is used by one
// goroutine.
type session struct {
	store Store
	topic string
	clock func() time.Time
	takes bool // whether entries are wanted

	met     func()              // called by an initiator once the peer has taken it up
	mayTake func(more int) bool // asked by a responder; see bulk.offer

	wire *wire
	talk *talk
	in   *intake
	out  *outflow

	result outcome
	turns  int // of theirs
}

// outcome is what came of a session, also of one that failed.
type outcome struct {
	compared bool // the two ledgers were compared to the end, or as far as allowed
	equal    bool // by fingerprint
	left     bool // more differs than the session could take
	missing  int  // entries that they hold and we still lack, as far as known
	extra    int  // entries that we hold and they still lack
	beyond   bool // entries of ours can't be compared yet: see PeerState
	added    int
	held     int
	refused  int
	sent     int
	turns    int // round trips, begun ones included
	bytesIn  int
	bytesOut int
	scanned  int
	retry    time.Duration // with errBusy
	skew     time.Duration
}

// moved is how many entries changed sides.
func (o outcome) moved() int { return o.added + o.sent }

func newSession(cfg Config, takes bool, s stream, seasoning salt) *session {
	w := newWire(s)
	return &session{
		store: cfg.Ledger,
		topic: cfg.Topic,
		clock: cfg.Now,
		takes: takes,
		wire:  w,
		talk:  newTalk(cfg.Ledger, seasoning),
		in:    &intake{store: cfg.Ledger, admit: cfg.Admit, many: func() {}},
		out:   &outflow{store: cfg.Ledger, wire: w},

		met:     func() {},
		mayTake: func(int) bool { return true },
	}
}

// initiate has a session that we began.
func (s *session) initiate(ctx context.Context) error {
	now := s.clock().UnixMilli()
	h, err := s.talk.begin(hello{topic: topicTag(s.topic), clock: now, floor: s.floor(), takes: s.takes}, horizon(now))
	if err != nil {
		return err
	}
	asked := time.Now()
	if err := s.wire.write(kindHello, h.encode()); err != nil {
		return err
	}
	if err := s.wire.flush(); err != nil {
		return err
	}
	s.wire.turn()
	k, payload, err := s.wire.read()
	if err != nil {
		return err
	}
	switch k {
	case kindBusy:
		b, err := decodeBusy(payload)
		if err != nil {
			return err
		}
		s.result.retry = time.Duration(b.seconds) * time.Second
		return errBusy
	case kindWelcome:
	default:
		return fmt.Errorf("%w: a frame of kind %d for a welcome", errProtocol, k)
	}
	w, err := decodeWelcome(payload, h)
	if err != nil {
		return err
	}
	s.met()
	rtt := time.Since(asked).Milliseconds()
	s.result.skew = time.Duration(w.clock-h.clock-rtt/2) * time.Millisecond
	s.talk.welcomed(h, w)
	if w.equal {
		s.turns++
		return s.conclude(true)
	}
	if err := s.converse(ctx, false); err != nil {
		return err
	}
	return s.conclude(false)
}

// respond has a session that a peer began and that is taken up.
func (s *session) respond(ctx context.Context) error {
	s.wire.turn()
	h, err := s.readHello()
	if err != nil {
		return err
	}
	now := s.clock().UnixMilli()
	s.result.skew = time.Duration(h.clock-now) * time.Millisecond
	s.takes = s.takes && s.mayTake(h.count-s.store.State().Entries)
	w, err := s.talk.welcome(h, welcome{clock: now, floor: s.floor(), takes: s.takes})
	if err != nil {
		return err
	}
	if err := s.wire.write(kindWelcome, w.encode(h)); err != nil {
		return err
	}
	if w.equal {
		if err := s.wire.flush(); err != nil {
			return err
		}
		return s.conclude(true)
	}
	if err := s.converse(ctx, true); err != nil {
		return err
	}
	return s.conclude(false)
}

// refuse answers a hello by putting the peer off.
func (s *session) refuse(retry time.Duration) error {
	s.wire.turn()
	if _, err := s.readHello(); err != nil {
		return err
	}
	seconds := int((retry + time.Second - 1) / time.Second)
	if err := s.wire.write(kindBusy, busy{seconds: min(max(seconds, 1), maxBusy)}.encode()); err != nil {
		return err
	}
	return s.wire.flush()
}

func (s *session) readHello() (hello, error) {
	s.turns++
	k, payload, err := s.wire.read()
	if err != nil {
		return hello{}, err
	}
	if k != kindHello {
		return hello{}, fmt.Errorf("%w: a frame of kind %d for a hello", errProtocol, k)
	}
	h, err := decodeHello(payload)
	if err == nil && h.topic != topicTag(s.topic) {
		err = fmt.Errorf("%w: a session about another topic", errProtocol)
	}
	return h, err
}

func (s *session) floor() int64 { return min(max(s.store.State().Floor, 0), maxTime) }

// converse takes turns until nobody has anything to add.
func (s *session) converse(ctx context.Context, ours bool) error {
	s.in.lo, s.in.hi = s.talk.lo, s.talk.hi
	for ; ; ours = !ours {
		turn := s.listen
		if ours {
			turn = s.speak
		}
		if over, err := turn(ctx); over || err != nil {
			return err
		}
	}
}

// speak has our turn.
func (s *session) speak(context.Context) (over bool, err error) {
	t := s.talk.say()
	for _, payload := range t.ranges {
		if err := s.wire.write(kindRanges, payload); err != nil {
			return false, err
		}
	}
	all, err := s.out.send(t.send)
	if err != nil {
		return false, err
	}
	if !all {
		t.end.left, s.talk.left = true, true
	}
	if err := s.wire.write(kindEnd, t.end.encode()); err != nil {
		return false, err
	}
	return t.over, s.wire.flush()
}

// listen has the peer's turn: ranges, entries, end.
func (s *session) listen(ctx context.Context) (over bool, err error) {
	if s.turns++; s.turns > maxTurns {
		return false, fmt.Errorf("%w: more than %d turns", errProtocol, maxTurns)
	}
	s.wire.turn()
	s.in.turn()
	ranges, last := 0, kindRanges
	for {
		k, payload, err := s.wire.read()
		if err != nil {
			return false, errors.Join(err, s.in.flush(ctx))
		}
		if k < last {
			return false, fmt.Errorf("%w: a frame of kind %d after one of kind %d", errProtocol, k, last)
		}
		last = k
		switch k {
		case kindRanges:
			ranges++
			err = s.talk.hear(payload)
		case kindEntries:
			err = s.in.frame(ctx, payload)
		case kindEnd:
			e, err := decodeEnd(payload)
			if err == nil {
				err = s.in.flush(ctx)
			}
			s.talk.heard(e)
			return s.talk.over(e, ranges), err
		default:
			err = fmt.Errorf("%w: a frame of unknown kind %d", errProtocol, k)
		}
		if err != nil {
			return false, err
		}
	}
}

// conclude sums up a session that came to its end.
func (s *session) conclude(equal bool) error {
	s.result.compared, s.result.equal, s.result.left = true, equal, s.talk.left
	arrived := s.in.added + s.in.held
	s.result.missing = max(0, s.talk.expected-arrived)
	s.result.extra = max(0, s.talk.extra-s.out.sent)
	// One will do: how many there are is for the peer's clock to say.
	for _, err := range s.store.Keys(s.talk.hi, entry.LastKey()) {
		s.result.beyond = err == nil
		return err
	}
	return nil
}

// outcome returns what came of the session, once it has ended.
func (s *session) outcome() outcome {
	o := s.result
	o.added, o.held, o.refused, o.sent = s.in.added, s.in.held, s.in.refused, s.out.sent
	o.turns, o.bytesIn, o.bytesOut, o.scanned = s.turns, s.wire.received, s.wire.sent, s.talk.scanned
	return o
}
