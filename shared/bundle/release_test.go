package bundle

import (
	"errors"
	"strings"
	"testing"
	"time"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
)

// exampleRelease is a release with every field set.
func exampleRelease() *Release {
	all := ReleaseAction{Timeout: time.Minute, DisableHooks: true, DisableWait: true, DisableWaitForJobs: true,
		CRDs: ReplaceCRDs, KeepOwners: true, Force: true, CleanupOnFail: true, KeepHistory: true, Propagation: Foreground}
	install, upgrade := all, all
	install.Remediation = Remediation{Strategy: RetryInPlace, RetryInterval: time.Minute}
	upgrade.Remediation = Remediation{Strategy: RollbackOnFailure, Retries: -1, RemediateLastFailure: true,
		IgnoreTestFailures: true}
	return &Release{
		Name: "web", Namespace: "prod", StorageNamespace: "flux-system", Chart: []byte(`{"name":"web","version":"1.0.0"}`),
		Values: []byte(`{"replicas":2}`), Defaults: []byte(`{"replicas":1}`), Notes: "Hello.", MaxHistory: 5, CreateNamespace: true, KeepOtherChart: true,
		CRDs: []ObjectReference{{ObjectIdentity{Group: "apiextensions.k8s.io", Version: "v1",
			Kind: "CustomResourceDefinition", Name: "widgets.example.com"}, digest("crd")}},
		Install: install, Upgrade: upgrade, Rollback: all, Uninstall: all,
		Test: ReleaseTest{Enable: true, Timeout: time.Second, Only: []string{"a"}, Except: []string{"b"}},
		Generated: []GeneratedFields{{Hook: true, Fields: []string{"/spec/seed"}, Object: ObjectIdentity{Group: "batch",
			Version: "v1", Kind: "Job", Namespace: "prod", Name: "migrate"},
			Digest: digest("without")}},
		Recipes: []Recipe{
			{Placeholder: "a0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa", Key: "b0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa", Function: "genCA",
				Arguments: []byte(`["ca",365]`)},
			{Placeholder: "c0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa", Function: "randAlphaNum", Arguments: []byte(`[16]`)},
		},
	}
}

func TestRelease_check(t *testing.T) {
	tests := map[string]struct {
		change func(*Application)
		want   string
	}{
		"no_release":    {func(a *Application) { a.Release = nil }, "hooks without a release"},
		"hook_object":   {func(a *Application) { a.Hooks[0].Name = "" }, "hooks[0]: version, kind and name are needed"},
		"hook_digest":   {func(a *Application) { a.Hooks[0].Digest = [32]byte{} }, "no digest"},
		"no_events":     {func(a *Application) { a.Hooks[0].Events = nil }, "no events"},
		"event":         {func(a *Application) { a.Hooks[0].Events[0] = "pre-rollout" }, `"pre-rollout" is not known`},
		"event_twice":   {func(a *Application) { a.Hooks[0].Events[0] = PreUpgrade }, "pre-upgrade: listed twice"},
		"delete_policy": {func(a *Application) { a.Hooks[0].DeletePolicies[0] = "always" }, `"always" is not known`},
		"log_policy": {func(a *Application) { a.Hooks[0].OutputLogPolicies[0] = BeforeCreation },
			`"before-hook-creation" is not known`},
		"weight":    {func(a *Application) { a.Hooks[0].Weight = 1 << 40 }, "weight 1099511627776"},
		"name":      {func(a *Application) { a.Release.Name = "Web" }, `name "Web": Helm wants`},
		"long_name": {func(a *Application) { a.Release.Name = strings.Repeat("a", 54) }, "Helm wants"},
		"namespace": {func(a *Application) { a.Release.StorageNamespace = "" }, `namespace ""`},
		"history":   {func(a *Application) { a.Release.MaxHistory = -1 }, "max history -1"},
		"chart":     {func(a *Application) { a.Release.Chart = []byte(`{"name":"web"}`) }, "chart: name and version"},
		"values":    {func(a *Application) { a.Release.Values = []byte(`[]`) }, "values: not a map"},
		"defaults":  {func(a *Application) { a.Release.Defaults = []byte(`1`) }, "defaults: not a map"},
		"crd_twice": {func(a *Application) { a.Release.CRDs = append(a.Release.CRDs, a.Release.CRDs...) }, "listed twice"},
		"timeout":   {func(a *Application) { a.Release.Rollback.Timeout = 0 }, "rollback: a timeout is needed"},
		"test":      {func(a *Application) { a.Release.Test.Timeout = 0 }, "test: a timeout is needed"},
		"crds":      {func(a *Application) { a.Release.Upgrade.CRDs = "drop" }, `upgrade: crds "drop"`},
		"propagation": {func(a *Application) { a.Release.Uninstall.Propagation = "x" },
			`uninstall: propagation "x" is not known`},
		"rollback_of_install": {func(a *Application) {
			a.Release.Install.Remediation = Remediation{Strategy: RollbackOnFailure}
		}, `install: strategy "rollback" is not known`},
		"remediated_uninstall": {func(a *Application) { a.Release.Uninstall.Remediation.Retries = 1 },
			"uninstall: it cannot be remediated"},
		"no_strategy":          {func(a *Application) { a.Release.Upgrade.Remediation = Remediation{} }, `upgrade: strategy ""`},
		"generated_of_nothing": {func(a *Application) { a.Release.Generated[0].Hook = false }, "no such object"},
		"generated_twice": {func(a *Application) {
			a.Release.Generated = append(a.Release.Generated, a.Release.Generated...)
		}, "generated[1]: Job.batch prod/migrate: the application has no such object, or it is listed twice"},
		"generated_digest":  {func(a *Application) { a.Release.Generated[0].Digest = [32]byte{} }, "no digest"},
		"generated_nothing": {func(a *Application) { a.Release.Generated[0].Fields = nil }, "no fields"},
		"generated_name": {func(a *Application) {
			a.Release.Generated[0] = GeneratedFields{Object: a.Objects[1].ObjectIdentity, Digest: digest("x"),
				Fields: []string{"/metadata/name"}}
		}, "identifies the object"},
		"retry_interval": {func(a *Application) { a.Release.Install.Remediation.RetryInterval = 0 }, "retry interval"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := exampleApplication()
			test.change(a)
			if _, err := a.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

func TestRelease_limits(t *testing.T) {
	tests := map[string]func(*Application){
		"chart":  func(a *Application) { a.Release.Chart = make([]byte, maxChartBytes+1) },
		"values": func(a *Application) { a.Release.Values = make([]byte, maxValuesBytes+1) },
		"notes":  func(a *Application) { a.Release.Notes = strings.Repeat("a", maxNotesBytes+1) },
		"hooks":  func(a *Application) { a.Hooks = make([]Hook, maxHooks+1) },
		"tests":  func(a *Application) { a.Release.Test.Only = make([]string, maxTestNames) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			a := exampleApplication()
			change(a)
			_, err := a.Encode()
			if _, ok := errors.AsType[*TooLargeError](err); !ok {
				t.Error(err)
			}
		})
	}
}

// TestRelease_feature keeps releases from spokes that do not carry them out.
func TestRelease_feature(t *testing.T) {
	a := &Application{Release: exampleRelease()}
	if a.Features() != chartDefaults+","+helmRelease+","+recipes {
		t.Error(a.Features())
	}
	a.Release.Defaults = nil
	if a.Release.Recipes = nil; a.Features() != helmRelease {
		t.Error(a.Features())
	}
	for _, e := range []Entry{{ForceRequestedAt: "now"}, {ResetRequestedAt: "now"}, {TestRequestedAt: "now"}} {
		if b := (&Bundle{Applications: []Entry{e}}); b.Features() != helmRelease {
			t.Error(b.Features())
		}
	}
}

func TestReleaseDigest(t *testing.T) {
	digestOf := func(change func(*Application)) string {
		a := exampleApplication()
		change(a)
		d, err := a.ReleaseDigest()
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	first := digestOf(func(*Application) {})
	for name, change := range map[string]func(*Application){
		"timeout":     func(a *Application) { a.Release.Upgrade.Timeout++ },
		"max_history": func(a *Application) { a.Release.MaxHistory++ },
		"tests":       func(a *Application) { a.Release.Test = ReleaseTest{} },
		"interval":    func(a *Application) { a.Interval++ },
		"dependency":  func(a *Application) { a.DependsOn = nil },
		"notes":       func(a *Application) { a.Release.Notes = "" },
		"generated":   func(a *Application) { a.Hooks[0].Digest[0]++ },
	} {
		if digestOf(change) != first {
			t.Error(name, "makes another revision")
		}
	}
	for name, change := range map[string]func(*Application){
		"object": func(a *Application) { a.Objects[0].Digest[0]++ },
		"hook":   func(a *Application) { a.Hooks[0].Weight++ },
		"values": func(a *Application) { a.Release.Values = []byte(`{}`) },
		"chart":  func(a *Application) { a.Release.Chart = []byte(`{"name":"web","version":"1.0.1"}`) },
		"crds":   func(a *Application) { a.Release.CRDs = nil },
		"name":   func(a *Application) { a.Release.Name = "other" },
		"stable": func(a *Application) { a.Release.Generated[0].Digest[0]++ },
	} {
		if digestOf(change) == first {
			t.Error(name, "makes no other revision")
		}
	}
	if d, err := (&Application{}).ReleaseDigest(); err != nil || !d.IsZero() {
		t.Error(d, err)
	}
}

// TestRelease_decode refuses a message whose parts are missing.
func TestRelease_decode(t *testing.T) {
	for name, change := range map[string]func(*bundlev1.Application){
		"hook_object": func(m *bundlev1.Application) { m.Hooks[0].Object = nil },
		"crd_digest":  func(m *bundlev1.Application) { m.Release.Crds[0].Digest = []byte{1} },
		"install":     func(m *bundlev1.Application) { m.Release.Install = nil },
		"timeout":     func(m *bundlev1.Application) { m.Release.Install.Timeout.Nanos = -1 },
		"release":     func(m *bundlev1.Application) { m.Release = &bundlev1.Release{} },
	} {
		m := exampleApplication().message()
		change(m)
		data, err := marshal("application", m, MaxApplicationBytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeApplication(data); err == nil {
			t.Error(name, "was accepted")
		}
	}
}
