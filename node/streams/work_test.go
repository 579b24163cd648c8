package streams

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWork()
		if !w.Begin() {
			t.Fatal("nobody may begin")
		}
		var ended bool
		go func() {
			defer w.End()
			<-w.Context().Done()
			if w.Begin() {
				t.Error("somebody may begin while it closes")
			}
			time.Sleep(time.Second)
			ended = true
		}()
		synctest.Wait()
		if err := w.Context().Err(); err != nil {
			t.Errorf("before Close: %v", err)
		}
		w.Close()
		if !ended {
			t.Error("Close did not wait")
		}
		if w.Begin() {
			t.Error("somebody may begin after Close")
		}
		w.Close()
	})
}
