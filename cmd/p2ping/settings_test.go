package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func environOf(vars map[string]string) environ {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestPrecedence(t *testing.T) {
	const file = "topic = \"from-file\"\n" +
		"p2p-port = 4\n" +
		"bootstrap = [\"/ip4/1.1.1.1/tcp/1\", \"/ip4/2.2.2.2/tcp/2\"]\n" +
		"require-bootstrap = true\n"
	for _, test := range []struct {
		name, setting string
		flags         map[string][]string
		env           map[string]string
		file          string
		want, source  string
	}{
		{
			name: "flag before all", setting: "topic", want: "from-flag", source: "flag --topic",
			flags: map[string][]string{"topic": {"from-flag"}}, env: map[string]string{"P2PING_TOPIC": "from-env"}, file: file,
		},
		{
			name: "variable before file", setting: "topic", want: "from-env", source: "env P2PING_TOPIC",
			env: map[string]string{"P2PING_TOPIC": "from-env"}, file: file,
		},
		{name: "file before default", setting: "topic", want: "from-file", source: "config.toml, line 1, key topic", file: file},
		{name: "default", setting: "topic", want: "p2ping", source: "default"},
		{
			name: "an empty variable is none", setting: "topic", want: "p2ping", source: "default",
			env: map[string]string{"P2PING_TOPIC": ""},
		},
		{
			name: "the tutorial's variable before the file", setting: "p2p-port", want: "3", source: "env P2P_PORT",
			env: map[string]string{"P2P_PORT": "3"}, file: file,
		},
		{
			name: "our variable before the tutorial's", setting: "p2p-port", want: "2", source: "env P2PING_P2P_PORT",
			env: map[string]string{"P2P_PORT": "3", "P2PING_P2P_PORT": "2"}, file: file,
		},
		{name: "a number in the file", setting: "p2p-port", want: "4", source: "config.toml, line 2, key p2p-port", file: file},
		{name: "a boolean in the file", setting: "require-bootstrap", want: "true", source: "config.toml, line 4, key require-bootstrap", file: file},
		{
			name: "a list in the file", setting: "bootstrap", want: "/ip4/1.1.1.1/tcp/1|/ip4/2.2.2.2/tcp/2",
			source: "config.toml, line 3, key bootstrap", file: file,
		},
		{
			name: "a list in a variable has commas", setting: "bootstrap", want: "ws://localhost:6001|ws://localhost:6002", source: "env PEERS",
			env: map[string]string{"PEERS": "ws://localhost:6001, ws://localhost:6002,"}, file: file,
		},
		{
			name: "a list is replaced, not added to", setting: "bootstrap", want: "/ip4/9.9.9.9/tcp/9", source: "flag --bootstrap",
			flags: map[string][]string{"bootstrap": {"/ip4/9.9.9.9/tcp/9"}}, env: map[string]string{"PEERS": "ws://localhost:6001"}, file: file,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			values, err := parseConfig("config.toml", test.file)
			if err != nil {
				t.Fatal(err)
			}
			all := resolve(func(s setting) ([]string, bool) {
				v, ok := test.flags[s.name]
				return v, ok
			}, environOf(test.env), values)
			i := slices.IndexFunc(all, func(g given) bool { return g.name == test.setting })
			if got := strings.Join(all[i].values, "|"); got != test.want || all[i].source != test.source {
				t.Errorf("%s is %q from %q, want %q from %q", test.setting, got, all[i].source, test.want, test.source)
			}
		})
	}
}

// settingsFrom checks settings that come from the environment alone.
func settingsFrom(t *testing.T, vars map[string]string) (settings, error) {
	t.Helper()
	vars = maps.Clone(vars)
	if vars == nil {
		vars = make(map[string]string)
	}
	if _, ok := vars["HOME"]; !ok {
		vars["HOME"] = "/home/me"
	}
	env := environOf(vars)
	s, err := check(resolve(func(setting) ([]string, bool) { return nil, false }, env, nil))
	if err != nil {
		return s, err
	}
	return s, s.finish(env)
}

func TestDerivedSettings(t *testing.T) {
	for _, test := range []struct {
		name          string
		env           map[string]string
		http, dataDir string
		p2pPort       int
	}{
		{name: "defaults", http: "127.0.0.1:3001", dataDir: "/home/me/.local/state/p2ping/6001", p2pPort: 6001},
		{
			name: "shift", env: map[string]string{"P2PING_SHIFT": "2"},
			http: "127.0.0.1:3003", dataDir: "/home/me/.local/state/p2ping/6003", p2pPort: 6003,
		},
		{
			name: "the tutorial's ports", env: map[string]string{"HTTP_PORT": "3002", "P2P_PORT": "6002"},
			http: "127.0.0.1:3002", dataDir: "/home/me/.local/state/p2ping/6002", p2pPort: 6002,
		},
		{
			name: "any port is not shifted", env: map[string]string{"HTTP_PORT": "0", "P2P_PORT": "0", "P2PING_SHIFT": "5"},
			http: "127.0.0.1:0", dataDir: "/home/me/.local/state/p2ping/0", p2pPort: 0,
		},
		{
			name: "--http is taken as it is", env: map[string]string{"P2PING_HTTP": "127.0.0.2:80", "HTTP_PORT": "9", "P2PING_SHIFT": "1"},
			http: "127.0.0.2:80", dataDir: "/home/me/.local/state/p2ping/6002", p2pPort: 6002,
		},
		{
			name: "one port on two interfaces", env: map[string]string{"HTTP_PORT": "6001", "P2PING_LISTEN": "/ip4/192.0.2.1"},
			http: "127.0.0.1:6001", dataDir: "/home/me/.local/state/p2ping/6001", p2pPort: 6001,
		},
		{
			name: "one port, of which --http takes none", env: map[string]string{"HTTP_PORT": "6001", "P2PING_HTTP": "unix:/socket"},
			http: "unix:/socket", dataDir: "/home/me/.local/state/p2ping/6001", p2pPort: 6001,
		},
		{
			name: "state directory", env: map[string]string{"XDG_STATE_HOME": "/state"},
			http: "127.0.0.1:3001", dataDir: "/state/p2ping/6001", p2pPort: 6001,
		},
		{
			name: "a relative state directory does not count", env: map[string]string{"XDG_STATE_HOME": "state"},
			http: "127.0.0.1:3001", dataDir: "/home/me/.local/state/p2ping/6001", p2pPort: 6001,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := settingsFrom(t, test.env)
			if err != nil {
				t.Fatal(err)
			}
			if s.HTTP != test.http || s.DataDir != test.dataDir || s.p2pPort() != test.p2pPort {
				t.Errorf("got http %q, data directory %q, P2P port %d; want %q, %q, %d",
					s.HTTP, s.DataDir, s.p2pPort(), test.http, test.dataDir, test.p2pPort)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	for _, test := range []struct{ variable, value, want string }{
		{"P2PING_P2P_PORT", "65536", "a port is a number from 0 to 65535"},
		{"P2P_PORT", "-1", "P2P_PORT"},
		{"HTTP_PORT", "http", "HTTP_PORT"},
		{"P2PING_SHIFT", "60000", "port 66001 is not between"},
		{"P2PING_SHIFT", "-4000", "port -999 is not between"},
		{"P2PING_SHIFT", "one", "a whole number is wanted"},
		{"P2PING_HTTP", "localhost", "an address is wanted"},
		{"P2PING_HTTP", "0.0.0.0:3001", "open to other machines"},
		{"P2PING_HTTP", ":3001", "open to other machines"},
		{"P2PING_PUBLISH_RATE", "-1", "from 0 up"},
		{"P2P_PORT", "3001", "--http-port and --p2p-port are both 3001"},
		{"HTTP_PORT", "6001", "--http-port and --p2p-port are both 6001"},
		{"P2PING_LISTEN", "/ip4/nowhere/tcp/1", "no multiaddr"},
		{"P2PING_ANNOUNCE", "example.com:1", "no multiaddr"},
		{"P2PING_RETENTION", "a week", "a duration is wanted"},
		{"P2PING_RETENTION", "-1h", "a duration is wanted"},
		{"P2PING_MAX_LEDGER", "1 gigabyte", "a size is wanted"},
		{"P2PING_MAX_ENTRIES", "-1", "from 0 up"},
		{"P2PING_LOG_LEVEL", "loud", "debug, info, warn, error"},
		{"P2PING_LOG_FORMAT", "xml", "text, json"},
		{"P2PING_REQUIRE_BOOTSTRAP", "maybe", "true or false"},
		{"P2PING_TOPIC", strings.Repeat("t", 257), "1 to 256 bytes"},
		{"P2PING_TOPIC", "\xff", "1 to 256 bytes"},
		{"HOME", "", "neither XDG_STATE_HOME nor HOME"},
	} {
		t.Run(test.variable+"="+test.value, func(t *testing.T) {
			_, err := settingsFrom(t, map[string]string{test.variable: test.value})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
			if f, ok := errors.AsType[*failure](err); !ok || f.code != exitUsage {
				t.Errorf("error %v has not exit code %d", err, exitUsage)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for _, test := range []struct {
		in   string
		want int64 // -1: refused
	}{
		{"0", 0},
		{"1", 1},
		{"10B", 10},
		{"1kB", 1000},
		{"1KiB", 1024},
		{"512MiB", 512 << 20},
		{"1 GiB", 1 << 30},
		{"8388607TiB", 8388607 << 40},
		{"8388608TiB", -1},
		{"-1MiB", -1},
		{"1.5GiB", -1},
		{"MiB", -1},
		{"", -1},
		{"1XB", -1},
		{"0x10", -1},
	} {
		var got int64
		if err := setSize(&got, test.in); err != nil {
			got = -1
		}
		if got != test.want {
			t.Errorf("size %q is %d, want %d", test.in, got, test.want)
		}
	}
}

func TestConfigFileRefusals(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"unknown key", "topic = \"t\"\n\n# a comment\nport = 1\n", `c.toml, line 4: unknown key "port"`},
		{"unknown table", "[node]\ntopic = \"t\"\n", `unknown key "node"`},
		{"wrong type", "topic = \"t\"\nshift = 1.5\n", `c.toml, line 2: key "shift"`},
		{"wrong type in a list", "bootstrap = [1]\n", `c.toml, line 1: key "bootstrap": an array of strings`},
		{"no TOML", "topic\n", "c.toml"},
		{"twice", "topic = \"a\"\ntopic = \"b\"\n", "topic"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConfig("c.toml", test.content)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestTableIsSound(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range settingsTable() {
		if seen[s.name] || s.usage == "" || s.set == nil {
			t.Errorf("setting %q is there twice or not complete", s.name)
		}
		seen[s.name] = true
		if s.byDefault == "" && s.derived == nil && s.kind != list {
			t.Errorf("setting %q has no default to show", s.name)
		}
		if strings.Count(s.usage, "`") != 2 && s.kind != toggle {
			t.Errorf("setting %q names no placeholder", s.name)
		}
	}
}
