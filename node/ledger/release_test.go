package ledger

import (
	"testing"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// Memory is given back after a transaction and not within one: where a commit
// waits for the first to map a larger file, a second one waits for that commit.
func TestReleaseOutsideOfTransactions(t *testing.T) {
	l := open(t, Config{NoSync: true})
	within := func(what string) {
		t.Helper()
		if l.touched.Load() < releaseAfter {
			t.Errorf("it was given back within %s", what)
		}
	}
	afterwards := func(what string) {
		t.Helper()
		if l.touched.Load() != 0 {
			t.Errorf("it was not given back after %s", what)
		}
	}
	inner := l.change
	l.change = func(f func(*bbolt.Tx) error) error {
		return inner(func(tx *bbolt.Tx) error {
			err := f(tx)
			within("a commit")
			return err
		})
	}
	l.touched.Store(releaseAfter)
	add(t, l, fakes(t, 10, 1000)...)
	afterwards("a commit")
	l.change = inner
	for _, lo := range []int64{0, 1005} {
		l.touched.Store(releaseAfter)
		err := l.fingerprint(entry.Key{Time: lo}, entry.LastKey(), func(Digest, int, totals) { within("a look") })
		if err != nil {
			t.Fatal(err)
		}
		afterwards("a look")
	}
}
