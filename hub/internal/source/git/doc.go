// Package git fetches Git repositories into artifacts.
//
// A Fetcher keeps what is known of artifacts on disk. Each fetch is a Job, plain data, that is usually run in a
// confined process. A job takes these steps, each in the file of its name:
//
//  1. session: open a conversation with the server (http, ssh) and read the references it advertises.
//  2. resolve: choose the commit that the request's branch, tag, version range, commit or full name means now. When that
//     is the revision of the last artifact, the last artifact is the answer and nothing else happens.
//  3. transfer: ask for what the cache repository of this URL and these credentials lacks, one commit deep where the
//     server can do that; look the pack over within limits (pack, delta) and keep its objects (objects, cache).
//  4. list: walk the commit's tree, refuse what no honest tree holds, leave out what is ignored (ignore), and refuse
//     symlinks that lead out (links).
//  5. checkout: write a directory beside the artifacts, hard-linking what the last artifact already has, and rename it.
//
// go-git reads and writes the protocol and reads objects out of packs. Chains of deltas are followed here, so that an
// object needs no more memory than three of its size. Its remotes, its transports and their process-wide registry take
// no part: each fetch has connections of its own, bounded in bytes and ended by its context.
//
// On disk, below the directory given to New:
//
//	cache/<id>/objects             Git objects, by themselves or packed; id is a digest of URL and credentials
//	cache/<id>/state               which commits are whole, for the next incremental fetch
//	artifacts/<id>/<digest>/index  one line "mode size hash<TAB>path" per file, sorted; its SHA-256 is the artifact's digest
//	artifacts/<id>/<digest>/tree   the artifact
//	tmp                            what is being written, a folder for each job; emptied at start
//	locks/<id>                     locked while a job uses the cache; emptied at start
//
// Nothing here is synced to disk. A killed process leaves at most something in tmp. Power may fail at any moment, so an
// artifact that this process did not write is read and compared with its digest before it is used, and every object
// that leaves the cache is compared with its hash. What does not match is thrown away and fetched again.
package git
