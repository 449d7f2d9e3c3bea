package bundle

import (
	"fmt"
	"slices"
	"strings"
)

// Feature names something that a bundle may hold and that a spoke must know to carry the bundle out. A hub sends no
// bundle to a spoke that does not know one of the bundle's features.
type Feature string

// The features of bundles.
const (
	FeatureConfirmedPrune Feature = "confirmed-prune" // Entry.ConfirmedPrune
	FeatureParents        Feature = "parents"         // Entry.Parent
	FeaturePending        Feature = "pending"         // Bundle.Pending and Bundle.Incomplete
	FeatureRemovals       Feature = "removals"        // Bundle.Removals
)

// Baseline returns the features of spokes that do not list theirs: those of 2026-11-26.
func Baseline() FeatureSet {
	return NewFeatureSet(FeatureConfirmedPrune, FeatureParents, FeaturePending, FeatureRemovals)
}

// Known returns the features that this program knows. A new feature joins here, never in Baseline.
func Known() FeatureSet { return Baseline() }

// FeatureSet is a set of features, as their names, sorted, with commas between them. The zero value is empty.
type FeatureSet string

// NewFeatureSet returns the set of features.
func NewFeatureSet(features ...Feature) FeatureSet {
	names := make([]string, len(features))
	for i, f := range features {
		names[i] = string(f)
	}
	slices.Sort(names)
	return FeatureSet(strings.Join(slices.Compact(names), ","))
}

// Names returns the features of the set as text, sorted.
func (s FeatureSet) Names() []string {
	if s == "" {
		return nil
	}
	return strings.Split(string(s), ",")
}

// Without returns the features of s that are not in other.
func (s FeatureSet) Without(other FeatureSet) FeatureSet {
	if s == other {
		return ""
	}
	known := other.Names()
	return FeatureSet(strings.Join(slices.DeleteFunc(s.Names(), func(name string) bool {
		return slices.Contains(known, name)
	}), ","))
}

// Features returns the features that the bundle uses.
func (b *Bundle) Features() FeatureSet {
	var used []Feature
	if len(b.Pending) > 0 || b.Incomplete {
		used = append(used, FeaturePending)
	}
	if len(b.Removals) > 0 {
		used = append(used, FeatureRemovals)
	}
	for _, e := range b.Applications {
		for _, name := range e.Features.Names() {
			used = append(used, Feature(name))
		}
		if e.Parent != (ApplicationName{}) {
			used = append(used, FeatureParents)
		}
		if !e.ConfirmedPrune.IsZero() {
			used = append(used, FeatureConfirmedPrune)
		}
	}
	return NewFeatureSet(used...)
}

const (
	maxFeature  = 64 // bytes of a name
	maxFeatures = 64 // of one set
)

// ReadFeatures returns the set of the names that a message lists. A name is of lower-case letters, digits and hyphens.
func ReadFeatures(names []string) (FeatureSet, error) {
	if len(names) > maxFeatures {
		return "", fmt.Errorf("%d features: more than %d", len(names), maxFeatures)
	}
	features := make([]Feature, len(names))
	for i, name := range names {
		features[i] = Feature(name)
	}
	s := NewFeatureSet(features...)
	return s, s.check()
}

// check requires names that can be told apart and shown.
func (s FeatureSet) check() error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	for _, name := range s.Names() {
		if name == "" || len(name) > maxFeature || strings.Trim(name, letters) != "" {
			return fmt.Errorf("%.64q is not the name of a feature", name)
		}
	}
	return nil
}
