package api

import (
	"bytes"
	"unicode/utf8"
)

// plainPing reads the JSON of a [client.NewPing] as programs mostly write it:
// members by their exact names, none twice, and strings without escapes. It
// reports false for everything else, good or bad, which encoding/json judges.
func plainPing(b []byte) (l line, ok bool) {
	if !utf8.Valid(b) {
		return line{}, false
	}
	var text, key []byte
	rest, more := after(b, '{')
	for more {
		var name, value []byte
		if name, rest, ok = plainString(rest); !ok {
			return line{}, false
		}
		if rest, ok = after(rest, ':'); !ok {
			return line{}, false
		}
		if value, rest, ok = plainString(rest); !ok {
			return line{}, false
		}
		switch {
		case string(name) == "text" && text == nil:
			text = value
		case string(name) == "key" && key == nil && len(value) > 0:
			key = value
		default:
			return line{}, false
		}
		rest, more = after(rest, ',')
	}
	rest, ok = after(rest, '}')
	if !ok || text == nil || len(skipSpace(rest)) > 0 {
		return line{}, false
	}
	return line{text: string(text), key: string(key)}, true
}

// plainString reads a JSON string without escapes, which is never nil.
func plainString(b []byte) (s, rest []byte, ok bool) {
	if b, ok = after(b, '"'); !ok {
		return nil, nil, false
	}
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return nil, nil, false
	}
	for _, c := range b[:end] {
		if c < ' ' || c == '\\' {
			return nil, nil, false
		}
	}
	return b[:end:end], b[end+1:], true
}

// after returns what follows c, and space before it. It reports false where
// something else comes.
func after(b []byte, c byte) (rest []byte, ok bool) {
	b = skipSpace(b)
	if len(b) == 0 || b[0] != c {
		return b, false
	}
	return b[1:], true
}

// skipSpace cuts off leading space as JSON knows it.
func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}
