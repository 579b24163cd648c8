package catchup

import (
	"fmt"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestNewsAudience(t *testing.T) {
	var many []peer.ID
	for i := range 2 * tellMany {
		many = append(many, peer.ID(fmt.Sprint("peer", i)))
	}
	a, b, c := many[0], many[1], many[2]
	tests := []struct {
		name    string
		from    []peer.ID
		present []peer.ID
		want    int
		not     peer.ID
	}{
		{"no news", nil, many, 0, ""},
		{"all but who brought it", []peer.ID{a}, []peer.ID{a, b, c}, 2, a},
		{"twice from the same", []peer.ID{b, b}, []peer.ID{a, b, c}, 2, b},
		{"from several: each lacks the other's", []peer.ID{a, b, a}, []peer.ID{a, b, c}, 3, ""},
		{"nobody else there", []peer.ID{a}, []peer.ID{a}, 0, a},
		{"a crowd", []peer.ID{a}, many, tellMany, a},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n news
			for _, p := range tt.from {
				n.add(p)
			}
			got := n.audience(tt.present)
			if len(got) != tt.want || tt.not != "" && slices.Contains(got, tt.not) {
				t.Errorf("%d peers are told: %v", len(got), got)
			}
		})
	}
}
