package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// timedWriter is an answer whose deadline was moved.
type timedWriter struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (w *timedWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func TestWaitingForReceiptsMovesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Node: newFakeNode(t)})
		if err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]time.Duration{"": 0, "?wait=1&timeout=20s": 20 * time.Second} {
			w := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
			before := time.Now()
			s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/ping"+query, nil))
			if w.Code/100 != 2 {
				t.Fatalf("%q: %d %s", query, w.Code, w.Body)
			}
			// Publishing may have taken most of what the server gives.
			if moved := !w.deadline.IsZero(); moved != (want > 0) || moved && w.deadline.Before(before.Add(want)) {
				t.Errorf("%q: the deadline is %v after the start", query, w.deadline.Sub(before))
			}
		}
	})
}

// TestAStopEndsTheWaitForReceipts has a server stop at once, and yet tell of the
// ping, which is published.
func TestAStopEndsTheWaitForReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Node: newFakeNode(t)})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/ping?wait=1&timeout=20s", nil)
		begin := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(w, r)
		}()
		synctest.Wait() // it waits for receipts
		s.stopOnce.Do(func() { close(s.stopping) })
		<-done
		if took := time.Since(begin); took != 0 || w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), `"id":`) {
			t.Errorf("after %v: %d %s", took, w.Code, w.Body)
		}
	})
}
