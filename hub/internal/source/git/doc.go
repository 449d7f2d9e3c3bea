// Package git fetches Git repositories into artifacts, and pushes commits to them.
//
// A fetch takes these steps, each in the file of its name:
//
//  1. session: open a conversation with the server (http, ssh) and read the references it advertises.
//  2. resolve: choose the commit that the request's branch, tag, version range, commit or full name means now. When
//     that is the revision of the last artifact, the last artifact is the answer and nothing else happens.
//  3. transfer: ask for what the cache repository of this URL and these credentials lacks, one commit deep where the
//     server can do that; look the pack over within limits (pack, delta) and keep its objects (objects, cache).
//  4. verify: check the signatures of the commit and of the tag (signature), if the source wants that.
//  5. list: walk the commit's tree, and those of its submodules (submodules), except the folders that are as in the
//     last artifact (shared). Package artifact then writes what the last artifact lacks.
//
// An Editor (edit) works on such a commit: it lists and reads files, makes a commit with new contents of some of them
// (change), which it may sign (sign), and pushes it (push). A push needs no history: the server has the parent of the
// commit. It sets a reference only if the reference is where the Editor has read it.
//
// Credentials are those of the Secret, a token that a GitHub App gets for its key (githubapp), or what a credential
// helper of the hub gave.
//
// go-git reads and writes the protocol and reads objects out of packs. Chains of deltas are followed here, so that an
// object needs no more memory than three of its size. Its remotes, its transports and their process-wide registry take
// no part: each fetch has connections of its own, bounded in bytes and ended by its context.
//
// The cache of a URL and credentials is a folder of artifact.Workspace:
//
//	objects  Git objects, by themselves or packed, with an index each (index)
//	state    which commits are whole, for the next incremental fetch, and of which trees artifacts were made
//
// Nothing is synced to disk, so every object that leaves the cache is compared with its hash. If one does not match,
// the cache is thrown away and filled again.
package git
