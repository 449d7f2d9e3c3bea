package admin

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const cluster = `
apiVersion: fleet.nave.io/v1alpha1
kind: Cluster
metadata: {name: a, labels: {env: prod}}
`

func TestSuspend_cluster(t *testing.T) {
	r := newRig(t)
	r.apply(cluster)
	key := api.Key{Kind: "Cluster", Name: "a"}
	suspend := func(stop, changed bool) {
		t.Helper()
		answer, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: fold.KeyMessage(key), StopRepair: stop})
		must(t, err)
		row, _ := r.resource(key)
		if answer.Changed != changed || !row.Suspended || row.StopRepair != stop || row.SuspendedAt.IsZero() {
			t.Fatalf("changed %v, row %+v", answer.Changed, row)
		}
	}
	suspend(false, true)
	since, _ := r.resource(key)
	suspend(false, false)
	suspend(true, true)
	if row, _ := r.resource(key); row.SuspendedAt != since.SuspendedAt {
		t.Fatalf("suspended since %s, then since %s", since.SuspendedAt, row.SuspendedAt)
	}
	got, err := r.Get(t.Context(), &adminv1.GetRequest{Key: fold.KeyMessage(key)})
	must(t, err)
	for _, want := range []string{`"suspend":true`, `"stopRepair":true`, `"type":"Suspended"`} {
		if !strings.Contains(string(got.Object.Json), want) {
			t.Errorf("no %s in %s", want, got.Object.Json)
		}
	}
	if actions := r.apply(string(got.Object.Json)); actions[0] != "Cluster/a unchanged" { // what is shown can be applied
		t.Errorf("applied: %v", actions)
	}
	r.apply(cluster)
	answer, err := r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(key)})
	must(t, err)
	row, _ := r.resource(key)
	if !answer.Changed || answer.RequestedAt == "" || answer.RequestedAt != row.RequestedAt || row.StopRepair ||
		!row.SuspendedAt.IsZero() {
		t.Fatalf("answer %v, row %+v", answer, row)
	}
	answer, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(key)})
	must(t, err)
	if answer.Changed || answer.RequestedAt != "" {
		t.Fatalf("nothing to resume, answer %v", answer)
	}
}

// TestSuspend_alias suspends the source of a bootstrapped repository, which is never fetched: the hub's source is.
func TestSuspend_alias(t *testing.T) {
	r := newRig(t)
	r.apply(cluster + "---" + source)
	root := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	key := api.Key{Cluster: "a", Kind: "GitRepository", Namespace: "flux-system", Name: "flux-system"}
	of := api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	r.put(store.Resource{Key: key, Owner: &root, AliasOf: &of}, `{"spec":{}}`)
	_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: fold.KeyMessage(key)})
	wantCode(t, err, codes.FailedPrecondition, "GitRepository flux-system/fleet of the hub stands for it")
	if row, _ := r.resource(key); row.Suspended {
		t.Error("it is suspended")
	}
}

func TestSuspendedWith(t *testing.T) {
	r := newRig(t)
	r.apply(cluster + "---" + source + "---" + fleet)
	fleetKey, clusterKey := api.Key{Kind: "Fleet", Name: "prod"}, api.Key{Kind: "Cluster", Name: "a"}
	rootKey := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	webKey := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "web"}
	r.put(store.Resource{Key: rootKey, Owner: &fleetKey}, `{"spec":{}}`)
	r.put(store.Resource{Key: webKey, Owner: &rootKey}, `{"spec":{}}`)
	for _, with := range []api.Key{fleetKey, clusterKey} {
		t.Run(with.Kind, func(t *testing.T) {
			_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: fold.KeyMessage(with)})
			must(t, err)
			_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(webKey)})
			wantCode(t, err, codes.FailedPrecondition, "suspended with "+with.String())
			answer, err := r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(webKey)})
			must(t, err)
			if answer.Changed || answer.SuspendedWith.GetName() != with.Name {
				t.Errorf("answer %v", answer)
			}
			_, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(with)})
			must(t, err)
			_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: fold.KeyMessage(webKey)})
			must(t, err)
		})
	}
}

// TestResume_root resumes the root of a suspended Fleet, which sets spec.suspend in it.
func TestResume_root(t *testing.T) {
	r := newRig(t)
	r.apply(cluster + "---" + source + "---" + fleet)
	fleetKey := api.Key{Kind: "Fleet", Name: "prod"}
	rootKey := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: fold.KeyMessage(fleetKey)})
	must(t, err)
	for _, own := range []bool{false, true} {
		r.put(store.Resource{Key: rootKey, Owner: &fleetKey, Suspended: own}, `{"spec":{"suspend":true}}`)
		answer, err := r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(rootKey)})
		must(t, err)
		if answer.Changed != own || answer.SuspendedWith.GetName() != "prod" || answer.GetRequestedAt() != "" {
			t.Errorf("suspended by an operator: %v: answer %v", own, answer)
		}
	}
	_, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(fleetKey)})
	must(t, err)
	_, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: fold.KeyMessage(rootKey)})
	wantCode(t, err, codes.FailedPrecondition, "has spec.suspend: true")
}

func TestSuspend_refused(t *testing.T) {
	r := newRig(t)
	r.apply(source + "---" + root)
	for name, c := range map[string]struct {
		request *adminv1.SuspendRequest
		code    codes.Code
		words   string
	}{
		"secret": {&adminv1.SuspendRequest{Key: &adminv1.ObjectKey{Kind: "Secret", Name: "x"}}, codes.InvalidArgument,
			"a Secret cannot be suspended: clusters, fleets, sources and applications can"},
		"none": {&adminv1.SuspendRequest{Key: &adminv1.ObjectKey{Kind: "Fleet", Name: "x"}}, codes.NotFound,
			"Fleet x"},
		"stop_repair": {&adminv1.SuspendRequest{Key: &adminv1.ObjectKey{Kind: "ks", Name: "root"}, StopRepair: true},
			codes.InvalidArgument, "Cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Suspend(t.Context(), c.request)
			wantCode(t, err, c.code, c.words)
		})
	}
}
