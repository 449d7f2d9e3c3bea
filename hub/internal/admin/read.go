package admin

import (
	"context"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Get implements adminv1.AdminServiceServer.
func (s *Server) Get(ctx context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	_, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	var object *adminv1.Object
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		object, err = read(tx, fold.NewReader(tx), key)
		return err
	})
	if err == nil && object == nil {
		err = notFound(key)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return &adminv1.GetResponse{Object: object}, nil
}

// read returns one object with its status; nil when there is none.
func read(tx *store.Tx, r *fold.Reader, key api.Key) (*adminv1.Object, error) {
	if key.Role() == api.CredentialRole {
		row, ok, err := store.Secrets.Get(tx, store.CredentialPath(key.Namespace, key.Name))
		if err != nil || !ok || key.Cluster != "" {
			return nil, err
		}
		return showSecret(key, row)
	}
	facts, ok, err := r.Read(key)
	if err != nil || !ok {
		return nil, err
	}
	data, err := fold.Fold(facts)
	if err != nil {
		return nil, fmt.Errorf("compute the status of %s: %w", key, err)
	}
	return &adminv1.Object{Key: fold.KeyMessage(key), Json: data, GivenBy: givenBy(facts.Resource)}, nil
}
