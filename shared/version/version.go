// Package version says which build this is and which wire protocol it speaks.
package version

import (
	"runtime"
	"runtime/debug"
)

// Version and Commit are set with -ldflags "-X …/shared/version.Version=v1.2.3 -X …/shared/version.Commit=…". A build
// without them takes what the Go toolchain recorded.
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

// Build returns the version ("devel" when nothing says) and the commit ("unknown" when nothing says).
func Build() (version, commit string) {
	v, c := recorded()
	return first(Version, v, "devel"), first(Commit, c, "unknown")
}

// recorded reads what the toolchain wrote into the binary.
func recorded() (version, commit string) {
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
}

func first(candidates ...string) string {
	for _, c := range candidates {
		if c != "" {
			return c
		}
	}
	return ""
}
