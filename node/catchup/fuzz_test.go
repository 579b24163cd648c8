package catchup

import (
	"bufio"
	"bytes"
	"slices"
	"testing"

	"p2ping/node/entry"
)

// FuzzFrame reads frames of anything.
func FuzzFrame(f *testing.F) {
	h := hello{clock: epoch, floor: 1, takes: true, count: 3}
	f.Add(appendFrame(nil, kindHello, h.encode()))
	f.Add(appendFrame(nil, kindWelcome, welcome{clock: epoch, floor: 1, equal: true}.encode(h)))
	f.Add(appendFrame(nil, kindBusy, busy{seconds: 3}.encode()))
	f.Add(appendFrame(nil, kindEnd, end{left: true}.encode()))
	f.Add(appendFrame(appendFrame(nil, kindEntries, []byte{1, 2}), kindEnd, []byte{0}))
	buf := make([]byte, maxFrame)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			k, payload, err := readFrame(r, buf)
			if err != nil {
				return
			}
			switch k {
			case kindHello:
				if got, err := decodeHello(payload); err == nil {
					back, err := decodeHello(got.encode())
					if err != nil || back != got {
						t.Fatalf("%+v comes back as %+v, %v", got, back, err)
					}
				}
			case kindWelcome:
				if got, err := decodeWelcome(payload, h); err == nil {
					back, err := decodeWelcome(got.encode(h), h)
					if err != nil || back != got {
						t.Fatalf("%+v comes back as %+v, %v", got, back, err)
					}
				}
			case kindBusy:
				decodeBusy(payload)
			case kindEnd:
				decodeEnd(payload)
			}
		}
	})
}

// FuzzTalk says anything to one side of a session: a byte 0xff ends a turn,
// and everything is a frame of ranges.
func FuzzTalk(f *testing.F) {
	set := newMemory(keysOf("all", 0, 200)...)
	// What an honest other side says is where the fuzzer begins.
	for _, theirs := range []*memory{newMemory(), newMemory(keysOf("all", 50, 120)...), newMemory(keysOf("other", 0, 300)...)} {
		var said [][]byte
		ours, other := newTalk(set, salt{1}), newTalk(theirs, salt{2})
		h, _ := ours.begin(hello{clock: clockOf, takes: true}, horizon(clockOf))
		w, _ := other.welcome(h, welcome{clock: clockOf, takes: true})
		ours.welcomed(h, w)
		for range 3 {
			turn := other.say()
			for _, payload := range turn.ranges {
				said = append(said, payload)
				ours.hear(payload)
			}
			ours.heard(turn.end)
			for _, payload := range ours.say().ranges {
				other.hear(payload)
			}
			other.heard(end{})
		}
		f.Add(bytes.Join(said, []byte("\xff\xff\xff\xff")), true)
		f.Add(bytes.Join(said, []byte("\xff\xff\xff\xff")), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, initiator bool) {
		talk := newTalk(set, salt{1})
		h := hello{clock: clockOf, takes: true, count: 10}
		if initiator {
			h, _ = talk.begin(h, horizon(clockOf))
			talk.welcomed(h, welcome{clock: clockOf, takes: true})
		} else {
			talk.welcome(h, welcome{clock: clockOf, takes: true})
			checkTurn(t, talk, talk.say())
		}
		for turn := range bytes.SplitSeq(b, []byte("\xff\xff\xff\xff")) {
			if talk.turns > maxTurns {
				break
			}
			if err := talk.hear(turn); err != nil {
				return
			}
			talk.heard(end{})
			checkTurn(t, talk, talk.say())
		}
		// The turn in which it reaches its limit may ask as much as any.
		if talk.scanned > talk.scanMax+10*set.State().Entries+2*maxQuestions*lookPrice {
			t.Fatalf("read %d keys of %d", talk.scanned, set.State().Entries)
		}
	})
}

// checkTurn checks what must hold of whatever we say.
func checkTurn(t *testing.T, talk *talk, said turn) {
	t.Helper()
	if len(talk.asked) > maxQuestions {
		t.Fatalf("%d questions", len(talk.asked))
	}
	last := entry.Key{}
	for _, q := range talk.asked {
		if q.lo.Compare(q.hi) >= 0 || q.lo.Compare(last) < 0 || len(q.keys) > maxList {
			t.Fatalf("a question about %v to %v after %v", q.lo, q.hi, last)
		}
		last = q.hi
	}
	last = entry.Key{}
	for _, s := range said.send {
		if s.lo.Compare(last) < 0 || s.lo.Compare(s.hi) >= 0 {
			t.Fatalf("a segment from %v to %v after %v", s.lo, s.hi, last)
		}
		last = s.hi
		if !slices.IsSortedFunc(s.keys, entry.Key.Compare) || !slices.IsSortedFunc(s.have, short.compare) {
			t.Fatal("a segment out of order")
		}
	}
	for _, payload := range said.ranges {
		if len(payload) > maxFrame {
			t.Fatalf("a frame of %d bytes", len(payload))
		}
	}
}

// FuzzIntake takes frames of anything for entries.
func FuzzIntake(f *testing.F) {
	for _, e := range recent("fuzz", 2) {
		f.Add(append([]byte{byte(len(e.Raw)), byte(len(e.Raw) >> 7)}, e.Raw...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		store := newMemory()
		in := &intake{store: store, admit: admitAll, many: func() {}, hi: entry.LastKey()}
		err := in.frame(t.Context(), b)
		if err == nil {
			err = in.flush(t.Context())
		}
		if err == nil && in.added+in.held+in.refused != in.total {
			t.Fatalf("of %d entries %d were added, %d held, %d refused", in.total, in.added, in.held, in.refused)
		}
	})
}
