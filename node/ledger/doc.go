// Package ledger keeps a node's entries on disk, in a bbolt file with a journal
// beside it: what it was given, when, and by which way, in order of time and in
// order of arrival, with a digest that proves to others what it holds. It never
// touches the network.
//
// # Order
//
// Every entry has two places. Its [entry.Key] is its place in time, the same in
// all ledgers: [Ledger.Range], [Ledger.Keys], [Ledger.Fingerprint] and
// [Ledger.Digest] go by it. Its cursor is its place in the order in which this
// node stored entries: [Ledger.After] goes by that, and followers need no queue
// of their own: they take [Ledger.Changed], read After until it is empty, and
// wait. A cursor is never used twice; there are gaps where entries were pruned.
//
// Other ledgers give out the same cursors for other entries, and so does this one
// when it was begun anew or an older copy of it put back. So cursors are of epochs:
// whoever keeps one outside keeps its [Epoch] with it, and asks [Ledger.Reach] how far
// that goes before he goes on from there.
//
// # Durability
//
// [Ledger.Append] returns when its entries are on the disk (fsync), or with an
// error when none of them is. Callers that come while others wait for the disk
// share the next wait. When the disk is full, Append answers [ErrFull], reading
// goes on, and it works again as soon as there is room. Of a record, its
// checksum and its entry's id are checked whenever it is read from disk: a
// damaged one is reported, dropped and skipped, so that catch-up fetches it
// again. A file whose structure is damaged is not opened: [ErrDamaged] says
// what is wrong, and [Rebuild] saves what can be saved.
//
// # Journal
//
// A commit of bbolt waits for the disk twice, and writes whole pages of each
// tree. So entries go into a journal first: a file of 4 MiB that is written all
// through when it is made, at the first append, so that one write and one wait
// for the disk are all that an append takes then. [Ledger.Run] moves them into
// the bbolt file in one transaction, after a second or when they are many; so
// does whatever needs that file to be complete, such as Range, Digest and Close.
// Until then they are pending: in memory, where Has, Get and After find them.
// Batches over 1 MiB skip the journal.
//
// The transaction that moves them says where in the journal the rest begins.
// Open reads the frames that follow there. Each has its place in the journal,
// over all laps, its first cursor, and a checksum with the journal's secret;
// the first that is not there ends them. As the next frame is written only when
// one is durable, a later one that is there means damage, or that the bbolt file
// is an older copy: it is reported, what is left is kept, and catch-up fetches
// what is not. Whenever a cursor may have been lost with its entry, a million are
// left out.
//
// While the bbolt file has no room for what is pending, that stays in the
// journal, Append answers ErrFull, and reading methods look at a transaction
// that is not committed. Without room for a journal, or after an error of it,
// appends go to the bbolt file.
//
// # Retention
//
// The floor is the time below which entries are forgotten. It rises by age,
// number and size, never sinks, and is on disk before anything is deleted: what
// is below it is invisible at once, wherever the deletion has got to. Append
// skips what is below it.
//
// # Concurrency
//
// All methods may be called from any number of goroutines. No reading method
// holds a transaction while its caller has control: iterators read pages of
// bounded size and see, from page to page, what was appended meanwhile. An
// iterator's body may therefore call any method, Append too. Entries that are
// handed in or out are shared and read only.
//
// # Limits
//
// The file does not shrink; room that pruning frees is used again, and Rebuild
// makes it small. Memory does not grow with the ledger, but for some 200 bytes
// for every 4,096 entries, and what bbolt keeps of free pages, about 100 bytes
// each. The mapped file is given back as it is read. What is pending takes at
// most a few times the journal's 4 MiB, and nothing when nothing is.
//
// bbolt trusts its file. Here the pages are checked first: all that the tree
// branches on when the file is opened, the leaves then or before they are
// written to, the records when they are read.
package ledger
