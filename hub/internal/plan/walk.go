package plan

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// walked is the result of walking one graph, ready to be written.
type walked struct {
	cluster string
	gone    bool // its Cluster does not exist any more
	unread  bool // its Cluster cannot be decoded: all rows stay
	frozen  bool // its Cluster is suspended: its plan stays, but for suspensions of objects
	rows    map[api.Key]store.Resource
	lost    map[api.Key]bool // damaged rows of the graph; true: the object was suspended in the last plan
	last    store.Plan
	change  time.Time // ChangedAt of the plan that was written; zero: it is the last one
	damaged bool      // a blob of the last plan is missing or damaged
	graph   *graph.Graph
	planned map[manifest.Digest]*bundle.Application // of the last plan, that the walk has read
	// references are the objects of Applications that the walk has read from, by the first one of each.
	references   map[*bundle.ObjectReference]map[manifest.ID]bundle.ObjectReference
	fleets       map[string]error
	entries      []compiled
	drift        map[string]string          // drift modes by Fleet, of Kustomizations that name none; "": without a Fleet
	confirmation store.Confirmation         // as it was read, without completed prunes
	pruned       map[string]manifest.Digest // confirmations of completed prunes
	// when the first valid confirmation of a removal expires; zero: there is none
	confirmedUntil time.Time
	carriedOut     map[bundle.ApplicationName]bool // removals of the last plan that the spoke acknowledged
	takenOver      map[bundle.Handover]bool        // handovers of the last plan that the spoke carried out
	next           store.Plan                      // the result of the walk
	// tooLarge has the errors of renderables whose Applications no spoke would accept as rendered now; they are held.
	tooLarge map[api.Key]error
	// bundleTooLarge is set if no bundle holds all entries; then the content of the last plan stays.
	bundleTooLarge error
	// letGo are the applications that leave all the same.
	letGo map[bundle.ApplicationName]bool

	facts clusterFacts

	mu        sync.Mutex // guards the following, which concurrent renders write
	renders   map[*cache.Rendering]bool
	artifacts map[api.Key]*artifact.Artifact
	// unrendered are the objects whose render failed.
	unrendered map[api.Key]bool
	needed     map[api.Key][]graph.Base // the remote bases of each renderable
	given      map[api.Key][]string     // of them, those that it was rendered with: see store.Content
	passing    bool                     // a render had a temporary failure
	slow       []<-chan struct{}        // closed at the ends of renders that go on
	// charts has what charts that ask were told about their releases, and asks the questions about releases, each with
	// whether it is answered.
	charts  map[api.Key]api.ReleaseState
	asks    map[manifest.Digest]releaseQuestion
	waiting map[api.Key]bool // the readers of those without an answer
	// renderedBy has the last render of each renderable, and bases what it needed; only a Preview fills them.
	renderedBy map[api.Key]*previewRender
	madeOf     map[api.Key]PreviewedSource
	bases      map[api.Key][]PreviewedBase
	published  Last

	// unanswered has, for each request that waits for remote bases or for the cluster, the one that was handled before.
	unanswered map[api.Key]string
	awaited    map[string]bool // the fetches that they wait for, by key

	// written are the rows that the commit wrote; nil: deleted. They count if committed is set.
	written   map[api.Key]*store.Resource
	committed bool
}

func newWalked(cluster string) *walked {
	return &walked{
		cluster: cluster, renders: map[*cache.Rendering]bool{}, artifacts: map[api.Key]*artifact.Artifact{},
		unrendered: map[api.Key]bool{},
		needed:     map[api.Key][]graph.Base{}, given: map[api.Key][]string{},
		charts: map[api.Key]api.ReleaseState{}, asks: map[manifest.Digest]releaseQuestion{}, waiting: map[api.Key]bool{},
		written: map[api.Key]*store.Resource{}, tooLarge: map[api.Key]error{},
		planned: map[manifest.Digest]*bundle.Application{}, lost: map[api.Key]bool{},
		references: map[*bundle.ObjectReference]map[manifest.ID]bundle.ObjectReference{},
	}
}

// walk walks the graph of one cluster, or the hub's.
func (p *Planner) walk(ctx context.Context, cluster string, apps *compiler) (w *walked, err error) {
	w = newWalked(cluster)
	w.rows = p.hub.rows
	if err := p.read(ctx, w); err != nil {
		return nil, err
	}
	if err := p.mendApplications(ctx, w); err != nil {
		return nil, err
	}
	if cluster != "" {
		_, exists := p.hub.rows[api.ClusterKey(cluster)]
		switch c := p.hub.clusters[cluster]; {
		case !exists:
			w.gone = true
			return w, nil
		case c == nil:
			w.unread = true
			return w, nil
		case c.Spec.Suspend:
			p.freeze(w)
			return w, w.restorable()
		}
	}
	if err := w.walk(ctx, apps, func() graph.Input { return p.input(ctx, w) }); err != nil {
		return nil, err
	}
	if err := p.awaitAnswers(ctx, w); err != nil {
		return nil, err
	}
	if cluster != "" {
		w.recordBases()
		w.addAsks()
		w.next = p.nextPlan(ctx, w)
		if w.bundleTooLarge = bundle.FitsBundle(bundleOf(w.next)); w.bundleTooLarge != nil {
			w.next = p.keptPlan(ctx, w)
		}
	}
	return w, nil
}

// walk walks the graph and compiles its Applications.
func (w *walked) walk(ctx context.Context, apps *compiler, input func() graph.Input) (err error) {
	for again := true; again; again = w.compile(apps) { // each time with more objects held, nearly always once
		w.graph, err = graph.Walk(ctx, input())
		if err = cmp.Or(err, w.restorable()); err != nil {
			return err
		}
	}
	w.attributeFindings()
	return nil
}

// attributeFindings attributes the findings about roots to the Fleets that give them.
func (w *walked) attributeFindings() {
	for key, f := range w.graph.Findings {
		if key.Role() == api.FleetRole && key.Cluster != w.cluster {
			w.fleets[key.Name] = fleetError{f.Reason, f.Message}
		}
	}
}

// fleetError is the error of a Fleet on one cluster: the reason and the message of its condition.
type fleetError struct{ reason, message string }

// Error implements error.
func (e fleetError) Error() string { return e.message }

// reasonOfFleet returns the reason of a condition for the error of a Fleet.
func reasonOfFleet(err error) string {
	if e, ok := errors.AsType[fleetError](err); ok {
		return e.reason
	}
	return condition.TemplateFailed
}

// read reads the result of the last walk, and the changes by operators and the reports of the spoke since then. The
// rows of the hub are in memory.
func (p *Planner) read(ctx context.Context, w *walked) error {
	return p.store.View(ctx, func(tx *store.Tx) (err error) {
		w.confirmation, _, err = store.Confirmations.GetIntact(tx, store.ConfirmationKey(w.cluster))
		if err != nil || w.cluster == "" {
			return err
		}
		if w.last, _, err = store.Plans.GetIntact(tx, w.cluster); err != nil {
			return err
		}
		repair, err := store.Repairs.Bytes(tx, w.cluster)
		if w.damaged = repair != nil; err != nil {
			return err
		}
		if err = w.readPrunes(tx); err != nil {
			return err
		}
		if w.carriedOut, err = carriedOut(tx, w.cluster, w.last); err != nil {
			return err
		}
		if w.takenOver, err = takenOver(tx, w.cluster, w.last); err != nil {
			return err
		}
		return p.readRows(tx, w)
	})
}

// input returns the Input of the walk.
func (p *Planner) input(ctx context.Context, w *walked) graph.Input {
	in := graph.Input{
		Cluster: w.cluster, Previous: map[api.Key]graph.Node{}, Entries: map[bundle.ApplicationName]bundle.Entry{},
		Suspended: map[api.Key]bool{}, Confirmed: w.confirmedKeys(), NoCrossNamespaceRefs: p.strict, Guard: p.guard,
		LenientSubstitution: p.lenient,
		Render: func(works []graph.Work) []graph.Result {
			return renderLevel(works, func(work graph.Work) graph.Result { return p.renderOne(ctx, w, work) })
		},
		Contents: func(d manifest.Digest) ([]manifest.ID, error) { return p.contents(ctx, w, d) },
		Object: func(app graph.Application, id manifest.ID) (*manifest.Object, error) {
			return p.object(ctx, w, app, id)
		},
		Sealed: func(app graph.Application) ([]bundle.SealedFile, bundle.SecretReference, error) {
			return p.sealedOf(ctx, w, app)
		},
		Shape:       func(q bundle.ShapeQuestion) (graph.Shape, bool, error) { return p.shape(ctx, w, q) },
		Placeholder: sealed.NewSalt(p.salt).Placeholder,
		Joined:      func(cluster string) bool { return p.joined(ctx, cluster) },
		Last:        func(key api.Key) (revision, failure string) { return p.last(ctx, key) },
	}
	for name, f := range p.hub.fleets {
		in.Suspended[api.FleetKey(name)] = f.Spec.Suspend
	}
	for _, e := range w.last.Applications {
		in.Entries[e.Name] = e.Bundle()
	}
	w.addRows(&in)
	if w.cluster != "" {
		w.drift = p.hub.driftDefaults(p.hub.clusters[w.cluster])
		var roots []graph.Root
		roots, w.fleets = p.hub.rootsOf(p.hub.clusters[w.cluster], in.Previous)
		in.Roots = append(in.Roots, roots...)
		in.HubSource = p.hub.source
		in.LastCluster = p.hub.withoutClusters(in.Previous, w.fleets)
		in.Admissions = p.hub.admissions(p.hub.clusters[w.cluster], w.fleets)
	}
	return in
}

// addRows adds the rows of the graph. The operators' own objects are roots, sorted; the others are the nodes of the
// last walk.
func (w *walked) addRows(in *graph.Input) {
	for key, suspended := range w.lost {
		if suspended {
			in.Suspended[key] = true
		}
	}
	for key, r := range w.rows {
		if r.Suspended {
			in.Suspended[key] = true
		}
		if r.Owner == nil {
			in.Roots = append(in.Roots, graph.Root{Key: key, Object: r.Object})
			continue
		}
		in.Previous[key] = graph.Node{
			Key: key, Owner: r.Owner, Object: r.Object, Orphaned: r.Orphaned, OrphanOnDelete: r.OrphanOnDelete,
			Held: r.Held, Confined: r.Confined, AliasOf: r.AliasOf, Admission: r.Admission,
		}
	}
	slices.SortFunc(in.Roots, func(a, b graph.Root) int { return strings.Compare(a.Key.Path(), b.Key.Path()) })
}

// contents returns the IDs of the objects of an Application in the store.
func (p *Planner) contents(ctx context.Context, w *walked, d manifest.Digest) (ids []manifest.ID, err error) {
	app, err := p.planned(ctx, w, d)
	if err != nil {
		return nil, err
	}
	for _, o := range app.Objects {
		ids = append(ids, o.ID())
	}
	return ids, nil
}

// planned returns an Application of the last plan. A walk reads each of them once.
func (p *Planner) planned(ctx context.Context, w *walked, d manifest.Digest) (*bundle.Application, error) {
	if app, ok := w.planned[d]; ok {
		return app, nil
	}
	app, err := store.ReadApplication(ctx, p.store.Blobs(), d)
	if err == nil {
		w.planned[d] = app
	}
	return app, err
}

// joined reports whether the spoke of a cluster has registered. If nobody knows, it has.
func (p *Planner) joined(ctx context.Context, cluster string) (joined bool) {
	err := p.store.View(ctx, func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, cluster)
		joined = row.HasRegistered()
		return err
	})
	return joined || err != nil
}

// last returns the revision that a renderable was rendered from last, and the reason if its last rendering failed.
func (p *Planner) last(ctx context.Context, key api.Key) (revision, failure string) {
	err := p.store.View(ctx, func(tx *store.Tx) error {
		o, _, err := store.Conditions.GetIntact(tx, key.Path())
		revision, failure = o.Revision, ""
		if o.Ready == condition.False {
			failure = o.Reason
		}
		return err
	})
	if err != nil {
		return "", err.Error()
	}
	return revision, failure
}

// plan returns the cluster's plan after the walk.
func (w *walked) plan(start time.Time) store.Plan {
	plan := w.next
	plan.ChangedAt = w.last.ChangedAt
	if !samePlan(plan, w.last) || plan.ChangedAt.IsZero() {
		plan.ChangedAt = w.changedAt(start)
	}
	return plan
}

// applications returns the entries of the plan.
func (w *walked) applications() (list []store.Entry) {
	for _, c := range w.entries {
		list = append(list, c.entry)
	}
	return list
}

// changedAt returns the time when the hub first saw the change. If a new revision changed an Application, that is the
// time when the revision was fetched, else the start of the round.
func (w *walked) changedAt(start time.Time) time.Time {
	last := map[bundle.ApplicationName]store.Entry{}
	for _, e := range w.last.Applications {
		last[e.Name] = e
	}
	first := start
	if w.bundleTooLarge != nil { // no revision of the entries is planned
		return first
	}
	for _, c := range w.entries {
		old, was := last[c.entry.Name]
		a := w.artifacts[c.key]
		if was && a != nil && old.Revision != c.entry.Revision && a.FetchedAt.After(w.last.ChangedAt) &&
			a.FetchedAt.Before(first) {
			first = a.FetchedAt
		}
	}
	return first
}

// names returns the keys of a map, sorted.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
