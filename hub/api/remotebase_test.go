package api

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// TestRemoteBase checks the source of a remote base: who shares its fetch, and that nobody may write one.
func TestRemoteBase(t *testing.T) {
	made := func(owner, requestedAt string, r Remote) (*Object, *Source) {
		key := Key{Kind: KustomizationKind, Namespace: "apps", Name: owner}
		o, err := NewRemoteBase(key, time.Minute, requestedAt, r)
		if err != nil {
			t.Fatal(err)
		}
		source, err := o.Source()
		if err != nil {
			t.Fatal(err)
		}
		return o, source
	}
	acme := Remote{URL: "https://github.com/acme/platform"}
	a, source := made("a", "", acme)
	b, same := made("b", "now", acme)
	_, other := made("a", "", Remote{URL: acme.URL, Ref: "v1"})
	switch {
	case source.FetchKey(true) != same.FetchKey(false):
		t.Error("equal bases of two Kustomizations do not share a fetch")
	case source.FetchKey(false) == other.FetchKey(false):
		t.Error("two references share a fetch")
	case a.Key == b.Key || a.Key.Namespace != "apps" || !a.Key.Derived():
		t.Errorf("keys %v and %v", a.Key, b.Key)
	case a.RequestedAt() != "" || b.RequestedAt() != "now":
		t.Errorf("requests %q and %q", a.RequestedAt(), b.RequestedAt())
	case source.Interval != time.Minute || source.URL != acme.URL:
		t.Errorf("source %+v", source)
	}
	one := Remote{URL: "https://example.com/crd.yaml?token=canary", File: true}
	f, file := made("a", "", one)
	g, repository := made("a", "", Remote{URL: "https://example.com/crd.yaml"})
	h, another := made("a", "", Remote{URL: "https://example.com/crd.yaml?token=other", File: true})
	switch {
	case file.FetchKey(false) == repository.FetchKey(false) || f.Key == g.Key:
		t.Error("a file and a repository share a fetch")
	case file.FetchKey(false) == another.FetchKey(false) || f.Key == h.Key:
		t.Error("two files share a fetch")
	case strings.Contains(one.String(), "canary") || one.Host() != "example.com" || !file.NamedHosts || file.Failed != "":
		t.Errorf("%s of %s: %+v", one, one.Host(), file)
	}
	written, err := a.Parse()
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []Scope{Hub, ClusterGraph} {
		if _, err := Admit(written, scope); err == nil || !strings.Contains(err.Error(), "write a GitRepository") {
			t.Errorf("admitted: %v", err)
		}
	}
	k := manifest.Object{}
	k.SetAPIVersion("kustomize.toolkit.fluxcd.io/v1")
	k.SetKind(KustomizationKind)
	k.SetName("k")
	k.Object["spec"] = map[string]any{"interval": "1m", "prune": true,
		"sourceRef": map[string]any{"kind": RemoteBaseKind, "name": a.Key.Name}}
	if _, err := Admit(&k, Hub); err == nil || !strings.Contains(err.Error(), "spec.sourceRef.kind") {
		t.Errorf("a Kustomization may name a RemoteBase: %v", err)
	}
}
