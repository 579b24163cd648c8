package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/multiformats/go-multiaddr"

	"p2ping/api"
	"p2ping/api/hook"
	"p2ping/node"
)

const (
	maxPort  = 65535
	maxTopic = 256 // bytes, the protocol's bound (node/entry.MaxTopic)
)

// The functions below check one value of a setting. Their errors say what is
// allowed; the caller says which setting, from where, and the value.

func setPort(dst *int, v string) error {
	port, err := strconv.Atoi(v)
	if err != nil || port < 0 || port > maxPort {
		return fmt.Errorf("a port is a number from 0 to %d", maxPort)
	}
	*dst = port
	return nil
}

func setInt(dst *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil {
		return errors.New("a whole number is wanted")
	}
	*dst = n
	return nil
}

// setCount reads a number from 0 up.
func setCount(dst *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return errors.New("a whole number from 0 up is wanted")
	}
	*dst = n
	return nil
}

func parseBool(v string) (bool, error) {
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, errors.New("true or false is wanted")
	}
	return on, nil
}

func setDuration(dst *time.Duration, v string) error {
	d, err := api.ParseDuration(v)
	if err != nil {
		return errors.New("a duration is wanted, such as 7d or 90m")
	}
	*dst = d
	return nil
}

// setSize reads a number of bytes, with or without a unit: KiB, MiB, GiB, TiB
// in powers of 1,024, and kB, MB, GB, TB in powers of 1,000.
func setSize(dst *int64, v string) error {
	digits := strings.TrimRight(v, "BKMGTikb ")
	factors := map[string]int64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
	factor, known := factors[strings.TrimSpace(v[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/factor {
		return errors.New("a size is wanted, such as 512MiB or 1GiB")
	}
	*dst = n * factor
	return nil
}

func setLevel(dst *slog.Level, v string) error {
	if err := oneOf(v, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return dst.UnmarshalText([]byte(v))
}

func oneOf(v string, allowed ...string) error {
	if !slices.Contains(allowed, v) {
		return fmt.Errorf("one of %s is wanted", strings.Join(allowed, ", "))
	}
	return nil
}

func setAddrs(dst *[]multiaddr.Multiaddr, values []string) error {
	addrs := make([]multiaddr.Multiaddr, 0, len(values))
	for _, v := range values {
		addr, err := multiaddr.NewMultiaddr(v)
		if err != nil {
			return fmt.Errorf("%q is no multiaddr such as /ip4/0.0.0.0/tcp/6001: %w", v, err)
		}
		addrs = append(addrs, addr)
	}
	*dst = addrs
	return nil
}

// expandListen gives addresses that are an IP alone every transport on port.
func expandListen(addrs []multiaddr.Multiaddr, port int) []multiaddr.Multiaddr {
	var all []multiaddr.Multiaddr
	for _, a := range addrs {
		first := a[0].Protocol().Code
		if len(a) == 1 && (first == multiaddr.P_IP4 || first == multiaddr.P_IP6) {
			all = append(all, node.ListenAt(a, port)...)
			continue
		}
		all = append(all, a)
	}
	return all
}

// takesLoopback tells whether a node that listens there, nil for everywhere,
// leaves no room for a server on the port of 127.0.0.1.
func takesLoopback(listen []multiaddr.Multiaddr, port int) bool {
	return listen == nil || slices.ContainsFunc(listen, func(a multiaddr.Multiaddr) bool {
		ip, _ := a.ValueForProtocol(multiaddr.P_IP4) // "" where there is none
		tcp, _ := a.ValueForProtocol(multiaddr.P_TCP)
		return (ip == "127.0.0.1" || ip == "0.0.0.0") && tcp == strconv.Itoa(port)
	})
}

func checkHostPort(v string) error {
	if path, ok := strings.CutPrefix(v, "unix:"); ok && path != "" {
		return nil
	}
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return errors.New("an address is wanted, such as 127.0.0.1:3001, [::1]:3001 or unix:/path")
	}
	return setPort(new(int), port)
}

func checkCommands(values []string) error {
	if slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
		return errors.New("a command is wanted")
	}
	return nil
}

func checkWebhooks(values []string) error {
	for _, v := range values {
		if err := hook.CheckURL(v); err != nil {
			return err
		}
	}
	return nil
}

func checkTopic(v string) error {
	if v == "" || len(v) > maxTopic || !utf8.ValidString(v) {
		return fmt.Errorf("a topic is 1 to %d bytes of UTF-8", maxTopic)
	}
	return nil
}

// isLocal tells whether an address that checkHostPort took is this machine's
// alone.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
