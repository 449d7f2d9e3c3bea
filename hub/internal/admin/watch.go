package admin

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
)

// watched are the tables that a folded object may come from.
var watched = []string{
	store.Resources.Name(), store.Conditions.Name(), store.Reports.Name(), store.Plans.Name(), store.Pins.Name(),
	store.Refusals.Name(), store.Spokes.Name(), store.SignedBundles.Name(), store.Sources.Name(), store.Secrets.Name(),
}

// How soon a watcher is sent the next change. A watch of one object is somebody waiting; a watch of many redraws a
// screen.
const (
	watchOne  = 20 * time.Millisecond
	watchMany = 250 * time.Millisecond
)

// Watch implements adminv1.AdminServiceServer. Watch sends state, not events: an object that changes twice at once is
// sent once, as it is then. Only objects that depend on a changed row are computed again.
func (s *Server) Watch(r *adminv1.WatchRequest, stream adminv1.AdminService_WatchServer) error {
	ctx := stream.Context()
	if _, err := s.operator(ctx); err != nil {
		return err
	}
	q, err := readQuery(r.List)
	if err != nil {
		return err
	}
	q.Name = r.Name
	pause := watchMany
	if q.Name != "" && !q.AllClusters {
		pause = watchOne
	}
	w := s.store.Watch(ctx, watched...) // before the first View, to miss no change
	defer w.Close()
	v := &watchView{query: q, send: stream.Send, sent: map[api.Key]sent{},
		affected: map[fold.Dependency]map[api.Key]bool{}}
	if err := s.sendFirst(ctx, v); err != nil {
		return err
	}
	for {
		changes, err := s.waitForChange(ctx, w, pause)
		if err != nil {
			return err
		}
		if err := s.sendChanged(ctx, v, changes); err != nil {
			return err
		}
	}
}

// sendFirst sends every object that matches, and then that these were all.
func (s *Server) sendFirst(ctx context.Context, v *watchView) error {
	if err := s.sendAll(ctx, v); err != nil {
		return err
	}
	if len(v.sent) == 0 {
		if err := s.requireCluster(ctx, v.query.Cluster); err != nil {
			return err
		}
	}
	return v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_SYNCED})
}

// waitForChange waits for changes and returns them, at most once in pause.
func (s *Server) waitForChange(ctx context.Context, w *store.Watcher, pause time.Duration) ([]store.Change, error) {
	stopping := false
	select {
	case _, open := <-w.C():
		stopping = !open
	case <-s.draining:
		stopping = true
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // the watcher ends with its context
		return nil, status.FromContextError(err).Err()
	}
	if stopping {
		return nil, status.Error(codes.Unavailable, "the hub is stopping")
	}
	if err := wait.For(ctx, pause); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return w.Take(), nil
}

// watchView has the objects that one watcher was sent.
type watchView struct {
	query    *query
	send     func(*adminv1.WatchResponse) error
	sent     map[api.Key]sent
	affected map[fold.Dependency]map[api.Key]bool // the objects that depend on something
}

// sent is an object that a watcher has.
type sent struct {
	digest manifest.Digest // of the JSON
	reads  []fold.Dependency
}

// sendAll computes every matching object, and sends the objects that changed since they were sent.
func (s *Server) sendAll(ctx context.Context, v *watchView) error {
	missing := map[api.Key]bool{}
	for key := range v.sent {
		missing[key] = true
	}
	for after, more := "", true; more; more = after != "" {
		var keys []api.Key
		var next string
		err := s.store.View(ctx, func(tx *store.Tx) (err error) {
			keys, next, err = v.query.Page(tx, after, pageRows)
			return err
		})
		if err != nil {
			return s.fail(err)
		}
		after = next
		for _, key := range keys {
			delete(missing, key)
		}
		if err := s.sendKeys(ctx, v, keys); err != nil {
			return err
		}
	}
	return s.sendKeys(ctx, v, slices.SortedFunc(maps.Keys(missing), api.Key.Compare))
}

// sendChanged computes the objects that the changed rows affect, and sends the objects that changed since they were
// sent.
func (s *Server) sendChanged(ctx context.Context, v *watchView, changes []store.Change) error {
	keys := map[api.Key]bool{}
	for _, c := range changes {
		if c.Key == "" {
			return s.sendAll(ctx, v)
		}
		if key, ok := changedKey(c); ok && v.query.Has(key) {
			keys[key] = true // it may be new
		}
		for _, d := range fold.Dependencies(c) {
			for key := range v.affected[d] {
				keys[key] = true
			}
		}
	}
	for page := range slices.Chunk(slices.SortedFunc(maps.Keys(keys), api.Key.Compare), pageRows) {
		if err := s.sendKeys(ctx, v, page); err != nil {
			return err
		}
	}
	return nil
}

// changedKey returns the key of the object whose own row changed.
func changedKey(c store.Change) (api.Key, bool) {
	switch c.Table {
	case store.Resources.Name():
		return api.ParseKey(c.Key)
	case store.Secrets.Name():
		return store.CredentialKey(c.Key), true
	}
	return api.Key{}, false
}

// sendKeys computes objects in one View, and sends the objects that changed since they were sent.
func (s *Server) sendKeys(ctx context.Context, v *watchView, keys []api.Key) error {
	if len(keys) == 0 {
		return nil
	}
	objects, reads := make([]*adminv1.Object, len(keys)), make([][]fold.Dependency, len(keys))
	err := s.store.View(ctx, func(tx *store.Tx) (err error) { // sends after the View: a slow reader must not hold it
		reader := fold.NewReader(tx)
		for i, key := range keys {
			if objects[i], err = v.query.read(tx, reader, key); err != nil {
				return err
			}
			reads[i] = reader.Reads()
		}
		return nil
	})
	if err != nil {
		return s.fail(err)
	}
	s.computed.Add(int64(len(keys)))
	for i, key := range keys {
		if err := v.update(key, objects[i], reads[i]); err != nil {
			return err
		}
	}
	return nil
}

// update notes the present state of an object, nil if it does not exist, and sends the object if it changed since it
// was sent.
func (v *watchView) update(key api.Key, o *adminv1.Object, reads []fold.Dependency) error {
	last, had := v.sent[key]
	for _, d := range last.reads {
		if delete(v.affected[d], key); len(v.affected[d]) == 0 {
			delete(v.affected, d)
		}
	}
	if o == nil {
		delete(v.sent, key)
		if !had {
			return nil
		}
		gone := &adminv1.Object{Key: fold.KeyMessage(key)}
		return v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_DELETED, Object: gone})
	}
	for _, d := range reads {
		if v.affected[d] == nil {
			v.affected[d] = map[api.Key]bool{}
		}
		v.affected[d][key] = true
	}
	now := sent{manifest.DigestOf(o.Json), reads}
	v.sent[key] = now
	if had && now.digest == last.digest {
		return nil
	}
	return v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: o})
}
