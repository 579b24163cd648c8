package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetry(t *testing.T) {
	for _, test := range []struct {
		name       string
		wait       time.Duration
		each       time.Duration // what a try takes
		doneAt     int           // try, 0 for never
		stop       time.Duration // 0 for never
		tries      int
		took       time.Duration
		interrupts bool
	}{
		{name: "no wait", each: time.Second, tries: 1, took: time.Second},
		{name: "at once", wait: time.Minute, doneAt: 1, tries: 1},
		{name: "third time", wait: time.Minute, doneAt: 3, tries: 3, took: 200 * time.Millisecond},
		{name: "quick ones, in vain", wait: 250 * time.Millisecond, tries: 3, took: 250 * time.Millisecond},
		{name: "one that is slower than all", wait: time.Second, each: 5 * time.Second, tries: 1, took: 5 * time.Second},
		{name: "slow ones", wait: 6 * time.Second, each: 5 * time.Second, tries: 2, took: 10 * time.Second},
		{name: "stopped", wait: time.Hour, stop: 50 * time.Millisecond, tries: 1, took: 50 * time.Millisecond, interrupts: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 20 { // what a select chooses by chance would show
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if test.stop > 0 {
						time.AfterFunc(test.stop, cancel)
					}
					begin, tries := time.Now(), 0
					err := retry(ctx, test.wait, 100*time.Millisecond, func(left time.Duration) bool {
						if want := test.wait - time.Since(begin); left != want {
							t.Errorf("try %d is told of %v, not %v", tries, left, want)
						}
						<-time.After(test.each)
						tries++
						return tries == test.doneAt
					})
					if took := time.Since(begin); tries != test.tries || took != test.took || errors.Is(err, context.Canceled) != test.interrupts {
						t.Errorf("%d tries in %v: %v; want %d in %v", tries, took, err, test.tries, test.took)
					}
				})
			}
		})
	}
}
