package bundle

import (
	"fmt"
	"slices"
	"strings"
)

// The features of bundles. A feature names a part of a bundle that a spoke must know to carry the bundle out. A hub
// sends no bundle to a spoke that does not know one of the bundle's features.
const (
	chartDefaults     = "chart-defaults"     // Release.Defaults
	confirmedPrune    = "confirmed-prune"    // Entry.ConfirmedPrune
	parents           = "parents"            // Entry.Parent
	pending           = "pending"            // Bundle.Pending and Bundle.Incomplete
	removals          = "removals"           // Bundle.Removals
	sealedFiles       = "sealed-files"       // SealedFile.Format other than YAML, SealedFile.Parts, SealedValue.Text
	substitution      = "substitution"       // Application.Substitution
	healthExpressions = "health-expressions" // Application.HealthExpressions
	readyExpressions  = "ready-expressions"  // Application.ReadyExpressions
	driftMode         = "drift-modes"        // Entry.Drift
	handovers         = "handovers"          // Bundle.Handovers
	ignore            = "ignore"             // Application.Ignore
	keptObjects       = "kept-objects"       // Entry.KeepsObjects
	keyStatements     = "key-statements"     // KeyStatements
	logs              = "logs"               // Logs
	keyService        = "key-service"        // Application.Decryption without the name of a Secret
	helmRelease       = "helm-release"       // Application.Release and Hooks, requests of an Entry
	pinnedReleases    = "pinned-releases"    // Entry.PinnedRevision
	previews          = "previews"           // Preview, which is no part of a bundle
	releaseQuestions  = "release-questions"  // ShapeQuestion.Form for releases
	schemas           = "schemas"            // Schemas
	shapes            = "shapes"             // Bundle.Questions, Application.ValueSources
	takeovers         = "takeovers"          // Handovers that are takeovers
	spokeImage        = "spoke-image"        // Bundle.SpokeImage
	recipes           = "recipes"            // Release.Recipes, placeholders in base64 of a field caBundle
)

const (
	// Baseline is the features of spokes that do not list theirs: the features of 2026-11-26.
	Baseline FeatureSet = confirmedPrune + "," + parents + "," + pending + "," + removals
	// Schemas is what a spoke must know to answer questions about the schemas of its API server. No bundle has it.
	Schemas FeatureSet = schemas
	// Logs is what a spoke must know to send the records of its log. No bundle has it.
	Logs FeatureSet = logs
	// KeyStatements is what a spoke must know to follow a rotation of the signing key. No bundle has it.
	KeyStatements FeatureSet = keyStatements
	// ChartDefaults is what a spoke must know to write the values of a chart into a record.
	ChartDefaults FeatureSet = chartDefaults
	// Releases is what a spoke must know to carry out releases of Helm.
	Releases FeatureSet = helmRelease
	// PinnedReleases is what a spoke must know to roll releases of Helm back and keep them there.
	PinnedReleases FeatureSet = pinnedReleases
	// ReleaseQuestions is what a spoke must know to answer questions about releases that it did not make.
	ReleaseQuestions FeatureSet = releaseQuestions
	// Shapes is what a spoke must know to answer questions about shapes.
	Shapes FeatureSet = shapes
	// SpokeImages is what a spoke must know to upgrade itself.
	SpokeImages FeatureSet = spokeImage
	// Recipes is what a spoke must know to make generated values.
	Recipes FeatureSet = recipes
)

// Known is the features that this program knows. A new feature is added here, never to Baseline.
var Known = setOf(append(Baseline.Names(), chartDefaults, driftMode, handovers, healthExpressions, helmRelease,
	ignore, keptObjects, keyService, keyStatements, logs, pinnedReleases, previews, readyExpressions, recipes,
	releaseQuestions, schemas, sealedFiles, shapes, spokeImage, substitution, takeovers))

// FeatureSet is a set of features: their sorted names, with commas between them. The zero FeatureSet is empty.
type FeatureSet string

// setOf returns the set of the names.
func setOf(names []string) FeatureSet {
	return FeatureSet(strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ","))
}

// Names returns the names of the features, sorted.
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
	var used []string
	if len(b.Pending) > 0 || b.Incomplete {
		used = append(used, pending)
	}
	if len(b.Removals) > 0 {
		used = append(used, removals)
	}
	if len(b.Handovers) > 0 {
		used = append(used, handovers)
	}
	if slices.ContainsFunc(b.Handovers, Handover.IsTakeover) {
		used = append(used, takeovers)
	}
	if len(b.Questions) > 0 {
		used = append(used, shapes)
	}
	if slices.ContainsFunc(b.Questions, func(q ShapeQuestion) bool { return q.Form == ShapeRelease }) {
		used = append(used, releaseQuestions)
	}
	if b.SpokeImage != "" {
		used = append(used, spokeImage)
	}
	for _, e := range b.Applications {
		used = append(used, e.features()...)
	}
	return setOf(used)
}

// features returns the features that the entry and its application use.
func (e Entry) features() []string {
	used := e.Features.Names()
	if e.Parent != (ApplicationName{}) {
		used = append(used, parents)
	}
	if e.Drift != CorrectDrift {
		used = append(used, driftMode)
	}
	if e.KeepsObjects {
		used = append(used, keptObjects)
	}
	if e.ForceRequestedAt != "" || e.ResetRequestedAt != "" || e.TestRequestedAt != "" {
		used = append(used, helmRelease)
	}
	if e.PinnedRevision != 0 {
		used = append(used, pinnedReleases)
	}
	if !e.ConfirmedPrune.IsZero() {
		used = append(used, confirmedPrune)
	}
	return used
}

const (
	maxFeature  = 64 // bytes of a name
	maxFeatures = 64 // of one set
)

// ReadFeatures returns the set of the names in a message. If there are more than 64, or one is not of 1 to 64
// lower-case letters, digits and hyphens, ReadFeatures returns an error.
func ReadFeatures(names []string) (FeatureSet, error) {
	if len(names) > maxFeatures {
		return "", fmt.Errorf("%d features: more than %d", len(names), maxFeatures)
	}
	s := setOf(names)
	return s, s.check()
}

// check returns an error unless all names can be shown and told apart.
func (s FeatureSet) check() error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	for _, name := range s.Names() {
		if name == "" || len(name) > maxFeature || strings.Trim(name, letters) != "" {
			return fmt.Errorf("%.64q is not the name of a feature", name)
		}
	}
	return nil
}
