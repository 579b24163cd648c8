// Package status lets nodes tell each other what they are willing to tell, and
// makes a map of the network of it.
//
// A [Mapper] answers peers that ask, on a stream protocol of its own: what it
// is, how much it holds, and who is on the topic with it, at most 64 of them.
// PROTOCOL.md has the bytes. A node may answer nobody, and ask all the same;
// that others tell of it, it can't prevent, as all its peers see it.
//
// # How far a map reaches
//
// [Mapper.Map] asks the topic peers that the node is connected to, and nobody
// else. So a map has this node, its neighbours, and the neighbours that these
// claim to have: who is further away is not known, nor are the links between
// those whom nobody asked. Such a map says that it is not complete.
//
// Nobody is dialled for a map. Answers carry no addresses, so that a liar can't
// have anybody search a network. And a node that dialled strangers to ask them
// would join the topic at each for a moment: they would compare ledgers with it,
// and look for it for a day after it had hung up.
//
// # Trust
//
// An answer is its author's claim: the connection proves who makes it, nothing
// proves what it says. So each link of a map names who claims it, and one that
// only one of its ends claims, though the other was asked, is a lie or has just
// changed. Made-up peers fill what a map has room for, 1,024 nodes and 8,192
// links, and are there by the claim of one.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine.
package status
