package reporting

import (
	"testing"

	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func sample() *spokev1.ReportRequest {
	apps := &bundlev1.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	web := &bundlev1.ObjectIdentity{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	return &spokev1.ReportRequest{
		Full: true,
		Applications: []*spokev1.ApplicationReport{{
			Name: apps, Message: "text", Inventory: []*bundlev1.ObjectIdentity{
				web, {Version: "v1", Kind: "Namespace", Name: "shop"},
				{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Name: "system:web"},
			},
			Objects: []*spokev1.ObjectReport{
				{Object: &bundlev1.ObjectIdentity{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}},
				{Object: &bundlev1.ObjectIdentity{Kind: "Node", Name: "one"}},
			},
		}},
		Removed: []*bundlev1.ApplicationName{apps},
		Events:  []*spokev1.Event{{Application: apps, Reason: "Drift"}, {Reason: "Clock"}},
	}
}

func TestProtocol1(t *testing.T) {
	r := sample()
	old := WriteProtocol1(r)
	if !proto.Equal(r, sample()) {
		t.Error("WriteProtocol1 changes its argument")
	}
	want := &spokev1.ReportRequest{
		Full: true,
		Applications: []*spokev1.ApplicationReport{{
			KindV1: "Kustomization", NamespaceV1: "flux-system", NameV1: "apps", Message: "text",
			InventoryV1: []string{"apps/v1/Deployment shop/web", "v1/Namespace shop",
				"rbac.authorization.k8s.io/v1/ClusterRole system:web"},
			Objects: []*spokev1.ObjectReport{{ObjectV1: "Deployment.apps shop/web"}, {ObjectV1: "Node one"}},
		}},
		RemovedV1: []string{"Kustomization/flux-system/apps"},
		Events: []*spokev1.Event{{KindV1: "Kustomization", NamespaceV1: "flux-system", NameV1: "apps", Reason: "Drift"},
			{Reason: "Clock"}},
	}
	if !proto.Equal(old, want) {
		t.Errorf("written: %v", old)
	}
	if ReadRequest(old); !proto.Equal(old, r) {
		t.Errorf("read again: %v", old)
	}
	if ReadRequest(r); !proto.Equal(r, sample()) {
		t.Errorf("a request of today is read as %v", r)
	}
}

func TestReadStored(t *testing.T) {
	for name, a := range map[string]*spokev1.ApplicationReport{
		"today":      sample().Applications[0],
		"protocol_1": WriteProtocol1(sample()).Applications[0],
	} {
		data, err := proto.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadApplication(data); err != nil || !proto.Equal(got, sample().Applications[0]) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ReadApplication([]byte{1}); err == nil {
		t.Error("what is no message is read")
	}
}

// TestReadMalformed reads what no spoke of ours writes. The hub looks at what comes of it.
func TestReadMalformed(t *testing.T) {
	r := &spokev1.ReportRequest{
		Applications: []*spokev1.ApplicationReport{nil, {KindV1: "K", InventoryV1: []string{"", "a/b/c/d e", "x"},
			Objects: []*spokev1.ObjectReport{nil, {ObjectV1: " "}}}},
		RemovedV1: []string{"", "a/b", "a/b/c/d"}, Events: []*spokev1.Event{nil},
	}
	ReadRequest(r)
	if n := len(r.Applications[1].Inventory); n != 3 || len(r.Removed) != 3 || r.Removed[2].Name != "c/d" {
		t.Errorf("read as %v", r)
	}
}
