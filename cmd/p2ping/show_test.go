package main

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestEscape(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "I'm alive", "I'm alive"},
		{"other scripts", "Привет 你好 🙂", "Привет 你好 🙂"},
		{"newline", "a\nb\r\n", `a\nb\r\n`},
		{"tab", "a\tb", `a\tb`},
		{"backslash", `a\nb`, `a\\nb`},
		{"colour", "\x1b[31mred", `\x1b[31mred`},
		{"clear screen by C1", "\u009b2J", `\u009b2J`},
		{"bell and delete", "\a\x7f", `\x07\x7f`},
		{"title", "\x1b]0;pwned\x07", `\x1b]0;pwned\x07`},
		{"bidi override", "abc\u202edef", `abc\u202edef`},
		{"bidi isolate", "\u2066a\u2069", `\u2066a\u2069`},
		{"zero width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"line separators", "a\u2028b\u2029", `a\u2028b\u2029`},
		{"tag characters", "\U000e0041", `\U000e0041`},
		{"not UTF-8", "a\xffb", `a\xffb`},
		{"replacement character", "\ufffd", "\ufffd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := escape(test.in); got != test.want {
				t.Errorf("escape(%q) = %s, want %s", test.in, got, test.want)
			}
		})
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("I'm alive")
	f.Add("\x1b[31m\\n\u202e\xff\U0010ffff")
	f.Fuzz(func(t *testing.T, in string) {
		out := escape(in)
		if i := strings.IndexFunc(out, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("escape(%q) = %q does not print at %d", in, out, i)
		}
		back, err := strconv.Unquote(`"` + strings.ReplaceAll(out, `"`, `\"`) + `"`)
		if err != nil || back != in {
			t.Errorf("escape(%q) = %q reads back as %q, %v", in, out, back, err)
		}
	})
}

func TestLine(t *testing.T) {
	sent := time.Date(2026, 11, 22, 13, 4, 5, 123456000, time.UTC)
	p := shownPing{text: "I'm alive", author: "12D3KooWAbCdEfGh", sent: sent}
	for _, test := range []struct {
		via   string
		after time.Duration
		want  string
	}{
		{"own", 1234567, "2026-11-22 13:04:05.123  I'm alive  from AbCdEfGh  1.23ms  own"},
		{"gossip", 42 * time.Millisecond, "2026-11-22 13:04:05.123  I'm alive  from AbCdEfGh  42ms  gossip"},
		{"gossip", -2 * time.Hour, "2026-11-22 13:04:05.123  I'm alive  from AbCdEfGh  -2h0m0s  gossip"},
		{"catch-up", time.Hour, "2026-11-22 13:04:05.123  I'm alive  from AbCdEfGh  caught up"},
		{"import", time.Hour, "2026-11-22 13:04:05.123  I'm alive  from AbCdEfGh  imported"},
	} {
		p.via, p.received = test.via, sent.Add(test.after)
		if got := p.line(palette{}, time.UTC); got != test.want {
			t.Errorf("%s after %v:\n got %s\nwant %s", test.via, test.after, got, test.want)
		}
	}
}

// TestLinerRemembersRightly holds lines made one after the other to what each is
// alone, and their times to what time.Time makes of them.
func TestLinerRemembersRightly(t *testing.T) {
	zone := time.FixedZone("test", 5*3600+1800)
	l := newLiner(palette{on: true}, zone)
	base := time.Date(1969, 12, 31, 23, 59, 58, 0, time.UTC)
	for i, step := range []time.Duration{
		0, time.Nanosecond, 999 * time.Microsecond, time.Millisecond, 12345 * time.Microsecond, 999999999,
		time.Second, 2 * time.Second, 2*time.Second + 7*time.Millisecond, 40 * 365 * 24 * time.Hour, 0, 0,
	} {
		sent := base.Add(step)
		for _, via := range []string{"own", "gossip", "catch-up", "gossip"} {
			p := shownPing{text: "x", author: "a", via: via, sent: sent, received: sent.Add(time.Duration(i/2) * time.Millisecond)}
			got := string(l.append(nil, p))
			if want := p.line(palette{on: true}, zone); got != want {
				t.Errorf("%v by %s:\n got %q\nwant %q", sent, via, got, want)
			}
			if want := sent.In(zone).Format(timeLayout); !strings.Contains(got, want) {
				t.Errorf("%q does not have the time %s", got, want)
			}
		}
	}
}

func BenchmarkLine(b *testing.B) {
	sent := time.Date(2026, 11, 22, 13, 4, 5, 123456000, time.UTC)
	l := newLiner(palette{}, time.UTC)
	var line []byte
	p := shownPing{text: "a ping of the usual length, a bit", author: "12D3KooWAbCdEfGh", via: "gossip"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.sent = sent.Add(time.Duration(i) * 100 * time.Microsecond)
		p.received = p.sent.Add(time.Duration(i%1000) * time.Microsecond)
		line = l.append(line[:0], p)
	}
}

func TestColourIsOnlyAdded(t *testing.T) {
	p := shownPing{text: "\x1b[2Jhi", author: "12D3KooWAbCdEfGh", via: "own"}
	coloured := p.line(palette{on: true}, time.UTC)
	stripped := coloured
	for _, code := range []string{"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m"} {
		stripped = strings.ReplaceAll(stripped, code, "")
	}
	if plain := p.line(palette{}, time.UTC); stripped != plain || coloured == plain {
		t.Errorf("coloured %q, plain %q", coloured, plain)
	}
}

func TestDelay(t *testing.T) {
	for _, test := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0s"},
		{123456, "120µs"},
		{1234567, "1.23ms"},
		{-1234567, "-1.23ms"},
		{12345678, "12ms"},
		{1234567890, "1.235s"},
		{90*time.Second + 499*time.Millisecond, "1m30s"},
	} {
		if got := delay(test.in); got != test.want {
			t.Errorf("delay(%d) = %s, want %s", test.in, got, test.want)
		}
	}
}
