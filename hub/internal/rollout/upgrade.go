package rollout

import (
	"cmp"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// UpgradeDeadline is how long a spoke may take to come back with another image, and then until its cluster is as ready
// as before. Time in which no hub ran does not count: nobody could get the image, or say how far it is.
const UpgradeDeadline = 10 * time.Minute

// Spoke is a cluster whose spoke should run an image.
type Spoke struct {
	Cluster string
	Image   string
	Groups  []string // in each of which a limited number of clusters is upgraded at a time
	Was     Upgrade  // as it was decided last about this image; zero: nothing was decided

	Runs      string // the image that the spoke reported last; empty: none is known
	Connected bool
	Conflict  string // why it is not clear which image is wanted; empty: Image is
	Waits     string // why no upgrade begins now; empty: one may begin
	Unable    string // why the hub cannot upgrade this spoke; empty: it can
	Failure   string // that the spoke reported about the image; empty: none
	// Received, Applied and Healthy are the newest bundles that the spoke acknowledged so.
	Received, Applied, Healthy bundle.ID
}

// Upgrade is how far a spoke has come with an image.
type Upgrade struct {
	// Reason is SpokeUpgradePending, SpokeUpgrading, SpokeUpgraded, SpokeUpgradeFailed, SpokeNotUpgradable or
	// SpokeImageConflict of package condition.
	Reason  string
	Message string
	// Began is when the bundle of the cluster first named the image, and then when the spoke came back with it. Zero: the
	// upgrade has not begun.
	Began      time.Time
	WasHealthy bool // all applications were ready when the upgrade began
	// Arrived: the spoke reported that it runs the image, when the newest bundle that it had was At. What it acknowledges
	// about newer ones is the word of the new spoke.
	Arrived bool
	At      bundle.ID
}

// Upgrades decides how each spoke goes on, in the order of spokes, which are sorted by name. limits has the number of
// clusters that each group upgrades at a time; the hub runs since up. A spoke begins if all of its groups have room for
// it. A group has no room while one of its upgrades has failed, and room for one while none of its spokes runs the
// image.
func Upgrades(spokes []Spoke, limits map[string]int, up, now time.Time) []Upgrade {
	all := make([]Upgrade, len(spokes))
	groups := map[string]*group{}
	for i, s := range spokes {
		all[i] = s.assess(up, now)
		for _, name := range s.Groups {
			if groups[name] == nil {
				groups[name] = &group{limit: limits[name]}
			}
			groups[name].count(all[i])
		}
	}
	for i, s := range spokes {
		if all[i].Reason != condition.SpokeUpgradePending || s.Waits != "" {
			continue
		}
		room := true
		for _, name := range s.Groups {
			room = room && groups[name].hasRoom()
			if groups[name].failed > 0 {
				all[i].Message = "another cluster was not upgraded, and comes first"
			}
		}
		if !room {
			continue
		}
		all[i] = Upgrade{Reason: condition.SpokeUpgrading, Message: "the spoke tries the image", Began: now,
			WasHealthy: s.Healthy == s.Received && s.Healthy != bundle.ID{}}
		for _, name := range s.Groups {
			groups[name].count(all[i])
		}
	}
	return all
}

// group counts the spokes of a group.
type group struct{ limit, done, failed, underWay int }

func (g *group) count(u Upgrade) {
	switch u.Reason {
	case condition.SpokeUpgraded:
		g.done++
	case condition.SpokeUpgradeFailed:
		g.failed++
	case condition.SpokeUpgrading:
		g.underWay++
	}
}

// hasRoom reports whether one more spoke of the group may begin.
func (g *group) hasRoom() bool {
	limit := max(g.limit, 1)
	if g.done == 0 {
		limit = 1
	}
	return g.failed == 0 && g.underWay < limit
}

// isLate reports whether the deadline of something that began has passed. If up, the start of the hub, is after now,
// the clock was set back; then up does not count.
func isLate(began, up, now time.Time) bool {
	if up.After(began) && !up.After(now) {
		began = up
	}
	return now.Sub(began) >= UpgradeDeadline
}

// assess returns how far a spoke has come, without beginning anything.
func (s Spoke) assess(up, now time.Time) Upgrade {
	if s.Was.Began.After(now) { // the clock was set back, which prolongs no deadline
		s.Was.Began = now
	}
	was, runs := s.Was, bundle.IsImage(s.Runs, s.Image)
	switch {
	case s.Conflict != "":
		return Upgrade{Reason: condition.SpokeImageConflict, Message: s.Conflict}
	case was.Reason == condition.SpokeUpgraded && (runs || s.Runs == "" || !s.Connected):
		return was
	case was.Reason == condition.SpokeUpgraded || was.Began.IsZero() || was.Arrived && !runs && s.Runs != "":
		return s.unbegun(runs)
	case runs:
		return s.arrived(up, now)
	case s.Connected && s.Unable != "":
		return Upgrade{Reason: condition.SpokeNotUpgradable, Message: s.Unable}
	case s.Failure != "":
		was.Reason, was.Message = condition.SpokeUpgradeFailed, s.Failure
	case was.Reason == condition.SpokeUpgradeFailed:
	case !isLate(was.Began, up, now):
		was.Reason, was.Message = condition.SpokeUpgrading, "the spoke tries the image"
		if !s.Connected {
			was.Message = "the spoke went offline after its upgrade began"
		}
	case s.Connected:
		was.Reason = condition.SpokeUpgradeFailed
		was.Message = fmt.Sprintf("the spoke still runs %s after %s", cmp.Or(s.Runs, "an image that it cannot tell"),
			UpgradeDeadline)
	default:
		was.Reason = condition.SpokeUpgradeFailed
		was.Message = fmt.Sprintf("the spoke went offline after its upgrade began, and is not back after %s", UpgradeDeadline)
	}
	return was
}

// unbegun returns the state of a spoke whose upgrade has not begun.
func (s Spoke) unbegun(runs bool) Upgrade {
	switch {
	case runs:
		return Upgrade{Reason: condition.SpokeUpgraded}
	case s.Waits != "":
		return Upgrade{Reason: condition.SpokeUpgradePending, Message: s.Waits}
	case s.Unable != "":
		return Upgrade{Reason: condition.SpokeNotUpgradable, Message: s.Unable}
	}
	return Upgrade{Reason: condition.SpokeUpgradePending, Message: "its turn comes after other clusters"}
}

// arrived returns the state of a spoke that runs the image since its upgrade began.
func (s Spoke) arrived(up, now time.Time) Upgrade {
	u := s.Was
	if !u.Arrived {
		u.Arrived, u.At, u.Began = true, s.Received, now
	}
	switch {
	case !s.Connected:
		u.Message = "the spoke came back with the image and went offline"
	case !s.Applied.Newer(u.At):
		u.Message = "the spoke runs the image and has not applied every application since"
	case u.WasHealthy && !s.Healthy.Newer(u.At):
		u.Message = "the spoke runs the image, and not every application is ready, as before the upgrade"
	default:
		u.Reason, u.Message = condition.SpokeUpgraded, ""
		return u
	}
	u.Reason = condition.SpokeUpgrading
	if isLate(u.Began, up, now) {
		u.Reason = condition.SpokeUpgradeFailed
		u.Message += fmt.Sprintf(", for more than %s", UpgradeDeadline)
	}
	return u
}
