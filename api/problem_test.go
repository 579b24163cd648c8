package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestRetryAfterIsNotTooEarly(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0:                       "",
		time.Millisecond:        "1",
		time.Second:             "1",
		1001 * time.Millisecond: "2",
		10 * time.Second:        "10",
	} {
		w := httptest.NewRecorder()
		later(http.StatusTooManyRequests, after, "too many", "").write(w)
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("after %v: Retry-After %q, want %q", after, got, want)
		}
	}
}
