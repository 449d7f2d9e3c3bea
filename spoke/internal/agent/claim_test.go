package agent

import (
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestClaims lets the claim of an application with a service account count against those with the same account only.
func TestClaims(t *testing.T) {
	named := func(namespace string) bundle.ApplicationName {
		return bundle.ApplicationName{Kind: "Kustomization", Namespace: namespace, Name: "a"}
	}
	for name, c := range map[string]struct {
		by, byAccount, from, fromAccount string
		want                             bool
	}{
		"operators":       {by: "flux-system", from: "flux-system", want: true},
		"from_tenant":     {by: "flux-system", from: "team", fromAccount: "team", want: true},
		"same_tenant":     {by: "team", byAccount: "team", from: "team", fromAccount: "team", want: true},
		"to_tenant":       {by: "team", byAccount: "team", from: "flux-system"},
		"other_account":   {by: "team", byAccount: "team", from: "team", fromAccount: "other"},
		"other_namespace": {by: "team", byAccount: "team", from: "rival", fromAccount: "team"},
		"without_account": {by: "team", byAccount: "team", from: "team"},
	} {
		if got := (claim{named(c.by), c.byAccount}).counts(named(c.from), c.fromAccount); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// TestTakers_circle lets applications that take objects from each other not wait for each other.
func TestTakers_circle(t *testing.T) {
	m := newModel("east", func() float64 { return 0.5 })
	for _, name := range []string{"a", "b", "c"} {
		entry := bundle.Entry{Name: appNamed(name), Digest: manifest.DigestOf([]byte(name))}
		m.nodes[appNamed(name)] = &node{entry: entry, dirty: true}
	}
	m.takers = map[bundle.ApplicationName][]bundle.ApplicationName{
		appNamed("a"): {appNamed("b")}, appNamed("b"): {appNamed("a")}, appNamed("c"): {appNamed("a")},
	}
	for name, want := range map[string]bool{"a": false, "b": false, "c": true} {
		if got := m.awaitsTaker(m.nodes[appNamed(name)]); got != want {
			t.Errorf("%s waits: %t, want %t", name, got, want)
		}
	}
}
