package bundle

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// Release is how the objects of an Application are installed, upgraded and uninstalled as a release of Helm.
type Release struct {
	Name             string
	Namespace        string
	StorageNamespace string            // of the records
	Chart            []byte            // the JSON of Chart.yaml
	Values           []byte            // the JSON of the user's values, in which placeholders may stand; empty: none
	Notes            string            // placeholders may stand in it
	CRDs             []ObjectReference // of the chart's folders crds, which are no part of the objects
	MaxHistory       int               // how many records are kept; 0: all
	CreateNamespace  bool
	// KeepOtherChart upgrades a release of a chart with another name, which otherwise is uninstalled first.
	KeepOtherChart bool
	Install        ReleaseAction
	Upgrade        ReleaseAction
	Rollback       ReleaseAction
	Uninstall      ReleaseAction
	Test           ReleaseTest
	Generated      []GeneratedFields
	Recipes        []Recipe // each needs none but earlier ones
	// Defaults is the JSON of the values of the chart, for the record alone; empty: the record has none.
	Defaults []byte
}

// ReleaseAction has the options of one action of a release.
type ReleaseAction struct {
	Timeout            time.Duration // of the whole action
	DisableHooks       bool
	DisableWait        bool
	DisableWaitForJobs bool
	CRDs               CRDPolicy   // of install and upgrade
	KeepOwners         bool        // of install and upgrade: objects that belong to another release are an error
	Force              bool        // of upgrade and rollback: recreate objects whose immutable fields change
	CleanupOnFail      bool        // of upgrade and rollback: delete the new objects if the action fails
	Remediation        Remediation // of install and upgrade
	KeepHistory        bool        // of uninstall
	Propagation        Propagation // of uninstall
}

// Remediation is what follows when an install or an upgrade fails.
type Remediation struct {
	Strategy             Strategy
	Retries              int           // how often the action is tried again; below 0: without end. Not of RetryInPlace
	RetryInterval        time.Duration // of RetryInPlace
	RemediateLastFailure bool          // also when no retry is left
	IgnoreTestFailures   bool          // a release whose tests fail has not failed
}

// ReleaseTest is how a release is tested after an install or an upgrade.
type ReleaseTest struct {
	Enable  bool
	Timeout time.Duration
	Only    []string // names of the hooks that run; empty: all
	Except  []string // names of hooks that do not run
}

// Strategy is how a failed install or upgrade is remediated.
type Strategy string

// The strategies.
const (
	RollbackOnFailure  Strategy = "rollback" // of upgrades only
	UninstallOnFailure Strategy = "uninstall"
	RetryInPlace       Strategy = "retry" // upgrade again after the interval
)

// CRDPolicy is what happens to the definitions in the folders crds of a chart.
type CRDPolicy string

// The policies. The zero policy skips them.
const (
	SkipCRDs    CRDPolicy = ""
	CreateCRDs  CRDPolicy = "create"
	ReplaceCRDs CRDPolicy = "create-replace"
)

// Propagation is how the dependents of a deleted object are deleted.
type Propagation string

// The propagations. The zero Propagation is Background.
const (
	Background  Propagation = ""
	Foreground  Propagation = "foreground"
	OrphanOwned Propagation = "orphan"
)

// Hook is an object that is created at some steps of a release.
type Hook struct {
	ObjectReference
	Path              string // of the template, for the record
	Events            []string
	Weight            int // hooks of one event run in the order of their weights
	DeletePolicies    []string
	OutputLogPolicies []string // for the record: Nave shows no output of hooks
}

// The events of hooks.
const (
	PreInstall   = "pre-install"
	PostInstall  = "post-install"
	PreUpgrade   = "pre-upgrade"
	PostUpgrade  = "post-upgrade"
	PreRollback  = "pre-rollback"
	PostRollback = "post-rollback"
	PreDelete    = "pre-delete"
	PostDelete   = "post-delete"
	TestHook     = "test"
)

// The policies that delete hooks.
const (
	BeforeCreation = "before-hook-creation" // also if a hook has no policy
	HookSucceeded  = "hook-succeeded"
	HookFailed     = "hook-failed"
)

var (
	hookEvents = []string{PreInstall, PostInstall, PreUpgrade, PostUpgrade, PreRollback, PostRollback, PreDelete,
		PostDelete, TestHook}
	hookPolicies = []string{BeforeCreation, HookSucceeded, HookFailed}
)

// Limits of a release. Its record has to fit into a Secret of 1 MiB after compression.
const (
	maxHooks       = 1000
	maxReleaseName = 53 // Helm's
	maxValuesBytes = 4 << 20
	// MaxDefaultsBytes is how large the values of a chart may be for a record, which has 1 MiB when it is compressed.
	MaxDefaultsBytes = 512 << 10
	maxChartBytes    = 256 << 10
	maxNotesBytes    = 1 << 20
	maxTestNames     = 1000
)

// ReleaseDigest returns the digest of what a revision of the release is made of: objects, hooks, definitions, chart,
// values and names. How the release is installed, tested and remediated is no part of the digest, and neither are the
// notes and the values of the chart, which show in the rest, and generated fields. An application without a release has
// the zero digest.
func (a *Application) ReleaseDigest() (manifest.Digest, error) {
	if a.Release == nil {
		return manifest.Digest{}, nil
	}
	r := a.Release
	objects, hooks := a.withoutGenerated()
	content := &Application{Objects: objects, Hooks: hooks, Release: &Release{Name: r.Name, Namespace: r.Namespace,
		StorageNamespace: r.StorageNamespace, Chart: r.Chart, Values: r.Values, CRDs: r.CRDs}}
	data, err := marshal("release "+r.Name, content.message(), MaxApplicationBytes)
	if err != nil {
		return manifest.Digest{}, err
	}
	return manifest.DigestOf(data), nil
}

// checkRelease returns an error unless the release and its hooks are valid.
func (a *Application) checkRelease() error {
	if a.Release == nil {
		if len(a.Hooks) > 0 {
			return errors.New("hooks without a release")
		}
		return nil
	}
	if err := fits("the release", "hooks", len(a.Hooks), maxHooks); err != nil {
		return err
	}
	for i, h := range a.Hooks {
		if err := h.check(); err != nil {
			return fmt.Errorf("hooks[%d]: %w", i, err)
		}
	}
	if err := cmp.Or(a.Release.check(), a.checkGenerated(), a.checkRecipes()); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (h Hook) check() error {
	if err := h.ObjectReference.check(); err != nil {
		return err
	}
	if len(h.Events) == 0 {
		return fmt.Errorf("%s: no events", h.ID())
	}
	if h.Weight < math.MinInt32 || h.Weight > math.MaxInt32 {
		return fmt.Errorf("%s: weight %d", h.ID(), h.Weight)
	}
	for _, list := range []struct{ words, known []string }{
		{h.Events, hookEvents}, {h.DeletePolicies, hookPolicies}, {h.OutputLogPolicies, hookPolicies[1:]},
	} {
		for i, word := range list.words {
			if !slices.Contains(list.known, word) {
				return fmt.Errorf("%s: %.64q is not known: want one of %q", h.ID(), word, list.known)
			}
			if slices.Contains(list.words[:i], word) {
				return fmt.Errorf("%s: %s: listed twice", h.ID(), word)
			}
		}
	}
	return nil
}

// check returns an error unless the reference is whole.
func (o ObjectReference) check() error {
	switch {
	case o.Version == "" || o.Kind == "" || o.Name == "":
		return errors.New("version, kind and name are needed")
	case o.Digest.IsZero():
		return fmt.Errorf("%s: no digest", o.ID())
	}
	return nil
}

func (r *Release) check() error {
	if err := cmp.Or(r.checkNames(), r.checkTexts(), r.checkActions()); err != nil {
		return err
	}
	seen := make(map[manifest.ID]bool, len(r.CRDs))
	for i, o := range r.CRDs {
		if err := o.check(); err != nil {
			return fmt.Errorf("crds[%d]: %w", i, err)
		}
		if seen[o.ID()] {
			return fmt.Errorf("%s: listed twice", o.ID())
		}
		seen[o.ID()] = true
	}
	return nil
}

func (r *Release) checkNames() error {
	if len(r.Name) > maxReleaseName || len(validation.IsDNS1123Subdomain(r.Name)) > 0 {
		return fmt.Errorf("name %.64q: Helm wants 1 to %d lower-case letters, digits, hyphens and dots", r.Name,
			maxReleaseName)
	}
	for _, namespace := range []string{r.Namespace, r.StorageNamespace} {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return fmt.Errorf("namespace %.64q is not one that Kubernetes allows", namespace)
		}
	}
	if r.MaxHistory < 0 || r.MaxHistory > math.MaxInt32 {
		return fmt.Errorf("max history %d", r.MaxHistory)
	}
	return nil
}

func (r *Release) checkTexts() error {
	if err := cmp.Or(fits("chart", "bytes", len(r.Chart), maxChartBytes),
		fits("defaults", "bytes", len(r.Defaults), MaxDefaultsBytes),
		fits("values", "bytes", len(r.Values), maxValuesBytes), fits("notes", "bytes", len(r.Notes), maxNotesBytes),
	); err != nil {
		return err
	}
	var chart struct{ Name, Version string }
	if json.Unmarshal(r.Chart, &chart) != nil || chart.Name == "" || chart.Version == "" {
		return errors.New("chart: name and version are needed")
	}
	var values map[string]json.RawMessage
	if len(r.Values) > 0 && json.Unmarshal(r.Values, &values) != nil {
		return errors.New("values: not a map")
	}
	if len(r.Defaults) > 0 && json.Unmarshal(r.Defaults, &values) != nil {
		return errors.New("defaults: not a map")
	}
	return nil
}

func (r *Release) checkActions() error {
	strategies := []Strategy{UninstallOnFailure, RetryInPlace, RollbackOnFailure}
	for _, action := range []struct {
		name       string
		options    ReleaseAction
		strategies []Strategy // none: the action is not remediated
	}{
		{"install", r.Install, strategies[:2]}, {"upgrade", r.Upgrade, strategies},
		{"rollback", r.Rollback, nil}, {"uninstall", r.Uninstall, nil},
	} {
		if err := action.options.check(action.strategies); err != nil {
			return fmt.Errorf("%s: %w", action.name, err)
		}
	}
	if r.Test.Timeout < 0 || r.Test.Enable && r.Test.Timeout == 0 {
		return errors.New("test: a timeout is needed")
	}
	return fits("test", "names", len(r.Test.Only)+len(r.Test.Except), maxTestNames)
}

func (a *ReleaseAction) check(strategies []Strategy) error {
	m := a.Remediation
	switch {
	case a.Timeout <= 0:
		return errors.New("a timeout is needed")
	case !slices.Contains([]CRDPolicy{SkipCRDs, CreateCRDs, ReplaceCRDs}, a.CRDs):
		return fmt.Errorf("crds %.64q is not known", a.CRDs)
	case !slices.Contains([]Propagation{Background, Foreground, OrphanOwned}, a.Propagation):
		return fmt.Errorf("propagation %.64q is not known", a.Propagation)
	case strategies == nil && m != (Remediation{}):
		return errors.New("it cannot be remediated")
	case strategies == nil:
		return nil
	case !slices.Contains(strategies, m.Strategy):
		return fmt.Errorf("strategy %.64q is not known: want one of %q", m.Strategy, strategies)
	case m.Retries < math.MinInt32 || m.Retries > math.MaxInt32:
		return fmt.Errorf("%d retries", m.Retries)
	case (m.Strategy == RetryInPlace) != (m.RetryInterval > 0):
		return errors.New("a retry interval is needed to retry, and for nothing else")
	}
	return nil
}

func (h Hook) message() *bundlev1.Hook {
	return &bundlev1.Hook{
		Object: h.ObjectReference.message(), Path: h.Path, Events: h.Events, Weight: int32(h.Weight),
		DeletePolicies: h.DeletePolicies, OutputLogPolicies: h.OutputLogPolicies,
	}
}

func (r *Release) message() *bundlev1.Release {
	if r == nil {
		return nil
	}
	return &bundlev1.Release{
		Name: r.Name, Namespace: r.Namespace, StorageNamespace: r.StorageNamespace, Chart: r.Chart, Values: r.Values,
		Notes: r.Notes, Crds: convert(r.CRDs, ObjectReference.message), MaxHistory: int32(r.MaxHistory),
		CreateNamespace: r.CreateNamespace, KeepOtherChart: r.KeepOtherChart,
		Install: r.Install.message(), Upgrade: r.Upgrade.message(), Rollback: r.Rollback.message(),
		Uninstall: r.Uninstall.message(), Test: &bundlev1.ReleaseTest{
			Enable: r.Test.Enable, Timeout: duration(r.Test.Timeout), Only: r.Test.Only, Except: r.Test.Except,
		},
		Generated: convert(r.Generated, GeneratedFields.message), Recipes: convert(r.Recipes, Recipe.message),
		Defaults: r.Defaults,
	}
}

func (a *ReleaseAction) message() *bundlev1.ReleaseAction {
	m := &bundlev1.ReleaseAction{
		Timeout: duration(a.Timeout), DisableHooks: a.DisableHooks, DisableWait: a.DisableWait,
		DisableWaitForJobs: a.DisableWaitForJobs, Crds: string(a.CRDs), KeepOwners: a.KeepOwners, Force: a.Force,
		CleanupOnFail: a.CleanupOnFail, KeepHistory: a.KeepHistory, Propagation: string(a.Propagation),
	}
	if r := a.Remediation; r != (Remediation{}) {
		m.Remediation = &bundlev1.Remediation{
			Strategy: string(r.Strategy), Retries: int32(r.Retries), RetryInterval: duration(r.RetryInterval),
			RemediateLastFailure: r.RemediateLastFailure, IgnoreTestFailures: r.IgnoreTestFailures,
		}
	}
	return m
}

func (a *Application) decodeRelease(m *bundlev1.Application) (err error) {
	for i, h := range m.GetHooks() {
		hook := Hook{Path: h.GetPath(), Events: h.GetEvents(), Weight: int(h.GetWeight()),
			DeletePolicies: h.GetDeletePolicies(), OutputLogPolicies: h.GetOutputLogPolicies()}
		if hook.ObjectReference, err = referenceOf(h.GetObject()); err != nil {
			return fmt.Errorf("hooks[%d]: %w", i, err)
		}
		a.Hooks = append(a.Hooks, hook)
	}
	if m.GetRelease() == nil {
		return nil
	}
	if a.Release, err = releaseOf(m.GetRelease()); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func releaseOf(m *bundlev1.Release) (*Release, error) {
	r := &Release{
		Name: m.GetName(), Namespace: m.GetNamespace(), StorageNamespace: m.GetStorageNamespace(), Chart: m.GetChart(),
		Values: m.GetValues(), Defaults: m.GetDefaults(), Notes: m.GetNotes(), MaxHistory: int(m.GetMaxHistory()),
		CreateNamespace: m.GetCreateNamespace(), KeepOtherChart: m.GetKeepOtherChart(),
		Test: ReleaseTest{Enable: m.GetTest().GetEnable(), Only: m.GetTest().GetOnly(), Except: m.GetTest().GetExcept()},
	}
	for i, o := range m.GetCrds() {
		crd, err := referenceOf(o)
		if err != nil {
			return nil, fmt.Errorf("crds[%d]: %w", i, err)
		}
		r.CRDs = append(r.CRDs, crd)
	}
	var err error
	if r.Generated, err = convertAll("generated", m.GetGenerated(), generatedOf); err != nil {
		return nil, err
	}
	if r.Recipes, err = convertAll("recipes", m.GetRecipes(), recipeOf); err != nil {
		return nil, err
	}
	return r, errors.Join(
		r.Install.decode(m.GetInstall()), r.Upgrade.decode(m.GetUpgrade()), r.Rollback.decode(m.GetRollback()),
		r.Uninstall.decode(m.GetUninstall()), decodeDuration(&r.Test.Timeout, m.GetTest().GetTimeout()))
}

func (a *ReleaseAction) decode(m *bundlev1.ReleaseAction) error {
	*a = ReleaseAction{
		DisableHooks: m.GetDisableHooks(), DisableWait: m.GetDisableWait(), DisableWaitForJobs: m.GetDisableWaitForJobs(),
		CRDs: CRDPolicy(m.GetCrds()), KeepOwners: m.GetKeepOwners(), Force: m.GetForce(),
		CleanupOnFail: m.GetCleanupOnFail(), KeepHistory: m.GetKeepHistory(), Propagation: Propagation(m.GetPropagation()),
		Remediation: Remediation{
			Strategy: Strategy(m.GetRemediation().GetStrategy()), Retries: int(m.GetRemediation().GetRetries()),
			RemediateLastFailure: m.GetRemediation().GetRemediateLastFailure(),
			IgnoreTestFailures:   m.GetRemediation().GetIgnoreTestFailures(),
		},
	}
	return errors.Join(decodeDuration(&a.Timeout, m.GetTimeout()),
		decodeDuration(&a.Remediation.RetryInterval, m.GetRemediation().GetRetryInterval()))
}
