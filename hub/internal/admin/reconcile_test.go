package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func TestReconcile_with_source(t *testing.T) {
	r := newRig(t)
	r.apply(source + "---" + root + "---" + fleet)
	inCluster := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "web"}
	r.put(store.Resource{Key: inCluster},
		`{"metadata":{"namespace":"apps"},"spec":{"sourceRef":{"kind":"GitRepository","name":"web"}}}`)
	own := api.Key{Cluster: "a", Kind: "GitRepository", Namespace: "apps", Name: "web"}
	r.put(store.Resource{Key: own}, `{}`)
	hubs := api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	other := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "other"}
	r.put(store.Resource{Key: other},
		`{"metadata":{"namespace":"apps"},"spec":{"sourceRef":{"kind":"GitRepository","name":"fleet",
		"namespace":"flux-system"}}}`)
	r.fetchOnRequest("True", "")
	for _, c := range []struct {
		key  api.Key
		want api.Key
	}{
		{api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}, hubs},
		{api.Key{Kind: "Fleet", Name: "prod"}, hubs},
		{inCluster, own},
		{other, hubs}, // the cluster's graph has none of this name
	} {
		answer, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(c.key), WithSource: true})
		must(t, err)
		if got, _ := r.resource(c.key); got.RequestedAt != answer.RequestedAt || answer.RequestedAt == "" {
			t.Fatalf("%s: requested %q, answered %q", c.key, got.RequestedAt, answer.RequestedAt)
		}
		if got, _ := r.resource(c.want); got.RequestedAt != answer.RequestedAt {
			t.Fatalf("%s: source requested %q, answered %q", c.key, got.RequestedAt, answer.RequestedAt)
		}
		if answer.Source.String() != fold.KeyMessage(c.want).String() {
			t.Fatalf("%s: source is %v", c.key, answer.Source)
		}
	}
	_, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(hubs), WithSource: true})
	wantCode(t, err, codes.InvalidArgument, "has no source")
	automation := api.Key{Kind: api.ImageUpdateAutomationKind, Namespace: "flux-system", Name: "apps"}
	for name, want := range map[string]codes.Code{"fleet": codes.OK, "gone": codes.FailedPrecondition} {
		r.put(store.Resource{Key: automation}, `{"metadata":{"namespace":"flux-system"},"spec":{"interval":"1h","sourceRef":
			{"kind":"GitRepository","name":"`+name+`"},"git":{"commit":{"author":{"email":"a@example.com"}}}}}`)
		answer, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(automation), WithSource: true})
		if status.Code(err) != want || err == nil && answer.Source.String() != fold.KeyMessage(hubs).String() {
			t.Errorf("an automation of %s: source %v, %v", name, answer.GetSource(), err)
		}
	}
	r.put(store.Resource{Key: other},
		`{"metadata":{"namespace":"apps"},"spec":{"sourceRef":{"kind":"GitRepository","name":"gone"}}}`)
	_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(other), WithSource: true})
	wantCode(t, err, codes.FailedPrecondition, "GitRepository apps/gone")
	_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: &adminv1.ObjectKey{Kind: "ks", Name: "none"}})
	wantCode(t, err, codes.NotFound, "Kustomization flux-system/none")
}

// fetchOnRequest plays the fetch loop: whatever source is asked for was looked at, with this outcome.
func (r *rig) fetchOnRequest(ready, message string) {
	ctx := context.WithoutCancel(r.t.Context())
	w := r.store.Watch(ctx, store.Resources.Name())
	ended := make(chan struct{})
	r.t.Cleanup(func() {
		w.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for range w.C() {
			for _, change := range w.Take() {
				if err := r.store.Update(ctx, func(tx *store.Tx) error {
					row, there, err := store.Resources.Get(tx, change.Key)
					if err != nil || !there || row.Key.Kind != "GitRepository" {
						return err
					}
					return store.Conditions.Put(tx, change.Key,
						store.Condition{Ready: ready, Message: message, HandledRequest: row.RequestedAt})
				}); err != nil {
					r.t.Error(err)
				}
			}
		}
	}()
}

func TestReconcile_failing_source(t *testing.T) {
	r := newRig(t)
	r.apply(source + "---" + root)
	r.fetchOnRequest("False", "authentication required")
	key := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	_, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(key), WithSource: true})
	wantCode(t, err, codes.FailedPrecondition, "GitRepository flux-system/fleet: authentication required")
	if row, _ := r.resource(key); row.RequestedAt != "" {
		t.Fatalf("the object was asked for all the same, at %s", row.RequestedAt)
	}
}

func TestReconcile_suspended_source(t *testing.T) {
	key := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	sourceKey := api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	for name, c := range map[string]struct {
		then func(tx *store.Tx, row store.Resource) error // once the source was asked for
		want codes.Code
	}{
		"deleted": {func(tx *store.Tx, row store.Resource) error { return store.Resources.Delete(tx, row.Key.Path()) },
			codes.NotFound},
		"suspended": {func(tx *store.Tx, row store.Resource) error {
			row.Suspended = true
			return store.Resources.Put(tx, row.Key.Path(), row)
		}, codes.FailedPrecondition},
		"overtaken_by_a_later_request": {func(tx *store.Tx, row store.Resource) error {
			later := time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)
			row.RequestedAt = later
			return errors.Join(store.Resources.Put(tx, row.Key.Path(), row),
				store.Conditions.Put(tx, row.Key.Path(), store.Condition{Ready: "True", HandledRequest: later}))
		}, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.apply(source + "---" + root)
			w := r.store.Watch(t.Context(), store.Resources.Name())
			defer w.Close()
			ended := make(chan error, 1)
			go func() {
				_, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(key), WithSource: true})
				ended <- err
			}()
			<-w.C()
			must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
				row, _, err := store.Resources.Get(tx, sourceKey.Path())
				must(t, err)
				return c.then(tx, row)
			}))
			select {
			case err := <-ended:
				wantCode(t, err, c.want)
			case <-time.After(10 * time.Second):
				t.Fatal("still waiting")
			}
		})
	}
}

// TestReconcile_release notes requests to a release of Helm, and refuses them for others.
func TestReconcile_release(t *testing.T) {
	r := newPinRig(t)
	release := pinnedKey
	answer, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(release), Force: true,
		Test: true})
	must(t, err)
	at := answer.RequestedAt
	if got, _ := r.resource(release); got.RequestedAt != at ||
		got.Requests != (store.ReleaseRequests{Force: at, Test: at}) {
		t.Errorf("requested %q, %+v, answered %q", got.RequestedAt, got.Requests, at)
	}
	_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(release), ResetFailures: true})
	must(t, err)
	if got, _ := r.resource(release); got.Requests.Reset == "" || got.Requests.Force != at {
		t.Errorf("requested %+v", got.Requests)
	}
	r.apply(root + "---" + source)
	_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Test: true, Key: fold.KeyMessage(
		api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"})})
	wantCode(t, err, codes.InvalidArgument, "is no release of Helm")
	_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Force: true, Key: fold.KeyMessage(
		api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"})})
	wantCode(t, err, codes.InvalidArgument, "is no release of Helm")
}

// TestReconcile_test_not_installed refuses at once to test a release that no spoke has installed, says what to do, and
// notes no request. A release that is not as it should be is tested.
func TestReconcile_test_not_installed(t *testing.T) {
	r := newPinRig(t)
	for name, c := range map[string]struct {
		release *spokev1.ReleaseReport
		refused bool
	}{
		"never":       {&spokev1.ReleaseReport{}, true},
		"no_release":  {nil, true},
		"uninstalled": {&spokev1.ReleaseReport{History: []*spokev1.RevisionReport{{Revision: 2, Status: "uninstalled"}}}, true},
		"installing": {&spokev1.ReleaseReport{History: []*spokev1.RevisionReport{{Revision: 1,
			Status: "pending-install"}}}, false},
		"failed": {&spokev1.ReleaseReport{History: []*spokev1.RevisionReport{{Revision: 1, Status: "failed"}}}, false},
	} {
		r.report(c.release)
		before, _ := r.resource(pinnedKey)
		_, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(pinnedKey), Test: true})
		if !c.refused {
			must(t, err)
			continue
		}
		wantCode(t, err, codes.FailedPrecondition, "HelmRelease apps/web on a is not installed")
		if after, _ := r.resource(pinnedKey); after.Requests != before.Requests || after.RequestedAt != before.RequestedAt {
			t.Errorf("%s: requested %+v", name, after.Requests)
		}
	}
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error { // its cluster has reported nothing of it
		return store.Reports.Delete(tx, pinnedKey.Path())
	}))
	_, err := r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(pinnedKey), Test: true})
	wantCode(t, err, codes.FailedPrecondition, "nave explain")
}

// TestCapabilities answers what the spoke of a cluster reported.
func TestCapabilities(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	ask := func(cluster string) (*adminv1.CapabilitiesResponse, error) {
		return r.Capabilities(t.Context(), &adminv1.CapabilitiesRequest{Cluster: cluster})
	}
	_, err := ask("none")
	wantCode(t, err, codes.NotFound, "none")
	_, err = ask("a")
	wantCode(t, err, codes.FailedPrecondition, "has not reported yet")
	data, err := proto.Marshal(&spokev1.Capabilities{KubernetesVersion: "v1.36.0", GroupVersions: []*spokev1.GroupVersion{
		{Version: "v1", Kinds: []string{"Pod"}}, {Group: "apps", Version: "v1", Kinds: []string{"Deployment"}}}})
	must(t, err)
	digest, err := r.store.Blobs().Put(t.Context(), data)
	must(t, err)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, "a", store.Spoke{Capabilities: digest})
	}))
	got, err := ask("a")
	must(t, err)
	if want := "apps/v1 apps/v1/Deployment v1 v1/Pod"; got.KubernetesVersion != "v1.36.0" ||
		strings.Join(got.ApiVersions, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}
