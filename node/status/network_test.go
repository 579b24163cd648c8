package status

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "status-test"

// mapOf fails unless a map is made, within the time that it may take.
func mapOf(t *testing.T, m *Mapper) Map {
	t.Helper()
	start := time.Now()
	got, err := m.Map(t.Context())
	if took := time.Since(start); err != nil || took > crawlTime+time.Second {
		t.Fatalf("%v after %v", err, took)
	}
	return got
}

func TestMap(t *testing.T) {
	onLAN(t, 4, func(l *lan) {
		m := l.mapper(0)
		for i := 1; i < 4; i++ {
			l.mapper(i)
		}
		got := mapOf(l.t, m)
		if len(got.Nodes) != 4 || len(got.Edges) != 6 || !got.Complete {
			l.t.Errorf("%d nodes, %d links, complete: %v", len(got.Nodes), len(got.Edges), got.Complete)
		}
		for _, n := range got.Nodes {
			i := slices.IndexFunc(l.hosts, func(h host.Host) bool { return h.ID() == n.PeerID })
			if n.State != Answered || n.Agent != "node" || n.Pings != int64(i) || n.TopicPeers != 3 || len(n.SeenBy) != 3 {
				l.t.Errorf("node %d: %+v", i, n)
			}
		}
		for _, e := range got.Edges {
			if len(e.ClaimedBy) != 2 || !e.InMesh {
				l.t.Errorf("%+v", e)
			}
		}
	})
}

func TestSilentOnesAskAllTheSame(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		silent := l.mapper(0, func(c *Config) { c.Silent = true })
		open := l.mapper(1)
		if got := mapOf(l.t, silent); len(got.Nodes) != 2 || !got.Complete {
			l.t.Errorf("the silent one's map: %+v", got)
		}
		got := mapOf(l.t, open)
		if len(got.Nodes) != 2 || got.Nodes[1].State == Answered || got.Complete {
			l.t.Errorf("the other's map: %+v", got)
		}
		if slices.Contains(l.hosts[0].Mux().Protocols(), Protocol) {
			l.t.Error("the silent one offers to answer")
		}
	})
}

func TestOtherTopicsAreNotAnswered(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		l.mapper(1, func(c *Config) { c.Topic = "another" })
		if got := mapOf(l.t, l.mapper(0)); got.Nodes[1].State == Answered {
			l.t.Errorf("%+v", got)
		}
	})
}

// TestHostileAnswers asks peers that are no p2ping nodes at all, and an honest
// one, which must be on the map whatever they do.
func TestHostileAnswers(t *testing.T) {
	drip := func(s network.Stream) {
		for {
			if _, err := s.Write([]byte{0x0a}); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	for name, answer := range map[string]func(network.Stream){
		"nothing":   func(s network.Stream) { s.Close() },
		"silence":   nil,
		"a reset":   func(s network.Stream) { s.Reset() },
		"a drip":    drip,
		"garbage":   func(s network.Stream) { io.WriteString(s, strings.Repeat("x", 300)); s.Close() },
		"a torrent": func(s network.Stream) { io.Copy(s, zeros{}); s.Reset() },
		"too many peers": func(s network.Stream) {
			r := Report{TopicPeers: MaxPeers + 1}
			for i := range MaxPeers + 1 {
				r.Peers = append(r.Peers, Peer{ID: testID(t, i)})
			}
			s.Write(r.encode())
			s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			onLAN(t, 3, func(l *lan) {
				over := make(chan struct{})
				defer close(over)
				if answer == nil {
					answer = func(s network.Stream) { <-over; s.Reset() }
				}
				l.hosts[1].SetStreamHandler(Protocol, answer)
				l.mapper(2)
				got := mapOf(l.t, l.mapper(0))
				for _, n := range got.Nodes[1:] {
					if honest := n.PeerID == l.hosts[2].ID(); (n.State == Answered) != honest {
						l.t.Errorf("honest: %v, %+v", honest, n)
					}
				}
				if len(got.Nodes) != 3 || got.Complete {
					l.t.Errorf("%+v", got)
				}
			})
		})
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestAgentsAreMadeHarmless(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		l.mapper(1, func(c *Config) {
			c.Report = func() Report { return Report{Agent: "\x1b[2J\u202eevil"} }
		})
		if got := mapOf(l.t, l.mapper(0)).Nodes[1].Agent; got != "\ufffd[2J\ufffdevil" {
			l.t.Errorf("%q", got)
		}
	})
}

// TestHostileQuestions asks a node too often, too slowly, and not at all.
func TestHostileQuestions(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		m := l.mapper(0)
		ask := func(request string) (answer []byte, took time.Duration, err error) {
			start := time.Now()
			s, err := l.hosts[1].NewStream(l.t.Context(), l.hosts[0].ID(), Protocol)
			if err != nil {
				l.t.Fatal(err)
			}
			defer s.Reset()
			if _, err := io.WriteString(s, request); err != nil {
				return nil, 0, err
			}
			answer, err = io.ReadAll(s)
			return answer, time.Since(start), err
		}
		tag := topicTag(topic)
		if b, took, err := ask("no"); err == nil || len(b) > 0 || took > answerTime+time.Second {
			l.t.Errorf("half a question: %q, %v after %v", b, err, took)
		}
		if b, _, err := ask("nope"); err == nil || len(b) > 0 {
			l.t.Errorf("another topic: %q, %v", b, err)
		}
		time.Sleep(askBurst * time.Second / askRate)
		good := 0
		for range 3 * askBurst {
			if b, _, err := ask(string(tag[:])); err == nil && len(b) > 0 {
				good++
			}
		}
		if good < askBurst || good > askBurst+2 {
			l.t.Errorf("%d of %d questions at once were answered", good, 3*askBurst)
		}
		time.Sleep(time.Second / askRate)
		if _, _, err := ask(string(tag[:])); err != nil {
			l.t.Errorf("a second later: %v", err)
		}
		synctest.Wait()
		if n := m.places.Taken(); n != 0 {
			l.t.Errorf("%d answers are still under way", n)
		}
	})
}

func TestAskersAreBounded(t *testing.T) {
	a := newAskers()
	for i := range 2 * maxAskers {
		if !a.admit(peer.ID(string(rune(0x1000+i))), true, time.Unix(0, 0)) {
			t.Fatalf("asker %d is refused", i)
		}
	}
	if len(a.each) != maxAskers {
		t.Errorf("%d askers are remembered", len(a.each))
	}
}

// TestStrangersAreBounded has a new peer ID ask each time.
func TestStrangersAreBounded(t *testing.T) {
	a := newAskers()
	now := time.Unix(1000, 0)
	ask := func(n int, name func(int) peer.ID, member bool) (admitted int) {
		for i := range n {
			if a.admit(name(i), member, now) {
				admitted++
			}
		}
		return admitted
	}
	strangers := func(i int) peer.ID { return peer.ID(string(rune(0x1000+i)) + now.String()) }
	one := func(int) peer.ID { return "one" }
	if n := ask(1000, strangers, false); n != strangersBurst {
		t.Errorf("%d of 1,000 strangers at once were admitted", n)
	}
	now = now.Add(2 * time.Second)
	if n := ask(1000, strangers, false); n != 2*strangersRate {
		t.Errorf("%d more two seconds later", n)
	}
	if n := ask(10, one, true); n != askBurst {
		t.Errorf("after strangers, a member was admitted %d times", n)
	}
	now = now.Add(time.Minute)
	if n := ask(10, one, false); n != strangeBurst {
		t.Errorf("when it has left, it was admitted %d times", n)
	}
	now = now.Add(time.Minute)
	if n := ask(10, one, true); n != askBurst {
		t.Errorf("when it is back, it was admitted %d times", n)
	}
}

// TestSlowStrangersLeaveRoom has strangers take their time over the question.
func TestSlowStrangersLeaveRoom(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		var member atomic.Bool
		m := l.mapper(0, func(c *Config) { c.Member = func(peer.ID) bool { return member.Load() } })
		slow := 0
		for i := range maxAnswers {
			if m.places.Take(testID(l.t, i), false) {
				slow++
			}
		}
		if slow != maxAnswers/2 {
			l.t.Errorf("%d strangers are answered at once, want %d", slow, maxAnswers/2)
		}
		asker := l.mapper(1)
		tag := topicTag(topic)
		ask := func() error {
			s, err := asker.cfg.Host.NewStream(l.t.Context(), l.hosts[0].ID(), Protocol)
			if err != nil {
				return err
			}
			defer s.Reset()
			if _, err := s.Write(tag[:]); err != nil {
				return err
			}
			_, err = io.ReadAll(s)
			return err
		}
		if ask() == nil {
			l.t.Error("one stranger more is answered")
		}
		member.Store(true)
		if err := ask(); err != nil {
			l.t.Errorf("strangers take a member's place: %v", err)
		}
		for m.places.Take("a member", true) {
		}
		if n := m.places.Taken(); n != maxAnswers || ask() == nil {
			l.t.Errorf("with %d answers under way one more is given", n)
		}
	})
}

// TestMapsAreShared has many ask for a map: one is made in five seconds.
func TestMapsAreShared(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		var asked atomic.Int32
		l.mapper(1, func(c *Config) {
			c.Report = func() Report { asked.Add(1); return Report{Agent: "x"} }
		})
		m := l.mapper(0)
		done := make(chan error)
		for range 10 {
			go func() {
				_, err := m.Map(context.Background())
				done <- err
			}()
		}
		for range 10 {
			if err := <-done; err != nil {
				l.t.Error(err)
			}
		}
		mapOf(l.t, m)
		if n := asked.Load(); n != 1 {
			l.t.Errorf("the peer was asked %d times", n)
		}
		time.Sleep(keepFor)
		mapOf(l.t, m)
		if n := asked.Load(); n != 2 {
			l.t.Errorf("five seconds later the peer was asked %d times", n)
		}
	})
}

func TestMapEnds(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		over := make(chan struct{})
		defer close(over)
		l.hosts[1].SetStreamHandler(Protocol, func(s network.Stream) { <-over; s.Reset() })
		m := l.mapper(0)
		ctx, cancel := context.WithTimeout(l.t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := m.Map(ctx); !errors.Is(err, context.DeadlineExceeded) {
			l.t.Errorf("%v after ctx ended", err)
		}
		waiting := make(chan error)
		go func() {
			_, err := m.Map(context.Background())
			waiting <- err
		}()
		synctest.Wait()
		if err := m.Close(); err != nil {
			l.t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			l.t.Errorf("%v for who waited", err)
		}
		if _, err := m.Map(l.t.Context()); !errors.Is(err, ErrClosed) {
			l.t.Errorf("%v after Close", err)
		}
	})
}

func TestPanics(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		var angry atomic.Bool
		angry.Store(true)
		boom := func(c *Config) {
			c.Report = func() Report {
				if angry.Load() {
					panic("boom")
				}
				return Report{Peers: []Peer{{ID: l.hosts[1].ID()}}}
			}
		}
		m := l.mapper(0, boom)
		l.mapper(1, boom)
		if _, err := m.Map(l.t.Context()); err == nil {
			l.t.Error("a map although the report panicked")
		}
		angry.Store(false)
		if got := mapOf(l.t, m); got.Nodes[1].State != Answered {
			l.t.Errorf("not at once better: %+v", got)
		}
	})
}
