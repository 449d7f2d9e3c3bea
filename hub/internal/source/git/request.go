package git

import (
	"time"
)

// Request says what to fetch.
type Request struct {
	// URL is the repository's address; its scheme is http, https or ssh.
	URL string
	Ref Reference
	// Auth is what ParseAuth made of the source's Secret; the zero value is anonymous.
	Auth Auth
	// Ignore is spec.ignore: .gitignore lines that replace the default exclusions; nil keeps them.
	Ignore *string
	// Timeout bounds the whole fetch. Zero: that of Limits.
	Timeout time.Duration
	// Limits override the fetcher's where they are not zero.
	Limits Limits
}

// Reference names a commit as spec.ref of a GitRepository does. Commit wins over Name, Name over SemVer, SemVer over Tag,
// Tag over Branch; with none of them it is the branch master.
type Reference struct {
	Branch string
	Tag    string
	SemVer string
	// Commit is a full SHA-1. With Branch, the commit must be on that branch.
	Commit string
	// Name is a full reference name such as refs/pull/420/head.
	Name string
}

// Limits bound one fetch. A zero field means the default beside it.
type Limits struct {
	Timeout    time.Duration // of the whole fetch: 60 s
	Advertised int64         // bytes of the server's list of references: 64 MiB
	Pack       int64         // bytes of one transfer: 512 MiB
	Objects    int           // Git objects in one transfer: 2,000,000
	Total      int64         // bytes of all files of the artifact: 1 GiB
	Files      int           // files of the artifact: 100,000; the whole tree may hold ten times as many entries
	File       int64         // bytes of one file: 64 MiB
}
