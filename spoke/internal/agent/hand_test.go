package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// reconcile asks for a reconciliation, and waits until the history of the release is as it should be.
func (w *helmWorld) reconcile(history string) {
	w.t.Helper()
	w.entry.RequestedAt += "again"
	w.send()
	w.eventually(history, func() error {
		r := w.told.of("web")
		if got := historyOf(r); got != history || r.HandledRequest != w.entry.RequestedAt || r.Ready != condition.True {
			return fmt.Errorf("%s: %v", got, r)
		}
		return nil
	})
}

// TestRelease_by_hand uninstalls, rolls back and upgrades a release with helm while the spoke runs. What Git says comes
// back with the next reconciliation, as a new revision.
func TestRelease_by_hand(t *testing.T) {
	w := newHelmWorld(t)
	w.entry.Drift = bundle.IgnoreDrift
	w.render(lifeConfig)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.helm("uninstall web", `release "web" uninstalled`)
	w.reconcile("1 deployed web@1.2.3")
	w.same("installed again", w.field("ConfigMap", "config", "data", "greeting"), "one")

	w.render(strings.ReplaceAll(lifeConfig, "one", "two"))
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.helm("rollback web 1", "Rollback was a success")
	w.same("by helm", w.field("ConfigMap", "config", "data", "greeting"), "one")
	w.reconcile("4 deployed web@1.2.3, 3 superseded web@1.2.3, 2 superseded web@1.2.3, 1 superseded web@1.2.3")
	w.same("back again", w.field("ConfigMap", "config", "data", "greeting"), "two")

	dir := t.TempDir()
	w.must(os.MkdirAll(filepath.Join(dir, "templates"), 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: other\nversion: 9.0.0\n"), 0o644))
	w.must(os.WriteFile(filepath.Join(dir, "templates", "all.yaml"), []byte(strings.NewReplacer(", namespace: $NS", "",
		"one", "three").Replace(lifeConfig+"---\n"+hookNamed("more"))), 0o644))
	w.helm("upgrade web "+dir, "STATUS: deployed")
	w.reconcile("6 deployed web@1.2.3, 5 superseded other@9.0.0, 4 superseded web@1.2.3, 3 superseded web@1.2.3, " +
		"2 superseded web@1.2.3")
	w.same("upgraded back", w.field("ConfigMap", "config", "data", "greeting"), "two")
	w.same("of the other chart", w.field("ConfigMap", "more", "kind"), "")
}

// loseDisk gives the next agent an empty disk, and forgets what the last one reported.
func (w *helmWorld) loseDisk() {
	w.t.Helper()
	w.stop()
	w.dir = w.t.TempDir()
	w.told.mu.Lock()
	clear(w.told.latest)
	w.told.mu.Unlock()
	w.start()
}

// TestRelease_lost_disk takes the disk of the spoke away: nothing is installed, upgraded or run again, and the release
// is uninstalled when it leaves.
func TestRelease_lost_disk(t *testing.T) {
	w := newHelmWorld(t)
	w.render(lifeWeb)
	w.hook(hookNamed("before"), nil, bundle.PreInstall, bundle.PreUpgrade)
	w.hook(hookNamed("last"), nil, bundle.PreDelete)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	hook := w.field("ConfigMap", "before", "metadata", "uid")
	version := w.field("Deployment.apps", "web", "metadata", "generation")
	w.loseDisk()
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.reconcile("1 deployed web@1.2.3")
	w.same("hook", w.field("ConfigMap", "before", "metadata", "uid"), hook)
	w.same("generation", w.field("Deployment.apps", "web", "metadata", "generation"), version)

	w.render(strings.ReplaceAll(lifeWeb, "greeting: one", "greeting: two"))
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
	w.loseDisk()
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.gone = true
	w.send()
	w.awaitRemoval()
	w.same("object", w.field("ConfigMap", "config", "kind"), "")
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v2", "kind"), "")
	w.same("hook of the uninstall", w.field("ConfigMap", "last", "kind"), "ConfigMap")
}

const lifeJob = `apiVersion: batch/v1
kind: Job
metadata: {name: NAME, namespace: $NS}
spec: {backoffLimit: 0, MORE, template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}
`

func jobNamed(name, more string) string {
	return strings.NewReplacer("NAME", name, "MORE", more).Replace(lifeJob)
}

// TestRelease_jobs runs hooks that are Jobs, by the real controller of Jobs: one that completes and is deleted, and one
// that fails and stops the upgrade.
func TestRelease_jobs(t *testing.T) {
	w := newHelmWorld(t)
	w.app.Release.Upgrade.Remediation.RemediateLastFailure = true
	w.render(lifeConfig)
	w.hook(jobNamed("before", "completions: 2"), nil, bundle.PreInstall)
	w.hook(jobNamed("after", "completions: 1"), []string{bundle.HookSucceeded}, bundle.PostInstall)
	w.hook(jobNamed("ill", "activeDeadlineSeconds: 1, completions: 1000"), []string{bundle.HookFailed}, bundle.PreUpgrade)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("completed", w.field("Job.batch", "before", "status", "succeeded"), "2")
	w.same("deleted", w.field("Job.batch", "after", "kind"), "")
	w.same("another event", w.field("Job.batch", "ill", "kind"), "")

	w.render(strings.ReplaceAll(lifeConfig, "one", "two"))
	w.send()
	r := w.expect(condition.False, condition.RetriesExceeded)
	if !strings.Contains(r.Message, "pre-upgrade hooks: hook Job.batch "+w.app.Name.Namespace+"/ill: DeadlineExceeded: ") {
		t.Error(r.Message)
	}
	w.same("history", historyOf(r), "3 deployed web@1.2.3, 2 failed web@1.2.3, 1 superseded web@1.2.3")
	w.same("not upgraded", w.field("ConfigMap", "config", "data", "greeting"), "one")
	w.same("deleted after the failure", w.field("Job.batch", "ill", "kind"), "")
}

// TestRelease_pruned upgrades to a release that has lost most of its objects: they stay until an operator confirms.
func TestRelease_pruned(t *testing.T) {
	w := newHelmWorld(t)
	var lost string
	for i := range 20 {
		lost += "---\n" + hookNamed(fmt.Sprintf("lost-%d", i))
	}
	w.render(lifeConfig + lost)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.render(lifeConfig)
	w.send()
	r := w.expect(condition.False, condition.PruneHeld)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
	w.same("held", fmt.Sprint(r.GetHeldPrune().GetTotal()), "20")
	w.same("lost", w.field("ConfigMap", "lost-7", "kind"), "ConfigMap")
	var err error
	w.entry.ConfirmedPrune, err = manifest.DigestFromBytes(r.HeldPrune.Digest)
	w.must(err)
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("confirmed", w.field("ConfigMap", "lost-7", "kind"), "")
	w.same("no other revision", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
}

// TestRelease_limits holds what an option bounds: the number of records, the time of an uninstall, and a namespace that
// nobody wants created.
func TestRelease_limits(t *testing.T) {
	t.Run("history", func(t *testing.T) {
		w := newHelmWorld(t)
		w.app.Release.MaxHistory = 2
		for _, greeting := range []string{"one", "two", "three", "four"} {
			w.render(strings.ReplaceAll(lifeConfig, "one", greeting))
			w.send()
			w.expect(condition.True, condition.ReconciliationSucceeded)
		}
		w.same("history", historyOf(w.told.of("web")), "4 deployed web@1.2.3, 3 superseded web@1.2.3")
		w.same("older record", w.field("Secret", "sh.helm.release.v1.web.v2", "kind"), "")
		w.helm("history web", "3 ", "4 ")
	})
	t.Run("uninstall", func(t *testing.T) {
		w := newHelmWorld(t)
		w.app.Release.Uninstall.Timeout = 2 * time.Second
		w.render(strings.ReplaceAll(lifeConfig, "name: config", "finalizers: [example.com/never], name: config"))
		w.send()
		w.expect(condition.True, condition.ReconciliationSucceeded)
		w.gone = true
		w.send()
		w.eventually("the failure", func() error {
			if r := w.told.of("web"); r.GetReason() != condition.UninstallFailed || !strings.Contains(r.Message, "config") {
				return fmt.Errorf("%v", r)
			}
			return nil
		})
		w.same("record", w.field("Secret", "sh.helm.release.v1.web.v1", "metadata", "labels", "status"), "uninstalling")
		w.must(w.cluster.Edit(t.Context(), "ConfigMap", w.app.Name.Namespace, "config", `{"metadata":{"finalizers":null}}`))
	})
	t.Run("namespace", func(t *testing.T) {
		w := newHelmWorld(t)
		w.app.Release.Namespace, w.app.Release.CreateNamespace = w.app.Name.Namespace+"-other", false
		w.render(strings.ReplaceAll(lifeConfig, "$NS", "$NS-other"))
		w.send()
		r := w.expect(condition.False, condition.RetriesExceeded)
		if want := `namespaces "` + w.app.Release.Namespace + `" not found`; !strings.Contains(r.Message, want) {
			t.Error(r.Message)
		}
		w.app.Release.CreateNamespace = true
		w.entry.ResetRequestedAt = "now"
		w.send()
		w.expect(condition.True, condition.ReconciliationSucceeded)
		_, err := w.cluster.Get(t.Context(), "ConfigMap", w.app.Release.Namespace, "config")
		w.must(err)
	})
}

// TestRelease_foreign_hook has a hook that is an object of another application: it is neither deleted nor created.
func TestRelease_foreign_hook(t *testing.T) {
	w := newHelmWorld(t)
	shared := &bundle.Application{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: w.app.Name.Namespace,
		Name: "shared"}, Interval: time.Hour, Objects: w.references(hookNamed("shared"))}
	w.others = []*bundle.Application{shared}
	w.render(lifeConfig)
	w.hook(hookNamed("shared"), nil, bundle.PreUpgrade)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.eventually("the other application", func() error {
		if r := w.told.of("shared"); r.GetReady() != condition.True {
			return errors.New(r.GetMessage())
		}
		return nil
	})
	uid := w.field("ConfigMap", "shared", "metadata", "uid")
	w.render(strings.ReplaceAll(lifeConfig, "one", "two"))
	w.send()
	r := w.expect(condition.False, condition.RetriesExceeded)
	if !strings.Contains(r.Message, "/shared belongs to Kustomization ") {
		t.Error(r.Message)
	}
	w.same("the other's object", w.field("ConfigMap", "shared", "metadata", "uid"), uid)
}
