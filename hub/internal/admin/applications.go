package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// applications are the Applications whose objects an impact counts. A transaction cannot read blobs, so it notes the
// missing Applications, and runs again after they were read.
type applications struct {
	read    map[manifest.Digest]*bundle.Application // nil: lost or damaged
	missing map[manifest.Digest]bool
}

func newApplications() *applications {
	return &applications{read: map[manifest.Digest]*bundle.Application{}, missing: map[manifest.Digest]bool{}}
}

// get returns an Application, or nil if it is lost or damaged. If it was not read yet, get notes it and returns nil.
func (a *applications) get(d manifest.Digest) *bundle.Application {
	app, known := a.read[d]
	if !known {
		a.missing[d] = true
	}
	return app
}

// errUnread means that an impact needs Applications that were not read yet.
var errUnread = errors.New("applications are not read yet")

// readApplications runs fn in transactions and reads the missing Applications between them. It returns the result of
// the first run without a missing Application. transaction is View or Update of the store.
func (s *Server) readApplications(ctx context.Context,
	transaction func(context.Context, func(*store.Tx) error) error, fn func(*store.Tx, *applications) error) error {
	apps := newApplications()
	for {
		err := transaction(ctx, func(tx *store.Tx) error { return fn(tx, apps) })
		if !errors.Is(err, errUnread) {
			return err
		}
		for d := range apps.missing {
			data, err := s.store.Blobs().Get(ctx, d)
			if err == nil {
				apps.read[d], err = bundle.DecodeApplication(data)
			} else if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDamaged) {
				return fmt.Errorf("read an application: %w", err)
			}
			if err != nil {
				apps.read[d] = nil
				s.log.Warn("an application cannot be read", slog.String("digest", d.String()), telemetry.Err(err))
			}
		}
		clear(apps.missing)
	}
}
