package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// shownPing is what a line on the terminal says of a ping.
type shownPing struct {
	text     string
	author   string // peer ID
	name     string // of the author, "" for the end of the peer ID
	sent     time.Time
	received time.Time
	via      string // "own", "gossip", "catch-up", "import"
}

// timeLayout is sortable, and has the milliseconds that delays are made of;
// clockLayout is it without them.
const (
	clockLayout = "2006-01-02 15:04:05"
	timeLayout  = clockLayout + ".000"
)

// The codes of what palette does to words.
const (
	bold = "1"
	dim  = "2"
	cyan = "36"
)

// palette colours words for a terminal, or leaves them as they are.
type palette struct{ on bool }

func (c palette) paint(code, s string) string {
	return string(c.end(append(c.begin(nil, code), s...)))
}

// begin begins to colour what is appended next, and end ends it.
func (c palette) begin(b []byte, code string) []byte {
	if !c.on {
		return b
	}
	return append(append(append(b, "\x1b["...), code...), 'm')
}

func (c palette) end(b []byte) []byte {
	if !c.on {
		return b
	}
	return append(b, "\x1b[0m"...)
}

// paletteFor colours only a terminal, and only where NO_COLOR (no-color.org)
// is not set to something.
func paletteFor(w io.Writer, env environ) palette {
	return palette{on: env.get("NO_COLOR") == "" && isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// line is the ping as the terminal shows it, without the line's end: when it
// was sent, the text, the author, how long it took, and how it came. A ping
// that was caught up has no delay worth the name: its time says it all.
func (p shownPing) line(c palette, zone *time.Location) string {
	return string(newLiner(c, zone).append(nil, p))
}

// liner makes the lines of many pings. It remembers the last second and the
// last delay as text, which take longer to make than all the rest of a line:
// pings of one entry mostly share them.
type liner struct {
	palette
	zone *time.Location

	second int64
	clock  string // second in zone, "" for none yet

	took  time.Duration
	delay string // took as text, "" for none yet
}

func newLiner(c palette, zone *time.Location) *liner { return &liner{palette: c, zone: zone} }

// append appends the line of a ping.
func (l *liner) append(b []byte, p shownPing) []byte {
	b = l.begin(b, dim)
	b = l.appendTime(b, p.sent)
	b = append(l.end(b), "  "...)
	b = append(l.end(append(l.begin(b, bold), escape(p.text)...)), "  "...)
	b = append(l.begin(b, cyan), "from "...)
	b = append(l.end(append(b, cmp.Or(p.name, shortID(p.author))...)), "  "...)
	return l.end(l.appendHow(l.begin(b, dim), p))
}

// appendTime appends t as timeLayout has it.
func (l *liner) appendTime(b []byte, t time.Time) []byte {
	if second := t.Unix(); second != l.second || l.clock == "" {
		l.second, l.clock = second, t.In(l.zone).Format(clockLayout)
	}
	b = append(append(b, l.clock...), '.')
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

func (l *liner) appendHow(b []byte, p shownPing) []byte {
	switch p.via {
	case "own", "gossip":
	case "import":
		return append(b, "imported"...)
	default:
		return append(b, "caught up"...)
	}
	if took := p.received.Sub(p.sent); took != l.took || l.delay == "" {
		l.took, l.delay = took, delay(took)
	}
	return append(append(append(b, l.delay...), "  "...), p.via...)
}

// delay writes a duration for people: microseconds matter below 10 ms, nothing
// below a millisecond does above. It may be negative: clocks differ.
func delay(d time.Duration) string {
	switch magnitude := max(d, -d); {
	case magnitude < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case magnitude < 10*time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// shortID is the end of a peer ID: every Ed25519 ID begins the same way.
func shortID(id string) string {
	const shown = 8
	if len(id) <= shown {
		return escape(id)
	}
	return escape(id[len(id)-shown:])
}

// escape makes a stranger's text harmless and unambiguous on one line of a
// terminal: what does not print (control characters, escape sequences, bidi
// controls, invisible format characters, line and paragraph separators, bytes
// that are not UTF-8) is written as Go would in a string, and so is the
// backslash. strconv.Unquote gives the text back.
func escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}
