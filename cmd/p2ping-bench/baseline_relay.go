package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	relayProtocol protocol.ID = "/p2ping-bench/relay/1.0.0"
	relayBuffer               = 64 << 10
	// relayLargest bounds a ping, before it is allocated.
	relayLargest = 64 << 10
)

// relayNode is baseline (d), the floor without pubsub: pings with their length
// before them, passed on along a libp2p stream. Nothing is signed, stored or
// compared.
type relayNode struct {
	host     host.Host
	work     sync.WaitGroup
	received atomic.Int64

	mu   sync.Mutex
	down *bufio.Writer // guarded by mu; to the node after this one, nil for none
}

func newRelay(ctx context.Context, cfg roleConfig) (*role, error) {
	h, addr, err := newHost(cfg.transport)
	if err != nil {
		return nil, err
	}
	n := &relayNode{host: h}
	h.SetStreamHandler(relayProtocol, n.attach)
	if err := n.follow(ctx, cfg.connect); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	closing := func() error {
		err := h.Close()
		n.work.Wait()
		return err
	}
	return &role{handler: n.handler(), addr: addr, close: closing}, nil
}

// follow opens a stream to the node before this one and reads pings from it.
func (n *relayNode) follow(ctx context.Context, addr string) error {
	id, err := connect(ctx, n.host, addr)
	if err != nil || id == "" {
		return err
	}
	s, err := n.host.NewStream(ctx, id, relayProtocol)
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	if err := s.CloseWrite(); err != nil { // the first thing sent opens the stream there
		return fmt.Errorf("opening a stream: %w", err)
	}
	n.work.Go(func() { _ = n.pass(bufio.NewReaderSize(s, relayBuffer)) }) // it ends with the host
	return nil
}

func (n *relayNode) attach(s network.Stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = bufio.NewWriterSize(s, relayBuffer)
}

// pass reads pings and sends them on, gathering as long as more are there.
func (n *relayNode) pass(in *bufio.Reader) error {
	buf := make([]byte, relayLargest)
	for {
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		if size > relayLargest {
			return errors.New("a ping is too long")
		}
		if _, err := io.ReadFull(in, buf[:size]); err != nil {
			return err
		}
		n.received.Add(1)
		if err := n.send(buf[:size], in.Buffered() == 0); err != nil {
			return err
		}
	}
}

// send sends a ping down the line, if that goes on.
func (n *relayNode) send(ping []byte, flush bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down == nil {
		return nil
	}
	var length [binary.MaxVarintLen64]byte
	if _, err := n.down.Write(length[:binary.PutUvarint(length[:], uint64(len(ping)))]); err != nil {
		return err
	}
	if _, err := n.down.Write(ping); err != nil {
		return err
	}
	if flush {
		return n.down.Flush()
	}
	return nil
}

func (n *relayNode) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, r *http.Request) {
		if err := n.send([]byte(r.URL.Query().Get("text")), true); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, n.received.Load()) })
	mux.HandleFunc("POST /flood", func(w http.ResponseWriter, r *http.Request) {
		text, limit := []byte(filler(number(r, "size"))), number(r, "limit")
		const every = 256 // looking at the clock is not free
		start, sent := time.Now(), 0
		end := start.Add(time.Duration(number(r, "ms")) * time.Millisecond)
		for sent < limit && (sent%every != 0 || time.Now().Before(end)) {
			sent++
			if err := n.send(text, sent == limit); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if err := n.down.Flush(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answerJSON(w, flooded{Sent: sent, Took: time.Since(start)})
	})
	return mux
}
