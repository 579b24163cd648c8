package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// impatient answers each line of a body, blank ones excepted, with its number, as
// a node does, and gives up on a body that says nothing for 30 s.
type impatient struct{}

func (impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	go func() {
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		number, last := 0, time.Now()
		for lines.Scan() {
			if number++; time.Since(last) > 30*time.Second {
				in.CloseWithError(errors.New("the body says nothing"))
				return
			}
			if last = time.Now(); lines.Text() != "" {
				fmt.Fprintf(in, "{\"line\":%d}\n", number)
			}
		}
		in.CloseWithError(lines.Err())
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: out}, nil
}

// TestSendTakesItsTime has an hour go by between two pings.
func TestSendTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URL: "localhost:1", HTTP: &http.Client{Transport: impatient{}}})
		if err != nil {
			t.Fatal(err)
		}
		pings := func(yield func(NewPing) bool) {
			for range 3 {
				if !yield(NewPing{Text: "x"}) {
					return
				}
				time.Sleep(time.Hour)
			}
		}
		n := 0
		for r, err := range c.Send(t.Context(), pings) {
			if n++; err != nil || r.Line != n {
				t.Fatalf("ping %d: %+v, %v", n, r, err)
			}
		}
		if n != 3 {
			t.Errorf("%d results", n)
		}
	})
}
