package api

import "testing"

func TestParseKey(t *testing.T) {
	for name, key := range map[string]Key{
		"hub":     {Kind: GitRepositoryKind, Namespace: "default", Name: "fleet"},
		"cluster": {Cluster: "prod", Kind: KustomizationKind, Namespace: "apps", Name: "web"},
		"Cluster": ClusterKey("prod"),
		"slash":   {Cluster: "prod", Kind: "ClusterRole", Name: "a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := ParseKey(key.Path()); !ok || got != key {
				t.Errorf("%q: got %+v, %v", key.Path(), got, ok)
			}
		})
	}
	if got, ok := ParseKey("prod/Kustomization/apps"); ok || got != (Key{}) {
		t.Errorf("a path without a name: got %+v, %v", got, ok)
	}
}

func TestApplicationKey(t *testing.T) {
	key := Key{Cluster: "prod", Kind: KustomizationKind, Namespace: "apps", Name: "web"}
	if got := ApplicationKey("prod", key.Application()); got != key {
		t.Errorf("got %+v", got)
	}
}
