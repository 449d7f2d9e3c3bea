package bundle

import bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"

// DriftMode is what a spoke does about objects that differ from their last apply.
type DriftMode string

// The modes.
const (
	CorrectDrift DriftMode = ""     // repair them
	WarnOfDrift  DriftMode = "warn" // report them and repair nothing
	IgnoreDrift  DriftMode = "off"  // do not look
)

var driftModes = map[DriftMode]bundlev1.DriftMode{
	CorrectDrift: bundlev1.DriftMode_DRIFT_MODE_UNSPECIFIED,
	WarnOfDrift:  bundlev1.DriftMode_DRIFT_MODE_WARN,
	IgnoreDrift:  bundlev1.DriftMode_DRIFT_MODE_OFF,
}
