package node

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestCompanyIsCalm(t *testing.T) {
	var log strings.Builder
	c := &company{logger: slog.New(slog.NewTextHandler(&log, nil))}
	said := func() (lines int, text string) {
		defer log.Reset()
		return strings.Count(log.String(), "\n"), log.String()
	}
	for window, tt := range []struct {
		come, leave int
		lines       int
		want        string
	}{
		{2, 1, 3, `msg="a peer left the topic" peer=` + peer.ID("peer 0").String() + " peers=1\n"},
		{0, 0, 0, ""},
		{10, 0, 10, `msg="a peer joined the topic" peer=` + peer.ID("peer 9").String() + " peers=10\n"},
		{1000, 5, 11, `msg="more peers joined or left the topic" joined=990 left=5 peers=995`},
		{1000, 1000, 1, "joined=1000 left=1000 peers=0"},
		{7, 0, 1, "joined=7 left=0 peers=7"},
		{1, 0, 1, "a peer joined the topic"},
	} {
		for i := range tt.come {
			c.came(peer.ID(fmt.Sprint("peer ", i)), i+1)
		}
		for i := range tt.leave {
			c.went(peer.ID(fmt.Sprint("peer ", i)), tt.come-i-1)
		}
		c.count()
		if lines, text := said(); lines != tt.lines || !strings.Contains(text, tt.want) {
			t.Errorf("window %d: %d lines, want %d, one with %s:\n%.2000s", window, lines, tt.lines, tt.want, text)
		}
	}
}
