// Package git fetches Git repositories into artifacts.
//
// A fetch goes these ways, each in the file of its name:
//
//  1. dial: open a session with the server over http, https or ssh, and read the references it advertises.
//  2. resolve: choose the commit that the request's branch, tag, version range, commit or full name means now. When that
//     is the revision of the last artifact, the last artifact is the answer and nothing else happens.
//  3. transfer: ask for what the cache repository of this URL and these credentials lacks, one commit deep where the
//     server can do that, and take in the pack within limits.
//  4. list: walk the commit's tree, refuse what no honest tree holds, leave out what is ignored.
//  5. check out: write a directory beside the artifact, hard-linking what the last artifact already has, and rename it.
//
// On disk, below the directory given to New:
//
//	cache/<id>/objects             Git objects, loose or packed; id is a digest of URL and credentials
//	cache/<id>/tips                the commits whose trees are whole, for the next incremental fetch
//	artifacts/<id>/<digest>/index  one line "mode hash<TAB>path" per file, sorted; its SHA-256 is the artifact's digest
//	artifacts/<id>/<digest>/tree   the artifact
//	tmp                            what is being written; emptied at start
//
// Nothing here is synced to disk. Power may fail at any moment, so an artifact that this process did not write is read
// and compared with its digest before it is used, and every object that leaves the cache is compared with its hash. What
// does not match is thrown away and fetched again.
package git
