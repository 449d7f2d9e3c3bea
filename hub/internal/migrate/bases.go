package migrate

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
)

// remoteBases returns the remote bases of the walk, sorted by address.
func (c *comparison) remoteBases() (all []RemoteBase) {
	for _, b := range c.Walk.Bases {
		at := slices.IndexFunc(all, func(known RemoteBase) bool { return known.Address == b.String() })
		if at < 0 {
			at = len(all)
			all = append(all, RemoteBase{Address: b.String(), Host: b.Host(), File: b.File})
		}
		known, name := &all[at], b.Key.Namespace+"/"+b.Key.Name
		if !slices.Contains(known.Kustomizations, name) {
			known.Kustomizations = append(known.Kustomizations, name)
		}
		known.Tenant = known.Tenant || b.Tenant
		known.NotCompared = known.NotCompared || !b.Given
	}
	slices.SortFunc(all, func(a, b RemoteBase) int { return strings.Compare(a.Address, b.Address) })
	return all
}

// lacksBase reports whether a renderable was not rendered because a remote base has no folder.
func (c *comparison) lacksBase(key api.Key) bool {
	for _, b := range c.Walk.Bases {
		if b.Key == key && !b.Given {
			return true
		}
	}
	return false
}

// BaseFlags returns the flags of nave-hub with which the hub fetches the remote bases.
func (r *Report) BaseFlags() (flags []string) {
	tenant := false
	for _, b := range r.RemoteBases {
		flag := "--remote-base-host " + b.Host
		if !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
		tenant = tenant || b.Tenant
	}
	if slices.Sort(flags); tenant {
		flags = append(flags, "--tenant-remote-bases")
	}
	return flags
}
