package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// pin gives the release a pin, or ends it, and waits until the spoke reports so.
func (w *helmWorld) pin(revision uint32) *spokev1.ApplicationReport {
	w.t.Helper()
	w.entry.PinnedRevision = revision
	w.send()
	w.eventually(fmt.Sprint("the pin to revision ", revision), func() error {
		if r := w.told.of("web"); r.GetRelease().GetPinnedRevision() != revision || r.GetRelease().GetAction() != "" {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	return w.told.of("web")
}

func (w *helmWorld) greets(want string) {
	w.t.Helper()
	w.eventually("the greeting "+want, func() error {
		if got := w.field("ConfigMap", "config", "data", "greeting"); got != want {
			return errors.New(got)
		}
		return nil
	})
}

// TestRelease_pinned rolls a release back and keeps it there, whatever Git, drift, helm and a restart do. Drift is
// repaired as the release says, to what the revision has.
func TestRelease_pinned(t *testing.T) {
	w := newHelmWorld(t)
	greeting := func(text string) { w.render(strings.ReplaceAll(lifeWeb, "greeting: one", "greeting: "+text)) }
	for _, text := range []string{"one", "two"} {
		greeting(text)
		w.send()
		w.expect(condition.True, condition.ReconciliationSucceeded)
	}
	w.pin(1)
	r := w.expect(condition.Unknown, condition.Pinned)
	w.greets("one")
	w.same("history", historyOf(r), "3 deployed web@1.2.3, 2 superseded web@1.2.3, 1 superseded web@1.2.3")
	w.same("description", r.Release.History[0].Description, "Rollback to 1")
	w.same("applied", fmt.Sprint(r.AppliedRevision), "")
	w.helm("history web", "Rollback to 1")

	greeting("three")
	w.app.DependsOn = []bundle.ApplicationName{{Kind: "Kustomization", Namespace: w.app.Name.Namespace, Name: "gone"}}
	w.send()
	w.expect(condition.Unknown, condition.Pinned)
	w.hackPinned()
	w.stop()
	w.helm("rollback web 2")
	w.start()
	w.send()
	w.greets("one")
	r = w.expect(condition.Unknown, condition.Pinned)
	w.same("newest", fmt.Sprint(r.Release.History[0].Revision, " ", r.Release.History[0].Description), "5 Rollback to 1")

	w.app.DependsOn = nil
	w.pin(0)
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.greets("three")
	w.same("conditions", conditionsOf(r), "Released=True UpgradeSucceeded")
	w.app.Release.Upgrade.Timeout = time.Second
	w.render(lifeWeb + lifeIll)
	w.send()
	w.expect(condition.False, condition.RetriesExceeded)
	w.pin(6)
	w.greets("three")
	w.entry.PinnedRevision = 99
	w.send()
	w.expect(condition.False, condition.MissingRollbackTarget)
	w.greets("three")
}

// hackPinned edits an object of a pinned release, in each mode of drift. The last one ignores it.
func (w *helmWorld) hackPinned() {
	w.t.Helper()
	for i, c := range []struct {
		mode bundle.DriftMode
		want string
	}{{bundle.CorrectDrift, "one"}, {bundle.WarnOfDrift, "hacked"}, {bundle.CorrectDrift, "one"},
		{bundle.IgnoreDrift, "hacked"}} {
		w.entry.Drift = c.mode
		w.send()
		w.must(w.cluster.Edit(w.t.Context(), "ConfigMap", w.app.Name.Namespace, "config", `{"data":{"greeting":"hacked"}}`))
		if c.mode == bundle.CorrectDrift {
			w.greets(c.want) // without a request
		}
		w.entry.RequestedAt = fmt.Sprint("request ", i)
		w.send()
		w.eventually("the request", func() error {
			r := w.told.of("web")
			left := slices.ContainsFunc(r.GetDrifts(), func(d *spokev1.DriftReport) bool { return !d.Repaired })
			if r.HandledRequest != w.entry.RequestedAt || r.Reason != condition.Pinned ||
				left != (c.mode == bundle.WarnOfDrift) {
				return fmt.Errorf("%v", r)
			}
			return nil
		})
		w.greets(c.want)
		w.same("newest", fmt.Sprint(w.told.of("web").Release.History[0].Revision), "3")
	}
}

// TestRelease_pinned_deleted stays at the revision of a pin whose record is deleted, and returns there once.
func TestRelease_pinned_deleted(t *testing.T) {
	w := newHelmWorld(t)
	for _, text := range []string{"one", "two"} {
		w.render(strings.ReplaceAll(lifeConfig, "greeting: one", "greeting: "+text))
		w.send()
		w.expect(condition.True, condition.ReconciliationSucceeded)
	}
	w.pin(1)
	w.must(w.cluster.Delete(t.Context(), "Secret", w.app.Name.Namespace, "sh.helm.release.v1.web.v1"))
	w.helm("rollback web 2")
	for _, request := range []string{"a", "b"} {
		w.entry.RequestedAt = request
		w.send()
		w.eventually("the request", func() error {
			if r := w.told.of("web"); r.HandledRequest != request || r.Reason != condition.Pinned {
				return fmt.Errorf("%v", r)
			}
			return nil
		})
	}
	w.greets("one")
	newest := w.told.of("web").Release.History[0]
	w.same("newest", fmt.Sprint(newest.Revision, " ", newest.Description), "5 Rollback to 1")
}

// TestRelease_question tells the newest revision of a release, also of one that is not an application's, and that there
// is none.
func TestRelease_question(t *testing.T) {
	w := newHelmWorld(t)
	w.render(lifeWeb)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.helm("rollback web 1")
	reader := bundle.ApplicationName{Kind: "HelmRelease", Namespace: w.app.Name.Namespace, Name: "other"}
	web := bundle.ReleaseQuestion(reader, "", "web", w.app.Release.StorageNamespace)
	none := bundle.ReleaseQuestion(reader, "", "none", w.app.Release.StorageNamespace)
	denied := bundle.ReleaseQuestion(reader, "nobody", "web", w.app.Release.StorageNamespace)
	w.asked = []bundle.ShapeQuestion{web, none, denied}
	slices.SortFunc(w.asked, bundle.CompareQuestions)
	w.send()
	w.eventually("the answers", func() error {
		a, b, c := w.hub.answer(web), w.hub.answer(none), w.hub.answer(denied)
		revision, status, err := bundle.ReadReleaseAnswer(a.GetShape())
		if revision != 2 || status != "deployed" || b == nil || len(b.Shape) > 0 || b.Problem != "" || c.GetProblem() == "" {
			return fmt.Errorf("%d %s %w, %v, %v", revision, status, err, b, c)
		}
		return nil
	})
}
