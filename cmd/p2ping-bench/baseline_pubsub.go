package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
)

// Queues of the baseline: without all three, bursts are lost.
const (
	pubsubOutbound = 4096
	pubsubValidate = 4096
	pubsubBuffer   = 8192
)

// pubsubTopic is as long as p2ping's default topic, since it travels with each
// message.
const pubsubTopic = "p2ping"

// pubsubNode is baselines (b), (c) and (e): a libp2p host with GossipSub and
// net/http, one Publish a ping. Nothing is stored.
type pubsubNode struct {
	host     host.Host
	topic    *pubsub.Topic
	sub      *pubsub.Subscription
	cancel   context.CancelFunc
	work     sync.WaitGroup
	received atomic.Int64

	mu     sync.Mutex
	delays []time.Duration // guarded by mu; of stamped pings
}

func newPubsub(ctx context.Context, cfg roleConfig) (*role, error) {
	h, addr, err := newHost(cfg.transport)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	n := &pubsubNode{host: h, cancel: cancel}
	if err := n.join(ctx, cfg.connect); err != nil {
		return nil, errors.Join(err, n.close())
	}
	n.work.Go(func() { n.read(ctx) })
	return &role{handler: n.handler(), addr: addr, close: n.close}, nil
}

// join connects first, as a mesh is made at once with the peers that are known
// when a topic is joined, and else a second later.
func (n *pubsubNode) join(ctx context.Context, neighbour string) error {
	ps, err := pubsub.NewGossipSub(ctx, n.host,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithPeerOutboundQueueSize(pubsubOutbound),
		pubsub.WithValidateQueueSize(pubsubValidate),
		pubsub.WithFloodPublish(true))
	if err != nil {
		return fmt.Errorf("starting GossipSub: %w", err)
	}
	if _, err := connect(ctx, n.host, neighbour); err != nil {
		return err
	}
	for neighbour != "" && len(ps.ListPeers(pubsubTopic)) == 0 {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	if n.topic, err = ps.Join(pubsubTopic); err != nil {
		return fmt.Errorf("joining the topic: %w", err)
	}
	if n.sub, err = n.topic.Subscribe(pubsub.WithBufferSize(pubsubBuffer)); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	return nil
}

func (n *pubsubNode) close() error {
	n.cancel()
	n.work.Wait()
	return n.host.Close()
}

// read counts what others sent, until ctx ends.
func (n *pubsubNode) read(ctx context.Context) {
	for {
		m, err := n.sub.Next(ctx)
		if err != nil {
			return
		}
		if m.ReceivedFrom == n.host.ID() {
			continue
		}
		if sent, ok := stampIn(m.Data); ok {
			delay := time.Since(sent)
			n.mu.Lock()
			n.delays = append(n.delays, delay)
			n.mu.Unlock()
		}
		n.received.Add(1)
	}
}

func (n *pubsubNode) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /ping", n.ping)
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, n.received.Load()) })
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, len(n.topic.ListPeers())) })
	mux.HandleFunc("POST /flood", n.flood)
	mux.HandleFunc("POST /pace", n.pace)
	mux.HandleFunc("GET /delays", func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		answerJSON(w, n.delays)
	})
	return mux
}

// ping is (c): one Publish a request, answered when Publish returned.
func (n *pubsubNode) ping(w http.ResponseWriter, r *http.Request) {
	if err := n.topic.Publish(r.Context(), []byte(r.URL.Query().Get("text"))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "published\n")
}

// flooded is the answer of a flood.
type flooded struct {
	Sent int           `json:"sent"`
	Took time.Duration `json:"took"`
}

// flood is (b): it publishes from a number of goroutines as fast as Publish
// returns.
func (n *pubsubNode) flood(w http.ResponseWriter, r *http.Request) {
	text := []byte(filler(number(r, "size")))
	limit, end := int64(number(r, "limit")), time.Now().Add(time.Duration(number(r, "ms"))*time.Millisecond)
	start := time.Now()
	var sent, taken atomic.Int64
	var publishers sync.WaitGroup
	for range number(r, "publishers") {
		publishers.Go(func() {
			for time.Now().Before(end) && taken.Add(1) <= limit {
				if n.topic.Publish(r.Context(), text) != nil {
					return
				}
				sent.Add(1)
			}
		})
	}
	publishers.Wait()
	answerJSON(w, flooded{Sent: int(sent.Load()), Took: time.Since(start)})
}

// pace publishes stamped pings at a fixed rate.
func (n *pubsubNode) pace(w http.ResponseWriter, r *http.Request) {
	sent := 0
	err := atRate(r.Context(), number(r, "rate"), number(r, "limit"), func(int) error {
		sent++
		return n.topic.Publish(r.Context(), []byte(stamped(time.Now())))
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerJSON(w, sent)
}

// stampLen is the length of the Unix time in nanoseconds that begins a stamped
// ping, after an @.
const stampLen = 19

// stamped is a ping that says when it was sent, in the clock that all processes
// of this machine share.
func stamped(at time.Time) string { return "@" + strconv.FormatInt(at.UnixNano(), 10) }

func stampIn(b []byte) (time.Time, bool) {
	if len(b) < 1+stampLen || b[0] != '@' {
		return time.Time{}, false
	}
	ns, err := strconv.ParseInt(string(b[1:1+stampLen]), 10, 64)
	return time.Unix(0, ns), err == nil
}
