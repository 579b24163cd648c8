package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hanging answers as a node does that hangs after it has said something, or
// nothing.
type hanging struct{ said string }

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.said == "" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body := io.MultiReader(strings.NewReader(h.said), silent{r.Context()})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body)}, nil
}

type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// TestNobodyWaitsForANodeThatHangs asks one for an answer and for a stream.
func TestNobodyWaitsForANodeThatHangs(t *testing.T) {
	for name, said := range map[string]string{"at once": "", "halfway": "{\"text\":\"a\"}\n{"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(Config{URL: "localhost:1", HTTP: &http.Client{Transport: hanging{said}}})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				if said == "" {
					_, err = c.Publish(t.Context(), Request{})
				} else {
					err = history(t, c)
				}
				if took := time.Since(begin) - reading(said); !errors.Is(err, ErrSilent) || took != patience {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

// TestFollowingANodeThatHangs gives up when that never said anything.
func TestFollowingANodeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URL: "localhost:1", HTTP: &http.Client{Transport: hanging{}}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for _, err := range c.Follow(t.Context(), FollowQuery{}) {
			if took := time.Since(begin); !errors.Is(err, ErrSilent) || took != silence {
				t.Errorf("after %s: %v", took, err)
			}
		}
	})
}

// reading is how long history takes to look at what was said.
func reading(said string) time.Duration {
	return time.Duration(strings.Count(said, "\n")) * 2 * patience
}

// history reads history, and takes its time over each ping.
func history(t *testing.T, c *Client) error {
	t.Helper()
	for p, err := range c.History(t.Context(), Query{}) {
		if err != nil {
			return err
		}
		if p.Text != "a" {
			t.Errorf("got %+v", p)
		}
		time.Sleep(2 * patience)
	}
	return nil
}
