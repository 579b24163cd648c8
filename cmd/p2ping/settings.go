package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"
)

// settings is what a node runs with, checked. Zero ports are the system's
// choice.
type settings struct {
	Bootstrap        []string              // as given: the node reads and remembers them
	Listen           []multiaddr.Multiaddr // nil: every transport on P2PPort
	Announce         []multiaddr.Multiaddr // nil: what libp2p finds out
	P2PPort          int                   // before the shift
	HTTPPort         int                   // before the shift
	Shift            int                   // added to both ports, but not to 0
	HTTP             string                // host:port of the API, shifted, or unix:/path
	HTTPHosts        []string              // further names of the API's host
	TokenFile        string                // holds the API's bearer token, "" for none
	Insecure         bool                  // serve other machines without a token
	PublishRate      int                   // pings a second from one address, 0: no limit
	TLSCert, TLSKey  string                // PEM files of the API, "" for plain HTTP
	Exec             []string              // commands to run for each ping
	Webhooks         []string              // URLs to post each ping to
	Topic            string
	DataDir          string // absolute
	LogLevel         slog.Level
	LogFormat        string // "text" or "json"
	RequireBootstrap bool
	Discovery        bool          // find other peers than those named
	MDNS             bool          // on the local network too
	Status           bool          // tell peers of this node and whom it sees
	Retention        time.Duration // 0: for ever
	MaxLedger        int64         // bytes, 0: no limit
	MaxEntries       int           // 0: no limit
}

// setting is one row of the table from which the flags, the variables, the
// config file's keys, the help and `p2ping config` are made.
type setting struct {
	name      string // the flag, and the key in the config file
	tutorial  string // the variable that the tutorial's own node reads, if any
	kind      kind
	byDefault string // "" where empty, or worked out of the others
	usage     string // the `placeholder` in backquotes
	whole     bool   // commas in the variable are part of the one value it holds
	// set checks values, one but for lists, and stores them.
	set func(s *settings, values []string) error
	// derived is what s ended up with where nobody said anything. Nil where
	// that is byDefault.
	derived func(s settings) []string
}

type kind uint8

const (
	text   kind = iota // one value
	list               // any number: repeated flags, commas in a variable, an array in the file
	toggle             // true or false
)

// variable is the setting's own variable in the environment.
func (s setting) variable() string { return envName(s.name) }

// settingsTable lists every setting of a node. A setting exists in here or not
// at all.
func settingsTable() []setting {
	return slices.Concat(networkSettings(), discoverySettings(), apiSettings(), hookSettings(), ownSettings())
}

// networkSettings are about whom the node talks to, and where.
func networkSettings() []setting {
	return []setting{
		{
			name: "bootstrap", kind: list, tutorial: "PEERS",
			usage: "a peer to join through, `MULTIADDR` with or without /p2p/ID, or ws://host:port; repeatable",
			set:   func(s *settings, values []string) error { s.Bootstrap = values; return nil },
		},
		{
			name: "listen", kind: list,
			usage:   "listen on `MULTIADDR` instead of every interface, an IP alone for every transport on the P2P port there; repeatable",
			set:     func(s *settings, values []string) error { return setAddrs(&s.Listen, values) },
			derived: func(s settings) []string { return []string{fmt.Sprintf("tcp, ws, quic-v1 on port %d", s.p2pPort())} },
		},
		{
			name: "p2p-port", tutorial: "P2P_PORT", byDefault: "6001",
			usage: "listen for peers on `PORT`, 0 for any free one; it also names the default data directory",
			set:   one(func(s *settings, v string) error { return setPort(&s.P2PPort, v) }),
		},
		{
			name: "shift", byDefault: "0",
			usage: "add `N` to both ports, for several nodes on one machine",
			set:   one(func(s *settings, v string) error { return setInt(&s.Shift, v) }),
		},
		{
			name: "announce", kind: list,
			usage: "tell peers to dial `MULTIADDR` instead of what this node finds out; repeatable",
			set:   func(s *settings, values []string) error { return setAddrs(&s.Announce, values) },
		},
		{
			name: "require-bootstrap", kind: toggle, byDefault: "false",
			usage: "give up when no bootstrap peer is reachable, instead of trying on",
			set: one(func(s *settings, v string) (err error) {
				s.RequireBootstrap, err = parseBool(v)
				return err
			}),
		},
		{
			name: "topic", byDefault: "p2ping",
			usage: "share pings with the nodes on this topic, `NAME`",
			set:   one(func(s *settings, v string) error { s.Topic = v; return checkTopic(v) }),
		},
	}
}

// discoverySettings are about how the node finds peers beyond those named.
func discoverySettings() []setting {
	return []setting{
		{
			name: "discovery", kind: toggle, byDefault: "true",
			usage: "find other peers through those that are connected, and remember them; --discovery=false keeps to those named",
			set: one(func(s *settings, v string) (err error) {
				s.Discovery, err = parseBool(v)
				return err
			}),
		},
		{
			name: "mdns", kind: toggle, byDefault: "false",
			usage: "find peers on the local network, and be found there, without an address",
			set: one(func(s *settings, v string) (err error) {
				s.MDNS, err = parseBool(v)
				return err
			}),
		},
		{
			name: "status", kind: toggle, byDefault: "true",
			usage: "tell who asks for a map what this node holds, whom it sees and where; --status=false keeps that to itself",
			set: one(func(s *settings, v string) (err error) {
				s.Status, err = parseBool(v)
				return err
			}),
		},
	}
}

// apiSettings are about where the API is served, and for whom.
func apiSettings() []setting {
	return []setting{
		{
			name:    "http",
			usage:   "serve the API on `HOST:PORT` or unix:/path (default: 127.0.0.1 and the HTTP port)",
			set:     one(func(s *settings, v string) error { s.HTTP = v; return checkHostPort(v) }),
			derived: func(s settings) []string { return []string{s.HTTP} },
		},
		{
			name: "http-port", tutorial: "HTTP_PORT", byDefault: "3001",
			usage: "serve the API on `PORT` of 127.0.0.1, 0 for any free one; --http goes before it",
			set:   one(func(s *settings, v string) error { return setPort(&s.HTTPPort, v) }),
		},
		{
			name: "http-host", kind: list,
			usage: "let the API be called by `NAME` too, beside localhost and this machine's addresses; repeatable",
			set:   func(s *settings, values []string) error { s.HTTPHosts = values; return nil },
		},
		{
			name:    "token-file",
			usage:   "ask for the bearer token in `FILE`, which only this user may read",
			set:     one(func(s *settings, v string) error { s.TokenFile = v; return nil }),
			derived: nothing,
		},
		{
			name: "insecure-http", kind: toggle, byDefault: "false",
			usage: "serve the API to other machines without a token",
			set: one(func(s *settings, v string) (err error) {
				s.Insecure, err = parseBool(v)
				return err
			}),
		},
		{
			name:    "tls-cert",
			usage:   "serve the API by HTTPS with the certificate chain in the PEM `FILE`",
			set:     one(func(s *settings, v string) error { s.TLSCert = v; return nil }),
			derived: nothing,
		},
		{
			name:    "tls-key",
			usage:   "the key of --tls-cert, in the PEM `FILE`",
			set:     one(func(s *settings, v string) error { s.TLSKey = v; return nil }),
			derived: nothing,
		},
		{
			name: "publish-rate", byDefault: "0",
			usage: "take at most `N` pings a second from one address by HTTP; 0 for no limit",
			set:   one(func(s *settings, v string) error { return setCount(&s.PublishRate, v) }),
		},
	}
}

// hookSettings are about what else is done with each ping.
func hookSettings() []setting {
	return []setting{
		{
			name: "exec", kind: list, whole: true,
			usage: "run `COMMAND` by sh -c for each new ping, its JSON on the standard input, until it exits with 0; repeatable",
			set:   func(s *settings, values []string) error { s.Exec = values; return checkCommands(values) },
		},
		{
			name: "webhook", kind: list, whole: true,
			usage: "post the JSON of each new ping to `URL`, until it answers 2xx or 4xx; repeatable",
			set:   func(s *settings, values []string) error { s.Webhooks = values; return checkWebhooks(values) },
		},
	}
}

// ownSettings are about what the node keeps and says.
func ownSettings() []setting {
	return []setting{
		{
			name:  "data-dir",
			usage: "keep the identity and the pings in `DIR` (default: one for each P2P port under the user's state directory)",
			set: one(func(s *settings, v string) (err error) {
				s.DataDir, err = filepath.Abs(v)
				return err
			}),
			derived: func(s settings) []string { return []string{s.DataDir} },
		},
		{
			name: "retention", byDefault: "168h",
			usage: "forget pings older than `DURATION`, such as 30d or 12h; 0 keeps them for ever",
			set:   one(func(s *settings, v string) error { return setDuration(&s.Retention, v) }),
		},
		{
			name: "max-ledger", byDefault: "1GiB",
			usage: "forget the oldest pings when they take more than `SIZE`, such as 512MiB; 0 for no limit",
			set:   one(func(s *settings, v string) error { return setSize(&s.MaxLedger, v) }),
		},
		{
			name: "max-entries", byDefault: "0",
			usage: "forget the oldest pings beyond `N` entries; 0 for no limit",
			set:   one(func(s *settings, v string) error { return setCount(&s.MaxEntries, v) }),
		},
		{
			name: "log-level", byDefault: "info",
			usage: "log from `LEVEL` up: debug, info, warn, error; of libraries only errors, unless at debug",
			set:   one(func(s *settings, v string) error { return setLevel(&s.LogLevel, v) }),
		},
		{
			name: "log-format", byDefault: "text",
			usage: "log as `FORMAT`: text or json",
			set:   one(func(s *settings, v string) error { s.LogFormat = v; return oneOf(v, "text", "json") }),
		},
	}
}

// nothing is what a setting that is not given has for a value.
func nothing(settings) []string { return nil }

func one(set func(s *settings, v string) error) func(*settings, []string) error {
	return func(s *settings, values []string) error {
		if len(values) != 1 {
			return fmt.Errorf("one value is wanted, not %d", len(values))
		}
		return set(s, values[0])
	}
}

func (s settings) p2pPort() int  { return shifted(s.P2PPort, s.Shift) }
func (s settings) httpPort() int { return shifted(s.HTTPPort, s.Shift) }

// shifted leaves 0 alone: any free port needs no shift.
func shifted(port, by int) int {
	if port == 0 {
		return 0
	}
	return port + by
}

// finish works out what depends on several settings, once all are set.
func (s *settings) finish(env environ) error {
	for _, port := range []int{s.p2pPort(), s.httpPort()} {
		if port < 0 || port > maxPort {
			return usage("choose a smaller shift", "--shift %d: port %d is not between 0 and %d", s.Shift, port, maxPort)
		}
	}
	if s.RequireBootstrap && len(s.Bootstrap) == 0 && !s.MDNS {
		return usage("name one: --bootstrap MULTIADDR", "--require-bootstrap: there is no bootstrap peer to require")
	}
	s.Listen = expandListen(s.Listen, s.p2pPort())
	if port := s.httpPort(); s.HTTP == "" && port != 0 && port == s.p2pPort() && takesLoopback(s.Listen, port) {
		return usage("choose another for one of them", "--http-port and --p2p-port are both %d", port)
	}
	if s.HTTP == "" {
		s.HTTP = "127.0.0.1:" + strconv.Itoa(s.httpPort())
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return usage("HTTPS takes both", "--tls-cert and --tls-key: only one of them is given")
	}
	if s.TLSCert != "" && strings.HasPrefix(s.HTTP, "unix:") {
		return usage("leave --tls-cert out", "a Unix socket is served without TLS")
	}
	if s.TokenFile == "" && !s.Insecure && !isLocal(s.HTTP) {
		return usage("ask for a token: --token-file FILE; or say --insecure-http if everybody who can connect may publish and read",
			"the API on %s is open to other machines", s.HTTP)
	}
	if s.DataDir == "" {
		state, err := stateDir(env)
		if err != nil {
			return err
		}
		s.DataDir = filepath.Join(state, strconv.Itoa(s.p2pPort()))
	}
	return nil
}

// stateDir is where default data directories are: p2ping/ in the XDG state
// directory.
func stateDir(env environ) (string, error) {
	return xdgDir(env, "XDG_STATE_HOME", ".local", "state")
}

// configDir is where the config file is looked for.
func configDir(env environ) (string, error) {
	return xdgDir(env, "XDG_CONFIG_HOME", ".config")
}

// xdgDir returns p2ping's directory under the one that a variable names, or
// else under the home directory. XDG says to ignore relative paths.
func xdgDir(env environ, name string, underHome ...string) (string, error) {
	if dir := env.get(name); filepath.IsAbs(dir) {
		return filepath.Join(dir, "p2ping"), nil
	}
	home := env.get("HOME")
	if home == "" {
		return "", usage("set HOME, or say where: --data-dir DIR", "neither %s nor HOME is set", name)
	}
	return filepath.Join(append(append([]string{home}, underHome...), "p2ping")...), nil
}
