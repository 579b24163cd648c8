package catchup

import (
	"iter"
	"slices"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Bounds of a session's comparing, part of the protocol where both sides must
// agree, else our own choice.
const (
	// maxTurns bounds the turns of each side. A million entries take four, and
	// every further split divides by thirty: sixteen are out of reach of
	// honest peers.
	maxTurns = 16
	// scanAhead bounds, as a multiple of what a set holds, the keys that one
	// session may have us read: to fingerprint and to split everything twice,
	// and as much again for sets that are unlike. A million keys take about
	// 0.2 s.
	scanAhead = 8
	// scanFloor is what may be read of a small set in any case.
	scanFloor = 100_000
)

// keySet is what comparing needs of a ledger. Ranges are [lo, hi), and a set
// may change between two calls: ranges are looked at as they are then.
type keySet interface {
	Fingerprint(lo, hi entry.Key) (ledger.Digest, int, error)
	Keys(lo, hi entry.Key) iter.Seq2[entry.Key, error]
}

// question is a range that we asked about in our last turn.
type question struct {
	lo, hi entry.Key
	keys   []entry.Key // what we listed of it; nil when we sent a claim
	list   bool        // whether we listed
	count  int         // how many we hold of it
}

// segment is a range, or keys, of what the other side is to be sent.
type segment struct {
	lo, hi entry.Key
	have   []short     // what it listed of the range, sorted: not to be sent
	salt   salt        // that of have
	keys   []entry.Key // if not nil, these are to be sent, nothing else
}

// talk is one side of one session: what was said, and what that means. It does
// no input or output but to read its set. The calls of a session are, for each
// side: begin or welcome; then in turn hear for each frame of ranges and heard
// for the end of the other's turn, and say for our own.
type talk struct {
	set    keySet
	salt   salt
	lo, hi entry.Key // what is compared
	takes  bool      // whether we take entries
	gives  bool      // whether the other side takes entries

	turns    int        // how many we have had
	asked    []question // in our last turn: what items of theirs are about
	answered int        // index of the last of asked that they answered, or -1
	theirs   int        // how many questions they have asked in their turn
	told     int        // how many ids they have listed in their turn
	next     []question // what our turn in the making asks
	listed   int        // ids in next
	items    itemWriter // our turn in the making
	plan     []segment  // what they are to be sent
	planned  int        // ids in plan
	later    bool       // they have something to send, and want another turn
	scanned  int        // keys read so far, and lookPrice for each look
	scanMax  int

	left     bool // something differs that this session leaves alone
	expected int  // entries that they hold and we lack, as far as we can tell
	extra    int  // entries that we hold and they lack
}

func newTalk(set keySet, s salt) *talk {
	return &talk{set: set, salt: s, answered: -1, items: itemWriter{salt: s}}
}

// begin makes a hello of what the set holds of [floor, horizon).
func (t *talk) begin(h hello, horizon int64) (hello, error) {
	t.turns++
	t.takes = h.takes
	var err error
	h.fingerprint, h.count, err = t.measure(entry.Key{Time: h.floor}, entry.Key{Time: horizon})
	t.scanMax = scanFloor + scanAhead*h.count
	return h, err
}

// welcomed takes the answer to our hello. After an equal one all is said.
func (t *talk) welcomed(h hello, w welcome) {
	t.frame(h, w)
	t.gives = w.takes
	if !w.equal {
		t.asked = []question{{lo: t.lo, hi: t.hi, count: h.count}}
	}
}

// welcome takes a hello and makes our answer of own, which has everything but
// whether the two sets are equal.
func (t *talk) welcome(h hello, own welcome) (welcome, error) {
	t.frame(h, own)
	t.takes, t.gives = own.takes, h.takes
	fingerprint, count, err := t.measure(t.lo, t.hi)
	if err != nil {
		return own, err
	}
	t.scanMax = scanFloor + scanAhead*count
	if count == h.count && fingerprint == h.fingerprint {
		own.equal = true
		return own, nil
	}
	t.theirs = 1
	theirs := claim{lo: t.lo, hi: t.hi, count: h.count, fingerprint: h.fingerprint, loose: own.clock < h.clock}
	if own.floor > h.floor && h.count > 0 {
		// They spoke of more than we can compare: say what we hold of it.
		t.ask(question{lo: t.lo, hi: t.hi, count: count},
			item{kind: itemSplit, parts: []part{{from: t.lo, count: count, fingerprint: fingerprint}}})
		return own, nil
	}
	return own, t.compare(0, theirs, fingerprint, count)
}

// frame sets what is compared: from the higher floor to the lower horizon, so
// that neither side misses what the other may not take.
func (t *talk) frame(h hello, w welcome) {
	t.lo = entry.Key{Time: max(h.floor, w.floor)}
	t.hi = entry.Key{Time: max(t.lo.Time, horizon(min(h.clock, w.clock)))}
}

// horizon is the time, in Unix ms, from which on a node with the given clock
// need not admit entries yet.
func horizon(clock int64) int64 { return clock + entry.MaxFuture.Milliseconds() }

// hear takes one frame of ranges of their turn.
func (t *talk) hear(payload []byte) error {
	d := &decoder{b: payload}
	var theirs salt
	copy(theirs[:], d.take(saltSize))
	if len(d.b) == 0 {
		d.fail("a frame without ranges")
	}
	last := -1
	for len(d.b) > 0 && d.err == nil {
		it := decodeItem(d, last, t.asked)
		if d.err == nil && it.question <= t.answered {
			d.fail("a question answered twice, or out of order")
		}
		if d.err != nil {
			break
		}
		last, t.answered = it.question, it.question
		if err := t.take(d, it, theirs); err != nil {
			return err
		}
	}
	return d.end("ranges")
}

// take takes one answer. What it makes of a lie goes to d; the error it
// returns is the set's.
func (t *talk) take(d *decoder, it item, theirs salt) error {
	q := t.asked[it.question]
	switch {
	case it.kind == itemWant && q.list:
		t.grant(d, q, it.wanted)
	case it.kind == itemSplit && !q.list:
		return t.hearSplit(d, q, it.parts)
	case it.kind == itemList && !q.list:
		t.theirs++
		t.told += len(it.shorts)
		if t.theirs > maxQuestions || t.told > maxListed {
			d.fail("more than %d questions, or %d ids", maxQuestions, maxListed)
			return nil
		}
		return t.hearList(t.theirs-1, q, it.shorts, theirs)
	default:
		d.fail("an answer that is not to the question")
	}
	return nil
}

// hearSplit compares the parts of a range that we claimed something else of.
func (t *talk) hearSplit(d *decoder, q question, parts []part) error {
	// Only who can't compare the hello's range may answer with a range as large.
	if len(parts) == 1 && t.turns > 1 {
		d.fail("a split into one part")
		return nil
	}
	for i, p := range parts {
		if t.theirs++; t.theirs > maxQuestions {
			d.fail("more than %d questions", maxQuestions)
			return nil
		}
		c := claim{lo: p.from, hi: q.hi, count: p.count, fingerprint: p.fingerprint}
		if i+1 < len(parts) {
			c.hi = parts[i+1].from
		}
		fingerprint, count, err := t.measure(c.lo, c.hi)
		if err != nil {
			return err
		}
		if err := t.compare(t.theirs-1, c, fingerprint, count); err != nil {
			return err
		}
	}
	return nil
}

// compare answers their claim, their question of the given index, by what we
// hold of the same range.
func (t *talk) compare(index int, c claim, fingerprint ledger.Digest, count int) error {
	switch {
	case c.count == count && c.fingerprint == fingerprint:
		return nil
	case c.count == 0:
		t.give(segment{lo: c.lo, hi: c.hi}, count)
		return nil
	}
	q := question{lo: c.lo, hi: c.hi, count: count}
	switch {
	case t.turns >= maxTurns-1, len(t.next)+maxParts > maxQuestions, t.scanned > t.scanMax,
		count <= maxList && t.listed+count > maxListed:
		t.leave(c, count)
		return nil
	case count > maxList:
		return t.split(index, q, c)
	}
	t.expected += c.more(count)
	return t.list(index, q)
}

// leave leaves a range to another session, of which we hold count entries.
func (t *talk) leave(c claim, count int) {
	t.left = true
	t.expected += c.more(count)
	t.extra += max(0, count-c.count)
}

// list asks about a range by the ids that we hold of it. None ask for all.
func (t *talk) list(index int, q question) error {
	it := item{kind: itemList, question: index}
	q.list = true
	t.scanned += lookPrice
	for k, err := range t.set.Keys(q.lo, q.hi) {
		if err != nil {
			return err
		}
		if len(q.keys) == maxList || t.listed+len(q.keys) == maxListed {
			break // the range has grown meanwhile: what is new is sent for nothing
		}
		q.keys = append(q.keys, k)
		it.shorts = append(it.shorts, t.salt.short(k.ID))
	}
	t.listed += len(q.keys)
	t.scanned += len(q.keys)
	t.ask(q, it)
	return nil
}

// split asks about the parts of a range, each with about as many entries.
func (t *talk) split(index int, q question, c claim) error {
	parts, err := t.divide(q)
	if err != nil {
		return err
	}
	if len(parts) < 2 { // the range has shrunk meanwhile
		t.leave(c, q.count)
		return nil
	}
	for i, p := range parts {
		sub := question{lo: p.from, hi: q.hi, count: p.count}
		if i+1 < len(parts) {
			sub.hi = parts[i+1].from
		}
		t.next = append(t.next, sub)
	}
	t.items.add(item{kind: itemSplit, question: index, parts: parts}, q.lo.Time)
	return nil
}

// divide splits a range that holds about q.count entries.
func (t *talk) divide(q question) ([]part, error) {
	n := min(max(q.count/partFill, 2), fanOut)
	each := (q.count + n - 1) / n
	parts := make([]part, 0, n)
	d, from, last := newDigester(), q.lo, q.lo
	for k, err := range t.set.Keys(q.lo, q.hi) {
		if err != nil {
			return nil, err
		}
		if d.n == each && len(parts) < n-1 {
			p := part{from: from}
			p.count, p.fingerprint = d.sum()
			parts = append(parts, p)
			from = between(last, k)
		}
		d.add(k.ID)
		last = k
	}
	t.scanned += lookPrice + q.count
	p := part{from: from}
	p.count, p.fingerprint = d.sum()
	return append(parts, p), nil
}

// hearList answers a list of theirs: with the ids we want of it, and by
// planning to send what it lacks.
func (t *talk) hearList(index int, q question, theirs []short, s salt) error {
	if len(theirs) == 0 {
		t.give(segment{lo: q.lo, hi: q.hi}, q.count)
		return nil
	}
	have := slices.Clone(theirs)
	slices.SortFunc(have, short.compare)
	held, extra := make([]bool, len(have)), 0
	t.scanned += lookPrice
	for k, err := range t.set.Keys(q.lo, q.hi) {
		if err != nil {
			return err
		}
		t.scanned++
		if i, ok := slices.BinarySearchFunc(have, s.short(k.ID), short.compare); ok {
			held[i] = true
		} else {
			extra++
		}
	}
	t.give(segment{lo: q.lo, hi: q.hi, have: have, salt: s}, extra)
	wanted, n := make([]byte, (len(theirs)+7)/8), 0
	for i, id := range theirs {
		if j, _ := slices.BinarySearchFunc(have, id, short.compare); !held[j] {
			wanted[i/8] |= 1 << (i % 8)
			n++
		}
	}
	t.expected += n
	if n > 0 && t.takes {
		t.items.add(item{kind: itemWant, question: index, wanted: wanted}, 0)
	}
	return nil
}

// grant plans to send what they want of a list of ours.
func (t *talk) grant(d *decoder, q question, wanted []byte) {
	if len(wanted) != (len(q.keys)+7)/8 {
		d.fail("%d bytes of wants for %d ids", len(wanted), len(q.keys))
		return
	}
	var keys []entry.Key
	for i, k := range q.keys {
		if wanted[i/8]&(1<<(i%8)) != 0 {
			keys = append(keys, k)
		}
	}
	t.give(segment{lo: q.lo, hi: q.hi, keys: keys}, len(keys))
}

// give plans to send n entries.
func (t *talk) give(s segment, n int) {
	t.extra += n
	ids := len(s.keys) + len(s.have)
	switch {
	case n == 0 || !t.gives:
	case len(t.plan) == maxQuestions || t.planned+ids > 2*maxListed:
		t.left = true
	default:
		t.plan = append(t.plan, s)
		t.planned += ids
	}
}

// ask adds a question that is answered by one item.
func (t *talk) ask(q question, it item) {
	t.next = append(t.next, q)
	t.items.add(it, q.lo.Time)
}

// measure is the set's Fingerprint, of nothing where hi is not above lo.
func (t *talk) measure(lo, hi entry.Key) (ledger.Digest, int, error) {
	if lo.Compare(hi) >= 0 {
		_, digest := newDigester().sum()
		return digest, 0, nil
	}
	digest, n, err := t.set.Fingerprint(lo, hi)
	t.scanned += lookPrice + n
	return digest, n, err
}
