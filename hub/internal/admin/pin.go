package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/reporting"
)

// PinHelmRelease implements adminv1.AdminServiceServer. The planner gives the pin to the spoke with the next bundle.
func (s *Server) PinHelmRelease(ctx context.Context, r *adminv1.PinHelmReleaseRequest) (
	*adminv1.PinHelmReleaseResponse, error) {
	who, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	response := &adminv1.PinHelmReleaseResponse{}
	err = s.update(ctx, func(tx *store.Tx) error {
		row, err := pinnable(tx, key)
		if err != nil {
			return err
		}
		history, err := revisionsOf(tx, key)
		if err != nil {
			return err
		}
		to, err := chooseRevision(row, history, r.GetRevision())
		if err != nil {
			return err
		}
		response.Now, response.To = revisionMessage(history[0]), revisionMessage(to)
		if r.GetDryRun() {
			return nil
		}
		row.Pin = store.ReleasePin{Revision: to.GetRevision(), At: s.now().UTC(), By: who.String()}
		err = s.record(tx, key, condition.Pinned, fmt.Sprintf("pinned to revision %d by %s", to.GetRevision(),
			identity.NameOf(who.String())))
		return errors.Join(err, store.Resources.Put(tx, key.Path(), row),
			s.audit(ctx, tx, "pinned", fmt.Sprintf("to revision %d", to.GetRevision()), key))
	})
	if err == nil && !r.GetDryRun() {
		s.did(who, "pinned", key)
	}
	return response, s.fail(err)
}

// pinnable returns the row of a HelmRelease of a cluster that is not suspended, and whose spoke knows pins.
func pinnable(tx *store.Tx, key api.Key) (store.Resource, error) {
	row, err := reconcilable(tx, key)
	if err == nil {
		err = requireHelmRelease(row)
	}
	if err != nil {
		return row, err
	}
	spoke, _, err := store.Spokes.GetIntact(tx, key.Cluster)
	if err == nil && !spoke.Knows(bundle.PinnedReleases) {
		err = status.Errorf(codes.FailedPrecondition, "spoke %s of cluster %s cannot keep a release at a revision: upgrade "+
			"the spoke", spoke.Version, key.Cluster)
	}
	return row, err
}

// requireHelmRelease returns an error for what is no HelmRelease of a cluster.
func requireHelmRelease(row store.Resource) error {
	view, err := row.Object.Renderable()
	switch {
	case err != nil || view.Release == nil:
		return status.Errorf(codes.InvalidArgument, "%s is no release of Helm: only a HelmRelease has revisions", row.Key)
	case row.Key.Cluster == "":
		return status.Errorf(codes.InvalidArgument, "%s is in no cluster: name one with --cluster", row.Key)
	}
	return nil
}

// revisionsOf returns the revisions of a release that its spoke reported, the newest first. If there is none,
// revisionsOf returns an error.
func revisionsOf(tx *store.Tx, key api.Key) ([]*spokev1.RevisionReport, error) {
	row, _, err := store.Reports.GetIntact(tx, key.Path())
	if err != nil {
		return nil, err
	}
	report, err := reporting.ReadApplication(row.Value)
	if err != nil || len(report.GetRelease().GetHistory()) == 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "cluster %s has reported no revision of %s yet", key.Cluster,
			key.Local())
	}
	return report.GetRelease().GetHistory(), nil
}

// chooseRevision returns the revision of a number or, for 0, the newest one before the present one that was deployed.
func chooseRevision(row store.Resource, history []*spokev1.RevisionReport, number uint32) (*spokev1.RevisionReport,
	error) {
	name := row.Key.Local()
	switch pin := row.Pin.Revision; {
	case pin != 0 && number == 0:
		return nil, status.Errorf(codes.AlreadyExists, "%s is pinned to revision %d already and stays there; for another "+
			"one name its revision, as in nave history helmrelease", name, pin)
	case pin != 0 && number == pin:
		return nil, status.Errorf(codes.AlreadyExists, "%s is pinned to revision %d already", name, pin)
	}
	for i, r := range history {
		switch {
		case number == 0 && i > 0 && wasDeployed(r):
			return r, nil
		case number == 0 || number != r.GetRevision():
		case !wasDeployed(r):
			return nil, status.Errorf(codes.FailedPrecondition, "revision %d of %s was not deployed: it is %s", number, name,
				r.GetStatus())
		default:
			return r, nil
		}
	}
	if number == 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "%s has no earlier revision that was deployed: nave history "+
			"helmrelease lists those that are known", name)
	}
	return nil, status.Errorf(codes.FailedPrecondition, "%s has no revision %d: nave history helmrelease lists those "+
		"that are known", name, number)
}

// wasDeployed reports whether a revision is or was deployed.
func wasDeployed(r *spokev1.RevisionReport) bool {
	return r.GetStatus() == "deployed" || r.GetStatus() == "superseded"
}

func revisionMessage(r *spokev1.RevisionReport) *adminv1.HelmRevision {
	return &adminv1.HelmRevision{Revision: r.GetRevision(), Status: r.GetStatus(), AppVersion: r.GetAppVersion(),
		Chart:      strings.Trim(r.GetChart()+"-"+r.GetChartVersion(), "-"),
		DeployedAt: r.GetLastDeployed()}
}

// UnpinHelmRelease implements adminv1.AdminServiceServer.
func (s *Server) UnpinHelmRelease(ctx context.Context, r *adminv1.UnpinHelmReleaseRequest) (
	*adminv1.UnpinHelmReleaseResponse, error) {
	who, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	var response *adminv1.UnpinHelmReleaseResponse
	err = s.update(ctx, func(tx *store.Tx) error {
		row, err := resource(tx, key)
		if err == nil {
			err = requireHelmRelease(row)
		}
		if err != nil {
			return err
		}
		if response, err = pinEndOf(tx, row); err != nil || r.GetDryRun() {
			return err
		}
		row.Pin = store.ReleasePin{}
		above, err := fold.NewReader(tx).SuspendedAbove(row)
		if err != nil {
			return err
		}
		if len(above) == 0 && !row.IsSuspended() {
			response.RequestedAt = s.now().UTC().Format(time.RFC3339Nano)
			row.RequestedAt = response.RequestedAt
		}
		err = s.record(tx, key, condition.PinEnded, "released by "+identity.NameOf(who.String()))
		return errors.Join(err, store.Resources.Put(tx, key.Path(), row),
			s.audit(ctx, tx, "released", "its pin", key))
	})
	if err == nil && !r.GetDryRun() {
		s.did(who, "released", key)
	}
	return response, s.fail(err)
}

// pinEndOf says what the end of a pin changes. If there is no pin, the error is ALREADY_EXISTS.
func pinEndOf(tx *store.Tx, row store.Resource) (*adminv1.UnpinHelmReleaseResponse, error) {
	if row.Pin.Revision == 0 {
		return nil, status.Errorf(codes.AlreadyExists, "%s is not pinned", row.Key)
	}
	response := &adminv1.UnpinHelmReleaseResponse{Revision: row.Pin.Revision}
	if history, err := revisionsOf(tx, row.Key); err == nil {
		response.Now = revisionMessage(history[0])
	}
	plan, _, err := store.Plans.GetIntact(tx, row.Key.Cluster)
	for _, e := range plan.Applications {
		if e.Name == row.Key.Application() {
			response.SourceRevision = e.Revision
		}
	}
	return response, err
}
