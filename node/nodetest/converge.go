package nodetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// publishPatience bounds a Publish. It waits for the disk alone, which takes
// no virtual time, so any wait at all is worth an error.
const publishPatience = 10 * time.Second

// Ping publishes one ping from a node, under a text that no other ping has,
// and remembers whether Publish returned nil.
func (n *Network) Ping(from int) error {
	member := n.Nodes[from].Member()
	if member == nil {
		return fmt.Errorf("node %d is down", from)
	}
	n.mu.Lock()
	text := pingText(len(n.tried), from)
	n.tried[text] = from
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), publishPatience)
	defer cancel()
	if _, err := member.Publish(ctx, text); err != nil {
		return fmt.Errorf("publishing from node %d: %w", from, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acked[text] = true
	return nil
}

// pingText is the text of the k-th ping of the network.
func pingText(k, from int) string { return fmt.Sprintf("ping %d from %d", k, from) }

// Pings publishes count pings from a node all at once, each from a goroutine
// of its own as HTTP requests would be, so that they are batched.
func (n *Network) Pings(from, count int) error {
	errs := make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { errs[i] = n.Ping(from) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Acked returns how many pings were published with success so far.
func (n *Network) Acked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.acked)
}

// Converged returns nil when all running nodes hold the same set of entries,
// by digest and by comparing the full sets, and else says who differs.
func (n *Network) Converged() error {
	var first *Node
	var want []entry.Key
	var digest ledger.Digest
	for _, d := range n.Nodes {
		if !d.Up() {
			continue
		}
		keys, err := d.keys()
		if err != nil {
			return err
		}
		sum, state, err := d.Ledger().Digest()
		if err != nil {
			return err
		}
		if state.Entries != len(keys) {
			return fmt.Errorf("node %d says it holds %d entries and lists %d", d.Index, state.Entries, len(keys))
		}
		if first == nil {
			first, want, digest = d, keys, sum
			continue
		}
		same := slices.Equal(want, keys)
		switch {
		case same != (sum == digest):
			return fmt.Errorf("nodes %d and %d: equal sets is %t, equal digests is %t", first.Index, d.Index, same, sum == digest)
		case !same:
			return fmt.Errorf("node %d holds %d entries, node %d %d", first.Index, len(want), d.Index, len(keys))
		}
	}
	return nil
}

// keys lists what the node's ledger holds, in order.
func (d *Node) keys() ([]entry.Key, error) {
	var keys []entry.Key
	for k, err := range d.Ledger().Keys(entry.Key{}, entry.LastKey()) {
		if err != nil {
			return nil, fmt.Errorf("listing node %d's ledger: %w", d.Index, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// WaitConverged lets virtual time pass until all running nodes hold all pings
// that were published with success and are equal, at most limit. It returns
// how long that took, to 100 ms.
func (n *Network) WaitConverged(limit time.Duration) (time.Duration, error) {
	began := time.Now()
	for {
		err := n.settled()
		if err == nil || time.Since(began) >= limit {
			return time.Since(began), err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// settled is Converged after a cheap look at the counts.
func (n *Network) settled() error {
	want := -1
	for _, d := range n.Nodes {
		if !d.Up() {
			continue
		}
		got := d.Ledger().State()
		if want >= 0 && got.Entries != want || got.Pings < n.Acked() {
			return n.counts()
		}
		want = got.Entries
	}
	return n.Converged()
}

// counts says how much every node holds.
func (n *Network) counts() error {
	var s strings.Builder
	fmt.Fprintf(&s, "%d pings were published; held:", n.Acked())
	for _, d := range n.Nodes {
		if !d.Up() {
			fmt.Fprintf(&s, " %d:down", d.Index)
			continue
		}
		fmt.Fprintf(&s, " %d:%d", d.Index, d.Ledger().State().Pings)
	}
	return errors.New(s.String())
}

// CheckPings reports what is wrong with the pings in the ledgers of all
// running nodes: one that was acknowledged and is missing, one that is there
// twice, one that nobody published or not under that author, and entries that
// follow each other wrongly in the order of arrival.
func (n *Network) CheckPings() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, d := range n.Nodes {
		if !d.Up() {
			continue
		}
		held := make(map[string]bool)
		if err := d.follow(0, func(r ledger.Record) {
			for _, p := range r.Entry.Pings {
				from, ok := n.tried[p.Text]
				switch {
				case !ok || n.Nodes[from].ID != r.Entry.Author:
					errs = append(errs, fmt.Errorf("node %d holds %q, which %s never published", d.Index, p.Text, r.Entry.Author))
				case held[p.Text]:
					errs = append(errs, fmt.Errorf("node %d holds %q twice", d.Index, p.Text))
				}
				held[p.Text] = true
			}
		}); err != nil {
			errs = append(errs, err)
		}
		for text := range n.acked {
			if !held[text] {
				errs = append(errs, fmt.Errorf("node %d lacks %q", d.Index, text))
			}
		}
	}
	return errors.Join(errs[:min(len(errs), 10)]...)
}

// follow calls f for all records after a cursor in the order of their arrival,
// as followers of a node do.
func (d *Node) follow(cursor uint64, f func(ledger.Record)) error {
	for {
		records, err := d.Ledger().After(cursor, 100)
		if err != nil {
			return fmt.Errorf("following node %d: %w", d.Index, err)
		}
		if len(records) == 0 {
			return nil
		}
		for _, r := range records {
			if r.Cursor <= cursor {
				return fmt.Errorf("node %d: cursor %d follows %d", d.Index, r.Cursor, cursor)
			}
			cursor = r.Cursor
			f(r)
		}
	}
}

// Joined reports whether every node is up and all are one network by the peers
// they see on the topic.
func (n *Network) Joined() bool {
	index := make(map[peer.ID]int)
	for i, d := range n.Nodes {
		if !d.Up() {
			return false
		}
		index[d.ID] = i
	}
	reached := map[int]bool{0: true}
	for queue := []int{0}; len(queue) > 0; queue = queue[1:] {
		for _, p := range n.Nodes[queue[0]].Member().Peers() {
			i, ok := index[p.PeerID]
			if ok && p.OnTopic && !reached[i] {
				reached[i] = true
				queue = append(queue, i)
			}
		}
	}
	return len(reached) == len(n.Nodes)
}

// Fill has a node hold count entries that it signed and told nobody of, a
// minute apart, as if it had been alone for long.
func (n *Network) Fill(i, count int) error {
	d := n.Nodes[i]
	entries := make([]*entry.Entry, count)
	for k := range entries {
		n.mu.Lock()
		text := pingText(len(n.tried), i)
		n.tried[text], n.acked[text] = i, true
		n.mu.Unlock()
		sent := d.now().Add(-time.Duration(k) * time.Minute)
		e, err := entry.Sign(d.key, topic, [8]byte(binary.BigEndian.AppendUint64(nil, uint64(k))), []entry.Ping{{Text: text, SentAt: sent.UnixMicro()}})
		if err != nil {
			return err
		}
		entries[k] = e
	}
	_, err := d.Ledger().Append(n.t.Context(), ledger.Own, entries...)
	return err
}
