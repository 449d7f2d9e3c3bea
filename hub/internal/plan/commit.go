package plan

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
)

// writer writes one round in one transaction.
type writer struct {
	planner *Planner
	tx      *store.Tx
	start   time.Time
	scopes  map[string]*scope         // as they will be
	renders map[*cache.Rendering]bool // put in this transaction: a thousand equal clusters share one
}

// commit writes all that came of a round, or nothing.
func (p *Planner) commit(ctx context.Context, results []*walked, start time.Time) error {
	var committed []*walked
	scopes := map[string]*scope{}
	err := p.store.Update(ctx, func(tx *store.Tx) error {
		committed = committed[:0]
		clear(scopes)
		maps.Copy(scopes, p.scopes)
		c := &writer{planner: p, tx: tx, start: start, scopes: scopes, renders: map[*cache.Rendering]bool{}}
		for _, w := range results {
			moved, err := c.moved(w)
			if err != nil {
				return err
			}
			if moved {
				continue // its sources moved on while it failed: what it would say is over
			}
			if err := c.write(w); err != nil {
				return err
			}
			committed = append(committed, w)
		}
		if len(results) == 1 && results[0].cluster == "" {
			return nil // the clusters come next, and the Fleets with them
		}
		return c.fleets()
	})
	if errors.Is(err, cache.ErrSwept) {
		p.forgetAll(results)
	}
	if err != nil {
		return fmt.Errorf("write plans: %w", err)
	}
	p.scopes = scopes
	for _, w := range committed {
		p.settle(ctx, w)
	}
	return nil
}

// settle notes that a graph was written.
func (p *Planner) settle(ctx context.Context, w *walked) {
	delete(p.dirty, w.cluster)
	for r := range w.renders {
		r.Stored()
	}
	p.putOff(w)
	if at, later := p.again[w.cluster]; !w.wordsUntil.IsZero() && (!later || w.wordsUntil.Before(at)) {
		p.again[w.cluster] = w.wordsUntil
	}
	p.log.DebugContext(ctx, "planned", "cluster", w.cluster, "applications", len(w.entries), "written", len(w.written))
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

// moved reports whether a graph with a failure read an artifact that is not the newest any more.
func (c *writer) moved(w *walked) (bool, error) {
	if w.graph == nil || !w.failed() {
		return false, nil
	}
	for key := range w.graph.Sources {
		now, _, err := store.Sources.Get(c.tx, key)
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

// write writes what came of one walk.
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
	if err := c.outcomes(w); err != nil {
		return err
	}
	if err := c.confirmed(w); err != nil {
		return err
	}
	c.scopes[w.cluster] = w.scope()
	if w.cluster == "" {
		return nil
	}
	if err := store.Repairs.Delete(c.tx, w.cluster); err != nil || w.bundleTooLarge != nil {
		return err
	}
	for _, e := range w.entries {
		if e.data == nil {
			continue
		}
		has, err := store.HasBlob(c.tx, e.entry.Digest)
		if err == nil && !has {
			_, err = store.PutBlob(c.tx, e.data)
		}
		if err != nil {
			return err
		}
	}
	if err := c.withdrawn(w); err != nil {
		return err
	}
	return store.Plans.Put(c.tx, w.cluster, w.plan(c.start))
}

// rendered writes the renders of a walk that no other walk of the round has written.
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

// remove deletes all that was planned for a cluster that is no more, and what its spoke said of it. The identity of the
// spoke stays: dispatch lets in nobody whose Cluster is not there, and a Cluster that left Git by mistake and comes
// back must not cost a visit to the cluster. An operator who deletes a Cluster by hand ends the identity too (package
// admin).
func (c *writer) remove(w *walked) error {
	delete(c.scopes, w.cluster)
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
		if _, stays := w.graph.Nodes[key]; stays || old.Owner == nil || w.bundleTooLarge != nil {
			// the last plan stays, and what it was made of
			continue
		}
		w.written[key] = nil
		if err := store.Resources.Delete(c.tx, key.Path()); err != nil {
			return err
		}
	}
	return nil
}

// resource writes one node. What operators say of it is taken from the row as it is now; a row that an operator applied
// meanwhile is theirs, and the next walk finds the conflict. One that was left and that an operator deleted meanwhile
// does not come back.
func (c *writer) resource(w *walked, node graph.Node) error {
	path := node.Key.Path()
	old, was, err := store.Resources.Get(c.tx, path)
	if err != nil || was && old.Owner == nil || !was && node.Orphaned {
		return err
	}
	row := old
	row.Key, row.Owner, row.Object = node.Key, node.Owner, node.Object
	row.Orphaned, row.OrphanOnDelete, row.Held, row.Confined = node.Orphaned, node.OrphanOnDelete, node.Held, node.Confined
	switch {
	case !was:
		row.UID, row.Created, row.Generation = newUID(), c.start, 1
	case !equalSpec(old.Object.JSON, row.Object.JSON):
		row.Generation++
	}
	if was && sameRow(old, row) {
		return nil
	}
	row.NoteSuspension(c.start)
	w.written[node.Key] = &row
	return store.Resources.Put(c.tx, path, row)
}

// equalSpec compares objects without their metadata.
func equalSpec(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	return bytes.Equal(withoutMetadata(a), withoutMetadata(b))
}

func withoutMetadata(data json.RawMessage) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return data
	}
	delete(fields, "metadata")
	rest, err := json.Marshal(fields)
	if err != nil {
		return data
	}
	return rest
}

// newUID returns a random UUID (RFC 9562, version 4).
func newUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, as its documentation says
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// requested is the last request to reconcile an object of the graph: an operator's, else the annotation that Flux's own
// tools set, as it is in Git.
func (w *walked) requested(key api.Key) string {
	if at := w.rows[key].RequestedAt; at != "" {
		return at
	}
	return w.graph.Nodes[key].Object.RequestedAt()
}
