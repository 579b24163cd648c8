package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
)

// busy is a ledger that is written to every millisecond, and that gets what it
// is asked for at some time, unless that is zero.
type busy struct {
	gets  time.Time
	looks int
}

func (b *busy) Has(entry.Key) bool {
	b.looks++
	return !b.gets.IsZero() && !time.Now().Before(b.gets)
}

func (b *busy) Changed() <-chan struct{} {
	changed := make(chan struct{})
	now := time.Now()
	time.AfterFunc(now.Truncate(time.Millisecond).Add(time.Millisecond).Sub(now), func() { close(changed) })
	return changed
}

// TestReceiptsSpareABusyLedger asks for what never comes: whoever does must not
// be able to have each write looked at, as often as there are requests.
func TestReceiptsSpareABusyLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := 0
		ledger := &busy{}
		r := &receipts{ledger: ledger, missing: func(peer.ID) { missing++ }}
		start := time.Now()
		if r.await(t.Context(), entry.Key{}, MaxReceiptWait, "a") {
			t.Error("a receipt for what never came")
		}
		if took := time.Since(start); took != MaxReceiptWait {
			t.Errorf("it waited for %s, and was to for %s", took, MaxReceiptWait)
		}
		if ledger.looks > 250 {
			t.Errorf("%d looks in a minute of 60,000 writes", ledger.looks)
		}
		if missing != 1 {
			t.Errorf("told %d times that the entry is missing here, want once", missing)
		}
	})
}

// TestReceiptsComeInTime has the entry come early and late: it is seen a
// sixteenth later at most, but for the time between two writes.
func TestReceiptsComeInTime(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 16 * time.Millisecond, time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := &receipts{ledger: &busy{gets: start.Add(after)}, missing: func(peer.ID) {}}
			if !r.await(t.Context(), entry.Key{}, MaxReceiptWait, "a") {
				t.Fatalf("no receipt for what came after %s", after)
			}
			if took := time.Since(start); took > after+after/receiptPatience+time.Millisecond {
				t.Errorf("a receipt after %s for what came after %s", took, after)
			}
		})
	}
}
