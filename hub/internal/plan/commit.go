package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// Limits of one transaction, so that the round of a large fleet does not keep other writers waiting for its whole
// length. Smaller transactions would make the round slower: docs/design/releases.md has the figures.
const (
	maxGraphs = 1000 // walked and written together
	maxRows   = 5000 // of a transaction, but for a graph that has more by itself
)

// writer writes the rows of some graphs in one transaction.
type writer struct {
	planner *Planner
	tx      *store.Tx
	start   time.Time
	scopes  map[string]*scope         // that the transaction changes; nil: to be deleted
	renders map[*cache.Rendering]bool // put in this transaction: a thousand equal clusters share one
	written []*walked
	failed  []store.Event // warnings that the transaction records
}

// commit writes the results of walks: the blobs first, then the rows of some graphs in each transaction. A graph that
// cannot be written does not undo the others, and is put off. An error concerns all of them.
func (p *Planner) commit(ctx context.Context, results []*walked, start time.Time) error {
	if err := p.putBlobs(ctx, results); err != nil {
		return err
	}
	for _, batch := range batches(results) {
		if err := p.commitBatch(ctx, batch, start); err != nil {
			return fmt.Errorf("write plans: %w", err)
		}
	}
	return nil
}

// commitBatch writes some graphs in one transaction or, if that fails, each in one of its own.
func (p *Planner) commitBatch(ctx context.Context, batch []*walked, start time.Time) error {
	err := p.commitTogether(ctx, batch, start)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFull):
		return err
	case len(batch) == 1:
		p.fail(ctx, batch[0].cluster, err)
		return nil
	}
	for i := range batch {
		if err := p.commitBatch(ctx, batch[i:i+1], start); err != nil {
			return err
		}
	}
	return nil
}

// batches divides graphs into those that one transaction writes each.
func batches(results []*walked) (all [][]*walked) {
	rows := maxRows
	for _, w := range results {
		if rows += w.size(); rows > maxRows {
			all, rows = append(all, nil), w.size()
		}
		all[len(all)-1] = append(all[len(all)-1], w)
	}
	return all
}

// size estimates how many rows the graph has.
func (w *walked) size() int {
	if w.graph == nil {
		return 1 + len(w.rows)
	}
	return 1 + len(w.graph.Nodes) + len(w.graph.Findings) + len(w.renders)
}

// commitTogether writes some graphs in one transaction.
func (p *Planner) commitTogether(ctx context.Context, batch []*walked, start time.Time) error {
	c, err := p.update(ctx, start, func(c *writer) error {
		for _, w := range batch {
			moved, err := c.moved(w)
			if err != nil {
				return err
			}
			if moved {
				continue // its sources changed: its errors and answers are out of date
			}
			if err := c.write(w); err != nil {
				return err
			}
			c.written = append(c.written, w)
		}
		return nil
	})
	if errors.Is(err, cache.ErrSwept) {
		p.forgetAll(batch)
	}
	if err != nil {
		return err
	}
	p.traceWritten(c)
	p.renders.Stored(c.renders)
	for _, w := range c.written {
		p.markWritten(ctx, w)
	}
	return nil
}

// traceWritten exports the spans of plans that changed, and of the renders that they brought into the store.
func (p *Planner) traceWritten(c *writer) {
	traced := map[*cache.Rendering]bool{}
	for _, w := range c.written {
		if w.change.IsZero() {
			continue
		}
		for r := range w.renders {
			made := r.Made()
			if traced[r] || r.IsStored() || made.End.IsZero() {
				continue
			}
			traced[r] = true
			p.trace.Add(trace.Span{Change: w.change, Name: "render", Start: made.Start, End: made.End,
				Attributes: []trace.Attribute{{Key: "nave.object", Value: made.Renderable.String()}}})
		}
		p.trace.Add(trace.Span{Change: w.change, Name: "plan", Cluster: w.cluster, Start: c.start, End: p.now()})
	}
	p.traceUnrendered(c)
}

// traceUnrendered exports the spans of renders that failed, when a condition begins to tell it: once of each failure.
// The message of the condition may quote what was rendered, so a span has the reason alone.
func (p *Planner) traceUnrendered(c *writer) {
	for _, w := range c.written {
		for _, e := range c.failed {
			if a := w.artifacts[e.Object]; a != nil && w.unrendered[e.Object] {
				p.trace.Add(trace.Span{Change: a.FetchedAt, Name: "render", Cluster: e.Object.Cluster, Start: c.start,
					End: p.now(), Error: e.Reason,
					Attributes: []trace.Attribute{{Key: "nave.object", Value: e.Object.Local()}}})
			}
		}
	}
}

// update runs fn in one transaction. After the commit it copies the changed scopes to p.scopes.
func (p *Planner) update(ctx context.Context, start time.Time, fn func(*writer) error) (c *writer, err error) {
	err = p.store.Update(ctx, func(tx *store.Tx) error {
		c = &writer{
			planner: p, tx: tx, start: start, scopes: map[string]*scope{}, renders: map[*cache.Rendering]bool{},
		}
		return fn(c)
	})
	if err != nil {
		return c, err
	}
	for cluster, s := range c.scopes {
		if p.scopes[cluster] = s; s == nil {
			delete(p.scopes, cluster)
		}
	}
	p.logFailed(ctx, c.failed)
	return c, nil
}

// maxFailedLines limits how many failures of one transaction are logged, each in a line: one mistake may be in all
// clusters.
const maxFailedLines = 20

// logFailed logs failures that objects did not have before, or that changed.
func (p *Planner) logFailed(ctx context.Context, failed []store.Event) {
	for _, e := range failed[:min(len(failed), maxFailedLines)] {
		p.log.WarnContext(ctx, "object failed", telemetry.Object(e.Object), telemetry.Reason(e.Reason),
			telemetry.Err(errors.New(e.Message)))
	}
	if more := len(failed) - maxFailedLines; more > 0 {
		p.log.WarnContext(ctx, "more objects failed", telemetry.Count(more))
	}
}

// putBlobs puts the blobs that the rows of graphs name, before the rows. Equal data of several graphs is put once. Data
// that the last plan of a graph names is not put, unless there is a Repair because some of it is missing.
func (p *Planner) putBlobs(ctx context.Context, results []*walked) error {
	if err := p.putRenders(ctx, results); err != nil {
		return fmt.Errorf("store rendered objects: %w", err)
	}
	put := map[manifest.Digest]bool{}
	for _, w := range results {
		if w.bundleTooLarge != nil {
			continue
		}
		for _, e := range w.entries {
			if e.data == nil || put[e.entry.Digest] || w.isPlanned(e.entry.Digest) {
				continue
			}
			if _, err := p.store.Blobs().Put(ctx, e.data); err != nil {
				return fmt.Errorf("store the application of %s: %w", e.key, err)
			}
			put[e.entry.Digest] = true
		}
	}
	return nil
}

// putRenders puts the blobs of renders, as many renders at a time as there are CPUs: each blob is compressed.
func (p *Planner) putRenders(ctx context.Context, results []*walked) error {
	renders := map[*cache.Rendering]bool{}
	for _, w := range results {
		maps.Copy(renders, w.renders)
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for r := range renders {
		group.Go(func() error { return r.PutBlobs(ctx, p.store.Blobs()) })
	}
	return group.Wait()
}

// isPlanned reports whether the last plan keeps an Application in the store.
func (w *walked) isPlanned(d manifest.Digest) bool {
	return !w.damaged && slices.ContainsFunc(w.last.Applications, func(e store.Entry) bool { return e.Digest == d })
}

// markWritten notes that a graph was written, and the time when it has to be walked again if no row changes.
func (p *Planner) markWritten(ctx context.Context, w *walked) {
	w.committed = true
	delete(p.dirty, w.cluster)
	if w.cluster == "" {
		clear(p.hub.left)
	}
	if w.passing {
		p.postpone(w.cluster, renderRetry)
	} else {
		delete(p.fails, w.cluster)
		delete(p.again, w.cluster)
	}
	for _, done := range w.slow {
		p.awaitRender(ctx, w.cluster, done)
	}
	if at, later := p.again[w.cluster]; !w.confirmedUntil.IsZero() && (!later || w.confirmedUntil.Before(at)) {
		p.again[w.cluster] = w.confirmedUntil
	}
	p.log.DebugContext(ctx, "planned", telemetry.Cluster(w.cluster), slog.Int("applications", len(w.entries)),
		slog.Int("written", len(w.written)))
}

// forgetAll makes the next walk look at the store again.
func (p *Planner) forgetAll(results []*walked) {
	for _, w := range results {
		for r := range w.renders {
			if r.IsStored() {
				p.renders.Forget(r)
			}
		}
	}
}

// moved reports whether a graph read an artifact that is not the newest any more, and must not be written because it
// has a failure or answers a request to reconcile: the request may be newer than the artifact.
func (c *writer) moved(w *walked) (bool, error) {
	if w.graph == nil || !w.failed() && !w.answers() {
		return false, nil
	}
	for key := range w.graph.Sources {
		now, _, err := store.Sources.GetIntact(c.tx, key)
		if err != nil {
			return false, err
		}
		if !sameArtifact(now, c.planner.sources[key]) {
			return true, nil
		}
	}
	return false, nil
}

func (w *walked) failed() bool {
	for _, f := range w.graph.Findings {
		if !f.Ready && !f.Suspended {
			return true
		}
	}
	return false
}

// write writes the result of one walk.
func (c *writer) write(w *walked) error {
	clear(w.written)
	switch {
	case w.unread:
		return nil
	case w.gone:
		return c.remove(w)
	case w.frozen:
		return c.freeze(w)
	}
	if err := c.rendered(w); err != nil {
		return err
	}
	if err := c.resources(w); err != nil {
		return err
	}
	if err := c.conditions(w); err != nil {
		return err
	}
	if err := c.confirmed(w); err != nil {
		return err
	}
	last := c.planner.scopes[w.cluster]
	c.scopes[w.cluster] = w.scope()
	if w.cluster == "" {
		return nil
	}
	if last == nil || len(last.asked) > 0 { // else the cluster has no answers
		if err := store.ForgetShapes(c.tx, w.cluster, w.graph.Asked, c.start); err != nil {
			return err
		}
	}
	if err := store.Repairs.Delete(c.tx, w.cluster); err != nil || w.bundleTooLarge != nil && w.last.ChangedAt.IsZero() {
		return err // nothing was planned that could stay
	}
	if err := c.withdrawn(w); err != nil {
		return err
	}
	plan := w.plan(c.start)
	if w.change = plan.ChangedAt; w.change.Equal(w.last.ChangedAt) {
		w.change = time.Time{}
	}
	return store.Plans.Put(c.tx, w.cluster, plan)
}

// rendered writes the renders of a walk that no other walk of the transaction has written.
func (c *writer) rendered(w *walked) error {
	for r := range w.renders {
		if c.renders[r] {
			continue
		}
		if err := r.Put(c.tx, c.start); err != nil {
			return err
		}
		c.renders[r] = true
	}
	return nil
}

// remove deletes the plan of a cluster that does not exist any more, and the reports of its spoke. The identity of the
// spoke stays: if a Cluster leaves Git by mistake and comes back, its spoke must not have to register again. Meanwhile
// package dispatch refuses the spoke, because its Cluster does not exist. If an operator deletes a Cluster by hand,
// package admin deletes the identity, too.
func (c *writer) remove(w *walked) error {
	c.scopes[w.cluster] = nil
	return store.DeleteGraph(c.tx, w.cluster)
}

// resources writes the nodes that have an owner, and deletes those that left.
func (c *writer) resources(w *walked) error {
	for _, node := range w.graph.Nodes {
		if node.Owner == nil {
			continue
		}
		if err := c.resource(w, node); err != nil {
			return err
		}
	}
	for key, old := range w.rows {
		if _, stays := w.graph.Nodes[key]; stays || old.Owner == nil || w.bundleTooLarge != nil && !w.leaves(key) {
			// if the last plan stays, its objects stay with it
			continue
		}
		w.written[key] = nil
		if err := store.Resources.Delete(c.tx, key.Path()); err != nil {
			return err
		}
	}
	return nil
}

// resource writes one node. The fields of operators are taken from the row as it is now. If an operator applied the
// object during the walk, the row stays theirs, and the next walk finds the conflict or adopts the object. If an
// operator deleted an orphaned or a held object during the walk, it does not come back.
func (c *writer) resource(w *walked, node graph.Node) error {
	path := node.Key.Path()
	if row, known := w.rows[node.Key]; known && sameRow(row, given(row, node)) {
		return nil // if an operator changed it during the walk, the next walk finds that
	}
	old, was, err := store.Resources.Get(c.tx, path)
	if suspended, lost := w.lost[node.Key]; lost && errors.Is(err, store.ErrDamaged) {
		old, was, err = store.Resource{Suspended: suspended && !node.Object.Suspended(), Pin: w.pinOf(node.Key)}, false, nil
	}
	adopted := was && old.Owner == nil && w.adopts(node.Key, old)
	if err != nil || was && old.Owner == nil && !adopted || !was && (node.Orphaned || node.Held) {
		return err
	}
	row := given(old, node)
	if old.RequestedAt != w.rows[node.Key].RequestedAt { // during the walk, so after the annotation that the walk found
		row.RequestedAt = old.RequestedAt
	}
	switch {
	case !was:
		row.UID, row.Created, row.Generation = store.NewUID(), c.start, 1
	case !old.Object.SameSpec(row.Object):
		row.Generation++
	}
	if was && sameRow(old, row) {
		return nil
	}
	row.NoteSuspension(c.start)
	w.written[node.Key] = &row
	if was && old.Object.Suspended() != row.Object.Suspended() {
		err = c.recordSuspension(w, row)
	}
	if adopted {
		err = errors.Join(err, c.recordAdoption(node))
	}
	return errors.Join(err, store.Resources.Put(c.tx, path, row))
}

// recordSuspension records that spec.suspend of an object changed in Git, with the revision.
func (c *writer) recordSuspension(w *walked, row store.Resource) error {
	from := row.Owner.Local()
	if revision := w.graph.Findings[*row.Owner].Revision; revision != "" {
		from = revision + " of " + from
	}
	e := store.Event{Time: c.start, Object: row.Key, Type: condition.Normal, Reason: condition.Resumed,
		Message: "resumed in Git: " + from}
	switch {
	case row.Object.Suspended():
		e.Reason, e.Message = condition.Suspended, "suspended in Git: "+from
	case row.Suspended:
		e.Message += "; an operator keeps it suspended"
	}
	return store.Record(c.tx, e)
}

// adopts reports whether the walk found an object of operators as it is now, so that the object may get the owner that
// the walk found for it.
func (w *walked) adopts(key api.Key, now store.Resource) bool {
	read, known := w.rows[key]
	return known && read.Owner == nil && read.Object.Equal(now.Object)
}

// recordAdoption records that a Cluster of operators comes from Git from now on.
func (c *writer) recordAdoption(node graph.Node) error {
	return store.Record(c.tx, store.Event{
		Time: c.start, Object: node.Key, Type: condition.Normal, Reason: condition.Adopted,
		Message: fmt.Sprintf("An operator added it, and it comes from %s from now on; its spoke stays joined, and its "+
			"history and its pin stay", node.Owner.Local()),
	})
}

// given returns a row as a walk gives it: with the fields of its node, and those that operators set.
func given(row store.Resource, node graph.Node) store.Resource {
	row.SetObject(node.Object)
	row.Key, row.Owner = node.Key, node.Owner
	row.Orphaned, row.OrphanOnDelete, row.Held, row.Confined = node.Orphaned, node.OrphanOnDelete, node.Held, node.Confined
	row.AliasOf, row.Admission = node.AliasOf, node.Admission
	return row
}

// generation returns the generation of an object after the walk. If the graph does not have the object, generation
// returns 0.
func (w *walked) generation(key api.Key) int64 {
	if row := w.written[key]; row != nil {
		return row.Generation
	}
	return w.rows[key].Generation
}

// requested returns the last request to reconcile an object of the graph: an operator's, or the annotation in Git that
// Flux's own tools set.
func (w *walked) requested(key api.Key) string {
	return w.requestOf(key, w.graph.Nodes[key].Object.RequestedAt())
}

// requestOf does the same for an object with an annotation. One that the row does not have is newer than the row.
func (w *walked) requestOf(key api.Key, annotation string) string {
	row := w.rows[key]
	if row.Object != nil && row.Object.RequestedAt() == annotation || annotation == "" {
		return cmp.Or(row.RequestedAt, annotation)
	}
	return annotation
}
