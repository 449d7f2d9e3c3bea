package admin

import (
	"context"
	"maps"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// watched are the tables that a folded object may come from.
var watched = []string{
	store.Resources.Name(), store.Conditions.Name(), store.Reports.Name(), store.Plans.Name(),
	store.Spokes.Name(), store.SignedBundles.Name(), store.Sources.Name(), store.Secrets.Name(),
}

// How soon a watcher is told of the next change. A watch of one object is somebody waiting; a watch of many redraws a
// screen, and folds all of them each time.
const (
	watchOne  = 20 * time.Millisecond
	watchMany = 250 * time.Millisecond
)

// Watch implements adminv1.AdminServiceServer. It sends state, not events: an object that changes twice at once is sent
// once, as it then is.
func (s *Server) Watch(r *adminv1.WatchRequest, stream adminv1.AdminService_WatchServer) error {
	if _, err := s.operator(stream.Context()); err != nil {
		return err
	}
	q, err := readQuery(r.List)
	if err != nil {
		return err
	}
	q.name = r.Name
	pause := watchMany
	if q.name != "" && !q.allClusters {
		pause = watchOne
	}
	w := s.store.Watch(stream.Context(), watched...) // before the first View: nothing is missed between the two
	defer w.Close()
	view := &watchView{query: q, sent: map[api.Key]manifest.Digest{}, send: stream.Send}
	if err := s.refresh(stream.Context(), view); err != nil {
		return err
	}
	if err := stream.Send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_SYNCED}); err != nil {
		return err
	}
	for {
		if err := s.waitForChange(stream.Context(), w, pause); err != nil {
			return err
		}
		if err := s.refresh(stream.Context(), view); err != nil {
			return err
		}
	}
}

// waitForChange returns nil when something changed, at most once in pause.
func (s *Server) waitForChange(ctx context.Context, w *store.Watcher, pause time.Duration) error {
	select {
	case _, open := <-w.C():
		if !open && ctx.Err() == nil {
			return status.Error(codes.Unavailable, "the hub is stopping")
		}
	case <-s.draining:
		return status.Error(codes.Unavailable, "the hub is stopping")
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	w.Take()
	return nil
}

// watchView is what one watcher has been told.
type watchView struct {
	query *query
	sent  map[api.Key]manifest.Digest // of the JSON
	send  func(*adminv1.WatchResponse) error
}

// refresh sends what differs from what was sent.
func (s *Server) refresh(ctx context.Context, v *watchView) error {
	var changed []*adminv1.Object
	there := map[api.Key]bool{}
	digests := map[api.Key]manifest.Digest{}
	err := s.store.View(ctx, func(tx *store.Tx) error { // nothing is sent in here: a slow reader must not hold a View
		changed = nil
		clear(there)
		clear(digests)
		return v.query.each(tx, func(key api.Key, o *adminv1.Object) error {
			there[key] = true
			if digest := manifest.DigestOf(o.Json); v.sent[key] != digest {
				digests[key] = digest
				changed = append(changed, o)
			}
			return nil
		})
	})
	if err != nil {
		return s.fail(err)
	}
	maps.Copy(v.sent, digests)
	for _, o := range changed {
		if err := v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: o}); err != nil {
			return err
		}
	}
	return v.forget(there)
}

// forget sends the deletion of what is not there any more.
func (v *watchView) forget(there map[api.Key]bool) error {
	for key := range v.sent {
		if there[key] {
			continue
		}
		delete(v.sent, key)
		gone := &adminv1.Object{Key: writeKey(key)}
		if err := v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_DELETED, Object: gone}); err != nil {
			return err
		}
	}
	return nil
}
