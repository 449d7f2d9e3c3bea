package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestExplain_encryption prints for whom documents are encrypted, and the keys of the spoke.
func TestExplain_encryption(t *testing.T) {
	object := &adminv1.ObjectKey{Kind: "Fleet", Name: "prod"}
	documents := []*adminv1.SealedDocument{{Path: "a.yaml", Recipients: []string{"age age1x", "OpenPGP AB"}},
		{Path: "b\n.yaml", Document: 2}}
	const begin = "Encrypted documents of Fleet prod:\n    a.yaml, document 0: for age age1x, OpenPGP AB\n" +
		"    b .yaml, document 2: for nobody\n"
	for name, c := range map[string]struct {
		e    *adminv1.Encryption
		want string
	}{
		"none": {nil, ""},
		"keys": {&adminv1.Encryption{Object: object, Documents: documents, KeysRead: true, Keys: []string{"age age1x"}},
			begin + "The spoke has age age1x\n"},
		"no_keys": {&adminv1.Encryption{Object: object, Documents: documents, KeysRead: true, KeysMissing: "no Secret"},
			begin + "The spoke has no key: no Secret\n"},
		"unknown": {&adminv1.Encryption{Object: object, Documents: documents, Incomplete: true},
			begin + "    … and more\nThe spoke has not reported its keys yet.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if printEncryption(&out, c.e); out.String() != c.want {
				t.Errorf("%s", out.String())
			}
		})
	}
}

// TestExplain_all_namespaces takes the flag that scripts give to all commands of kubectl and flux.
func TestExplain_all_namespaces(t *testing.T) {
	cmd := newExplainCommand(&session{})
	if err := cmd.ParseFlags([]string{"-A"}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.ValidateArgs(nil); err != nil {
		t.Error(err)
	}
	if cmd.ValidateArgs([]string{"ks", "apps"}) == nil {
		t.Error("one object was taken in all namespaces")
	}
}

// missingKey returns the explanation of a Kustomization without its key, which so many clusters have.
func missingKey(cluster string, of ...uint32) *adminv1.Explanation {
	e := &adminv1.Explanation{Reason: "DecryptionFailed", Message: "no key", Object: &adminv1.ObjectKey{
		Cluster: cluster, Kind: "Kustomization", Namespace: "flux-system", Name: "infra"}}
	if len(of) > 0 {
		e.Clusters = of[0]
	}
	return e
}

func TestExplain_exit_code(t *testing.T) {
	wrong := &adminv1.Explanation{Object: &adminv1.ObjectKey{Kind: "Fleet", Name: "prod"}, Reason: "PathNotFound",
		Message: "no such path", Advice: "Push it"}
	paused := &adminv1.Explanation{Object: &adminv1.ObjectKey{Kind: "Cluster", Name: "east"}, Reason: "Suspended",
		Message: "Suspended by an operator"}
	for _, c := range []struct {
		name     string
		list     []*adminv1.Explanation
		reported bool
		want     string
	}{
		{"none", nil, false, "✔ everything is as it should be\n"},
		{"wrong", []*adminv1.Explanation{wrong}, true,
			"✗ Fleet prod, for -: PathNotFound\n    no such path\n    → Push it\n"},
		{"suspended", []*adminv1.Explanation{paused}, false,
			"‖ Cluster east, for -: Suspended\n    Suspended by an operator\n✔ everything else is as it should be\n"},
		{"warning", []*adminv1.Explanation{{Object: &adminv1.ObjectKey{Kind: "ImageUpdateAutomation", Name: "app"},
			Reason: "ImageUpdateIncomplete", Message: "1 marker is not carried out"}}, false,
			"⚠ ImageUpdateAutomation app, for -: ImageUpdateIncomplete\n    1 marker is not carried out\n" +
				"✔ everything else is as it should be\n"},
		{"two_clusters", []*adminv1.Explanation{missingKey("west"), wrong, missingKey("east")}, true,
			"✗ Kustomization flux-system/infra on east, west, for -: DecryptionFailed\n    no key\n" +
				"✗ Fleet prod, for -: PathNotFound\n    no such path\n    → Push it\n"},
		{"command_for_two_clusters", []*adminv1.Explanation{failedChart("east"), failedChart("west")}, true,
			"✗ HelmRelease apps/web on east, west, for -: SourceNotReady\n    → Run: nave describe helmchart web " +
				"--cluster CLUSTER to see\n"},
		{"command_for_one_cluster", []*adminv1.Explanation{failedChart("east")}, true,
			"✗ HelmRelease apps/web on east, for -: SourceNotReady\n    → Run: nave describe helmchart web --cluster east " +
				"to see\n"},
		{"of_all_clusters", []*adminv1.Explanation{missingKey("west", 20), missingKey("east", 20)}, true,
			"✗ Kustomization flux-system/infra on east, west: 2 of 20 clusters, for -: DecryptionFailed\n    no key\n"},
		{"suspended_and_wrong", []*adminv1.Explanation{wrong, paused}, true,
			"✗ Fleet prod, for -: PathNotFound\n    no such path\n    → Push it\n‖ Cluster east, for -: Suspended\n    " +
				"Suspended by an operator\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := explain(&printer{out: &out}, nil, &adminv1.ExplainResponse{Explanations: c.list})
			if errors.Is(err, errReported) != c.reported || out.String() != c.want {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

// TestExplain_affects names whom a cause affects: the first objects, and their clusters unless they are those of the
// cause. Cluster and Fleet are not counted as objects of their own.
func TestExplain_affects(t *testing.T) {
	on := func(cluster, kind, name string) *adminv1.ObjectKey {
		k := &adminv1.ObjectKey{Cluster: cluster, Kind: kind, Name: name}
		if cluster != "" {
			k.Namespace = "flux-system"
		}
		return k
	}
	infra := func(cluster string) *adminv1.Explanation {
		e := missingKey(cluster, 20)
		e.Affects = []*adminv1.ObjectKey{on("", "Cluster", cluster), on("", "Fleet", "prod"),
			on(cluster, "Kustomization", "apps")}
		return e
	}
	source := &adminv1.Explanation{Object: on("", "GitRepository", "hub"), Reason: "GitOperationFailed"}
	for _, name := range []string{"east", "west"} {
		source.Affects = append(source.Affects, on("", "Cluster", name), on(name, "Kustomization", "b"),
			on(name, "Kustomization", "a"), on(name, "Kustomization", "c"), on(name, "Kustomization", "d"))
	}
	stale := &adminv1.Explanation{Object: on("", "GitRepository", "hub"), Affects: []*adminv1.ObjectKey{
		on("", "Cluster", "west"), on("", "Cluster", "east")}}
	only := missingKey("east", 20)
	only.Affects = []*adminv1.ObjectKey{on("", "Cluster", "east")}
	for name, c := range map[string]struct {
		list []*adminv1.Explanation
		want string
	}{
		"clusters": {[]*adminv1.Explanation{infra("west"), infra("east")}, "✗ Kustomization flux-system/infra on east, west: 2 " +
			"of 20 clusters, for -: DecryptionFailed\n    no key\n    affects Kustomization flux-system/apps, Fleet prod\n"},
		"source": {[]*adminv1.Explanation{source}, "✗ GitRepository hub, for -: GitOperationFailed\n    affects Kustomization " +
			"flux-system/a, Kustomization flux-system/b, Kustomization flux-system/c, and 1 more on east, west: 2 of 30 " +
			"clusters\n"},
		"stale": {[]*adminv1.Explanation{stale}, "✗ GitRepository hub, for -: \n    affects Cluster east, west\n"},
		"alone": {[]*adminv1.Explanation{only}, "✗ Kustomization flux-system/infra on east, for -: DecryptionFailed\n    no key\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			answer := &adminv1.ExplainResponse{Explanations: c.list, OfClusters: 30}
			if err := explain(&printer{out: &out}, nil, answer); !errors.Is(err, errReported) || out.String() != c.want {
				t.Errorf("%v, got\n%swant\n%s", err, out.String(), c.want)
			}
		})
	}
	if got := explanationOf(infra("east")).Affects; len(got) != 3 || got[2].Name != "apps" || got[2].Cluster != "east" {
		t.Errorf("as JSON: %v", got)
	}
}

// failedChart explains a release whose chart failed. The advice has a command for its cluster.
func failedChart(cluster string) *adminv1.Explanation {
	return &adminv1.Explanation{Object: &adminv1.ObjectKey{Cluster: cluster, Kind: "HelmRelease", Namespace: "apps",
		Name: "web"}, Reason: "SourceNotReady", Advice: "Run: nave describe helmchart web --cluster " + cluster + " to see"}
}

// TestExplain_causes prints one entry for each cause that the hub names, whatever the clusters and the texts are, and
// cuts long lists unless all is asked for.
func TestExplain_causes(t *testing.T) {
	on := func(cause, cluster, kind, name, message string) *adminv1.Explanation {
		return &adminv1.Explanation{Cause: cause, Reason: "Failed", Message: message, Clusters: 4, Object: &adminv1.ObjectKey{
			Cluster: cluster, Kind: kind, Namespace: "apps", Name: name}}
	}
	var offline, base []*adminv1.Explanation
	for i := range 9 {
		cluster := fmt.Sprint("c", i)
		offline = append(offline, &adminv1.Explanation{Cause: "offline", Reason: "Offline", Message: "last heard from at " +
			cluster, Object: &adminv1.ObjectKey{Kind: "Cluster", Name: cluster}, Advice: "Run: nave logs --cluster " + cluster})
	}
	for _, name := range []string{"a", "b"} {
		base = append(base, on("base", "east", "Kustomization", name, "no such host"))
	}
	for _, c := range []struct {
		name string
		list []*adminv1.Explanation
		all  bool
		want string
	}{
		{"texts_differ", []*adminv1.Explanation{on("web", "east", "Kustomization", "app", "0 of 2"),
			on("web", "west", "Kustomization", "app", "1 of 2"), on("web", "lab", "Kustomization", "app", "0 of 2")}, false,
			"✗ Kustomization apps/app on east, lab, west: 3 of 4 clusters, for -: Failed\n    east, lab: 0 of 2\n" +
				"    west: 1 of 2\n"},
		{"two_objects_of_one", []*adminv1.Explanation{on("web", "east", "Kustomization", "app", "web"),
			on("api", "east", "Kustomization", "app", "api")}, false, "✗ Kustomization apps/app on east, for -: Failed\n    " +
			"web\n✗ Kustomization apps/app on east, for -: Failed\n    api\n"},
		{"remote_base", base, false, "✗ Kustomization apps/a, Kustomization apps/b on east, for -: Failed\n    no such host\n"},
		{"clusters", offline, false, "✗ Cluster c0, c1, c2, c3, c4, and 4 more: 9 of 20 clusters, for -: Offline\n" +
			"    c0: last heard from at c0\n    c1: last heard from at c1\n    c2: last heard from at c2\n" +
			"    and 6 more: -o wide shows all\n    → Run: nave logs --cluster CLUSTER\n"},
		{"all", offline[:6], true, "✗ Cluster c0, c1, c2, c3, c4, c5: 6 of 20 clusters, for -: Offline\n" +
			"    c0: last heard from at c0\n    c1: last heard from at c1\n    c2: last heard from at c2\n" +
			"    c3: last heard from at c3\n    c4: last heard from at c4\n    c5: last heard from at c5\n" +
			"    → Run: nave logs --cluster CLUSTER\n"},
		{"one_cluster", offline[:1], false, "✗ Cluster c0, for -: Offline\n    last heard from at c0\n" +
			"    → Run: nave logs --cluster c0\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			printExplanations(&out, &adminv1.ExplainResponse{Explanations: c.list, OfClusters: 20}, false, c.all)
			if out.String() != c.want {
				t.Errorf("got\n%swant\n%s", out.String(), c.want)
			}
		})
	}
}
