package node

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(unhurried{m})
}

// unhurried gives what the last tests ended time to end on a busy machine: pubsub
// and the handlers of streams are told to, and not waited for. goleak by itself
// waits for half a second.
type unhurried struct{ *testing.M }

func (u unhurried) Run() int {
	code := u.M.Run()
	for deadline := time.Now().Add(30 * time.Second); goleak.Find() != nil && time.Now().Before(deadline); {
	}
	return code
}
