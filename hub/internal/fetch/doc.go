// Package fetch keeps every source of the store fetched, whatever its kind.
//
// One goroutine, that of Run, owns the schedule. It learns of sources and Secrets from the store, starts fetches in a
// bounded pool, at most one of a source at a time, and writes the results:
//
//   - Objects with the same api.Source.FetchKey, of whatever clusters, are one source with one row in store.Sources.
//     The source is fetched at the smallest interval among them, and at once when it is new, when a reconciliation is
//     requested, when a Secret that it names changes and when it is resumed.
//   - Each object has its own Condition. All Conditions of a source are written in one transaction, with the source's
//     row. If nothing changed, nothing is written: a poll that finds an unmoved reference does not touch the disk.
//   - A failure keeps the artifact. The next attempt comes after 1 s, 2 s, 4 s, and so on up to the interval, each time
//     up to a half less, so that a thousand sources of one broken server do not come back at once. Sources that failed
//     the last time or were never fetched do not get all workers, so that slow servers do not keep the others waiting.
//   - The artifact of a source that reads other sources is composed of theirs (compose.go) as soon as one of them
//     changed, without asking a server. If an input does not exist, the source says so and nothing is fetched.
//
// Artifacts that no source has any more are removed after a while.
package fetch
