package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lan is a switch with machines on it: network namespaces on a bridge.
type lan struct {
	t      *testing.T
	prefix string
	dir    string
}

// newLAN makes the bridge in a namespace of its own. It needs root and
// iproute2, and elsewhere than in CI the test is skipped without.
func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{t: t, prefix: fmt.Sprintf("p2p%d", os.Getpid()%100000), dir: t.TempDir()}
	out, err := exec.Command("ip", "netns", "add", l.name("sw")).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no network namespace: %v: %s", err, out)
		}
		t.Skipf("SKIPPED, mDNS is NOT tested: it needs root and iproute2: %v: %s", err, out)
	}
	t.Cleanup(func() { l.drop("sw") })
	l.in("sw", "ip", "link", "add", "br0", "type", "bridge")
	l.in("sw", "ip", "link", "set", "br0", "up")
	return l
}

func (l *lan) name(machine string) string { return l.prefix + "-" + machine }

func (l *lan) drop(machine string) {
	if out, err := exec.Command("ip", "netns", "del", l.name(machine)).CombinedOutput(); err != nil {
		l.t.Errorf("%v: %s", err, out)
	}
}

// command runs in a machine.
func (l *lan) command(machine string, args ...string) []string {
	return append([]string{"netns", "exec", l.name(machine)}, args...)
}

func (l *lan) in(machine string, args ...string) string {
	l.t.Helper()
	cmd := exec.Command("ip", l.command(machine, args...)...)
	cmd.Dir, cmd.Env = l.dir, l.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func (l *lan) env() []string { return []string{"HOME=" + l.dir, "PATH=" + os.Getenv("PATH")} }

// machine plugs the i-th machine in, with a second network of its own, as
// Docker makes them.
func (l *lan) machine(name string, i int) {
	l.t.Helper()
	if out, err := exec.Command("ip", "netns", "add", l.name(name)).CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	l.t.Cleanup(func() { l.drop(name) })
	l.in("sw", "ip", "link", "add", "name", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", l.name(name))
	l.in("sw", "ip", "link", "set", "dev", "to-"+name, "master", "br0", "up")
	l.in(name, "ip", "link", "set", "lo", "up")
	l.in(name, "ip", "address", "add", fmt.Sprintf("192.168.77.%d/24", i), "dev", "eth0")
	l.in(name, "ip", "link", "set", "eth0", "up")
	l.in(name, "ip", "route", "add", "default", "dev", "eth0") // for multicast
	l.in(name, "ip", "link", "add", "docker0", "type", "bridge")
	l.in(name, "ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
	l.in(name, "ip", "link", "set", "docker0", "up")
}

// start starts a node on a machine.
func (l *lan) start(machine string, args ...string) *process {
	l.t.Helper()
	args = append([]string{"p2ping", "--data-dir", machine, "--log-level", "debug"}, args...)
	p, err := launch(l.dir, l.env(), "ip", l.command(machine, args...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		p.kill()
		if l.t.Failed() {
			l.t.Logf("[%s]\n%s%s", machine, p.out.all, p.err.all)
		}
	})
	p.ready(l.t)
	return p
}

// TestMDNS has nodes find each other on a network that they know nothing of.
func TestMDNS(t *testing.T) {
	l := newLAN(t)
	for i, name := range []string{"a", "b", "c", "d"} {
		l.machine(name, i+1)
	}
	a := l.start("a", "--mdns")
	b := l.start("b", "--mdns")
	c := l.start("c", "--mdns", "--topic", "another")
	d := l.start("d")
	deadline := time.After(patience)
	for !strings.Contains(l.in("a", "p2ping", "peers", "--json", "--data-dir", "a"), `"on_topic": true`) {
		select {
		case <-deadline:
			t.Fatal("they don't find each other")
		default:
		}
	}
	l.in("a", "p2ping", "ping", "--data-dir", "a", "found you")
	b.await(t, b.out, regexp.MustCompile(`  found you  `), 1)
	peers := l.in("a", "p2ping", "peers", "--json", "--data-dir", "a") + l.in("b", "p2ping", "peers", "--json", "--data-dir", "b")
	if !strings.Contains(peers, `"found": "mdns"`) {
		t.Errorf("nobody was found by mDNS: %s", peers)
	}
	for _, p := range []*process{c, d} {
		if found, _ := p.out.matches(regexp.MustCompile("found you")); len(found) > 0 {
			t.Error("a node on another topic, or without mDNS, has the ping")
		}
	}
	for _, name := range []string{"c", "d"} {
		if got := l.in(name, "p2ping", "peers", "--json", "--data-dir", name); strings.Contains(got, "peer_id") {
			t.Errorf("%s has found somebody: %s", name, got)
		}
	}
	if err := a.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-a.ended
	remembered, err := os.ReadFile(filepath.Join(l.dir, "a", "peers.json"))
	if err != nil || !strings.Contains(string(remembered), "/ip4/192.168.77.2/") || strings.Contains(string(remembered), "172.17.") {
		t.Errorf("a remembers, %v: %s", err, remembered)
	}
}
