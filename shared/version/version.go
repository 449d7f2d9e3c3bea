// Package version holds the version of this build and of its wire protocol.
package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"sync"
)

// Version and Commit are set with -ldflags "-X …/shared/version.Version=v1.2.3 -X …/shared/version.Commit=…".
// Without them a build has what the Go toolchain recorded.
var (
	Version string
	Commit  string
)

// Protocol is the newest wire protocol between hub and spoke that this program speaks, and OldestProtocol the oldest
// one. Protocol grows when one side must know what the other side understands; fields that may be ignored do not change
// it. Hello and welcome name both sides' protocols, so that hub and spoke may be upgraded in either order.
//
// History:
//
//	1 (2026-11-22): Session with hello, offers, acks and heartbeats; Fetch; Report; Register and Renew.
//	2 (2026-11-26): identities in reports are messages; capabilities of a cluster; features of bundles.
const (
	Protocol       uint32 = 2
	OldestProtocol uint32 = 1
)

// String returns "v1.2.3 (commit, go1.26)", as the version commands print it.
func String() string {
	v, c := Build()
	return v + " (" + c + ", " + runtime.Version() + ")"
}

// Build returns the version and the commit of this build; "devel" and "unknown" if they are not known.
func Build() (version, commit string) {
	v, c := recorded()
	return cmp.Or(Version, v, "devel"), cmp.Or(Commit, c, "unknown")
}

// recorded reads what the toolchain wrote into the binary, once: that is a list of all modules, and every welcome of a
// spoke has the version.
var recorded = sync.OnceValues(func() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	if info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return version, commit
})
