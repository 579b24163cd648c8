package catchup

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// silent is an answer that never comes.
func silent(s network.Stream, _ *wire) {
	var b [1]byte
	for {
		if _, err := s.Read(b[:]); err != nil {
			return
		}
	}
}

// TestHostileAnswers lets a node begin sessions with peers that are no p2ping
// nodes at all.
func TestHostileAnswers(t *testing.T) {
	entries := func(all ...*entry.Entry) (payload []byte) {
		for _, e := range all {
			payload = binary.AppendUvarint(payload, uint64(len(e.Raw)))
			payload = append(payload, e.Raw...)
		}
		return payload
	}
	// welcomed answers a hello and ends the turn with what follows.
	welcomed := func(then func(*wire, hello)) func(network.Stream, *wire) {
		return func(_ network.Stream, w *wire) {
			_, payload, err := w.read()
			if err != nil {
				return
			}
			h, err := decodeHello(payload)
			if err != nil {
				return
			}
			w.write(kindWelcome, welcome{clock: h.clock, floor: h.floor, takes: true}.encode(h))
			then(w, h)
			w.flush()
			w.read()
		}
	}
	tests := []struct {
		name    string
		answer  func(network.Stream, *wire)
		want    result
		err     string        // part of PeerState.Err
		within  time.Duration // of the session's end
		minimum int           // sessions in ten minutes
		maximum int
	}{
		{"silence", silent, resultFailed, "deadline", patience, 10, 60},
		{"a byte a second", func(s network.Stream, _ *wire) {
			frame := appendFrame(nil, kindEntries, make([]byte, frameFill))
			for _, b := range frame {
				if _, err := s.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, resultFailed, "deadline", patience, 10, 60},
		{"an end at once", func(network.Stream, *wire) {}, resultFailed, "", time.Second, 20, 120},
		{"garbage", func(s network.Stream, _ *wire) {
			b := make([]byte, 1<<20)
			rand.Read(b)
			s.Write(b)
			silent(s, nil)
		}, "", "", patience, 1, 60},
		{"a frame without end", func(s network.Stream, _ *wire) {
			s.Write(binary.AppendUvarint(nil, 1<<40))
			silent(s, nil)
		}, resultMisbehaved, "a frame of", time.Second, 1, 5},
		{"an entry that nobody signed", welcomed(func(w *wire, _ hello) {
			e := *entryAt(now(), "forged")
			e.Raw = append(e.Raw[:len(e.Raw)-1], e.Raw[len(e.Raw)-1]^1)
			w.write(kindEntries, entries(&e))
			w.write(kindEnd, end{}.encode())
		}), resultMisbehaved, "the signature is not", time.Second, 1, 5},
		{"entries out of order", welcomed(func(w *wire, _ hello) {
			w.write(kindEntries, entries(entryAt(now(), "b"), entryAt(now()-1000, "a")))
			w.write(kindEnd, end{}.encode())
		}), resultMisbehaved, "out of order", time.Second, 1, 5},
		{"an entry of the far future", welcomed(func(w *wire, _ hello) {
			w.write(kindEntries, entries(entryAt(now()+48*3600_000, "far")))
			w.write(kindEnd, end{}.encode())
		}), resultMisbehaved, "outside", time.Second, 1, 5},
		{"an answer to no question", welcomed(func(w *wire, _ hello) {
			items := itemWriter{salt: salt{}}
			items.add(item{kind: itemSplit, question: 7, parts: []part{{count: 1}}}, 0)
			w.write(kindRanges, items.take()[0])
			w.write(kindEnd, end{}.encode())
		}), resultMisbehaved, "an answer to question 7", time.Second, 1, 5},
		{"turns without end", func(_ network.Stream, w *wire) {
			w.turn()
			_, payload, _ := w.read()
			h, err := decodeHello(payload)
			if err != nil {
				return
			}
			w.write(kindWelcome, welcome{clock: h.clock, floor: h.floor, takes: true}.encode(h))
			for {
				w.write(kindEnd, end{later: true}.encode())
				if w.flush() != nil {
					return
				}
				w.turn()
				for k := kind(0); k != kindEnd; {
					if k, _, err = w.read(); err != nil {
						return
					}
				}
			}
		}, resultMisbehaved, "turns", 2 * time.Second, 1, 5},
		{"entries without end", welcomed(func(w *wire, _ hello) {
			e := entryAt(now(), strings.Repeat("x", 4000))
			for {
				if w.write(kindEntries, entries(e)) != nil {
					return
				}
			}
		}), resultMisbehaved, "out of order", 5 * time.Second, 1, 5},
		{"a claim without entries", welcomed(func(w *wire, _ hello) {
			items := itemWriter{salt: salt{}}
			items.add(item{kind: itemList, question: 0, shorts: []short{{1}, {2}, {3}}}, 0)
			w.write(kindRanges, items.take()[0])
			w.write(kindEnd, end{}.encode())
			w.flush()
			w.turn()
			for k := kind(0); k != kindEnd; {
				var err error
				if k, _, err = w.read(); err != nil {
					return
				}
			}
			w.write(kindEnd, end{}.encode())
		}), resultPartial, "", time.Second, 8, 20},
		{"busy for ever", func(_ network.Stream, w *wire) {
			w.read()
			w.write(kindBusy, busy{seconds: maxBusy}.encode())
			w.flush()
			w.read()
		}, resultBusy, "", time.Second, 4, 12},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onLAN(t, 3, func(l *lan) {
				t := l.t
				l.impostor(1, tt.answer)
				time.Sleep(time.Second) // identify tells
				a := l.start(0, stored(recent("ours", 100)...))
				honest := l.start(2, stored(recent("theirs", 100)...), quietly)
				a.PeerJoined(l.id(1))
				time.Sleep(tt.within + time.Second)
				if s := l.about(a, 1); !strings.Contains(s.Err, tt.err) || tt.err != "" && s.Agreed {
					t.Errorf("within %s: %+v", tt.within, s)
				}
				if tt.want != "" && a.counted("p2ping_catchup_sessions_total", string(tt.want)) == 0 {
					t.Errorf("no session ended as %q", tt.want)
				}
				time.Sleep(30 * time.Second)
				if !a.store.Has(honest.store.all()[0]) {
					t.Error("an honest peer is not heard")
				}
				time.Sleep(10 * time.Minute)
				if n := a.counted("p2ping_catchup_sessions_total", string(tt.want)); tt.want != "" && (n < tt.minimum || n > tt.maximum) {
					t.Errorf("%d sessions that ended as %q in ten minutes, not %d to %d", n, tt.want, tt.minimum, tt.maximum)
				}
				if n := len(a.store.all()); n > 210 {
					t.Errorf("%d entries", n)
				}
			})
		})
	}
}

// TestHostileCalls lets peers that are no p2ping nodes begin sessions.
func TestHostileCalls(t *testing.T) {
	hellos := func(w *wire, h hello) {
		w.write(kindHello, h.encode())
		w.flush()
		w.turn()
	}
	const many = 20_000 // more than what fits into the buffers on the way
	tests := []struct {
		name  string
		call  func(network.Stream, *wire) error
		want  result
		holds int
	}{
		{"silence", func(s network.Stream, _ *wire) error { s.Write(nil); silent(s, nil); return nil }, resultFailed, 10},
		{"a hello of a byte a second", func(s network.Stream, _ *wire) error {
			for _, b := range appendFrame(nil, kindHello, helloOf(1).encode()) {
				if _, err := s.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			return nil
		}, resultFailed, 10},
		{"another topic", func(s network.Stream, w *wire) error {
			h := helloOf(1)
			h.topic = topicTag("another")
			hellos(w, h)
			silent(s, w)
			return nil
		}, resultMisbehaved, 10},
		{"no reading", func(_ network.Stream, w *wire) error {
			hellos(w, helloOf(0)) // "send me all", and then nothing is read
			time.Sleep(maxSession)
			return nil
		}, resultFailed, many},
		{"the same question again", func(s network.Stream, w *wire) error {
			hellos(w, helloOf(1<<30))
			for k := kind(0); k != kindEnd; {
				var err error
				if k, _, err = w.read(); err != nil {
					return err
				}
			}
			for range 2 {
				items := itemWriter{}
				items.add(item{kind: itemList, question: 1, shorts: []short{{1}}}, 0)
				w.write(kindRanges, items.take()[0])
			}
			w.flush()
			silent(s, w)
			return nil
		}, resultMisbehaved, 1000},
		{"fingerprints that are all wrong", func(s network.Stream, w *wire) error {
			// Answer each claim by claims of something else of the same range.
			hellos(w, helloOf(1<<30))
			liar := newTalk(liar{newMemory()}, salt{})
			liar.gives = true
			liar.scanMax = math.MaxInt
			h := helloOf(1 << 30)
			_, payload, err := w.read()
			if err != nil {
				return err
			}
			v, _ := decodeWelcome(payload, h)
			liar.turns = 1
			liar.welcomed(h, v)
			for {
				k, payload, err := w.read()
				if err != nil {
					return err
				}
				switch k {
				case kindRanges:
					if err := liar.hear(payload); err != nil {
						return err
					}
				case kindEnd:
					said := liar.say()
					for _, payload := range said.ranges {
						w.write(kindRanges, payload)
					}
					w.write(kindEnd, said.end.encode())
					if w.flush() != nil || said.over {
						return s.Close()
					}
					w.turn()
				}
			}
		}, resultPartial, many},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onLAN(t, 2, func(l *lan) {
				t := l.t
				a := l.start(0, stored(recent("ours", tt.holds)...), quietly)
				s, w := l.dial(1, 0)
				done := make(chan struct{})
				go func() {
					defer close(done)
					if err := tt.call(s, w); err != nil {
						t.Error(err)
					}
				}()
				time.Sleep(patience + maxSession + time.Second)
				if n := a.counted("p2ping_catchup_sessions_total", string(tt.want)); n != 1 {
					t.Errorf("%d sessions ended as %q: %+v", n, tt.want, l.about(a, 1))
				}
				a.gate.mu.Lock()
				if len(a.gate.inbound) != 0 {
					t.Error("a session still has its place")
				}
				a.gate.mu.Unlock()
				s.Reset()
				<-done
			})
		})
	}
}

// liar holds a thousand entries in every range, of which no two agree.
type liar struct{ *memory }

func (l liar) Fingerprint(_, _ entry.Key) (d ledger.Digest, n int, err error) {
	rand.Read(d[:])
	return d, 1000, nil
}

// TestCallsWithoutEnd begins sessions as fast as it can.
func TestCallsWithoutEnd(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		l.start(0, stored(recent("ours", 100)...), quietly)
		started, taken, off := time.Now(), 0, 0
		for time.Since(started) < time.Minute {
			s, w := l.dial(1, 0)
			w.write(kindHello, helloOf(1<<20).encode())
			w.flush()
			switch k, _, err := w.read(); {
			case err != nil:
				t.Fatal(err)
			case k == kindBusy:
				off++
			default:
				taken++
			}
			s.CloseWrite()
			for k := kind(0); k != kindEnd; {
				var err error
				if k, _, err = w.read(); err != nil {
					break
				}
			}
			s.Reset()
		}
		most := (peerBurst + 60*peerRate) / sessionPrice
		if taken > most || off == 0 || taken < 100 {
			t.Errorf("%d sessions in a minute, %d put off; want at most %d", taken, off, most)
		}
	})
}

// TestShunned refuses sessions of a peer that has misbehaved, for a while.
func TestShunned(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a := l.start(0, stored(recent("ours", 100)...), quietly)
		call := func() error {
			s, w := l.dial(1, 0)
			defer s.Reset()
			w.write(kindHello, helloOf(1<<20).encode())
			w.flush()
			_, _, err := w.read()
			return err
		}
		s, _ := l.dial(1, 0)
		s.Write(appendFrame(nil, kindEnd, nil))
		time.Sleep(time.Second)
		if s := l.about(a, 1); !strings.Contains(s.Err, "breach") {
			t.Errorf("%+v", s)
		}
		if err := call(); err == nil {
			t.Error("it is let in again at once")
		}
		time.Sleep(misbehavedFirst)
		if err := call(); err != nil {
			t.Errorf("it is never let in again: %v", err)
		}
	})
}

// explosive is a store that panics.
type explosive struct{ *memory }

func (explosive) Fingerprint(_, _ entry.Key) (ledger.Digest, int, error) { panic("boom") }

func TestPanic(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a := l.start(0, stored(), func(cfg *Config) { cfg.Ledger = explosive{newMemory()} })
		b := l.start(1, stored())
		time.Sleep(time.Minute)
		if l.about(a, 1).Err == "" || l.about(b, 0).Err == "" {
			t.Error("nobody noticed")
		}
	})
}

// broken is a store whose disk fails.
type broken struct{ *memory }

var errDisk = errors.New("input/output error")

func (broken) Append(context.Context, ledger.Via, ...*entry.Entry) ([]ledger.Record, error) {
	return nil, errDisk
}

func TestStoreFails(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a := l.start(0, stored(), quietly, func(cfg *Config) { cfg.Ledger = broken{newMemory()} })
		l.start(1, stored(recent("theirs", 10)...), quietly)
		a.PeerJoined(l.id(1))
		time.Sleep(time.Second)
		if s := l.about(a, 1); !strings.Contains(s.Err, errDisk.Error()) || s.Agreed {
			t.Errorf("%+v", s)
		}
	})
}
