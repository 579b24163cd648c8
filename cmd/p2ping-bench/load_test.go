package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func TestReadAnswer(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		status       int
		bad          bool
	}{
		{name: "known length", answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", status: 200},
		{name: "no body", answer: "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", status: 503},
		{name: "chunks", answer: "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", status: 201},
		{name: "length not given", answer: "HTTP/1.1 200 OK\r\n\r\n", bad: true},
		{name: "cut off", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", bad: true},
		{name: "cut off in a chunk", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", bad: true},
		{name: "negative chunk", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", bad: true},
		{name: "no HTTP", answer: "hello\n", bad: true},
		{name: "no number", answer: "HTTP/1.1 abc OK\r\n", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := bufio.NewReader(strings.NewReader(c.answer + "rest"))
			if c.bad { // nothing after it, so that it can't be mistaken for more
				in = bufio.NewReader(strings.NewReader(c.answer))
			}
			status, err := readAnswer(in)
			if (err != nil) != c.bad || status != c.status && !c.bad {
				t.Fatalf("status %d, error %v", status, err)
			}
			if rest, _ := io.ReadAll(in); !c.bad && string(rest) != "rest" {
				t.Fatalf("it left %q", rest)
			}
		})
	}
}
