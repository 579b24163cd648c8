// Package hook hands every new ping of a ledger to commands and to web
// servers.
//
// # Delivery
//
// A hook gets every ping that the ledger gets from when the hook was first
// seen, at least once, those of one author in the order in which they arrived;
// several authors' at a time. What it gets is the ping's JSON as every stream
// of the API has it ([client.Ping]), so the id tells when one comes again:
// after a crash, those that were handed over in its last instants do.
//
// A command takes a ping by exit code 0, a web server by a status of 2xx. What
// fails is tried again, after pauses with full jitter of up to a minute, until
// it works; meanwhile pings of that author wait. A status of 4xx, but for 408,
// 425 and 429, is a refusal: it is logged, and the ping counts as handed over.
//
// # Durability
//
// hooks.json in the data directory holds, for each hook, the place up to which
// everything is handed over. It is written whole, and made when there is a hook
// first. A hook that is not named any more is forgotten, and starts anew, with
// the pings from then on, when it is named again. What the ledger forgot before
// a hook got to it is lost to the hook, and logged as a gap.
//
// # Concurrency and limits
//
// Hooks pull from the ledger as fast as they can and have no queue of their
// own, so a slow one costs nobody else anything. Each holds up to 256 pings
// (1,255, with an entry of 1,000) that are not handed over yet, and has up to
// four attempts running.
package hook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node/ledger"
)

// Config says what is handed to whom.
type Config struct {
	// Ledger is required; the caller closes it after Run has returned.
	Ledger *ledger.Ledger
	// Self is the node's own peer ID.
	Self peer.ID
	// Dir is the data directory, which the caller keeps open. It is required.
	Dir *os.Root
	// Commands are run by sh -c, a process for each attempt, with the ping's
	// JSON and a newline on the standard input.
	Commands []string
	// Webhooks are URLs to which the ping's JSON is posted: see [CheckURL].
	Webhooks []string
	// Version is named in the user agent of requests.
	Version string
	// Registerer receives the hooks' metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
	// Logger receives what goes wrong, and what commands print; nil discards it.
	Logger *slog.Logger
}

// Hooks hand pings over. Make them with [New].
type Hooks struct {
	runners []*runner
	book    *book
	close   []func()
}

// New reads the hooks' places, and notes where new ones start: at what the
// ledger gets from now on.
func New(cfg Config) (*Hooks, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	h := &Hooks{book: &book{dir: cfg.Dir, logger: cfg.Logger, dirty: make(chan struct{}, 1)}}
	add := func(kind, target string, number int, d deliverer) {
		name := fmt.Sprintf("%s %d", kind, number)
		h.runners = append(h.runners, &runner{
			ledger: cfg.Ledger, self: cfg.Self, deliverer: d, key: keyOf(kind, target),
			name: name, logger: cfg.Logger.With("hook", name),
		})
	}
	if len(cfg.Commands) > 0 {
		shell, err := exec.LookPath("sh")
		if err != nil {
			return nil, fmt.Errorf("finding a shell for hooks: %w", err)
		}
		for i, c := range unique(cfg.Commands) {
			add("exec", c, i+1, &command{shell: shell, line: c, timeout: commandTimeout, logger: cfg.Logger.With("hook", fmt.Sprintf("exec %d", i+1))})
		}
	}
	for i, target := range unique(cfg.Webhooks) {
		w, err := newWebhook(target, cfg.Version)
		if err != nil {
			return nil, err
		}
		h.close = append(h.close, w.client.CloseIdleConnections)
		add("webhook", target, i+1, w)
	}
	if err := h.start(cfg.Ledger); err != nil {
		return nil, err
	}
	return h, h.register(cfg.Registerer)
}

// start finds each runner's place, and writes down those of new ones.
func (h *Hooks) start(l *ledger.Ledger) error {
	old, err := h.book.read()
	if err != nil {
		return err
	}
	h.book.kept = old
	h.book.places = make(map[string]place, len(h.runners))
	for _, r := range h.runners {
		at, known := old[r.key]
		if !known {
			at = inEpoch(l, place{arrival: l.State().Last + 1})
		}
		r.at = r.resume(at)
		r.moved = func(to place) { h.book.set(r.key, inEpoch(l, to)) }
		h.book.places[r.key] = at
	}
	if maps.Equal(h.book.places, old) {
		return nil
	}
	// A loss of power must not have a hook start anew, later.
	return errors.Join(h.book.write(), h.book.syncName())
}

// inEpoch returns a place in the ledger with the epoch that tells it from one in
// another.
func inEpoch(l *ledger.Ledger, at place) place {
	at.epoch = l.State().Epoch
	return at
}

// Run hands pings over until ctx ends. Attempts that are under way then get two
// more seconds. Its error is the ledger's.
func (h *Hooks) Run(ctx context.Context) error {
	bookCtx, stopBook := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBook()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var book, all sync.WaitGroup
	book.Go(func() { h.book.run(bookCtx) })
	failures := make([]error, len(h.runners))
	for i, r := range h.runners {
		all.Go(func() {
			if failures[i] = r.run(ctx); failures[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	stopBook()
	book.Wait()
	for _, f := range h.close {
		f()
	}
	return errors.Join(failures...)
}

// CheckURL tells what is wrong with a webhook's URL: it is http or https, and
// may have a user and password in it, which then go as basic authentication.
// The error does not repeat it.
func CheckURL(target string) error {
	u, err := url.Parse(target)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("a URL is wanted, such as https://example.com/pings")
	}
	return nil
}

// unique leaves out what came before: a hook has one place.
func unique(all []string) []string {
	var kept []string
	for _, s := range all {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}
