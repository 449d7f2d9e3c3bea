package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

const fluxKind = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: helmreleases.helm.toolkit.fluxcd.io}
spec:
  group: helm.toolkit.fluxcd.io
  names: {kind: HelmRelease, listKind: HelmReleaseList, plural: helmreleases, singular: helmrelease}
  scope: Namespaced
  versions:
  - name: v2
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

const fluxRelease = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: $NS, finalizers: [finalizers.fluxcd.io]LABELS}
spec: {interval: 10m}
`

// rival gives the cluster Flux's object of the same name.
func (w *helmWorld) rival(labels string) {
	w.t.Helper()
	text := strings.NewReplacer("$NS", w.app.Name.Namespace, "LABELS", labels).Replace(fluxRelease)
	w.eventually("Flux's object", func() error { return w.cluster.Apply(w.t.Context(), []byte(text)) })
}

// installed lets the real helm install a chart with some objects as the release web.
func (w *helmWorld) installed(chart, objects string) {
	w.t.Helper()
	dir := w.t.TempDir()
	w.must(os.MkdirAll(filepath.Join(dir, "templates"), 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: "+chart+"\nversion: 1.0.0\n"),
		0o644))
	w.must(os.WriteFile(filepath.Join(dir, "templates", "all.yaml"),
		[]byte(strings.ReplaceAll(objects, ", namespace: $NS", "")), 0o644))
	w.helm("install web "+dir+" --wait", "STATUS: deployed")
}

// TestRelease_rival takes over a release that Flux manages: not before Flux's object is suspended. An object that the
// spoke gave the cluster itself is suspended by the spoke.
func TestRelease_rival(t *testing.T) {
	w := newHelmWorld(t)
	w.must(w.cluster.Apply(t.Context(), []byte(fluxKind)))
	w.rival("")
	w.installed("web", lifeWeb)
	w.render(strings.ReplaceAll(lifeWeb, "greeting: one", "greeting: two"))
	w.send()
	r := w.expect(condition.False, condition.ReleaseHeld)
	if want := "flux suspend helmrelease web --namespace " + w.app.Name.Namespace; !strings.Contains(r.Message, want) {
		t.Errorf("%q, want %q", r.Message, want)
	}
	w.same("greeting", w.field("ConfigMap", "config", "data", "greeting"), "one")
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v2", "kind"), "")

	w.must(w.cluster.Edit(t.Context(), "HelmRelease.helm.toolkit.fluxcd.io", w.app.Name.Namespace, "web",
		`{"spec":{"suspend":true}}`))
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.0.0")

	w.must(w.cluster.Edit(t.Context(), "HelmRelease.helm.toolkit.fluxcd.io", w.app.Name.Namespace, "web",
		`{"spec":{"suspend":null},"metadata":{"labels":{"fleet.nave.io/application":"Kustomization.apps.web"}}}`))
	w.render(lifeWeb)
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "3 deployed web@1.2.3, 2 superseded web@1.2.3, 1 superseded web@1.0.0")
	w.same("suspended", w.field("HelmRelease.helm.toolkit.fluxcd.io", "web", "spec", "suspend"), "true")

	// The release is as it should be, but Flux's object is resumed: it would not stay so.
	w.must(w.cluster.Edit(t.Context(), "HelmRelease.helm.toolkit.fluxcd.io", w.app.Name.Namespace, "web",
		`{"spec":{"suspend":null}}`))
	w.entry.RequestedAt = "now"
	w.send()
	w.eventually("the suspension", func() error {
		if got := w.field("HelmRelease.helm.toolkit.fluxcd.io", "web", "spec", "suspend"); got != "true" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v4", "kind"), "")
	w.must(w.cluster.Edit(t.Context(), "HelmRelease.helm.toolkit.fluxcd.io", w.app.Name.Namespace, "web",
		`{"metadata":{"finalizers":null}}`))
}

// TestRelease_foreign does not replace a release of another chart that helm installed.
func TestRelease_foreign(t *testing.T) {
	w := newHelmWorld(t)
	w.installed("shop", lifeWeb)
	uid := w.field("Deployment.apps", "web", "metadata", "uid")
	w.render(lifeWeb)
	w.send()
	r := w.expect(condition.False, condition.ReleaseHeld)
	if !strings.Contains(r.Message, "is of chart shop, not web") {
		t.Error(r.Message)
	}
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v1", "metadata", "labels", "status"), "deployed")

	w.app.Release.KeepOtherChart = true
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded shop@1.0.0")
	w.same("Deployment", w.field("Deployment.apps", "web", "metadata", "uid"), uid)
}

// TestRelease_renamed gives a large release another name: it stays until an operator confirms that it is uninstalled.
func TestRelease_renamed(t *testing.T) {
	w := newHelmWorld(t)
	text := lifeConfig
	for i := range 20 {
		text += "---\n" + hookNamed(fmt.Sprintf("config-%d", i))
	}
	w.render(text)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.app.Release.Name = "renamed"
	w.send()
	r := w.expect(condition.False, condition.PruneHeld)
	if !strings.Contains(r.Message, "/renamed, and was ") || !strings.Contains(r.Message, "nave confirm helmrelease web") {
		t.Error(r.Message)
	}
	w.same("held", fmt.Sprint(r.GetHeldPrune().GetTotal()), "21")
	w.same("object", w.field("ConfigMap", "config", "kind"), "ConfigMap")
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v1", "metadata", "labels", "status"), "deployed")

	var err error
	w.entry.ConfirmedPrune, err = manifest.DigestFromBytes(r.HeldPrune.Digest)
	w.must(err)
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "1 deployed web@1.2.3")
	w.same("old record", w.field("Secret", "sh.helm.release.v1.web.v1", "kind"), "")
	w.same("new record", w.field("Secret", "sh.helm.release.v1.renamed.v1", "metadata", "labels", "status"), "deployed")
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	if !slices.ContainsFunc(w.told.texts, func(s string) bool {
		return strings.HasPrefix(s, "UninstallSucceeded: Helm uninstall succeeded for release ") &&
			strings.Contains(s, "/web: ") && strings.Contains(s, " deleted (")
	}) {
		t.Errorf("no event of the uninstall among %q", w.told.texts)
	}
}
