package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// roleArg as first argument makes the program one of its own baselines.
const roleArg = "role"

// connectPatience bounds how long a role tries to reach its neighbour.
const connectPatience = 30 * time.Second

// roleConfig is what a role is told on its command line.
type roleConfig struct {
	connect   string // multiaddr of the neighbour before it in the line, "" for none
	api       string // address to serve HTTP on
	transport string // "tcp", or "all" that p2ping listens on
}

// role is a running baseline.
type role struct {
	handler http.Handler
	addr    string // multiaddr with /p2p/ID, "" without a host
	close   func() error
}

// announcement is the line that a role prints when it is ready.
type announcement struct {
	API  string `json:"api"`
	Addr string `json:"addr,omitempty"`
}

func roles() map[string]func(context.Context, roleConfig) (*role, error) {
	return map[string]func(context.Context, roleConfig) (*role, error){
		"hello":  newHello,
		"pubsub": newPubsub,
		"relay":  newRelay,
	}
}

// runRole is a role from beginning to end: it ends with its standard input, and
// so with the benchmark, however that ends.
func runRole(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 || roles()[args[0]] == nil {
		return fmt.Errorf("no role of that name: %q", args)
	}
	var cfg roleConfig
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&cfg.connect, "connect", "", "")
	flags.StringVar(&cfg.api, "api", "127.0.0.1:0", "")
	flags.StringVar(&cfg.transport, "transport", "tcp", "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	r, err := roles()[args[0]](ctx, cfg)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.api)
	if err != nil {
		return errors.Join(err, r.close())
	}
	server := &http.Server{Handler: r.handler, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	if err := json.NewEncoder(stdout).Encode(announcement{API: l.Addr().String(), Addr: r.addr}); err != nil {
		return errors.Join(err, server.Close(), r.close())
	}
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	case err := <-failed:
		return errors.Join(err, r.close())
	}
	return errors.Join(server.Close(), r.close())
}

// startRole starts this program again, as a role, and waits until it is ready.
func (b *bench) startRole(ctx context.Context, name string, args ...string) (*proc, error) {
	p, err := start(command{name: name, path: b.self, args: append([]string{roleArg, name}, args...)})
	if err != nil {
		return nil, err
	}
	return p.announced(ctx)
}

// announced waits until the process says where it can be reached, and returns it.
// One that doesn't is stopped.
func (p *proc) announced(ctx context.Context) (*proc, error) {
	line, err := p.firstOutput(ctx)
	if err == nil {
		var a announcement
		if err = json.Unmarshal([]byte(line), &a); err == nil {
			p.api, p.addr = a.API, a.Addr
			return p, nil
		}
	}
	p.stop()
	return nil, err
}

// listenAddrs are the addresses of a host on loopback.
func listenAddrs(transport string) []string {
	if transport == "all" {
		return []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1"}
	}
	return []string{"/ip4/127.0.0.1/tcp/0"}
}

// newHost makes a libp2p host as anyone would who reads libp2p's examples.
func newHost(transport string) (host.Host, string, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings(listenAddrs(transport)...))
	if err != nil {
		return nil, "", fmt.Errorf("making a host: %w", err)
	}
	for _, addr := range h.Addrs() {
		if _, err := addr.ValueForProtocol(ma.P_TCP); err == nil {
			return h, addr.String() + "/p2p/" + h.ID().String(), nil
		}
	}
	return nil, "", errors.Join(errors.New("the host has no TCP address"), h.Close())
}

// connect connects to the neighbour, if there is one, and returns its ID.
func connect(ctx context.Context, h host.Host, addr string) (peer.ID, error) {
	if addr == "" {
		return "", nil
	}
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return "", fmt.Errorf("parsing %q: %w", addr, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	if err := h.Connect(ctx, *info); err != nil {
		return "", fmt.Errorf("connecting to %s: %w", addr, err)
	}
	return info.ID, nil
}

// number reads a number from a role's request, which only the benchmark sends.
func number(r *http.Request, name string) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return 0
	}
	return n
}

// filler returns a text of so many bytes.
func filler(size int) string { return strings.Repeat("x", size) }

// answerJSON answers a request of the benchmark's.
func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the benchmark notices
}

// selfPath is this program, to start it again.
func selfPath() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	return path, nil
}
