package catchup

import (
	"slices"
)

// turn is what one side says at a time: frames of ranges, then entries.
type turn struct {
	ranges [][]byte  // payloads
	send   []segment // in order of time
	end    end       // left may have to be set, if not all is sent
	over   bool      // nobody has anything to add
}

// heard takes the end of their turn.
func (t *talk) heard(e end) {
	t.later = e.later
	t.left = t.left || e.left
}

// say ends the making of our turn and returns it. Entries are sent when all is
// asked that may add to them, so that they come in order of time.
func (t *talk) say() turn {
	t.turns++
	said := turn{ranges: t.items.take(), end: end{left: t.left}}
	t.asked, t.next, t.answered, t.listed = t.next, nil, -1, 0
	t.theirs, t.told = 0, 0
	if len(t.asked) == 0 {
		said.send, t.plan, t.planned = t.plan, nil, 0
		slices.SortFunc(said.send, func(a, b segment) int { return a.lo.Compare(b.lo) })
	}
	said.end.later = len(t.plan) > 0
	said.over = len(said.ranges) == 0 && !said.end.later && !t.later
	return said
}

// over reports whether their turn, with the given end and so many frames of
// ranges, was the last: the same as turn.over on their side.
func (t *talk) over(e end, ranges int) bool {
	return ranges == 0 && !e.later && len(t.plan) == 0 && len(t.next) == 0
}

// itemWriter collects items in frames.
type itemWriter struct {
	salt   salt
	frames [][]byte
	frame  []byte
	last   int // question of the last item in frame
}

func (w *itemWriter) add(it item, base int64) {
	if len(w.frame) == 0 {
		w.frame = append(make([]byte, 0, 4<<10), w.salt[:]...)
		w.last = -1
	}
	w.frame = appendItem(w.frame, it, w.last, base)
	w.last = it.question
	if len(w.frame) >= frameFill {
		w.frames = append(w.frames, w.frame)
		w.frame = nil
	}
}

// take returns the frames, and starts anew.
func (w *itemWriter) take() [][]byte {
	if len(w.frame) > 0 {
		w.frames = append(w.frames, w.frame)
	}
	frames := w.frames
	w.frames, w.frame = nil, nil
	return frames
}
