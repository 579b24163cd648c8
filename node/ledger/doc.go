// Package ledger keeps a node's entries on disk, in one bbolt file: what it
// was given, when, and by which way, in order of time and in order of arrival,
// with a digest that proves to others what it holds. It never touches the
// network.
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
// # Durability
//
// [Ledger.Append] returns when its entries are on the disk (fsync), or with an
// error when none of them is. Callers that come while a commit is under way
// share the next one. When the disk is full, Append answers [ErrFull], reading
// goes on, and it works again as soon as there is room. Of a record, its
// checksum and its entry's id are checked whenever it is read from disk: a
// damaged one is reported, dropped and skipped, so that catch-up fetches it
// again. A file whose structure is damaged is not opened: [ErrDamaged] says
// what is wrong, and [Rebuild] saves what can be saved.
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
// each. The mapped file is given back as it is read.
//
// bbolt trusts its file. Here the pages are checked first: all that the tree
// branches on when the file is opened, the leaves then or before they are
// written to, the records when they are read.
package ledger
