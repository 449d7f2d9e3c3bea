package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
)

// crowd is an admin server over a store with many clusters. Each cluster has a root, which waits, and an application.
type crowd struct {
	*testing.T
	*Server
	ctx   context.Context // of an operator's call
	store *store.Store
}

const crowdSize = 1000

var crowdSource = api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}

func clusterObject(name, env string) string {
	return fmt.Sprintf(`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster",
		"metadata":{"name":%q,"labels":{"env":%q}}}`, name, env)
}

func crowdName(i int) string { return fmt.Sprintf("c%04d", i) }

func newCrowd(t *testing.T) *crowd {
	c := &crowd{T: t, store: store.OpenMemory()}
	t.Cleanup(func() { must(t, c.store.Close()) })
	c.Server = New(Config{Store: c.store, Log: slog.New(slog.DiscardHandler), Join: Join{TrustDomain: "nave-test"}})
	c.ctx = identity.WithCaller(t.Context(),
		identity.Caller{ID: identity.ID{TrustDomain: "nave-test", Role: identity.Operator, Name: "eve"}})
	c.update(func(tx *store.Tx) error {
		prod := api.Key{Kind: "Fleet", Name: "prod"}
		admitted, err := admit(api.File{Data: []byte(fleet + "---" + source)})
		if err != nil {
			return err
		}
		for _, a := range admitted {
			err = errors.Join(err, putObject(tx, a.key, nil, string(a.object.JSON)))
		}
		for i := range crowdSize {
			root, app := kustomizationKey(crowdName(i), "root"), kustomizationKey(crowdName(i), "app")
			err = errors.Join(err,
				putObject(tx, api.ClusterKey(crowdName(i)), nil, clusterObject(crowdName(i), "prod")),
				putObject(tx, root, &prod, `{"metadata":{"labels":{"tier":"root"}},"spec":{"wait":true}}`),
				putObject(tx, app, &root, `{"spec":{"sourceRef":{"kind":"GitRepository","name":"fleet"}}}`))
		}
		return err
	})
	return c
}

func (c *crowd) update(do func(*store.Tx) error) {
	c.Helper()
	must(c.T, c.store.Update(c.Context(), do))
}

// putObject writes the row of an object.
func putObject(tx *store.Tx, key api.Key, owner *api.Key, object string) error {
	return store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Owner: owner, Object: api.StoredObject(key,
		[]byte(object))})
}

// report is the word of a spoke about an application.
func report(tx *store.Tx, key api.Key, message string) error {
	value, err := proto.Marshal(&spokev1.ApplicationReport{Ready: "False", Reason: "HealthCheckFailed", Message: message})
	if err != nil {
		return err
	}
	return store.Reports.Put(tx, key.Path(), store.Report{Value: value})
}

// stream takes what a watch sends.
type stream struct {
	grpc.ServerStream
	ctx  context.Context
	sent chan *adminv1.WatchResponse
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) SendHeader(metadata.MD) error { return nil }

func (s *stream) Send(r *adminv1.WatchResponse) error {
	s.sent <- r
	return nil
}

// watching is a watch of all objects of a kind that is up to date.
type watching struct {
	*testing.T
	crowd    *crowd
	kind     string
	sent     chan *adminv1.WatchResponse
	computed int64 // so far
}

func (c *crowd) watch(t *testing.T, kind string) *watching {
	w := &watching{T: t, crowd: c, kind: kind, sent: make(chan *adminv1.WatchResponse, 3*crowdSize)}
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan error, 1)
	go func() {
		defer close(w.sent)
		ended <- c.Watch(&adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: kind, AllClusters: true}},
			&stream{ctx: ctx, sent: w.sent})
	}()
	t.Cleanup(func() {
		cancel()
		wantCode(t, <-ended, codes.Canceled)
	})
	for r := range w.sent {
		if r.Type == adminv1.WatchType_WATCH_TYPE_SYNCED {
			break
		}
	}
	w.computed = c.computed.Load()
	return w
}

// expect makes a change, and compares how many objects are computed for it.
func (w *watching) expect(name string, want int64, change func(*store.Tx) error) {
	w.Helper()
	w.crowd.update(change)
	last := "last-" + name // is computed after the change
	w.crowd.update(func(tx *store.Tx) error {
		like := map[string]api.Key{"kustomizations": kustomizationKey("c0001", "app"), "clusters": api.ClusterKey("c0001"),
			"fleets": api.FleetKey("prod"), "gitrepositories": crowdSource}[w.kind]
		row, _, err := store.Resources.Get(tx, like.Path())
		if row.Key.Name = last; row.Key.Cluster != "" {
			row.Key.Cluster = last
		}
		return errors.Join(err, store.Resources.Put(tx, row.Key.Path(), row))
	})
	for r := range w.sent {
		if r.Object.Key.Name == last {
			break
		}
	}
	before := w.computed
	w.computed = w.crowd.computed.Load()
	if got := w.computed - before - 1; got != want {
		w.Errorf("%s: %d of the %s are computed, want %d", name, got, w.kind, want)
	}
}

// TestWatch_affected: a change computes the objects that it affects, and no others of a large fleet.
func TestWatch_affected(t *testing.T) {
	c := newCrowd(t)
	app, root := kustomizationKey("c0500", "app"), kustomizationKey("c0500", "root")
	say := func(key api.Key, word string) func(*store.Tx) error {
		return func(tx *store.Tx) error { return report(tx, key, word) }
	}
	label := func(env string) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			return putObject(tx, api.ClusterKey("c0500"), nil, clusterObject("c0500", env))
		}
	}
	t.Run("kustomizations", func(t *testing.T) {
		w := c.watch(t, "kustomizations")
		if w.computed != 2*crowdSize {
			t.Fatalf("%d objects are computed at first", w.computed)
		}
		w.expect("report", 2, say(app, "sick")) // of the application, and of the root, which waits for it
		w.expect("report_of_root", 1, say(root, "sick"))
		w.expect("condition", 2, func(tx *store.Tx) error {
			return store.Conditions.Put(tx, app.Path(), store.Condition{Ready: "False", Reason: "BuildFailed"})
		})
		w.expect("spoke", 2, func(tx *store.Tx) error {
			return store.Spokes.Put(tx, "c0500", store.Spoke{Connected: true})
		})
		w.expect("created", 2, func(tx *store.Tx) error {
			return putObject(tx, kustomizationKey("c0500", "new"), &root, `{"spec":{}}`)
		})
		w.expect("deleted", 2, func(tx *store.Tx) error {
			return store.Resources.Delete(tx, kustomizationKey("c0500", "new").Path())
		})
	})
	t.Run("clusters", func(t *testing.T) {
		w := c.watch(t, "clusters")
		w.expect("report", 1, say(app, "worse"))
		w.expect("labels", 1, label("dev"))
	})
	t.Run("fleets", func(t *testing.T) {
		w := c.watch(t, "fleets")
		w.expect("report", 1, say(kustomizationKey("c0501", "app"), "sick"))
		w.expect("labels", 2, label("prod")) // of the Fleet that the first step made, too
	})
	t.Run("gitrepositories", func(t *testing.T) {
		w := c.watch(t, "gitrepositories")
		w.expect("report", 0, say(app, "still"))
		w.expect("spec", 1, func(tx *store.Tx) error {
			row, _, err := store.Resources.Get(tx, crowdSource.Path())
			row.Generation++
			return errors.Join(err, store.Resources.Put(tx, crowdSource.Path(), row))
		})
	})
}

// TestList_pages: pages of any size give the same list.
func TestList_pages(t *testing.T) {
	c := newCrowd(t)
	for name, request := range map[string]*adminv1.ListRequest{
		"all":       {Kind: "kustomizations", AllClusters: true},
		"selected":  {Kind: "kustomizations", AllClusters: true, LabelSelector: "tier=root"},
		"namespace": {Kind: "kustomizations", AllClusters: true, Namespace: "flux-system"},
		"hub":       {Kind: "clusters"},
		"cluster":   {Kind: "kustomizations", Cluster: "c0007"},
		"none":      {Kind: "kustomizations", Cluster: "c0007", Namespace: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := c.List(c.ctx, request)
			must(t, err)
			for _, limit := range []int64{1, 499, 500, 1000, 5000} {
				if limit == 1 && len(whole.Objects) > crowdSize/2 {
					continue // one by one takes long
				}
				var pages []*adminv1.Object
				page := proto.CloneOf(request)
				page.Limit = limit
				for more := true; more; more = page.Continue != "" {
					answer, err := c.List(c.ctx, page)
					must(t, err)
					if len(answer.Objects) > int(limit) {
						t.Fatalf("%d objects in a page of %d", len(answer.Objects), limit)
					}
					pages, page.Continue = append(pages, answer.Objects...), answer.Continue
				}
				same := slices.EqualFunc(pages, whole.Objects, func(a, b *adminv1.Object) bool { return proto.Equal(a, b) })
				if !same || whole.Continue != "" {
					t.Errorf("pages of %d give %d objects, the whole list has %d", limit, len(pages), len(whole.Objects))
				}
			}
		})
	}
	first, err := c.List(c.ctx, &adminv1.ListRequest{Kind: "clusters", Limit: 1})
	must(t, err)
	for name, request := range map[string]*adminv1.ListRequest{
		"other_list": {Kind: "fleets", Continue: first.Continue},
		"made_up":    {Kind: "clusters", Continue: "x"},
		"negative":   {Kind: "clusters", Limit: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.List(c.ctx, request)
			wantCode(t, err, codes.InvalidArgument)
		})
	}
}

// TestOperator: the identity of a call is that of its context, whatever proved it.
func TestOperator(t *testing.T) {
	c := newCrowd(t)
	request := &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "c0001"}}
	for name, tt := range map[string]struct {
		ctx  context.Context
		code codes.Code
	}{
		"operator": {c.ctx, codes.OK},
		"nobody":   {t.Context(), codes.Unauthenticated},
		"spoke": {identity.WithCaller(t.Context(), identity.Caller{ID: identity.ID{TrustDomain: "nave-test",
			Role: identity.Cluster, Name: "c0001"}}), codes.PermissionDenied},
		"other_hub": {identity.WithCaller(t.Context(), identity.Caller{ID: identity.ID{TrustDomain: "other",
			Role: identity.Operator, Name: "eve"}}), codes.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Get(tt.ctx, request)
			wantCode(t, err, tt.code)
		})
	}
}

// TestWatch_memory checks that a watch costs little for each object that it was sent.
func TestWatch_memory(t *testing.T) {
	c := newCrowd(t)
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for kind, objects := range map[string]int64{"kustomizations": 2 * crowdSize, "clusters": crowdSize} {
		t.Run(kind, func(t *testing.T) {
			c.watch(t, kind) // names are kept once for all
			before := heap()
			const watches, most = 8, 600
			for range watches {
				c.watch(t, kind)
			}
			each := (heap() - before) / watches / objects
			t.Logf("%d bytes for each object", each)
			if each > most {
				t.Errorf("%d bytes for each object, want at most %d", each, most)
			}
		})
	}
}

// TestWatch_limit checks that an operator with half of all watches gets no more until one has ended, and that others
// get theirs.
func TestWatch_limit(t *testing.T) {
	c := newCrowd(t)
	mallory := identity.ID{TrustDomain: "nave-test", Role: identity.Operator, Name: "mallory"}
	for range maxWatches / 2 {
		if _, ok := c.watches.take(mallory); !ok {
			t.Fatal("half of the watches are too many for one operator")
		}
	}
	request := &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "fleets"}}
	ctx := identity.WithCaller(t.Context(), identity.Caller{ID: mallory})
	err := c.Watch(request, &stream{ctx: ctx, sent: make(chan *adminv1.WatchResponse, 10)})
	wantCode(t, err, codes.ResourceExhausted, "128 watches, 128 of them of operator mallory")
	c.watch(t, "fleets") // of another operator
	if all, own := c.watches.count(mallory); all != maxWatches/2+1 || own != maxWatches/2 {
		t.Errorf("%d watches are counted, %d of the first operator", all, own)
	}
	c.watches.give(mallory)
	saved := c.ctx
	c.ctx = ctx
	c.watch(t, "fleets")
	c.ctx = saved
}
