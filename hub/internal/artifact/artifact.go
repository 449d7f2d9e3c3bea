// Package artifact keeps what fetchers bring: an Artifact is one immutable tree of files.
//
// The hub's process has a Store. For each fetch the Store gives out a Workspace, which is plain data, so that the fetch
// can run in a confined process. A fetcher lists the files that it found and puts them through Workspace.Put. Put
// applies the ignore rules, refuses bad names, leaves out symlinks that lead out of the tree, keeps the limits, and
// writes what the last artifact does not have. A Reader reads an artifact.
//
// An artifact is an index over contents. A Folder is a record that names its files by their contents and its folders by
// their records (see Folder). The digest of an artifact is the SHA-256 of the record of its root. Equal folders are one
// file, in whatever artifacts they are, so a change costs the folders above what it changed.
//
// On disk, below the folder given to New (<id> is a digest of an address and its credentials, so that sources with
// different credentials share no files):
//
//	artifacts/<id>/roots/<digest>    the record of the root of an artifact, which makes it exist
//	artifacts/<id>/folders/<digest>  the records of all other folders
//	artifacts/<id>/contents/<id>     the contents of files and the targets of symlinks, by ContentID
//	cache/<id>                       what a fetcher keeps for the next fetch. Its file state is JSON of the fetcher,
//	                                 whose field disk says how many bytes the cache takes
//	locks/<id>                       locked while a fetch uses the cache; emptied at start
//	locks/<id>.put                   locked while an artifact is put, or what no artifact refers to is removed
//	tmp                              what is being written, a folder for each fetch; emptied at start
//
// Nothing here is synced to disk. A killed process leaves at most something in tmp, or contents and folders that no
// root refers to. Put never relies on those: it relies on what the last artifact refers to, and writes all else. Power
// may fail at any moment, so an artifact that this process did not write is read and compared with its digest before it
// is used. An artifact that does not match is fetched again, and everything that it refers to is written again.
package artifact

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// Errors of this package.
var (
	// ErrLimit: a size or a count is over its limit.
	ErrLimit = errors.New("over the limit")
	// ErrTree: the tree has an entry that is refused.
	ErrTree = errors.New("the tree is refused")
	// ErrStorage: the hub cannot read or write its own disk.
	ErrStorage = errors.New("the hub's storage failed")
)

// StorageError returns an error of the hub's disk as ErrStorage; nil if err is nil.
func StorageError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}

// Artifact is one immutable fetched tree.
type Artifact struct {
	// Revision names the tree as Flux does: main@sha1:…, v1.2.3@sha1:…, sha1:….
	Revision string `json:"revision"`
	// Digest is over the paths, modes and contents of the tree: the SHA-256 of the record of its root. Equal trees of
	// different revisions have equal digests.
	Digest manifest.Digest `json:"digest"`
	// Dir is the path of the root's record below the folder of its Store, so that the folder may be moved. Store.Path
	// joins them.
	Dir string `json:"dir"`
	// FetchedAt is when this revision was first seen.
	FetchedAt time.Time `json:"fetchedAt"`
	// Notice is what the user should know of the tree: what was left out of it. It may quote the tree.
	Notice string `json:"notice,omitempty"`
	// Summary is the message of a source that is ready, without Notice; empty: the message names the revision. It may
	// quote the server.
	Summary string `json:"summary,omitempty"`
	// Status has fields of the source's status that only its kind has, as the JSON of an object; empty: none.
	Status string `json:"status,omitempty"`
	// Verification says which signatures of the tree's origin were verified; zero: none.
	Verification Verification `json:"verification,omitzero"`
	// Origin is where the content was made, as the publisher of the artifact says.
	Origin Origin `json:"origin,omitzero"`
	// Commit is the commit of Git that the tree is of; zero: it is of none, or was fetched before the hub kept commits.
	Commit Commit `json:"commit,omitzero"`
}

// Equal reports whether two artifacts are the same, or both are nil.
func (a *Artifact) Equal(b *Artifact) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// Verification is the result of verifying signatures.
type Verification struct {
	Mode    string          `json:"mode"`    // what was verified: HEAD, Tag or TagAndHEAD
	Keys    manifest.Digest `json:"keys"`    // identifies the keys that were accepted
	Message string          `json:"message"` // what was verified, and with which key
}

// The annotations of an OCI manifest that say its Origin.
const (
	RevisionAnnotation = "org.opencontainers.image.revision"
	SourceAnnotation   = "org.opencontainers.image.source"
)

// Origin says from which revision of which source somebody made an artifact.
type Origin struct {
	Revision string `json:"revision,omitempty"`
	Source   string `json:"source,omitempty"`
}

// Commit says who made a commit, when, and why. Its texts are one line each, and short.
type Commit struct {
	Author  string    `json:"author,omitempty"` // name <address>
	Time    time.Time `json:"time,omitzero"`    // when it was committed
	Subject string    `json:"subject,omitempty"`
}

// UnmarshalJSON also reads the absolute Dir that hubs wrote until November 2026.
func (a *Artifact) UnmarshalJSON(text []byte) error {
	type plain Artifact
	if err := json.Unmarshal(text, (*plain)(a)); err != nil {
		return err
	}
	if at := strings.LastIndex(a.Dir, "/"+artifactsDir+"/"); at >= 0 {
		a.Dir = a.Dir[at+1:]
	}
	return nil
}

// Parts of the paths of artifacts.
const (
	artifactsDir = "artifacts"
	rootsDir     = "roots"
	foldersDir   = "folders"
	contentsDir  = "contents"
)

func hexOf(digest manifest.Digest) string { return hex.EncodeToString(digest[:]) }

// dirOf returns the Dir of an artifact.
func dirOf(id string, digest manifest.Digest) string {
	return filepath.Join(artifactsDir, id, rootsDir, hexOf(digest))
}

// idOf returns the id in the Dir of an artifact. Hubs wrote another Dir until November 2026; it has no id.
func idOf(a Artifact) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(a.Dir, artifactsDir+"/"), "/")
	if _, err := hex.DecodeString(id); err != nil || a.Dir != dirOf(id, a.Digest) {
		return ""
	}
	return id
}
