package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Reconcile implements adminv1.AdminServiceServer. Both requests are written at once; the source's change then reaches
// the object without being asked.
func (s *Server) Reconcile(ctx context.Context, r *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	key, err := readKey(r.Key)
	if err != nil {
		return nil, err
	}
	response := &adminv1.ReconcileResponse{RequestedAt: s.now().UTC().Format(time.RFC3339Nano)}
	err = s.store.Update(func(tx *store.Tx) error {
		row, err := resource(tx, key)
		if err != nil {
			return err
		}
		if suspended(row) {
			return status.Errorf(codes.FailedPrecondition, "%s is suspended: resume it first", key)
		}
		if r.WithSource {
			source, err := sourceOf(tx, row)
			if err != nil {
				return err
			}
			response.Source = writeKey(source.Key)
			if err := request(tx, source, response.RequestedAt); err != nil {
				return err
			}
		}
		return request(tx, row, response.RequestedAt)
	})
	if err != nil {
		return nil, s.fail(err)
	}
	s.did(who, "reconcile", key)
	return response, nil
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

// suspended reports whether the spec or an operator says so.
func suspended(row store.Resource) bool {
	var o struct {
		Spec struct {
			Suspend bool `json:"suspend"`
		} `json:"spec"`
	}
	return row.Suspended || json.Unmarshal(row.Object, &o) == nil && o.Spec.Suspend
}

// reference is a sourceRef.
type reference struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// sourceOf finds the source of a Kustomization, or of a Fleet's template, as plan does: in the cluster's graph first,
// then in the hub.
func sourceOf(tx *store.Tx, row store.Resource) (store.Resource, error) {
	ref, err := referenceOf(row)
	if err != nil {
		return store.Resource{}, err
	}
	for _, cluster := range []string{row.Key.Cluster, ""} {
		key := api.Key{Cluster: cluster, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
		source, there, err := store.Resources.Get(tx, key.Path())
		if err != nil || there {
			return source, err
		}
	}
	return store.Resource{}, status.Errorf(codes.FailedPrecondition, "%s: its source %s %s/%s is not there", row.Key, ref.Kind, ref.Namespace, ref.Name)
}

func referenceOf(row store.Resource) (reference, error) {
	type spec struct {
		SourceRef reference `json:"sourceRef"`
	}
	var o struct {
		Spec struct {
			spec
			Template struct {
				Metadata struct {
					Namespace string `json:"namespace"`
				} `json:"metadata"`
				Spec spec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(row.Object, &o); err != nil {
		return reference{}, fmt.Errorf("read %s: %w", row.Key, err)
	}
	switch row.Key.Kind {
	case api.KustomizationKind:
		ref := o.Spec.SourceRef
		ref.Namespace = cmp.Or(ref.Namespace, row.Key.Namespace)
		return ref, nil
	case api.FleetKind:
		ref := o.Spec.Template.Spec.SourceRef
		ref.Namespace = cmp.Or(ref.Namespace, o.Spec.Template.Metadata.Namespace, api.DefaultNamespace)
		return ref, nil
	}
	return reference{}, status.Errorf(codes.InvalidArgument, "a %s has no source", row.Key.Kind)
}

// Suspend implements adminv1.AdminServiceServer. It holds whatever the spec in Git says.
func (s *Server) Suspend(ctx context.Context, r *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	if err := s.setSuspended(ctx, r.Key, true); err != nil {
		return nil, err
	}
	return &adminv1.SuspendResponse{}, nil
}

// Resume implements adminv1.AdminServiceServer. It ends what Suspend began; spec.suspend it cannot undo, and says so.
func (s *Server) Resume(ctx context.Context, r *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	if err := s.setSuspended(ctx, r.Key, false); err != nil {
		return nil, err
	}
	return &adminv1.ResumeResponse{}, nil
}

func (s *Server) setSuspended(ctx context.Context, p *adminv1.ObjectKey, to bool) error {
	who, err := s.operator(ctx)
	if err != nil {
		return err
	}
	key, err := readKey(p)
	if err != nil {
		return err
	}
	err = s.store.Update(func(tx *store.Tx) error {
		row, err := resource(tx, key)
		if err != nil {
			return err
		}
		row.Suspended = to
		if !to && suspended(row) {
			return status.Errorf(codes.FailedPrecondition, "%s has spec.suspend: true; change it where it was written", key)
		}
		if !to {
			row.RequestedAt = s.now().UTC().Format(time.RFC3339Nano) // what happened meanwhile is made up for
		}
		return store.Resources.Put(tx, key.Path(), row)
	})
	if err != nil {
		return s.fail(err)
	}
	s.did(who, map[bool]string{true: "suspend", false: "resume"}[to], key)
	return nil
}
