package catchup

import (
	"math/rand/v2"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// restless is a store that changes whenever it is looked at: entries arrive by
// gossip, and others are pruned.
type restless struct {
	*memory
	draw *rand.Rand
}

func (r *restless) Fingerprint(lo, hi entry.Key) (ledger.Digest, int, error) {
	digest, n, err := r.memory.Fingerprint(lo, hi)
	for range r.draw.IntN(4) {
		r.put(entry.Key{Time: epoch + r.draw.Int64N(1_500_000), ID: idOf("restless", r.draw.Int())})
		if all := r.all(); len(all) > 0 && r.draw.IntN(2) == 0 {
			r.floor = max(r.floor, all[r.draw.IntN(min(len(all), 200))].Time)
		}
	}
	return digest, n, err
}
