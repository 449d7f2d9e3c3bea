package admin

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
	"unique"

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

// Limits of watches.
const (
	// maxWatches is how many watches the hub serves at the same time, of one operator half as many. One of 2,000 objects
	// costs about 300 KiB.
	maxWatches = 256
	// maxComputed is how many bytes of objects a watch computes before it sends them. A slow reader holds as many.
	maxComputed = 256 << 10
)

// Watch implements adminv1.AdminServiceServer. Watch sends state, not events: an object that changes twice at once is
// sent once, as it is then. Only objects that depend on a changed row are computed again.
func (s *Server) Watch(r *adminv1.WatchRequest, stream adminv1.AdminService_WatchServer) error {
	ctx := stream.Context()
	who, err := s.operator(ctx)
	if err != nil {
		return err
	}
	q, err := readQuery(r.List)
	if err == nil {
		q.access, err = s.accessFor(ctx)
	}
	if err != nil {
		return s.fail(err)
	}
	q.Name = cmp.Or(r.Name, q.Name)
	pause := watchMany
	if q.Name != "" && !q.AllClusters {
		pause = watchOne
	}
	if err := s.watches.accept(stream, who, "watches", "nave get --watch"); err != nil {
		return err
	}
	defer s.watches.give(who)
	w := s.store.Watch(ctx, watched...) // before the first View, to miss no change
	defer w.Close()
	v := &watchView{query: q, send: stream.Send, sent: map[unique.Handle[api.Key]]sent{}, dependents: newDependents()}
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
	query      *query
	send       func(*adminv1.WatchResponse) error
	sent       map[unique.Handle[api.Key]]sent
	dependents *dependents
}

// sent is an object that a watcher has.
type sent struct {
	fingerprint fingerprint
	group       *group
}

// fingerprint tells two states of an object apart: the first half of the digest of its JSON.
type fingerprint [16]byte

// sendAll computes every matching object, and sends the objects that changed since they were sent.
func (s *Server) sendAll(ctx context.Context, v *watchView) error {
	missing := map[api.Key]bool{}
	for key := range v.sent {
		missing[key.Value()] = true
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
		if c.Key == "" || v.query.access.mayDiffer(c) {
			return s.sendAll(ctx, v)
		}
		if key, ok := v.changedKey(c); ok {
			keys[key] = true
		}
		for _, d := range fold.Dependencies(c) {
			v.dependents.of(d, func(key api.Key) { keys[key] = true })
		}
	}
	for page := range slices.Chunk(slices.SortedFunc(maps.Keys(keys), api.Key.Compare), pageRows) {
		if err := s.sendKeys(ctx, v, page); err != nil {
			return err
		}
	}
	return nil
}

// changedKey returns the key of the object whose own row changed, if the watch has the object or may get it.
func (v *watchView) changedKey(c store.Change) (key api.Key, affected bool) {
	if c.Table == store.Secrets.Name() {
		key = store.CredentialKey(c.Key)
		return key, v.query.Has(key)
	}
	key, ok := fold.OwnRow(c)
	if !ok || !v.query.Has(key) {
		return key, false
	}
	_, had := v.sent[unique.Make(key)]
	return key, had || c.Table == store.Resources.Name()
}

// sendKeys computes objects and sends those that changed since they were sent.
func (s *Server) sendKeys(ctx context.Context, v *watchView, keys []api.Key) error {
	for len(keys) > 0 {
		some, err := s.compute(ctx, v, keys)
		if err != nil {
			return s.fail(err)
		}
		s.computed.Add(int64(len(some)))
		for i, c := range some { // after the View: a slow reader must not hold it
			if err := v.update(keys[i], c); err != nil {
				return err
			}
		}
		keys = keys[len(some):]
	}
	return nil
}

// computed is an object with its status, nil if it does not exist, and its dependencies.
type computed struct {
	object *adminv1.Object
	reads  []fold.Dependency
}

// compute computes the first of the objects in one View, as many as maxComputed allows, and at least one.
func (s *Server) compute(ctx context.Context, v *watchView, keys []api.Key) (some []computed, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		some = some[:0]
		reader, size := fold.NewReader(tx), 0
		for _, key := range keys {
			object, err := v.query.read(tx, reader, key)
			if err != nil {
				return err
			}
			some = append(some, computed{object, reader.Reads()})
			if size += len(object.GetJson()); size > maxComputed {
				break
			}
		}
		return nil
	})
	return some, err
}

// update notes the present state of an object, and sends the object if it changed since it was sent.
func (v *watchView) update(key api.Key, c computed) error {
	name := unique.Make(key)
	last, had := v.sent[name]
	if c.object == nil {
		v.dependents.remove(name, last.group)
		delete(v.sent, name)
		if !had {
			return nil
		}
		gone := &adminv1.Object{Key: fold.KeyMessage(key)}
		return v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_DELETED, Object: gone})
	}
	digest := manifest.DigestOf(c.object.Json)
	now := sent{fingerprint(digest[:16]), v.dependents.assign(name, last.group, c.reads)}
	v.sent[name] = now
	if had && now.fingerprint == last.fingerprint {
		return nil
	}
	return v.send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: c.object})
}
