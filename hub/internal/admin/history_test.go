package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// past puts releases of cluster a into the store, each of one application with another interval, and the last one as
// its present release.
func (r *rig) past(count int) {
	r.t.Helper()
	r.apply(clusterA)
	for i := range count {
		name := kustomizationKey("a", "app").Application()
		data, err := (&bundle.Application{Name: name, Interval: time.Duration(i+1) * time.Minute}).Encode()
		must(r.t, err)
		digest, err := r.store.Blobs().Put(r.t.Context(), data)
		must(r.t, err)
		entry := store.EntryOf("all", bundle.Entry{Name: name, Digest: digest, Revision: "main@sha1:" + string('a'+rune(i))})
		past := store.Past{Bundle: bundle.ID{Epoch: 1, Sequence: uint64(i + 1)}, Applications: []store.Content{entry.Content}}
		must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
			if err := store.History.Put(tx, store.PastKey("a", past.Bundle), past); err != nil {
				return err
			}
			return store.Releases.Put(tx, "a", store.Release{Applications: []store.Entry{entry}})
		}))
	}
}

// pin returns the pin of cluster a.
func (r *rig) pin() (pin store.Pin, pinned bool) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) (err error) {
		pin, pinned, err = store.Pins.Get(tx, "a")
		return err
	}))
	return pin, pinned
}

// TestRollback lists the history of a cluster, pins the cluster to the release before, and releases it.
func TestRollback(t *testing.T) {
	r := newRig(t)
	r.past(3)
	history, err := r.History(t.Context(), &adminv1.HistoryRequest{Cluster: "a"})
	must(t, err)
	list := history.GetReleases()
	if len(list) != 3 || list[0].GetSequence() != 3 || !list[0].GetCurrent() || list[1].GetCurrent() ||
		strings.Join(list[0].GetChanges(), ",") != "Kustomization flux-system/app changed (main@sha1:c)" ||
		len(list[2].GetChanges()) != 0 || history.GetPin() != nil {
		t.Errorf("history %v", history)
	}
	answer, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
	must(t, err)
	pin, pinned := r.pin()
	if answer.GetSequence() != 2 || !pinned || pin.Bundle.Sequence != 2 || !strings.HasSuffix(pin.By, "/operator/admin") {
		t.Errorf("answer %v, pin %+v", answer, pin)
	}
	history, err = r.History(t.Context(), &adminv1.HistoryRequest{Cluster: "a"})
	must(t, err)
	if by := history.GetPin().GetBy(); by != "admin" {
		t.Errorf("pinned by %q", by)
	}
	// as package publish does with the pin
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Releases.Put(tx, "a", store.Release{Applications: []store.Entry{{Content: pin.Applications[0]}}})
	}))
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
	wantCode(t, err, codes.AlreadyExists, "pinned to bundle 2 already", "nave rollback a --to")
	if again, _ := r.pin(); again.Bundle.Sequence != 2 {
		t.Errorf("a second rollback pinned the cluster to bundle %d", again.Bundle.Sequence)
	}
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: 1})
	must(t, err)
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: 2})
	must(t, err)
	explained, err := r.Explain(t.Context(), &adminv1.ExplainRequest{Key: &adminv1.ObjectKey{Kind: api.ClusterKind,
		Name: "a"}})
	must(t, err)
	if text := explained.String(); !strings.Contains(text, condition.Pinned) || !strings.Contains(text, "nave release a") {
		t.Errorf("explained: %s", text)
	}
	object, err := r.Get(t.Context(), &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: api.ClusterKind, Name: "a"}})
	must(t, err)
	if text := string(object.GetObject().GetJson()); !strings.Contains(text, `"pinned":{`) ||
		!strings.Contains(text, `"by":"admin"`) {
		t.Errorf("the Cluster is %s", text)
	}
	_, err = r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
	must(t, err)
	if _, pinned := r.pin(); pinned {
		t.Error("the cluster is still pinned")
	}
	r.expectEvents(api.ClusterKey("a"), "Pinned: pinned to the applications of bundle 2 by admin",
		"PinEnded: released by admin")
}

// expectEvents wants events of an object.
func (r *rig) expectEvents(of api.Key, want ...string) {
	r.t.Helper()
	answer, err := r.ListEvents(r.t.Context(), &adminv1.ListEventsRequest{Key: fold.KeyMessage(of)})
	must(r.t, err)
	var got []string
	for _, e := range answer.GetEvents() {
		got = append(got, e.GetReason()+": "+e.GetMessage())
	}
	for _, event := range want {
		if !slices.Contains(got, event) {
			r.t.Errorf("no event %q of %s: %q", event, of, got)
		}
	}
}

// TestRollback_replaces tells which bundle the next one replaces, if there must be a next one, and when a pin ended.
func TestRollback_replaces(t *testing.T) {
	r := newRig(t)
	r.past(3)
	publish := func() { // as package publish does
		must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
			h, err := readHistory(tx, "a")
			must(t, err)
			if h.pin != nil {
				entry := store.Entry{Content: h.pin.Applications[0], Control: store.Control{KeepsObjects: true}}
				must(t, store.Releases.Put(tx, "a", store.Release{Applications: []store.Entry{entry}}))
			}
			return store.SignedBundles.Put(tx, "a", store.SignedBundle{Bundle: bundle.ID{Epoch: 1, Sequence: 7}})
		}))
	}
	rollBack := func(to uint64) uint64 {
		answer, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: to})
		must(t, err)
		return answer.GetReplaces()
	}
	publish()
	if got := rollBack(3); got != 7 {
		t.Errorf("a pin to what the cluster has replaces bundle %d, want 7: the next one keeps objects", got)
	}
	publish()
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		h, err := readHistory(tx, "a")
		must(t, err)
		again := h.past[0]
		again.Bundle.Sequence = 5
		return store.History.Put(tx, store.PastKey("a", again.Bundle), again)
	}))
	if got := rollBack(5); got != 0 {
		t.Errorf("a pin to an equal release replaces bundle %d, want none", got)
	}
	answer, err := r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
	must(t, err)
	if answer.GetReplaces() != 7 || answer.GetReleasedAt() == nil {
		t.Errorf("the end of a pin: %v", answer)
	}
}

// TestRollback_again pins a cluster twice to a release from before an application was added. The application stays, and
// nothing is left to release.
func TestRollback_again(t *testing.T) {
	r := newRig(t)
	r.past(2)
	pinTo := func(sequence uint64) (*adminv1.RollbackResponse, error) {
		return r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: sequence})
	}
	_, err := pinTo(1)
	must(t, err)
	pin, _ := r.pin()
	with, added := pin.Past, pin.Applications[0]
	added.Name.Name = "added"
	with.Applications = []store.Content{with.Applications[0], added}
	r.publish(store.Control{KeepsObjects: true}, with, 3)
	_, err = pinTo(1)
	wantCode(t, err, codes.AlreadyExists, "cluster a is pinned to bundle 1 already", "nave release a")
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.SignedBundles.Put(tx, "a", store.SignedBundle{Bundle: bundle.ID{Epoch: 1, Sequence: 3}})
	}))
	for sequence, want := range map[uint64]uint64{2: 3, 3: 0} {
		if answer, err := pinTo(sequence); err != nil || answer.GetReplaces() != want {
			t.Errorf("a pin to bundle %d replaces bundle %d, want %d: %v", sequence, answer.GetReplaces(), want, err)
		}
	}
}

// TestHistory_release lists the applications of one release, and of a rollback before it is done.
func TestHistory_release(t *testing.T) {
	r := newRig(t)
	r.past(2)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		h, err := readHistory(tx, "a")
		must(t, err)
		past := h.past[0]
		past.Bundle.Sequence = 3
		added := past.Applications[0]
		added.Name.Name, added.Revision = "added", "main@sha1:c"
		past.Applications = append([]store.Content{added}, past.Applications...)
		must(t, store.History.Put(tx, store.PastKey("a", past.Bundle), past))
		release := store.Release{}
		for _, content := range past.Applications {
			release.Applications = append(release.Applications, store.Entry{Content: content})
		}
		return store.Releases.Put(tx, "a", release)
	}))
	text := func(list []*adminv1.ReleasedApplication) (all string) {
		for _, a := range list {
			all += strings.ToLower(strings.TrimPrefix(a.GetChange().String(), "APPLICATION_CHANGE_")) + " " +
				a.GetKey().GetName() + " " + a.GetRevisionBefore() + ">" + a.GetRevision() + ";"
			if (a.GetRevision() == "") != (a.GetDigest() == "") || (a.GetRevisionBefore() == "") != (a.GetDigestBefore() == "") {
				t.Errorf("%v has a revision or a digest only", a)
			}
		}
		return all
	}
	for sequence, want := range map[uint64]string{
		3: "added added >main@sha1:c;same app main@sha1:b>main@sha1:b;",
		2: "changed app main@sha1:a>main@sha1:b;",
		1: "unspecified app >main@sha1:a;",
	} {
		answer, err := r.History(t.Context(), &adminv1.HistoryRequest{Cluster: "a", Sequence: sequence})
		must(t, err)
		if list := answer.GetReleases(); len(list) != 1 || text(list[0].GetListed()) != want {
			t.Errorf("release %d: %v, want %s", sequence, list, want)
		}
	}
	_, err := r.History(t.Context(), &adminv1.HistoryRequest{Cluster: "a", Sequence: 9})
	wantCode(t, err, codes.NotFound, "nave history a")
	for sequence, want := range map[uint64]string{
		0: "kept added main@sha1:c>;same app main@sha1:b>main@sha1:b;",
		1: "kept added main@sha1:c>;changed app main@sha1:b>main@sha1:a;",
	} {
		answer, err := r.PreviewRollback(t.Context(), &adminv1.PreviewRollbackRequest{Cluster: "a", Sequence: sequence})
		must(t, err)
		if got := text(answer.GetApplications()); got != want {
			t.Errorf("rollback to %d: %s, want %s", sequence, got, want)
		}
	}
	if _, pinned := r.pin(); pinned {
		t.Error("a preview pinned the cluster")
	}
}

// TestRollback_after_release takes a cluster back, releases it, and takes it back again before and after the release is
// made: the result is the same.
func TestRollback_after_release(t *testing.T) {
	for name, made := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.past(3)
			_, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
			must(t, err)
			good, _ := r.pin()
			bad := r.publish(store.Control{KeepsObjects: true}, good.Past, 4)
			_, err = r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
			must(t, err)
			if made {
				r.publish(store.Control{}, bad, 5)
			}
			_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
			must(t, err)
			if pin, _ := r.pin(); len(changesOf(good.Applications, pin.Applications)) != 0 {
				t.Errorf("pinned to bundle %d", pin.Bundle.Sequence)
			}
		})
	}
}

// TestRollback_left takes a cluster back, releases it after Git was reverted, and takes it back again: not to the
// release that the first rollback left.
func TestRollback_left(t *testing.T) {
	r := newRig(t)
	r.past(3)
	_, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
	must(t, err)
	good, _ := r.pin()
	left := r.publish(store.Control{KeepsObjects: true}, good.Past, 4)
	left.Left = true
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error { // as package publish does
		return store.History.Put(tx, store.PastKey("a", left.Bundle), left)
	}))
	_, err = r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
	must(t, err)
	r.publish(store.Control{}, good.Past, 5)
	answer, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
	must(t, err)
	if answer.GetSequence() != 1 {
		t.Errorf("pinned to bundle %d", answer.GetSequence())
	}
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: 3})
	must(t, err)
}

// TestRelease_left ends the pin of a cluster whose Cluster left Git for good.
func TestRelease_left(t *testing.T) {
	r := newRig(t)
	r.past(3)
	_, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
	must(t, err)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error { // as package plan does
		if err := store.Resources.Delete(tx, api.ClusterKey("a").Path()); err != nil {
			return err
		}
		return store.DeleteGraph(tx, "a")
	}))
	h, err := r.History(t.Context(), &adminv1.HistoryRequest{Cluster: "a"})
	must(t, err)
	if h.GetPin().GetSequence() != 2 {
		t.Errorf("history %v", h)
	}
	_, err = r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
	must(t, err)
	if _, pinned := r.pin(); pinned {
		t.Error("still pinned")
	}
	_, err = r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
	wantCode(t, err, codes.NotFound, "Cluster a not found")
}

// publish releases the Applications of a past release to cluster a, as package publish does, and returns the newest
// release before.
func (r *rig) publish(control store.Control, past store.Past, sequence uint64) (before store.Past) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		h, err := readHistory(tx, "a")
		must(r.t, err)
		before, past.Bundle.Sequence = h.past[0], sequence
		release := store.Release{}
		for _, content := range past.Applications {
			release.Applications = append(release.Applications, store.Entry{Content: content, Control: control})
		}
		must(r.t, store.History.Put(tx, store.PastKey("a", past.Bundle), past))
		return store.Releases.Put(tx, "a", release)
	}))
	return before
}

// TestHistory_same_applications lists two releases with the applications that the cluster has, as after a rollback.
func TestHistory_same_applications(t *testing.T) {
	r := newRig(t)
	r.past(2)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		newest, _, err := store.History.Get(tx, store.PastKey("a", bundle.ID{Epoch: 1, Sequence: 2}))
		must(t, err)
		newest.Bundle.Sequence = 4
		return store.History.Put(tx, store.PastKey("a", newest.Bundle), newest)
	}))
	history, err := r.History(t.Context(), &adminv1.HistoryRequest{Cluster: "a"})
	must(t, err)
	if list := history.GetReleases(); len(list) != 3 || !list[0].GetCurrent() || list[1].GetCurrent() {
		t.Errorf("history %v", history)
	}
}

// TestRollback_refused asks for rollbacks that are not possible.
func TestRollback_refused(t *testing.T) {
	r := newRig(t)
	r.past(1)
	_, err := r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a"})
	wantCode(t, err, codes.FailedPrecondition, "no other release")
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: 7})
	wantCode(t, err, codes.NotFound, "nave history a")
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "nobody"})
	wantCode(t, err, codes.NotFound)
	_, err = r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a"})
	wantCode(t, err, codes.AlreadyExists, "not pinned")

	lost := store.Past{Bundle: bundle.ID{Epoch: 1, Sequence: 9}, Applications: []store.Content{{
		Name: kustomizationKey("a", "app").Application(), Digest: manifest.DigestOf([]byte("lost"))}}}
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.History.Put(tx, store.PastKey("a", lost.Bundle), lost)
	}))
	_, err = r.Rollback(t.Context(), &adminv1.RollbackRequest{Cluster: "a", Sequence: 9})
	wantCode(t, err, codes.FailedPrecondition, "the hub has lost")
	if _, pinned := r.pin(); pinned {
		t.Error("a refused rollback pinned the cluster")
	}
}

// TestRelease_impact ends a pin after which an application and objects of another one go.
func TestRelease_impact(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	put := func(name string, objects ...string) store.Content {
		app := &bundle.Application{Name: kustomizationKey("a", name).Application(), Prune: true}
		for _, o := range objects {
			id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: o}
			app.Objects = append(app.Objects, bundle.ObjectReference{ObjectIdentity: id, Digest: manifest.DigestOf([]byte("x"))})
		}
		data, err := app.Encode()
		must(t, err)
		digest, err := r.store.Blobs().Put(t.Context(), data)
		must(t, err)
		return store.Content{Name: app.Name, Digest: digest, Revision: name}
	}
	old := []store.Content{put("app", "kept", "left", "moved"), put("shop", "one", "two")}
	now := []store.Content{put("app", "kept"), put("new", "moved")}
	write := func(change func(*store.Plan)) {
		plan, release := store.Plan{}, store.Release{}
		for i := range now {
			plan.Applications = append(plan.Applications, store.Entry{Content: now[i]})
			release.Applications = append(release.Applications, store.Entry{Content: old[i]})
		}
		change(&plan)
		must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
			must(t, store.Plans.Put(tx, "a", plan))
			must(t, store.Releases.Put(tx, "a", release))
			return store.Pins.Put(tx, "a", store.Pin{Past: store.Past{Applications: old}})
		}))
	}
	for _, c := range []struct {
		name, want, preview string
		change              func(*store.Plan)
	}{
		{"left", "a/shop 2; a/app 1 pruned ConfigMap default/left", "app CHANGED;new ADDED;shop REMOVED;",
			func(*store.Plan) {}},
		{"plan_incomplete", "a/app 1 pruned ConfigMap default/left", "app CHANGED;new ADDED;shop KEPT;",
			func(p *store.Plan) { p.Incomplete = true }},
		{"orphaned", "a/app 1 pruned ConfigMap default/left", "app CHANGED;new ADDED;shop KEPT;",
			func(p *store.Plan) { p.Removals = []bundle.Removal{{Name: old[1].Name, Policy: bundle.Orphan}} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(c.change)
			m, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Release{Release: "a"}})
			must(t, err)
			if got := outline(m); got != c.want {
				t.Errorf("goes: %s, want %s", got, c.want)
			}
			answer, err := r.PreviewRelease(t.Context(), &adminv1.PreviewReleaseRequest{Cluster: "a"})
			must(t, err)
			got := ""
			for _, a := range answer.GetApplications() {
				got += a.GetKey().GetName() + " " + strings.TrimPrefix(a.GetChange().String(), "APPLICATION_CHANGE_") + ";"
			}
			if got != c.preview {
				t.Errorf("preview: %s, want %s", got, c.preview)
			}
		})
	}
	_, err := r.AdminServiceClient.Release(t.Context(), &adminv1.ReleaseRequest{Cluster: "a", Digest: "other"})
	wantCode(t, err, codes.FailedPrecondition, "look at it again")
	if _, pinned := r.pin(); !pinned {
		t.Error("the pin ended although the operator saw another impact")
	}
}
