package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"p2ping/api"
	"p2ping/api/hook"
	"p2ping/keys"
	"p2ping/node"
	"p2ping/node/ledger"
)

// member is one node with all that belongs to it, which it owns: `p2ping run`
// has one, `p2ping demo` several.
type member struct {
	settings settings
	dir      *os.Root
	ledger   *ledger.Ledger
	host     host.Host
	node     *node.Node
	server   *api.Server
	hooks    *hook.Hooks
	listener net.Listener
	url      string // of the API
	start    uint64 // the ledger's cursor when it was opened
}

// openMember opens everything in order: first the ledger, whose lock says
// whether the directory is free. The caller must call run or close.
func openMember(ctx context.Context, s settings, logger *slog.Logger) (_ *member, err error) {
	m := &member{settings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	bootstrap, err := parseBootstrap(s.Bootstrap)
	if err != nil {
		return nil, err
	}
	token, err := readToken(s.TokenFile)
	if err != nil {
		return nil, err
	}
	if s.Listen == nil {
		s.Listen = node.DefaultListen(s.p2pPort())
	}
	if m.dir, err = openDataDir(s.DataDir); err != nil {
		return nil, err
	}
	key, err := m.openFiles(logger)
	if err != nil {
		return nil, err
	}
	m.start = m.ledger.State().Last
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.host, err = node.NewHost(node.HostConfig{
		Key: key, Listen: s.Listen, Announce: s.Announce, Version: version(), Registerer: registry, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	m.node, err = node.New(node.Config{
		Host: m.host, Ledger: m.ledger, Topic: s.Topic, Bootstrap: bootstrap, Dir: m.dir,
		NoDiscovery: !s.Discovery, MDNS: s.MDNS, NoStatus: !s.Status,
		Scout:   func() (host.Host, error) { return node.NewScout(version()) },
		Version: version(), Logger: logger, Registerer: registry,
	})
	if err != nil {
		return nil, err
	}
	m.server, err = api.New(api.Config{
		Node: m.node, Hosts: s.HTTPHosts, Token: token, KeysPath: filepath.Join(s.DataDir, keysFile),
		PublishRate: float64(s.PublishRate), Gatherer: registry, Registerer: registry, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	m.hooks, err = hook.New(hook.Config{
		Ledger: m.ledger, Self: m.host.ID(), Dir: m.dir,
		Commands: s.Exec, Webhooks: s.Webhooks, Version: version(), Registerer: registry, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return m, m.listen(ctx, logger)
}

// openFiles opens the ledger and loads the key, both of which it makes where
// there is none: at the same time, as each waits for the disk, and neither
// minds another process that does the same. The ledger's error comes first: it
// says whether the directory is free.
func (m *member) openFiles(logger *slog.Logger) (key crypto.PrivKey, err error) {
	s := m.settings
	var loading sync.WaitGroup
	var keyErr error
	loading.Go(func() { key, _, keyErr = keys.LoadOrCreate(s.DataDir) })
	m.ledger, err = ledger.Open(ledger.Config{
		Path: filepath.Join(s.DataDir, ledgerFile), Retention: s.Retention,
		MaxEntries: s.MaxEntries, MaxBytes: s.MaxLedger, Logger: logger,
	})
	loading.Wait()
	return key, cmp.Or(err, keyErr)
}

// listen opens the API's address, and writes it where client verbs find it.
func (m *member) listen(ctx context.Context, logger *slog.Logger) (err error) {
	s := m.settings
	if m.listener, err = api.Listen(ctx, s.HTTP); err != nil {
		return explainListen(s.HTTP, err)
	}
	if s.TLSCert != "" {
		encrypted, err := api.WithTLS(m.listener, s.TLSCert, s.TLSKey, logger)
		if err != nil {
			return failed("both are PEM files: the certificate with its chain, and its key", err)
		}
		m.listener = encrypted
	}
	m.url = apiURL(s.HTTP, m.listener.Addr().String(), s.TLSCert != "")
	err = writeAPIFile(m.dir, m.url)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) { // who publishes is told; who reads needs no room
		logger.Warn("no room for the file that client commands find this node by: give them --api", "url", m.url, "err", err)
		return nil
	}
	return err
}

// close closes what is open, the last first. Run has ended, if it ever began.
func (m *member) close() error {
	var errs []error
	if m.listener != nil {
		errs = append(errs, closed(m.listener), removeAPIFile(m.dir))
	}
	if m.server != nil {
		errs = append(errs, m.server.Close())
	}
	if m.node != nil {
		errs = append(errs, m.node.Close())
	}
	if m.host != nil {
		errs = append(errs, m.host.Close())
	}
	if m.ledger != nil {
		errs = append(errs, m.ledger.Close())
	}
	if m.dir != nil {
		errs = append(errs, m.dir.Close())
	}
	return errors.Join(errs...)
}

// closed closes a listener that its server may have closed already.
func closed(l net.Listener) error {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func parseBootstrap(addrs []string) ([]node.Bootstrap, error) {
	var all []node.Bootstrap
	for _, addr := range addrs {
		b, err := node.ParseBootstrap(addr)
		if err != nil {
			return nil, usage("a node prints its own addresses when it starts", "%w", err)
		}
		all = append(all, b)
	}
	return all, nil
}
