package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestEvents(t *testing.T) {
	const stream = ": p2ping\nretry: 1000\n:\nid: 7-0\n\nevent: gap\nid: 8-0\ndata: {}\n\nevent: ping\nid: 9-0\ndata: {\"text\":\": \"}\n\nevent: ping\n"
	e := &events{lines: bufio.NewScanner(strings.NewReader(stream))}
	for _, want := range []struct{ name, id string }{{"", "7-0"}, {"gap", "8-0"}, {"ping", "9-0"}} {
		if name, err := e.event(); name != want.name || e.last != want.id || err != nil {
			t.Errorf("got %q with id %s, %v, want %+v", name, e.last, err, want)
		}
	}
	if err := e.pings(1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an event: %v", err)
	}
	if e.size != len(stream) {
		t.Errorf("read %d bytes, not %d", e.size, len(stream))
	}
	e = &events{lines: bufio.NewScanner(strings.NewReader(stream))}
	if err := e.pings(1); err != nil || e.last != "9-0" {
		t.Errorf("the first ping: %s, %v", e.last, err)
	}
}
