package inventory

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

var (
	apps = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	more = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "more"}
	web  = manifest.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	conf = manifest.ID{Kind: "ConfigMap", Namespace: "shop", Name: "conf"}
	role = manifest.ID{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "a:b"}
)

func sample() *Inventory {
	v := New(apps)
	v.Items[web] = Item{Version: "v1", Resource: "deployments", UID: "1", ResourceVersion: "10",
		Digest:  manifest.DigestOf([]byte("web")),
		Managed: manifest.DigestOf([]byte("fields")), AppliedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	v.Items[conf] = Item{Version: "v1", Resource: "configmaps", UID: "2", Mode: Merge}
	v.Items[role] = Item{Version: "v1"} // about to be made
	return v
}

func TestEncode(t *testing.T) {
	v := sample()
	data, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%v\n%+v\n%+v", err, back, v)
	}
	again, err := v.Clone().Encode()
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("not the same bytes twice: %v", err)
	}
}

func TestDecode_damaged(t *testing.T) {
	for name, data := range map[string]string{
		"not JSON":       `x`,
		"another format": `{"format":2}`,
		"no name":        `{"format":1,"items":[{"k":"ConfigMap","v":"v1"}]}`,
		"twice":          `{"format":1,"items":[{"k":"ConfigMap","n":"a","v":"v1"},{"k":"ConfigMap","n":"a","v":"v1"}]}`,
	} {
		if _, err := Decode([]byte(data)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode(data)
		if err != nil {
			return
		}
		if _, err := v.Encode(); err != nil {
			t.Errorf("was read, but cannot be written: %v", err)
		}
	})
}

func TestMappings(t *testing.T) {
	if got := sample().Mappings(); len(got) != 2 || !slices.Contains(got,
		kube.Mapping{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true}) {
		t.Errorf("%v", got)
	}
}
