// Package dispatch offers signed bundles to the spokes and stores what the spokes report. It knows bytes, digests and
// rows; it renders nothing and signs nothing.
//
// The data flow of a change:
//
//  1. publish writes a SignedBundle row; the one store watcher (watch.go) wakes, reads the row once and puts an offer
//     into the mailbox of that cluster's session. A mailbox holds the newest offer only, so a slow spoke never queues.
//  2. The session (session.go) sends the offer. Envelopes of at most 32 KiB travel inside it, larger ones by digest.
//     With them go the blobs of a small change (inline.go): what the bundle that the spoke acknowledged last did not
//     reach.
//  3. The spoke fetches what else it lacks (fetch.go): the stored zstd frames as they are, and only those that its own
//     signed bundle reaches (reachable.go).
//  4. Acks and reports are collected (batch.go) and written in one transaction at most every 50 ms. An ack is repeated
//     by the next hello, so it may be lost; a report is answered when it is on disk.
//
// What one spoke may cost the hub is bounded (quota.go): calls under way, sessions and messages per second, bytes of
// reports per second and on disk, events, and what the hub itself logs and records about a cluster.
//
// A bundle with a feature that the spoke does not know is held back (give in session.go). Which API versions and kinds
// a cluster serves is stored once for all equal clusters (capabilities.go).
//
// The caller's cluster is always its certificate's, never a field's. Presence and heartbeats live in memory; a hub that
// starts takes everyone for disconnected until they call.
package dispatch
