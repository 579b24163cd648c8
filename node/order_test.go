package node

import (
	"fmt"
	"strconv"
	"testing"
)

// TestOrder has a neighbour get the pings of one author as they are sent, each when
// the one before it is published.
func TestOrder(t *testing.T) {
	const pings = 1000
	near := startNode(t, startHost(t, HostConfig{}), Config{DisableCatchUp: true})
	far := startNode(t, startHost(t, HostConfig{}), Config{DisableCatchUp: true})
	connectHosts(t, near.host, far.host)
	for {
		changed := near.gossip.members.changes()
		if near.gossip.members.has(far.host.ID()) {
			break
		}
		<-changed
	}
	for i := range pings {
		if _, err := near.Publish(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	// The very first may get lost, as there is no catch-up.
	for cursor, last := uint64(0), -1; last < pings-1; {
		changed := far.ledger.Changed()
		records, err := far.ledger.After(cursor, pings)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			cursor = r.Cursor
			for _, p := range r.Entry.Pings {
				i, err := strconv.Atoi(p.Text)
				if err != nil || i <= last {
					t.Fatalf("ping %s comes after %d", p.Text, last)
				}
				last = i
			}
		}
		if len(records) == 0 {
			<-changed
		}
	}
}
