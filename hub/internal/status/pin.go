package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// pinText returns a sentence about the pin of a Cluster.
func (f Facts) pinText() string {
	return fmt.Sprintf("Pinned to the applications of %s: changes in Git wait", f.pinnedTo())
}

// pinnedTo returns the bundle of the pin, and since when and by whom the cluster is pinned.
func (f Facts) pinnedTo() string {
	text := fmt.Sprintf("bundle %d since %s", f.Pin.Bundle.Sequence, wording.Time(f.Pin.PinnedAt))
	if f.Pin.By == "" {
		return text
	}
	return text + " by " + identity.NameOf(f.Pin.By)
}

// withPin adds the pin of a Cluster, or of the clusters of a Fleet, to the message of its verdict.
func (f Facts) withPin(v verdict) verdict {
	if f.Pin != nil {
		v.message = strings.TrimPrefix(v.message+". "+f.pinText(), ". ")
	}
	var names []string
	for _, m := range f.Members {
		if m.Pin != nil {
			names = append(names, m.Resource.Key.Name)
		}
	}
	if len(names) > 0 {
		v.message += "; pinned: " + wording.List(names, len(names), 3)
	}
	return v
}

// setPinned sets the condition Pinned of a pinned Cluster.
func (f Facts) setPinned(c *conditions) {
	if f.Pin != nil {
		c.set(condition.Pinned, condition.True, condition.Pinned, f.pinText(), f.Pin.PinnedAt)
	}
}

// pinProgress counts the applications of a pin by what the spoke reports about them.
type pinProgress struct {
	Total  int    `json:"total"`
	Ready  int    `json:"ready"`            // as the pin has them
	Waits  string `json:"waits,omitempty"`  // for what; of one that is not ready
	Failed string `json:"failed,omitempty"` // why the pin cannot be carried out, or one of them failed
}

// pinProgress returns how far a cluster is with its pin. What is in Git meanwhile does not matter.
func (f Facts) pinProgress() (p pinProgress) {
	if own := f.sessionVerdict(); own.ready == condition.False {
		p.Failed = own.message
	}
	for _, c := range f.Covered {
		if c.Pin == nil || !c.pinHas() {
			continue
		}
		p.Total++
		v, text := c.pinReport(), c.Resource.Key.Local()+": "
		switch {
		case v.ready == condition.True:
			p.Ready++
		case v.ready == condition.False && !api.MayPass(v.reason, v.since, c.Pin.PinnedAt) ||
			v.reason == condition.Pinned:
			p.Failed = cmp.Or(p.Failed, text+v.message)
		default:
			p.Waits = cmp.Or(p.Waits, text+v.message)
		}
	}
	return p
}

// pinReport returns the verdict about an application of a pin. A suspended one stays as it is, and is not waited for.
func (f Facts) pinReport() verdict {
	switch {
	case f.Damaged != nil:
		return f.damagedVerdict()
	case f.suspended():
		return verdict{ready: condition.True}
	case f.Entry == nil: // Git gives it anew, and it was not planned yet
		at, _ := contentOf(f.Pin.Applications, f.Resource.Key.Application())
		f.Entry = &store.Entry{Content: f.Pin.Applications[at]}
	}
	if f.behind() {
		return f.behindVerdict(verdict{since: f.Pin.PinnedAt})
	}
	return f.spokeVerdict()
}

// pinHas reports whether the pin of the cluster has the application.
func (f Facts) pinHas() bool {
	_, has := contentOf(f.Pin.Applications, f.Resource.Key.Application())
	return has
}

// pinnedVerdict returns the verdict about a planned application of a pinned cluster. If the spoke has applied the
// release that the cluster stays at, the verdict is that of the spoke's report: a newer revision waits for an operator.
func (f Facts) pinnedVerdict(hub verdict) verdict {
	if f.behind() && (f.pinHas() || f.Report == nil) {
		v := f.behindVerdict(hub)
		if f.pinHas() || v.reason != condition.Progressing {
			return v
		}
		message := fmt.Sprintf("Revision %s is rendered and waits. The cluster is pinned to %s, which is without it; "+
			"to go on: %s", f.Condition.Revision, f.pinnedTo(), f.releasing())
		return pending(condition.Pinned, message, f.Pin.PinnedAt)
	}
	v := f.spokeVerdict()
	if f.behind() || f.Entry.Revision != f.Condition.Revision {
		v.message += fmt.Sprintf(". Revision %s waits: the cluster is pinned to %s; to go on: %s",
			f.Condition.Revision, f.pinnedTo(), f.releasing())
	}
	return v
}

// releasing returns the command that ends the pin of the object, of its cluster, or those of a Fleet.
func (f Facts) releasing() string {
	k := f.Resource.Key
	isPinned := func(m Facts) bool { return m.Pin != nil }
	switch role := f.role(); {
	case f.Resource.Pin.Revision != 0:
		return fmt.Sprintf("nave release helmrelease %s -n %s --cluster %s", k.Name, k.Namespace, k.Cluster)
	case f.Resource.Tags.Pin.Tag != "":
		return "nave image release " + k.Name + FlagsOf(k)
	case role == api.FleetRole && slices.ContainsFunc(f.Members, isPinned):
		return "nave release --fleet " + k.Name
	case f.Pin == nil: // what it covers, or waits for, is pinned
		return "nave release helmrelease, as the message says"
	case role == api.ClusterRole:
		return "nave release " + k.Name
	}
	return "nave release " + k.Cluster
}
