package admin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// Reconcile implements adminv1.AdminServiceServer. With the source, Reconcile first asks for the source and waits until
// it was fetched. Otherwise the object would be handled with the previous artifact.
func (s *Server) Reconcile(ctx context.Context, r *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	who, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	response := &adminv1.ReconcileResponse{RequestedAt: s.now().UTC().Format(time.RFC3339Nano)}
	if r.WithSource {
		source, err := s.reconcileSource(ctx, key, response.RequestedAt)
		if err != nil {
			return nil, err
		}
		response.Source = fold.KeyMessage(source)
	}
	err = s.update(ctx, func(tx *store.Tx) error {
		row, err := reconcilable(tx, key)
		if err == nil {
			err = requestRelease(&row, r, response.RequestedAt)
		}
		if err == nil && r.Test {
			err = requireInstalled(tx, key)
		}
		if err != nil {
			return err
		}
		return errors.Join(request(tx, row, response.RequestedAt), s.audit(ctx, tx, "reconcile", requestsOf(r), key))
	})
	if err == nil {
		s.did(who, "reconcile", key)
	}
	return response, s.fail(err)
}

// requestsOf returns what a request wants beside a reconciliation, for the audit log.
func requestsOf(r *adminv1.ReconcileRequest) string {
	var wanted []string
	for name, asked := range map[string]bool{"with its source": r.WithSource, "force": r.Force, "reset": r.ResetFailures,
		"test": r.Test} {
		if asked {
			wanted = append(wanted, name)
		}
	}
	slices.Sort(wanted)
	return strings.Join(wanted, ", ")
}

// requestRelease notes the requests to a release of Helm in its row.
func requestRelease(row *store.Resource, r *adminv1.ReconcileRequest, at string) error {
	if !r.Force && !r.ResetFailures && !r.Test {
		return nil
	}
	if view, err := row.Object.Renderable(); err != nil || view.Release == nil {
		return status.Errorf(codes.InvalidArgument, "%s is no release of Helm: only a HelmRelease can be forced, reset and "+
			"tested", row.Key)
	}
	for _, request := range []struct {
		asked bool
		at    *string
	}{{r.Force, &row.Requests.Force}, {r.ResetFailures, &row.Requests.Reset}, {r.Test, &row.Requests.Test}} {
		if request.asked {
			*request.at = at
		}
	}
	return nil
}

// requireInstalled returns an error if the spoke of a release has reported no installed revision that could be tested.
func requireInstalled(tx *store.Tx, key api.Key) error {
	history, err := revisionsOf(tx, key)
	if err != nil && status.Code(err) != codes.FailedPrecondition {
		return err
	}
	if len(history) > 0 && history[0].GetStatus() != "uninstalled" {
		return nil
	}
	return status.Errorf(codes.FailedPrecondition, "%s is not installed, so that no test can run: wait for its "+
		"installation (nave wait), or find out why it is not installed (nave explain), and test it then", key)
}

// reconcileSource asks for the source of an object, and waits until the source was fetched.
func (s *Server) reconcileSource(ctx context.Context, key api.Key, at string) (api.Key, error) {
	w := s.store.Watch(ctx, store.Conditions.Name(), store.Resources.Name()) // before the request, to miss no change
	defer w.Close()
	var source store.Resource
	err := s.update(ctx, func(tx *store.Tx) error {
		row, err := reconcilable(tx, key)
		if err != nil {
			return err
		}
		if source, err = sourceOf(tx, row); err != nil {
			return err
		}
		if a, err := s.accessIn(ctx, tx); err != nil || a.selector != nil && source.Key.Cluster == "" {
			return cmp.Or(err, status.Errorf(codes.PermissionDenied, "%s is of the hub: reconcile %s without its source, or "+
				"ask an admin", source.Key, key))
		}
		if source.IsSuspended() {
			return status.Errorf(codes.FailedPrecondition,
				"%s is suspended: resume it first, or reconcile %s without its source", source.Key, key)
		}
		return request(tx, source, at)
	})
	if err != nil {
		return api.Key{}, s.fail(err)
	}
	for {
		if done, err := s.handled(ctx, source.Key, at); done || err != nil {
			return source.Key, err
		}
		if _, err := s.waitForChange(ctx, w, 0); err != nil {
			return api.Key{}, err
		}
	}
}

// handled reports whether a source was handled since the request. If the fetch failed, or if the source was suspended
// or deleted meanwhile, handled returns an error.
func (s *Server) handled(ctx context.Context, key api.Key, at string) (done bool, err error) {
	var o store.Condition
	var row store.Resource
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		if o, _, err = store.Conditions.Get(tx, key.Path()); err == nil {
			row, err = reconcilable(tx, key)
		}
		return err
	})
	if err != nil {
		return false, s.fail(err)
	}
	if !api.Answers(o.HandledRequest, at, row.Requested()) {
		return false, nil
	}
	if o.Ready != condition.True {
		return true, status.Errorf(codes.FailedPrecondition, "%s: %s", key, o.Message)
	}
	return true, nil
}

// reconcilable returns the row of an object that is not suspended, neither itself nor with its Fleet or Cluster.
func reconcilable(tx *store.Tx, key api.Key) (store.Resource, error) {
	row, err := resource(tx, key)
	if err != nil {
		return row, err
	}
	if row.IsSuspended() {
		return row, status.Errorf(codes.FailedPrecondition, "%s is suspended: resume it first", key)
	}
	above, err := fold.NewReader(tx).SuspendedAbove(row)
	if err == nil && len(above) > 0 {
		err = status.Errorf(codes.FailedPrecondition, "%s is suspended with %s: resume %s first", key, above[0].Key,
			above[0].Key)
	}
	return row, err
}

func request(tx *store.Tx, row store.Resource, at string) error {
	row.RequestedAt = at
	return store.Resources.Put(tx, row.Key.Path(), row)
}

func resource(tx *store.Tx, key api.Key) (store.Resource, error) {
	row, there, err := store.Resources.Get(tx, key.Path())
	if err == nil && !there {
		err = notFound(key)
	}
	return row, err
}

// requireRow returns NOT_FOUND if there is no row of an object. The row may be damaged.
func requireRow(tx *store.Tx, key api.Key) error {
	row, err := store.Resources.Bytes(tx, key.Path())
	if err == nil && row == nil {
		err = notFound(key)
	}
	return err
}

// inputOf returns the first source that a source reads.
func inputOf(tx *store.Tx, row store.Resource) (found store.Resource, err error) {
	view, err := row.Object.Source()
	if err != nil {
		return found, err
	}
	if len(view.Inputs) == 0 {
		return found, status.Errorf(codes.InvalidArgument, "%s has no source", wording.A(row.Key.Kind))
	}
	in := view.Inputs[0]
	_, _, err = row.FetchOf(func(key api.Key) (store.Resource, bool, error) {
		row, exists, err := store.Resources.Get(tx, key.Path())
		if exists && key.In("") == in.Key {
			found = row
		}
		return row, exists, err
	})
	if err != nil {
		err = status.Error(codes.FailedPrecondition, err.Error())
	}
	return found, err
}

// sourceOf returns the source that an object, or a Fleet's template, names.
func sourceOf(tx *store.Tx, row store.Resource) (store.Resource, error) {
	if row.Key.Role() == api.SourceRole {
		return inputOf(tx, row)
	}
	name, ok := row.Object.SourceReference()
	if !ok {
		return store.Resource{}, status.Errorf(codes.InvalidArgument, "%s has no source", wording.A(row.Key.Kind))
	}
	source, err := fold.NewReader(tx).Source(row)
	if err != nil || source != nil {
		return *cmp.Or(source, &store.Resource{}), err
	}
	return store.Resource{}, status.Errorf(codes.FailedPrecondition,
		"%s: its source %s does not exist: create it, or correct spec.sourceRef", row.Key, name)
}
