// Package discovery finds the peers that make a network outlive any of its
// nodes: those that a node was not told of. Nodes that share a bootstrap peer
// meet, stay together when it dies, and after a restart find their way back
// through the peers that they remember.
//
// A [Finder] wants 8 peers on the topic, of which it has chosen 3 itself. While
// it has fewer it asks topic peers, on a stream protocol of its own, for up to
// 16 members that they are connected to, drawn at random, and dials some of
// them, at random: so links lead all across the network, a small network (up to
// 9 nodes) ends up with everyone connected to everyone, and a large one never.
// Who has enough asks nobody and dials nobody, but for peers that went away:
// they may be the other half of a network that was cut in two, and are looked
// for, ever less often, for a day. The frames are in PROTOCOL.md.
//
// # Remembered peers
//
// Members that were met are kept in peers.json of the data directory, at most
// 200, for 30 days since they were last seen, with the addresses at which they
// were reached and those that they claim within the same network. They are
// dialled when too few peers are connected, those that failed least first. The
// file is a cache: a damaged one is put aside with a warning.
//
// # Trust
//
// A record of a peer is not signed. Signed peer records exist in libp2p, but
// they can't be edited, and a node's own has its loopback and private
// addresses and Docker's in it, which are nobody's business beyond its network.
// What a signature would prove is that the peer once claimed the addresses;
// that it is there now is proved by the dial, whose handshake fails for anybody
// else. And who tells of a peer tells only of those it is connected to now.
//
// So a liar costs dials: at most 16 at once and 15 a minute, whoever tells, at
// up to 8 addresses each; twice for one peer within 10 minutes; at most 64 such
// peers known, and as many by mDNS. Private addresses are dialled only when a
// peer tells that is itself in a private network, loopback ones only when it is
// on this machine, and names never, so that nobody outside can have a node
// search the network that it is in. A peer inside can, at that rate. Strangers
// who connect in numbers fill the places that are wanted, but for the 3 that a
// node chooses. Who controls all members that a node has ever met controls what
// it sees: against that, name several bootstrap peers. Of the places to be
// answered, half are kept for members, however slowly strangers ask.
//
// What is told of addresses: see tellable.
//
// # Figures
//
// From nodetest, where all know one hub at first: 10, 60 and 300 nodes have
// enough peers after 1.4 s, 300 of them 14 on average and 29 at most but for the
// hub. A node at rest, with gossip, catch-up and QUIC's own packets:
//
//	nodes   peers   sent a minute   of that, discovery   heap, all of the node
//	   10     8.8    9,140 bytes             18 bytes    0.98 MiB
//	  100    13.6   13,358 bytes             11 bytes    1.15 MiB
//	  300    14.1   13,737 bytes              8 bytes    1.17 MiB
//
// go test ./node/nodetest -run TestTrafficAtRest -rest 300 -v measures it again.
//
// # Why not a DHT
//
// go-libp2p-kad-dht v0.41.0 was weighed against this, on go-libp2p v0.51.0, in a
// program of a host and GossipSub: it adds 22 modules (83 to 105) and 4.3 MB
// (35.2 to 39.5 MB). With its address filters off, on loopback, each of 10 nodes
// sent 29 kB in its first minute and each of 50 nodes 291 kB, and the 50 ended up
// with 47 peers each; after that, 0 to 2.4 kB a minute until its next refresh.
// It answers a harder question, who of millions holds a key,
// from peers that need not be members. All that is asked here is for members of
// one topic, and every peer on the topic knows some. A DHT drops private
// addresses unless it is told it is on a LAN, so that loopback, LAN and internet
// would each need a mode of their own, and one network across them two.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine.
package discovery
