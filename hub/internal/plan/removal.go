package plan

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	// confirmationTTL is how long a confirmation of a removal is valid if the removal does not happen.
	confirmationTTL = 10 * time.Minute
	// maxRemovals bounds the removals of a plan. A spoke that missed a removal keeps the application and reports that.
	maxRemovals = 4096
)

// nextPlan returns the plan that a walk leads to, without ChangedAt.
func (p *Planner) nextPlan(ctx context.Context, w *walked) store.Plan {
	next := store.Plan{Applications: w.applications(), Pending: w.pending(),
		Incomplete: len(w.graph.Blind) > 0 || p.hubIncomplete()}
	next.Removals, next.Undecided = p.departures(ctx, w, next).decide()
	next.Removals = p.bound(ctx, w.cluster, next.Removals)
	next.Handovers = p.handovers(ctx, w)
	next.Questions = bundle.FitQuestions(w.graph.Questions)
	return next
}

// pending returns the renderables of the cluster that have no Application.
func (w *walked) pending() (names []bundle.ApplicationName) {
	for _, key := range w.graph.Pending {
		names = append(names, key.Application())
	}
	return names
}

// withdrawn drops the removals that package publish took out of the plan during the walk.
func (c *writer) withdrawn(w *walked) error {
	if len(w.last.Removals) == 0 {
		return nil
	}
	now, _, err := store.Plans.GetIntact(c.tx, w.cluster)
	w.next.Removals = slices.DeleteFunc(slices.Clone(w.next.Removals), func(r bundle.Removal) bool {
		return slices.Contains(w.last.Removals, r) && !slices.Contains(now.Removals, r)
	})
	return err
}

// hubIncomplete reports whether the hub's own graph may give Fleets and Clusters that the planner does not know of. It
// may until its first walk is written.
func (p *Planner) hubIncomplete() bool {
	s := p.scopes[""]
	return s == nil || s.incomplete
}

// bound returns at most maxRemovals. Removals of applications that the spoke reports come first: the spoke has most
// likely carried out the others, and could not acknowledge them because of another failure in its cluster.
func (p *Planner) bound(ctx context.Context, cluster string, removals []bundle.Removal) []bundle.Removal {
	over := len(removals) - maxRemovals
	if over <= 0 {
		return removals
	}
	reported := map[bundle.ApplicationName]bool{}
	err := p.store.View(ctx, func(tx *store.Tx) error {
		clear(reported)
		return store.Reports.Sizes(tx, store.OfCluster(cluster), func(path string, _ int) error {
			reported[pathKey(path).Application()] = true
			return nil
		})
	})
	removals = slices.DeleteFunc(removals, func(r bundle.Removal) bool {
		drop := over > 0 && !reported[r.Name]
		if drop {
			over--
		}
		return drop
	})
	if err != nil {
		p.log.Error("cannot tell which removals are carried out", telemetry.Cluster(cluster), telemetry.Err(err))
	}
	return removals[:min(len(removals), maxRemovals)]
}

func (w *walked) keyOf(owner bundle.ApplicationName) api.Key {
	return api.ApplicationKey(w.cluster, owner)
}

// bundleOf returns the bundle of a plan, without cluster, number and times.
func bundleOf(plan store.Plan) *bundle.Bundle {
	return &bundle.Bundle{
		Applications: store.BundleEntries(plan.Applications), Pending: plan.Pending, Incomplete: plan.Incomplete,
		Removals: plan.Removals, Handovers: plan.Handovers, Questions: plan.Questions,
	}
}

func samePlan(a, b store.Plan) bool {
	return slices.Equal(a.Applications, b.Applications) && slices.Equal(a.Pending, b.Pending) &&
		a.Incomplete == b.Incomplete &&
		slices.Equal(a.Removals, b.Removals) && slices.Equal(a.Handovers, b.Handovers) &&
		bundle.SameQuestions(a.Questions, b.Questions)
}

// departures are the values that decide about the applications that left a plan.
type departures struct {
	last       store.Plan
	here       map[bundle.ApplicationName]bool   // in the next plan, or pending
	mayReturn  func(bundle.ApplicationName) bool // a renderable that was not rendered may give it
	confirmed  map[bundle.ApplicationName]bool   // by an operator
	carriedOut map[bundle.ApplicationName]bool   // acknowledged by the spoke
	passedOn   func(bundle.ApplicationName) bool // a controller in the cluster goes on with it
	policy     func(store.Entry) bundle.DeletionPolicy
}

func (p *Planner) departures(ctx context.Context, w *walked, next store.Plan) departures {
	d := departures{
		last: w.last, here: map[bundle.ApplicationName]bool{}, confirmed: map[bundle.ApplicationName]bool{},
		mayReturn:  func(o bundle.ApplicationName) bool { return p.hubIncomplete() || w.graph.MayGive(w.keyOf(o)) },
		carriedOut: w.carriedOut, passedOn: w.passedOn,
		policy: func(e store.Entry) bundle.DeletionPolicy { return p.policyOf(ctx, w, e) },
	}
	for _, e := range next.Applications {
		d.here[e.Name] = true
	}
	for _, owner := range next.Pending {
		d.here[owner] = true
	}
	for key := range w.confirmedKeys() {
		if key.Role() == api.RenderableRole { // sources have no application
			d.confirmed[key.Application()] = true
		}
	}
	return d
}

// decide returns the removals of the next plan, sorted, and the applications that left and may come back when the plan
// is complete. A removal stays in the plan until the spoke has carried it out or the application exists again. From
// when a controller in the cluster goes on with the application, the removal deletes nothing. If an operator confirmed
// a removal that the hub does not know, decide adds it, because the spoke knows it.
func (d departures) decide() (removals, undecided []bundle.Removal) {
	all := map[bundle.ApplicationName]bundle.Removal{}
	decided := map[bundle.ApplicationName]bool{}
	for _, r := range d.last.Removals {
		all[r.Name], decided[r.Name] = r, true
	}
	for _, r := range d.last.Undecided {
		all[r.Name] = r
	}
	for _, e := range d.last.Applications {
		if !d.here[e.Name] {
			all[e.Name] = bundle.Removal{Name: e.Name, Policy: d.policy(e)}
			decided[e.Name] = false
		}
	}
	for owner := range d.confirmed {
		r, known := all[owner]
		if !known {
			r = bundle.Removal{Name: owner, Policy: bundle.MirrorPrune}
		}
		r.Confirmed = true
		all[owner], decided[owner] = r, true
	}
	for _, owner := range slices.SortedFunc(maps.Keys(all), bundle.ApplicationName.Compare) {
		r := all[owner]
		if d.passedOn(owner) {
			r.Policy = bundle.Orphan
		}
		switch {
		case d.here[owner], decided[owner] && d.carriedOut[owner]:
		case decided[owner] || !d.mayReturn(owner):
			removals = append(removals, r)
		default:
			undecided = append(undecided, r)
		}
	}
	return removals, undecided
}

// policyOf returns the policy for the objects of an application that leaves: its last deletion policy, as Flux's
// finalizer acts on it. If the application is suspended, policyOf returns Orphan.
func (p *Planner) policyOf(ctx context.Context, w *walked, e store.Entry) bundle.DeletionPolicy {
	if w.isSuspended(w.keyOf(e.Name), p.hub) {
		return bundle.Orphan
	}
	app, err := store.ReadApplication(ctx, p.store.Blobs(), e.Digest)
	if err != nil {
		return bundle.MirrorPrune // the spoke remembers the policy that it applied
	}
	return app.PolicyOnRemoval()
}

// passedOn reports whether the object of a renderable is passed through to a controller in the cluster now.
func (w *walked) passedOn(name bundle.ApplicationName) bool {
	return slices.ContainsFunc(w.graph.Applications, func(app graph.Application) bool {
		return graph.IsPassedOn(w.keyOf(name), app)
	})
}

// carriedOut returns the removals of a plan that the spoke has carried out. It has if it acknowledged the newest bundle
// as applied.
func carriedOut(tx *store.Tx, cluster string, plan store.Plan) (map[bundle.ApplicationName]bool, error) {
	if len(plan.Removals) == 0 {
		return nil, nil
	}
	signed, applied, err := newestApplied(tx, cluster)
	if err != nil || !applied {
		return nil, err
	}
	done := map[bundle.ApplicationName]bool{}
	for _, r := range signed.Removals {
		done[r.Name] = true
	}
	return done, nil
}

// newestApplied returns the newest bundle of a cluster, and whether the spoke acknowledged it as applied.
func newestApplied(tx *store.Tx, cluster string) (signed store.SignedBundle, applied bool, err error) {
	signed, published, err := store.SignedBundles.GetIntact(tx, cluster)
	if err != nil || !published {
		return signed, false, err
	}
	spoke, _, err := store.Spokes.GetIntact(tx, cluster)
	return signed, err == nil && spoke.Acks[bundle.Applied] == signed.Bundle, err
}

// confirmedKeys returns the objects whose removal an operator confirmed.
func (w *walked) confirmedKeys() map[api.Key]bool {
	keys := map[api.Key]bool{}
	for path := range w.confirmation.Removals {
		keys[pathKey(path)] = true
	}
	return keys
}

// readPrunes moves the confirmations of completed prunes to w.pruned. A prune is completed if the spoke does not hold
// it any more and has applied the whole application. A later prune of the same objects needs another confirmation.
func (w *walked) readPrunes(tx *store.Tx) error {
	w.pruned = map[string]manifest.Digest{}
	for path, digest := range w.confirmation.Prunes {
		row, reported, err := store.Reports.GetIntact(tx, path)
		if err != nil {
			return err
		}
		report, err := reporting.ReadApplication(row.Value)
		if err != nil {
			continue // the confirmation stays until it expires
		}
		owner := pathKey(path).Application()
		applied := slices.ContainsFunc(w.last.Applications, func(e store.Entry) bool {
			return e.Name == owner && bytes.Equal(e.Digest[:], report.GetAppliedDigest())
		})
		if reported && applied && !bytes.Equal(report.GetHeldPrune().GetDigest(), digest[:]) {
			w.pruned[path] = digest
			delete(w.confirmation.Prunes, path)
		}
	}
	return nil
}

// confirmed deletes the confirmations that were carried out, whose objects came back, or that expired. A confirmation
// is not valid for a second removal.
func (c *writer) confirmed(w *walked) error {
	w.confirmedUntil = time.Time{}
	if len(w.confirmation.Removals) == 0 && len(w.confirmation.Prunes) == 0 && len(w.pruned) == 0 {
		return nil
	}
	key := store.ConfirmationKey(w.cluster)
	now, _, err := store.Confirmations.GetIntact(c.tx, key)
	if err != nil {
		return err
	}
	for path, at := range w.confirmation.Removals {
		switch until := at.Add(confirmationTTL); {
		case !now.Removals[path].Equal(at): // given again meanwhile
		case w.bundleTooLarge != nil && !w.leaves(pathKey(path)): // the next plan, in which it left, is not written
		case w.isGone(pathKey(path)), w.isBack(pathKey(path)), !c.start.Before(until):
			delete(now.Removals, path)
		case w.confirmedUntil.IsZero() || until.Before(w.confirmedUntil):
			w.confirmedUntil = until
		}
	}
	for path, digest := range now.Prunes {
		if _, here := w.graph.Nodes[pathKey(path)]; !here || w.pruned[path] == digest {
			delete(now.Prunes, path)
		}
	}
	if len(now.Removals) == 0 && len(now.Prunes) == 0 {
		return store.Confirmations.Delete(c.tx, key)
	}
	return store.Confirmations.Put(c.tx, key, now)
}

// isGone reports whether an object left the graph for good, so that its confirmation is not needed any more.
func (w *walked) isGone(key api.Key) bool {
	if _, here := w.graph.Nodes[key]; here {
		return false
	}
	return key.Cluster == "" || key.Role() != api.RenderableRole ||
		slices.ContainsFunc(w.next.Removals, func(r bundle.Removal) bool { return r.Name == key.Application() })
}

// isBack reports whether an object whose removal was held is given again.
func (w *walked) isBack(key api.Key) bool {
	n, here := w.graph.Nodes[key]
	return here && !n.Held && w.rows[key].Held
}

// held lists the objects whose removal is held, by name.
func (w *walked) held() []string {
	var held []string
	for key, f := range w.graph.Findings {
		if f.Reason == condition.RemovalHeld {
			key.Cluster = ""
			held = append(held, key.String())
		}
	}
	slices.Sort(held)
	return held
}

// heldByOwner returns how many objects have a held removal, by the owner that gave them last.
func (w *walked) heldByOwner() map[api.Key]int {
	held := map[api.Key]int{}
	for key, n := range w.graph.Nodes {
		if n.Held && n.Owner != nil && w.graph.Findings[key].Reason == condition.RemovalHeld {
			held[*n.Owner]++
		}
	}
	return held
}
