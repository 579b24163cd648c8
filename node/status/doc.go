// Package status lets nodes tell each other what they are willing to tell, and
// makes a map of the network of it.
//
// A [Mapper] answers whoever asks, on a stream protocol of its own: what the node
// is, how much it holds, and who is on the topic with it, at most 64 of them, with
// up to 4 addresses of each. PROTOCOL.md has the bytes. A node may answer nobody,
// and ask all the same. That others tell of it, it can't prevent, as all its
// peers see it; but they tell nobody where it is.
//
// # A crawl
//
// [Mapper.Map] asks the topic peers, by the connections to them, then those whom
// they tell of, and so on: whoever is nearest first, and branch by branch, so that
// a crowd behind one node does not keep it from those behind the others (see
// frontier). Strangers are asked from a host that Config.Scout makes for the crawl
// and that is closed after it. It must have a key of its own, listen nowhere, and
// offer no protocol of pubsub's or of ours. A node that dialled strangers itself
// would join the topic at each for a moment: they would compare ledgers with it,
// and look for it for a day after it had hung up. Of a scout nothing stays.
//
// One crawl is made at a time, for all who want a map, and they share it for some
// seconds after. It asks 256 nodes at most, 8 at a time, each for 5 seconds at
// most and all for 15, and the map says what that has left out.
//
// # Who is answered
//
// Everybody who names the topic, member or not, as a scout is none. That tells a
// stranger nothing that it could not find out by joining, which takes a key of
// one's own and the topic's name. Members are answered once a second, 8 times at
// once; strangers, who may be anybody's made-up IDs, by 32 a second in all, so
// that answering them costs a hundredth of a core, and no member's place.
//
// # Trust
//
// An answer is its author's claim: the handshake proves who makes it, nothing
// proves what it says. So each link of a map names who claims it, and one that
// only one of its ends claims, though the other was asked, is a lie or has just
// changed. Made-up peers are there by the claim of one, and have not answered; or
// they have, as anybody may have any number of keys. They fill what a map has room
// for, 1,024 nodes and 8,192 links, but for those who answered.
//
// # What a liar may cost others
//
// Addresses are told and dialled by the rules of package discovery: a private one
// only on the word of a node in the same private network, a loopback one on that
// of one on this machine, and never a name. At most 4 addresses are dialled of a
// node, and a node is sought 3 times at most, where it was not sought before.
// Once 16 nodes that one tells of were not there, no more of those are sought;
// nor is anybody at an IP address where 8 were not. So a crawl makes at most
// 23 x 4 vain dials on one liar's word, at most 15 x 4 of them at one victim, and
// a page that is left open at most 10 dials a second.
//
// # Figures
//
// A scout takes 2 ms of one core and 0.6 MB to make and close; it is made when
// the first stranger is to be asked. An answer about 64 peers is some 6 KB.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine.
package status
