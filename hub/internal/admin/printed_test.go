package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// specs has the spec of one object of each kind that operators apply.
var specs = map[string]string{
	"Cluster":           `{vars: {domain: a.example.com}}`,
	"Fleet":             `{clusterSelector: {}, template: {spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: a}}}}`,
	"GitRepository":     `{interval: 1m, url: "https://git.example.com/a.git", ref: {branch: main}}`,
	"OCIRepository":     `{interval: 1m, url: "oci://example.com/a", ref: {tag: latest}}`,
	"Bucket":            `{interval: 1m, bucketName: a, endpoint: s3.example.com}`,
	"HelmRepository":    `{interval: 1m, url: "https://charts.example.com"}`,
	"ImageRepository":   `{interval: 1m, image: example.com/a}`,
	"HelmChart":         `{interval: 1m, chart: a, sourceRef: {kind: HelmRepository, name: a}}`,
	"ArtifactGenerator": `{sources: [{alias: a, kind: GitRepository, name: a}], artifacts: [{name: b, copy: [{from: "@a/**", to: "@artifact/"}]}]}`,
	"Kustomization":     `{interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: a}}`,
	"ImagePolicy":       `{imageRepositoryRef: {name: a}, policy: {semver: {range: 1.x}}}`,
	"HelmRelease":       `{interval: 1m, chart: {spec: {chart: a, sourceRef: {kind: HelmRepository, name: a}}}}`,

	"ImageUpdateAutomation": `{interval: 1m, sourceRef: {kind: GitRepository, name: a}, git: {commit: {author: {email: a@b}}}}`,
}

// printed returns an object as nave get prints it.
func (r *rig) printed(key api.Key) (document string) {
	r.t.Helper()
	var object map[string]any
	answer, err := r.Get(r.t.Context(), &adminv1.GetRequest{Key: &adminv1.ObjectKey{Cluster: key.Cluster, Kind: key.Kind,
		Namespace: key.Namespace, Name: key.Name}})
	must(r.t, err)
	must(r.t, json.Unmarshal(answer.Object.Json, &object))
	if key.Cluster != "" {
		object["status"].(map[string]any)["cluster"] = key.Cluster
	}
	text, err := yaml.Marshal(object)
	must(r.t, err)
	return string(text)
}

// TestApply_printed applies an object of each kind as it is printed: it stays as it is, also if an operator suspended
// it or asked for its reconciliation.
func TestApply_printed(t *testing.T) {
	for _, kind := range api.Kinds() {
		if !kind.Supported() || kind.Derived || kind.Name == "ExternalArtifact" { // which nobody applies
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			r := newRig(t)
			key := api.Key{Kind: kind.Name, Name: "a"}
			if kind.Namespaced {
				key.Namespace = "flux-system"
			}
			text := fmt.Sprintf("apiVersion: %s/%s\nkind: %s\nmetadata: {name: a}\nspec: %s\n", kind.Group, kind.Version,
				kind.Name, specs[kind.Name])
			if kind.Role == api.CredentialRole {
				text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: b}\n"
			}
			r.apply(text)
			want := "[" + kind.Name + "/a unchanged]"
			if got := fmt.Sprint(r.apply(r.printed(key))); got != want {
				t.Errorf("applied %s", got)
			}
			if kind.Role == api.CredentialRole {
				return
			}
			named := &adminv1.ObjectKey{Kind: kind.Name, Name: "a"}
			if kind.Name != "Cluster" && kind.Name != "Fleet" {
				_, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: named})
				must(t, err)
			}
			_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: named, StopRepair: kind.Name == "Cluster"})
			must(t, err)
			if got := fmt.Sprint(r.apply(r.printed(key))); got != want {
				t.Errorf("suspended: applied %s", got)
			}
			changed := strings.Replace(r.printed(key), "  name: a\n", "  name: a\n  labels: {b: c}\n", 1)
			r.apply(changed)
			if _, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: named}); err != nil {
				t.Errorf("the suspension went into the object: %v", err)
			}
			if row, _ := r.resource(key); row.Object.Labels()["b"] != "c" || row.IsSuspended() {
				t.Errorf("stored %s", row.Object.JSON)
			}
		})
	}
}

// TestApply_printed_elsewhere refuses what is printed of a cluster's graph, and of Git, with the place where it is
// changed.
func TestApply_printed_elsewhere(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	root := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	app := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	const spec = `"spec":{"interval":"1m","path":"./clusters/a","prune":true,` +
		`"sourceRef":{"kind":"GitRepository","name":"fleet"}}}`
	const head = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":`
	r.put(store.Resource{Key: root}, head+`"root","namespace":"flux-system"},`+spec)
	r.put(store.Resource{Key: app, Owner: &root}, head+`"app","namespace":"flux-system"},`+spec)
	for name, want := range map[string]string{"app": "comes from Kustomization flux-system/root on a and can only be " +
		"changed there: change it in Git, in GitRepository flux-system/fleet", "root": "is of the graph of a cluster"} {
		key := app
		key.Name = name
		manifest := []byte(r.printed(key))
		_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: manifest})
		wantCode(t, err, codes.FailedPrecondition, want)
		_, err = r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: manifest}})
		wantCode(t, err, codes.FailedPrecondition, want)
	}
	if _, there := r.resource(app.In("")); there {
		t.Error("the hub got the object")
	}
	secret := strings.Replace(credentialsYAML, "stringData", "data: {}\nother", 1)
	_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(secret)})
	wantCode(t, err, codes.InvalidArgument, "0 bytes of data")
	secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {fleet.nave.io/keys: a}}\n"
	_, err = r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(secret)})
	wantCode(t, err, codes.InvalidArgument, "nave get never prints it: apply the Secret from")
}
