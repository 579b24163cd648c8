package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// maxAddrLen bounds what [ParseBootstrap] reads, in bytes.
const maxAddrLen = 1024

// ErrBootstrapAddr is wrapped by every error of [ParseBootstrap].
var ErrBootstrapAddr = errors.New("bad peer address")

// errSeveral is about what no address has, but a list of them.
var errSeveral = errors.New("it is more than one address; give each by itself: an array in the config file, --bootstrap once for each")

// Bootstrap is where a peer is reached, and who it must be.
type Bootstrap struct {
	// Addr has no /p2p/ID at its end.
	Addr ma.Multiaddr
	// ID is who must answer there; "" is to be learned on first contact.
	ID peer.ID
}

// String returns the full multiaddr, or Addr alone while the ID is unknown.
func (b Bootstrap) String() string {
	if b.ID == "" {
		return b.Addr.String()
	}
	return b.Addr.String() + "/p2p/" + b.ID.String()
}

// ParseBootstrap reads the address of a peer: a multiaddr with /p2p/ID at its
// end, one without, or ws://host:port or wss://host:port. Its errors wrap
// [ErrBootstrapAddr] and say what to write instead.
func ParseBootstrap(s string) (Bootstrap, error) {
	s = strings.TrimSpace(s)
	var b Bootstrap
	var err error
	switch {
	case s == "":
		err = errors.New("it is empty; write /ip4/HOST/tcp/PORT/p2p/ID, or ws://HOST:PORT")
	case len(s) > maxAddrLen:
		return Bootstrap{}, fmt.Errorf("%w: %d bytes are too long", ErrBootstrapAddr, len(s))
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		err = errors.New("it has characters that no address has; write /ip4/HOST/tcp/PORT/p2p/ID, or ws://HOST:PORT")
	case strings.HasPrefix(s, "/"):
		b, err = parseMultiaddr(s)
	case strings.Contains(s, "://"):
		b, err = parseURL(s)
	default:
		err = explain(s)
	}
	if err != nil {
		return Bootstrap{}, fmt.Errorf("%w %q: %w", ErrBootstrapAddr, s, err)
	}
	return b, nil
}

func parseMultiaddr(s string) (Bootstrap, error) {
	if strings.ContainsAny(s, ", \t\r\n") {
		return Bootstrap{}, errSeveral
	}
	addr, err := ma.NewMultiaddr(s)
	if err != nil {
		return Bootstrap{}, multiaddrHint(s, err)
	}
	where, id := peer.SplitAddr(addr)
	if len(where) == 0 {
		return Bootstrap{}, fmt.Errorf("it says who, but not where; write /ip4/HOST/tcp/PORT/p2p/%s", id)
	}
	if err := checkDialable(where, id); err != nil {
		return Bootstrap{}, err
	}
	return Bootstrap{Addr: where, ID: id}, nil
}

// multiaddrHint says what is wrong with a string that starts like a multiaddr.
func multiaddrHint(s string, err error) error {
	parts := strings.Split(s, "/")[1:]
	if len(parts) >= 2 && parts[0] == "ip4" && net.ParseIP(parts[1]) == nil {
		return fmt.Errorf("%q is not an IPv4 address; write /dns/%s/... for a name", parts[1], parts[1])
	}
	for i, name := range parts {
		value := ""
		if i+1 < len(parts) {
			value = parts[i+1]
		}
		switch name {
		case "tcp", "udp":
			if _, err := strconv.ParseUint(value, 10, 16); err != nil && value != "" {
				return fmt.Errorf("port %q is not 1 to 65535", value)
			}
		case "p2p", "ipfs":
			if _, err := peer.Decode(value); err != nil {
				return badID(value)
			}
		}
	}
	return fmt.Errorf("it is not a multiaddr, such as /ip4/HOST/tcp/PORT/p2p/ID: %w", err)
}

// An Ed25519 peer ID, as p2ping's nodes have, in base 58.
const (
	idPrefix = "12D3KooW"
	idLen    = 52
)

// badID says why s is not a peer ID. What its many decoders say is no help.
func badID(s string) error {
	const hint = "`p2ping id` on the other node prints it"
	switch {
	case s == "":
		return errors.New("the peer ID after /p2p/ is missing; " + hint)
	case strings.HasPrefix(s, idPrefix) && len(s) != idLen:
		return fmt.Errorf("the peer ID after /p2p/ has %d characters and not %d; %s", len(s), idLen, hint)
	case strings.HasPrefix(s, idPrefix):
		return fmt.Errorf("the peer ID %s after /p2p/ is mistyped; %s", s, hint)
	}
	return fmt.Errorf("%q after /p2p/ is not a peer ID, which has %d characters and begins with %s; %s", s, idLen, idPrefix, hint)
}

// checkDialable says why no host of ours can dial addr, or nil.
func checkDialable(addr ma.Multiaddr, id peer.ID) error {
	first := addr[0].Protocol().Code
	relayed := false
	for _, c := range addr {
		if c.Protocol().Code == ma.P_CIRCUIT {
			relayed = true
		}
	}
	switch {
	case relayed:
		return checkRelayed(addr, id)
	case first == ma.P_DNSADDR && id == "":
		return errors.New("a /dnsaddr names several peers; add which one: /p2p/ID")
	case first == ma.P_DNSADDR && len(addr) == 1:
		return nil
	case manet.IsIPUnspecified(addr):
		return errors.New("that is an address to listen on; write the address of the machine, or 127.0.0.1 on the same one")
	case manet.IsIP6LinkLocal(addr):
		return errors.New("libp2p can't dial link-local addresses (fe80::); write another address of the machine")
	}
	switch first {
	case ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
	default:
		return fmt.Errorf("it starts with /%s; write /ip4, /ip6 or /dns, then the transport", addr[0].Protocol().Name)
	}
	return checkTransport(addr)
}

// checkRelayed accepts RELAY/p2p/ID/p2p-circuit, to be followed by /p2p/ID.
func checkRelayed(addr ma.Multiaddr, id peer.ID) error {
	last := len(addr) - 1
	if id == "" {
		return errors.New("a peer behind a relay can't be learned; add /p2p/ID at the end")
	}
	if addr[last].Protocol().Code != ma.P_CIRCUIT {
		return errors.New("/p2p-circuit must be followed by /p2p/ID, and by nothing else")
	}
	relay, relayID := peer.SplitAddr(addr[:last])
	if relayID == "" || len(relay) == 0 {
		return errors.New("the relay itself needs an address and an ID: /ip4/HOST/tcp/PORT/p2p/RELAY-ID/p2p-circuit/p2p/ID")
	}
	for _, c := range relay {
		if c.Protocol().Code == ma.P_CIRCUIT {
			return errors.New("it goes through more than one relay")
		}
	}
	return checkDialable(relay, relayID)
}

// transports are what may follow the host, without values. The value of a port
// is checked, that of an SNI is libp2p's.
func checkTransport(addr ma.Multiaddr) error {
	names := make([]string, 0, len(addr)-1)
	for _, c := range addr[1:] {
		names = append(names, c.Protocol().Name)
	}
	switch strings.Join(names, "/") {
	case "tcp", "udp/quic-v1", "tcp/ws", "tcp/wss", "tcp/tls/ws", "tcp/tls/sni/ws":
	case "":
		return errors.New("the transport is missing; add /tcp/PORT or /udp/PORT/quic-v1")
	case "udp", "udp/quic":
		return errors.New("a UDP port alone is not a transport; write /udp/PORT/quic-v1")
	default:
		if addr[len(addr)-1].Protocol().Code == ma.P_P2P || strings.Contains(addr.String(), "/p2p/") {
			return errors.New("/p2p/ID must come last, and once")
		}
		return fmt.Errorf("its transport /%s is not spoken here; write /tcp/PORT, /tcp/PORT/ws or /udp/PORT/quic-v1", strings.Join(names, "/"))
	}
	if portOf(addr) == 0 {
		return errors.New("port 0 can't be dialled; write the port that the other node printed")
	}
	return nil
}

// parseURL reads ws://host:port and wss://host:port.
func parseURL(s string) (Bootstrap, error) {
	if strings.Contains(s, ",") || strings.Count(s, "://") > 1 {
		return Bootstrap{}, errSeveral
	}
	u, err := url.Parse(s)
	if err != nil {
		return Bootstrap{}, errors.New("it is not a URL; write ws://HOST:PORT")
	}
	transport, port := "", ""
	switch u.Scheme {
	case "ws":
		transport, port = "ws", "80"
	case "wss":
		transport, port = "tls/ws", "443"
	case "http", "https":
		return Bootstrap{}, fmt.Errorf("a peer is not reached by HTTP; write %s://HOST:PORT with its P2P port, not its API's",
			strings.Replace(u.Scheme, "http", "ws", 1))
	default:
		return Bootstrap{}, fmt.Errorf("%s:// is not spoken here; write ws://HOST:PORT, or /ip4/HOST/tcp/PORT", u.Scheme)
	}
	switch {
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return Bootstrap{}, errors.New("the host is missing; write ws://HOST:PORT")
	case u.User != nil:
		return Bootstrap{}, errors.New("a peer has no users and passwords; write ws://HOST:PORT")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Bootstrap{}, fmt.Errorf("nothing may follow the port; write %s://%s", u.Scheme, u.Host)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	host, err := hostComponent(u.Hostname())
	if err != nil {
		return Bootstrap{}, err
	}
	addr, err := ma.NewMultiaddr(host + "/tcp/" + port + "/" + transport)
	if err != nil {
		return Bootstrap{}, fmt.Errorf("port %q is not 1 to 65535", port)
	}
	return Bootstrap{Addr: addr}, checkDialable(addr, "")
}

// hostComponent returns host as the first part of a multiaddr.
func hostComponent(host string) (string, error) {
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Zone() != "":
		return "", errors.New("libp2p can't dial link-local addresses (fe80::); write another address of the machine")
	case err == nil && ip.Is4():
		return "/ip4/" + ip.String(), nil
	case err == nil:
		return "/ip6/" + ip.String(), nil
	case len(host) > 253 || strings.ContainsAny(host, "/ %:,\\"):
		return "", fmt.Errorf("%q is not a host name", host)
	}
	return "/dns/" + host, nil
}

// explain says what to write instead of s, which is neither multiaddr nor URL.
func explain(s string) error {
	if id, err := peer.Decode(s); err == nil {
		return fmt.Errorf("a peer ID says who, but not where; write /ip4/HOST/tcp/PORT/p2p/%s", id)
	}
	if strings.ContainsAny(s, ", \t\r\n") {
		return errSeveral
	}
	if host, port, err := net.SplitHostPort(s); err == nil && host != "" {
		if c, err := hostComponent(host); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
				return fmt.Errorf("the transport is missing; write %s/tcp/%d, or ws://%s", c, n, net.JoinHostPort(host, port))
			}
		}
	}
	return errors.New("it is not an address; write /ip4/HOST/tcp/PORT/p2p/ID, or ws://HOST:PORT")
}
