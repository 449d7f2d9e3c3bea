package publish

import (
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// TestSpokeImage names an image in the bundle from the beginning of an upgrade until the spoke runs it, and signs
// nothing else anew meanwhile.
func TestSpokeImage(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.publish()
	progress := store.UpgradeProgress{Reason: condition.SpokeUpgradePending}
	for _, step := range []struct {
		name     string
		change   func()
		want     string
		sequence uint64
	}{
		{"pending", func() {}, "", 1},
		{"began", func() { progress.Reason, progress.Began = condition.SpokeUpgrading, b.now }, "r/s:v2", 2},
		{"still", func() { progress.Message = "the spoke tries the image" }, "r/s:v2", 2},
		{"failed", func() { progress.Reason = condition.SpokeUpgradeFailed }, "r/s:v2", 2},
		{"arrived", func() { progress.Reason, progress.Arrived = condition.SpokeUpgrading, true }, "", 3},
		{"done", func() { progress.Reason = condition.SpokeUpgraded }, "", 3},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.change()
			b.update(func(tx *store.Tx) error {
				return store.Upgrades.Put(tx, "east", store.Upgrade{Image: "r/s:v2", UpgradeProgress: progress})
			})
			b.must(b.note(t.Context(), []store.Change{{Table: store.Upgrades.Name(), Key: "east"}}))
			b.publish()
			d, _ := b.signed("east")
			signed, err := b.open(d.Envelope)
			b.must(err)
			if signed.SpokeImage != step.want || d.Bundle.Sequence != step.sequence {
				t.Errorf("bundle %d names %q, want %d with %q", d.Bundle.Sequence, signed.SpokeImage, step.sequence, step.want)
			}
			if needs := bundle.SpokeImages.Without(d.Features) == ""; needs != (step.want != "") {
				t.Errorf("the bundle needs %s", d.Features)
			}
		})
	}
}
