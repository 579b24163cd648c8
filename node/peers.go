package node

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// fleeting is how long a connection by a stranger must hold for the stranger to
// be listed. Who asks one question and goes, as a crawl of the map does, is
// nobody's peer. It goes by the connection and not by what the stranger says of
// itself, so that nobody can hide.
const fleeting = 2 * time.Second

// PeerInfo describes a connected peer. Where there are several connections to
// it, all but Addresses is of the oldest.
type PeerInfo struct {
	PeerID peer.ID
	// Addresses are the peer's ends of the connections, as multiaddrs.
	Addresses []string
	// Direction is "inbound" or "outbound".
	Direction string
	// Transport is tcp, ws, wss, quic-v1 or p2p-circuit.
	Transport string
	// Security is libp2p's protocol, such as /noise or /tls/1.0.0.
	Security string
	// Agent is what the peer calls itself: printable, at most 128 bytes.
	Agent   string
	OnTopic bool
	InMesh  bool
	// RTT is the smoothed round trip time; 0 until it was measured.
	RTT         time.Duration
	ConnectedAt time.Time
	// Found says how the peer was found: bootstrap, discovery (another peer told
	// of it), remembered, mdns, incoming or manual.
	Found string
}

// peerView is what listPeers asks of the rest of the node.
type peerView struct {
	OnTopic   func(peer.ID) bool
	InMesh    func(peer.ID) bool
	Bootstrap func(peer.ID) bool
	// Found names how discovery found a peer, "" if it didn't; nil never did.
	Found func(peer.ID) string
}

// listPeers describes every connected peer, those connected longest first.
// Strangers, who have dialled this node and are not on the topic, are listed
// once they have stayed for a moment: see fleeting.
func listPeers(h host.Host, view peerView) []PeerInfo {
	var infos []PeerInfo
	for _, id := range h.Network().Peers() {
		conns := h.Network().ConnsToPeer(id)
		if len(conns) == 0 {
			continue // gone in between
		}
		slices.SortStableFunc(conns, func(a, b network.Conn) int { return a.Stat().Opened.Compare(b.Stat().Opened) })
		info := describeConn(conns)
		info.PeerID = id
		info.Agent = agentOf(h, id)
		info.OnTopic = view.OnTopic(id)
		info.InMesh = view.InMesh(id)
		info.RTT = h.Peerstore().LatencyEWMA(id)
		if view.Found != nil {
			info.Found = view.Found(id)
		}
		switch {
		case view.Bootstrap(id):
			info.Found = "bootstrap"
		case info.Found != "":
		case info.Direction == "inbound":
			info.Found = "incoming"
		default:
			info.Found = "manual"
		}
		if info.Found == "incoming" && !info.OnTopic && time.Since(info.ConnectedAt) < fleeting {
			continue
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b PeerInfo) int {
		return cmp.Or(a.ConnectedAt.Compare(b.ConnectedAt), cmp.Compare(a.PeerID, b.PeerID))
	})
	return infos
}

// describeConn fills in what the connections say; there is at least one.
func describeConn(conns []network.Conn) PeerInfo {
	first := conns[0]
	info := PeerInfo{
		Direction:   strings.ToLower(first.Stat().Direction.String()),
		Transport:   transportOf(first.RemoteMultiaddr()),
		Security:    string(first.ConnState().Security),
		ConnectedAt: first.Stat().Opened,
	}
	if info.Security == "" && info.Transport == "quic-v1" {
		info.Security = "/tls/1.0.0" // QUIC has no other
	}
	for _, c := range conns {
		addr := c.RemoteMultiaddr().String()
		if !slices.Contains(info.Addresses, addr) {
			info.Addresses = append(info.Addresses, addr)
		}
	}
	return info
}

// maxAgent bounds the user agent shown, in bytes: a peer can send any.
const maxAgent = 128

func agentOf(h host.Host, id peer.ID) string {
	v, err := h.Peerstore().Get(id, "AgentVersion")
	if err != nil {
		return "" // not identified yet
	}
	agent, _ := v.(string)
	return printable(agent, maxAgent)
}

// printable returns at most n bytes of s without what could disturb a terminal.
func printable(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		if b.Len()+len(string(r)) > n {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
