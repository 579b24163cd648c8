// Package client speaks a p2ping node's HTTP API and holds its JSON types.
//
// It stands on the standard library alone, so that any program can import it
// without libp2p. The node's own handlers encode these same types.
//
// # Errors
//
// What a node refuses is an [*Error], made of its problem document (RFC 9457).
// A node that no connection can be made to is [ErrUnreachable]: nothing was
// sent to it. Any other error means that the answer was lost or not understood,
// and says nothing of whether the request was carried out.
//
// # Concurrency and limits
//
// A [Client] may be used by any number of goroutines. Every call ends with its
// context, and none reads more of an answer than [MaxAnswer], streams aside,
// whose single lines are bounded by [MaxLine].
package client
