package admin

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
)

var pinnedKey = api.Key{Cluster: "a", Kind: "HelmRelease", Namespace: "apps", Name: "web"}

// newPinRig returns a rig with a HelmRelease whose spoke reported four revisions.
func newPinRig(t *testing.T) *rig {
	r := newRig(t)
	r.apply(clusterA)
	r.put(store.Resource{Key: pinnedKey}, `{"metadata":{"name":"web","namespace":"apps"},
		"spec":{"interval":"1m","chartRef":{"kind":"OCIRepository","name":"web"}}}`)
	r.report(&spokev1.ReleaseReport{History: []*spokev1.RevisionReport{
		{Revision: 5, Status: "failed", Chart: "web", ChartVersion: "3.0.0"}, {Revision: 4, Status: "deployed"},
		{Revision: 3, Status: "superseded", Chart: "web", ChartVersion: "1.0.0", AppVersion: "9",
			LastDeployed: timestamppb.New(time.Unix(0, 0))},
		{Revision: 2, Status: "failed"}}})
	r.knows(bundle.Known)
	return r
}

func (r *rig) report(release *spokev1.ReleaseReport) {
	data, err := proto.Marshal(&spokev1.ApplicationReport{Release: release})
	must(r.t, err)
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Reports.Put(tx, pinnedKey.Path(), store.Report{Value: data})
	}))
}

func (r *rig) knows(features bundle.FeatureSet) {
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, "a", store.Spoke{Features: features, Version: "v1"})
	}))
}

func (r *rig) pinTo(revision uint32) (*adminv1.PinHelmReleaseResponse, error) {
	return r.PinHelmRelease(r.t.Context(), &adminv1.PinHelmReleaseRequest{Key: fold.KeyMessage(pinnedKey),
		Revision: revision})
}

// TestPinHelmRelease pins a release to a revision, and to another one, and ends the pin.
func TestPinHelmRelease(t *testing.T) {
	r := newPinRig(t)
	pinnedTo := func(want uint32) {
		t.Helper()
		if got, _ := r.resource(pinnedKey); got.Pin.Revision != want || (got.Pin.By == "") != (want == 0) ||
			got.Pin.At.IsZero() != (want == 0) {
			t.Errorf("pinned %+v, want revision %d", got.Pin, want)
		}
	}
	req := &adminv1.PinHelmReleaseRequest{Key: fold.KeyMessage(pinnedKey), DryRun: true}
	dry, err := r.PinHelmRelease(t.Context(), req)
	must(t, err)
	pinnedTo(0)
	if dry.Now.Revision != 5 || dry.To.Revision != 4 || dry.Now.Chart != "web-3.0.0" {
		t.Error(dry)
	}
	_, err = r.pinTo(0)
	must(t, err)
	pinnedTo(4)
	_, err = r.pinTo(0)
	wantCode(t, err, codes.AlreadyExists, "pinned to revision 4 already and stays there")
	_, err = r.pinTo(4)
	wantCode(t, err, codes.AlreadyExists, "pinned to revision 4 already")
	again, err := r.pinTo(3)
	must(t, err)
	pinnedTo(3)
	if again.To.Chart != "web-1.0.0" || again.To.AppVersion != "9" || again.To.DeployedAt.AsTime().Unix() != 0 {
		t.Error(again)
	}
	unpin := &adminv1.UnpinHelmReleaseRequest{Key: fold.KeyMessage(pinnedKey), DryRun: true}
	end, err := r.UnpinHelmRelease(t.Context(), unpin)
	must(t, err)
	if pinnedTo(3); end.Revision != 3 || end.Now.Revision != 5 || end.RequestedAt != "" {
		t.Error(end)
	}
	unpin.DryRun = false
	end, err = r.UnpinHelmRelease(t.Context(), unpin)
	must(t, err)
	pinnedTo(0)
	if row, _ := r.resource(pinnedKey); row.RequestedAt != end.RequestedAt || end.RequestedAt == "" {
		t.Errorf("requested %q, answered %q", row.RequestedAt, end.RequestedAt)
	}
	_, err = r.UnpinHelmRelease(t.Context(), unpin)
	wantCode(t, err, codes.AlreadyExists, "is not pinned")
	r.expectEvents(pinnedKey, "Pinned: pinned to revision 4 by admin", "Pinned: pinned to revision 3 by admin",
		"PinEnded: released by admin")
}

// TestPinHelmRelease_kind refuses what has no revisions, and what is in no cluster.
func TestPinHelmRelease_kind(t *testing.T) {
	r := newRig(t)
	r.apply(source + "---" + root)
	_, err := r.PinHelmRelease(t.Context(), &adminv1.PinHelmReleaseRequest{Key: fold.KeyMessage(
		api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"})})
	wantCode(t, err, codes.InvalidArgument, "is no release of Helm")
}

// TestPinHelmRelease_refused changes nothing if a release cannot go back to a revision.
func TestPinHelmRelease_refused(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*rig)
		revision uint32
		want     string
	}{
		"unknown":    {nil, 9, "has no revision 9"},
		"failed":     {nil, 2, "revision 2 of HelmRelease apps/web was not deployed: it is failed"},
		"unreported": {func(r *rig) { r.report(nil) }, 0, "cluster a has reported no revision"},
		"no_earlier": {func(r *rig) {
			r.report(&spokev1.ReleaseReport{History: []*spokev1.RevisionReport{{Revision: 1, Status: "deployed"}}})
		}, 0, "no earlier revision that was deployed"},
		"old_spoke": {func(r *rig) { r.knows(bundle.Baseline) }, 4,
			"spoke v1 of cluster a cannot keep a release at a revision"},
		"suspended": {func(r *rig) {
			r.put(store.Resource{Key: pinnedKey, Suspended: true}, `{"metadata":{"name":"web","namespace":"apps"},`+
				`"spec":{"interval":"1m","chartRef":{"kind":"OCIRepository","name":"web"}}}`)
		}, 4, "is suspended: resume it first"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPinRig(t)
			if c.change != nil {
				c.change(r)
			}
			_, err := r.pinTo(c.revision)
			wantCode(t, err, codes.FailedPrecondition, c.want)
			if row, _ := r.resource(pinnedKey); row.Pin != (store.ReleasePin{}) {
				t.Error(row.Pin)
			}
		})
	}
}
