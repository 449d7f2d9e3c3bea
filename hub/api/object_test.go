package api_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
)

// TestRenderable reads every field of the view of a Kustomization.
func TestRenderable(t *testing.T) {
	o := admit(t, strings.Replace(kustomization(`
path: ./apps
timeout: 2m
wait: true
force: true
suspend: true
deletionPolicy: Orphan
serviceAccountName: team
targetNamespace: prod
decryption: {provider: sops, secretRef: {name: keys}}
dependsOn: [{name: infra}, {name: infra, namespace: flux-system}, {name: db, namespace: data}]
healthChecks:
- {apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, name: peer, namespace: flux-system}
- {apiVersion: apps/v1, kind: Deployment, name: web, namespace: prod}
`), "metadata: {", "metadata: {annotations: {fleet.nave.io/allow-namespaces: 'x', "+
		"reconcile.fluxcd.io/requestedAt: now}, ", 1), api.ClusterGraph)
	r, err := o.Renderable()
	if err != nil {
		t.Fatal(err)
	}
	peer := bundle.ObjectIdentity{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization",
		Namespace: "flux-system", Name: "peer"}
	awaited := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "peer"}
	for name, ok := range map[string]bool{
		"source":    r.Source == api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
		"renderer":  r.Renderer == "kustomize" && strings.Contains(string(r.Spec), `"path":"./apps"`),
		"durations": r.Interval == 10*time.Minute && r.Timeout == 2*time.Minute && r.RetryInterval == 10*time.Minute,
		"flags":     r.Prune && r.Wait && r.Force,
		"policy":    r.DeletionPolicy == bundle.Orphan && r.Orphans(),
		"account":   r.ServiceAccount == "team",
		"keys":      r.Decryption == bundle.SecretReference{Namespace: "flux-system", Name: "keys"},
		"dependencies": slices.Equal(r.DependsOn, []api.Key{
			{Kind: "Kustomization", Namespace: "flux-system", Name: "infra"},
			{Kind: "Kustomization", Namespace: "data", Name: "db"},
		}),
		"health checks": len(r.HealthChecks) == 2 && r.HealthChecks[0] == peer && awaited.Identity() == peer,
		"awaited":       slices.Equal(r.Awaited(), []api.Key{awaited}),
		"namespaces":    len(r.Namespaces) == 6 && r.Namespaces[5].Namespace == "x",
		"suspended":     o.Suspended(),
		"request":       o.RequestedAt() == "now",
	} {
		if !ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestViews gives each object the view of its role and no other.
func TestViews(t *testing.T) {
	o := admit(t, gitRepository("url: https://x/y\nsecretRef: {name: s}"), api.Hub)
	s, err := o.Source()
	if err != nil || s.URL != "https://x/y" || s.Interval != time.Minute || s.Timeout != time.Minute ||
		!slices.Equal(s.Secrets, []api.SecretReference{{Field: "spec.secretRef", Name: "s"}}) {
		t.Errorf("source %+v, %v", s, err)
	}
	if again, _ := o.Source(); again != s {
		t.Error("the view is decoded twice")
	}
	if _, err := o.Renderable(); err == nil || !strings.Contains(err.Error(), "GitRepository flux-system/fleet") {
		t.Errorf("a GitRepository as a Renderable: %v", err)
	}
	if _, err := api.StoredObject(o.Key, json.RawMessage("{")).Source(); err == nil {
		t.Error("an object that cannot be read has a view")
	}
	alert := api.StoredObject(api.Key{Kind: "Alert", Name: "a"}, json.RawMessage("{}"))
	if _, err := alert.Renderable(); !errors.Is(err, api.ErrUnsupported) {
		t.Errorf("an unsupported kind: %v", err)
	}
}

// TestSourceReference finds the source of a Kustomization and of a Fleet's template.
func TestSourceReference(t *testing.T) {
	want := api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	for name, text := range map[string]string{"Kustomization": kustomization(""), "Fleet": prodFleet} {
		t.Run(name, func(t *testing.T) {
			if got, ok := admit(t, text, api.Hub).SourceReference(); !ok || got != want {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
	if got, ok := admit(t, gitRepository("url: https://x/y"), api.Hub).SourceReference(); ok {
		t.Errorf("a GitRepository has the source %v", got)
	}
}

func TestSourceKeys(t *testing.T) {
	source := api.Key{Kind: "GitRepository", Namespace: "a", Name: "b"}
	own := source.In("prod")
	fleet, parent := api.FleetKey("all"), api.Key{Cluster: "prod", Kind: "Kustomization", Name: "apps"}
	for name, c := range map[string]struct {
		cluster string
		owner   *api.Key
		want    []api.Key
	}{
		"hub":      {"", nil, []api.Key{source}},
		"operator": {"prod", nil, []api.Key{own, source}},
		"child":    {"prod", &parent, []api.Key{own, source}},
		"root":     {"prod", &fleet, []api.Key{source, own}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := api.SourceKeys(c.cluster, source, c.owner); !slices.Equal(got, c.want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestFleetAbove(t *testing.T) {
	fleet, root := api.FleetKey("prod"), api.Key{Cluster: "a", Kind: "Kustomization", Name: "root"}
	apps, loop := root, root
	apps.Name, loop.Name = "apps", "loop"
	into, first, second, third := root, root, root, root
	into.Name, first.Name, second.Name, third.Name = "into", "first", "second", "third"
	owners := map[api.Key]*api.Key{apps: &root, root: &fleet, loop: &loop, into: &first, first: &second, second: &third,
		third: &first}
	for name, c := range map[string]struct {
		key  api.Key
		want bool
	}{"child": {apps, true}, "root": {root, true}, "operator": {api.Key{Kind: "Kustomization"}, false},
		"circle": {loop, false}, "circle_of_three": {first, false}, "into_circle": {into, false}} {
		t.Run(name, func(t *testing.T) {
			got, ok := api.FleetAbove(c.key, func(k api.Key) *api.Key { return owners[k] })
			if ok != c.want || ok && got != fleet {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

// TestObject_pipe encodes an object as one process does, and decodes it as another one does.
func TestObject_pipe(t *testing.T) {
	key := api.Key{Kind: api.GitRepositoryKind, Namespace: "team", Name: "x"}
	want := api.StoredObject(key, []byte(`{"kind":"GitRepository","metadata":{"name":"x","namespace":"team"},"spec":{}}`))
	data, err := json.Marshal(struct{ Object *api.Object }{want})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Object *api.Object }
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Object.Key != key || !got.Object.Equal(want) || got.Object.Digest != want.Digest {
		t.Errorf("got %+v, want %+v", got.Object, want)
	}
}
