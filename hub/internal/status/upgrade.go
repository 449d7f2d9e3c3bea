package status

import (
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// upgradeVerdict returns how far the spoke of a Cluster has come with the image that it should run; True if it runs the
// image, or should run none.
func (f Facts) upgradeVerdict() verdict {
	u := f.Upgrade
	if u == nil || u.Reason == condition.SpokeUpgraded {
		return verdict{ready: condition.True}
	}
	switch u.Reason {
	case condition.SpokeUpgradePending:
		return pending(u.Reason, "The spoke is to run "+u.Image+": "+u.Message, u.Since)
	case condition.SpokeUpgrading:
		return pending(u.Reason, "The spoke is upgraded to "+u.Image+": "+u.Message, u.Since)
	case condition.SpokeImageConflict:
		return failing(u.Reason, u.Message, u.Since)
	case condition.SpokeNotUpgradable:
		return failing(u.Reason, "The hub cannot upgrade the spoke to "+u.Image+": "+u.Message, u.Since)
	}
	return failing(u.Reason, "The spoke was not upgraded to "+u.Image+": "+u.Message, u.Since)
}

// keepUpgradeOf leaves the upgrade of a Fleet's member out that the Fleet does not want.
func (f *Facts) keepUpgradeOf(fleet api.Key) {
	if f.Upgrade != nil && !slices.Contains(f.Upgrade.Fleets, fleet.Name) {
		f.Upgrade = nil
	}
}

// setUpgrade sets the fields of a Cluster about the image that its spoke should run.
func (f Facts) setUpgrade(status fields) {
	u := f.Upgrade
	if u == nil {
		return
	}
	set := fields{"reason": u.Reason, "since": wording.Time(u.Since)}
	set.set("image", u.Image)
	set.set("message", u.Message)
	status["upgrade"] = map[string]any(set)
}

// upgradeCounts counts the clusters that should run the image of a Fleet.
type upgradeCounts struct {
	Image     string `json:"image"`
	Selected  int    `json:"selected"`
	Upgraded  int    `json:"upgraded"`
	Upgrading int    `json:"upgrading"`
	Failed    int    `json:"failed"` // and those that the hub cannot upgrade
}

// setUpgrades sets the counts of a Fleet that names an image.
func (f Facts) setUpgrades(status fields) {
	fleet, err := f.Resource.Object.Fleet()
	if err != nil || fleet.Spec.Spoke.Image == "" {
		return
	}
	c := upgradeCounts{Image: fleet.Spec.Spoke.Image}
	for _, m := range f.Members {
		if m.Upgrade == nil {
			continue
		}
		c.Selected++
		switch v := m.upgradeVerdict(); {
		case v.ready == condition.True:
			c.Upgraded++
		case v.ready == condition.False:
			c.Failed++
		case v.reason == condition.SpokeUpgrading:
			c.Upgrading++
		}
	}
	status["spokes"] = c
}
