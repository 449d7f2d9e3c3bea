package kube

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
)

const (
	fluxLabels = `"kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system"`
	helmLabels = `"helm.toolkit.fluxcd.io/name":"apps","helm.toolkit.fluxcd.io/namespace":"flux-system"`
	ofFlux     = `{"f:metadata":{"f:labels":{"f:kustomize.toolkit.fluxcd.io/name":{},"f:kustomize.toolkit.fluxcd.io/namespace":{}}},"f:data":{"f:old":{}}}`
	ofHelm     = `{"f:metadata":{"f:labels":{"f:helm.toolkit.fluxcd.io/name":{},"f:helm.toolkit.fluxcd.io/namespace":{}}},"f:data":{"f:old":{}}}`
	ofArgo     = `{"f:metadata":{"f:annotations":{"f:argocd.argoproj.io/tracking-id":{}}},"f:data":{"f:old":{}}}`
	ofInstance = `{"f:metadata":{"f:labels":{"f:app.kubernetes.io/instance":{}}},"f:data":{"f:old":{}}}`
	unmarked   = `{"f:data":{"f:old":{}}}`

	releaseAnnotation = `","meta.helm.sh/release-name":"web` // after the value of another one
)

func managedBy(manager, operation, subresource, fields string) string {
	return `{"manager":"` + manager + `","operation":"` + operation + `","subresource":"` + subresource +
		`","fieldsType":"FieldsV1","fieldsV1":` + fields + `}`
}

func liveOf(t *testing.T, labels, tracking string, entries ...string) Live {
	t.Helper()
	l, err := readLive([]byte(`{"metadata":{"name":"a","namespace":"n","uid":"u","labels":{`+labels+
		`},"annotations":{"argocd.argoproj.io/tracking-id":"`+tracking+`"},"managedFields":[`+strings.Join(entries, ",")+
		`]}}`), configMaps, FieldManager, false)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPredecessors(t *testing.T) {
	apps := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	chart := bundle.ApplicationName{Kind: "HelmRelease", Namespace: "flux-system", Name: "apps"}
	other := bundle.ApplicationName{Kind: "Kustomization", Namespace: "team", Name: "apps"}
	flux := managedBy("kustomize-controller", "Apply", "", ofFlux)
	cli := managedBy("flux", "Apply", "", unmarked)
	helm := managedBy("helm-controller", "Update", "", ofHelm)
	argo := managedBy("argocd-controller", "Apply", "", ofArgo)
	instance := managedBy("argocd-controller", "Update", "", ofInstance)
	for name, c := range map[string]struct {
		labels, tracking string
		entries          []string
		app              bundle.ApplicationName
		want             []string
	}{
		"flux":                {fluxLabels, "", []string{flux}, apps, []string{"kustomize-controller"}},
		"flux_other_app":      {fluxLabels, "", []string{flux}, other, nil},
		"flux_other_kind":     {fluxLabels, "", []string{flux}, chart, nil},
		"flux_no_labels":      {"", "", []string{flux}, apps, nil},
		"flux_labels_not_its": {fluxLabels, "", []string{managedBy("kustomize-controller", "Apply", "", unmarked)}, apps, nil},
		"flux_status": {fluxLabels, "", []string{managedBy("kustomize-controller", "Update", "status", ofFlux)}, apps,
			nil},
		"another_manager":   {fluxLabels, "", []string{managedBy("someone", "Apply", "", ofFlux)}, apps, nil},
		"cli_with_flux":     {fluxLabels, "", []string{cli, flux}, apps, []string{"flux", "kustomize-controller"}},
		"cli_alone":         {fluxLabels, "", []string{cli}, apps, nil},
		"finalizer_of_flux": {fluxLabels, "", []string{managedBy("helm-controller", "Update", "", unmarked), flux}, apps, []string{"kustomize-controller"}},
		"helm":              {helmLabels, "", []string{helm}, chart, []string{"helm-controller"}},
		"helm_by_hand":      {"", releaseAnnotation, []string{managedBy("helm", "Update", "", unmarked)}, chart, []string{"helm"}},
		"helm_other_kind":   {"", releaseAnnotation, []string{managedBy("helm", "Update", "", unmarked)}, apps, nil},
		"helm_no_release":   {"", "", []string{managedBy("helm", "Update", "", unmarked)}, chart, nil},
		"helm_not_its_kind": {helmLabels, "", []string{helm}, apps, nil},
		"argo":              {"", "apps:/ConfigMap:n/a", []string{argo}, apps, []string{"argocd-controller"}},
		"argo_namespaced":   {"", "flux-system_apps:/ConfigMap:n/a", []string{argo}, apps, []string{"argocd-controller"}},
		"argo_other_place":  {"", "team_apps:/ConfigMap:n/a", []string{argo}, apps, nil},
		"argo_copy":         {"", "apps:/ConfigMap:n/original", []string{argo}, apps, nil},
		"argo_malformed":    {"", "apps", []string{argo}, apps, nil},
		"argo_instance":     {`"app.kubernetes.io/instance":"apps"`, "", []string{instance}, apps, []string{"argocd-controller"}},
		"instance_by_user":  {`"app.kubernetes.io/instance":"apps"`, "", []string{managedBy("argocd-controller", "Update", "", unmarked)}, apps, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := liveOf(t, c.labels, c.tracking, c.entries...)
			if got := (Takeover{Application: c.app}).Managers(l); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// Adopt moves the fields of the predecessor. Those of an autoscaler and of a controller at work stay with them.
func TestAdoptedFromFlux(t *testing.T) {
	scaler := managedBy("kube-controller-manager", "Update", "scale", `{"f:spec":{"f:replicas":{}}}`)
	finalizer := managedBy("kustomize-controller", "Update", "", `{"f:metadata":{"f:finalizers":{}}}`)
	edit := managedBy("kubectl-edit", "Update", "", `{"f:data":{"f:edited":{}}}`)
	ours := managedBy(FieldManager, "Apply", "", `{"f:data":{"f:new":{}}}`)
	l := liveOf(t, fluxLabels, "", ours, managedBy("kustomize-controller", "Apply", "", ofFlux), scaler, finalizer, edit)
	entries, err := adopted(l, FieldManager, Takeover{Application: bundle.ApplicationName{Kind: "Kustomization",
		Namespace: "flux-system", Name: "apps"}})
	if err != nil {
		t.Fatal(err)
	}
	var managers []string
	for _, e := range entries {
		managers = append(managers, e.Manager)
	}
	if want := []string{"kube-controller-manager", "kustomize-controller", "kubectl-edit", FieldManager}; !slices.Equal(
		managers, want) || entries[1].Operation != "Update" {
		t.Errorf("%v, want %v", managers, want)
	}
	want := hashFields(json.RawMessage(strings.Replace(ofFlux, `"f:old":{}`, `"f:old":{},"f:new":{}`, 1)))
	if got := entries[3].FieldsV1; hashFields(got.GetRawBytes()) != want {
		t.Errorf("fields %s", got)
	}
}

func TestTakeoverNothing(t *testing.T) {
	l := liveOf(t, fluxLabels, "", managedBy("kustomize-controller", "Apply", "", ofFlux),
		managedBy("kubectl", "Apply", "", unmarked))
	if got := (Takeover{}).Managers(l); got != nil {
		t.Errorf("%v", got)
	}
}
