package plan

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// objectsSize bounds the objects that are remembered, in bytes of JSON.
const objectsSize = 16 << 20

// object returns an object that an Application has, rendered in this walk or in the last plan.
func (p *Planner) object(ctx context.Context, w *walked, app graph.Application, id manifest.ID) (*manifest.Object,
	error) {
	reference, err := p.reference(ctx, w, app, id)
	if err != nil {
		return nil, err
	}
	if o, ok := p.objects.Get(reference.Digest); ok {
		return o, nil
	}
	data, err := p.objectData(ctx, w, reference)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	o := &manifest.Object{}
	if err := json.Unmarshal(data, &o.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	p.objects.Put(reference.Digest, o, len(data))
	return o, nil
}

// reference returns the reference of an Application to one of its objects.
func (p *Planner) reference(ctx context.Context, w *walked, app graph.Application, id manifest.ID) (
	found bundle.ObjectReference, err error) {
	var all []bundle.ObjectReference
	if app.Rendered != nil {
		all = app.Rendered.Payload
	} else {
		last, err := p.planned(ctx, w, app.Last.Digest)
		if err != nil {
			return found, err
		}
		all = last.Objects
	}
	if o, has := w.referencesIn(all)[id]; has {
		return o, nil
	}
	return found, fmt.Errorf("%s is not among the objects of %s", id, app.Key.Local())
}

// referencesIn returns the objects of an Application by name. A walk indexes each list once, since renderables may read
// many objects of one Application.
func (w *walked) referencesIn(all []bundle.ObjectReference) map[manifest.ID]bundle.ObjectReference {
	if len(all) == 0 {
		return nil
	}
	index, known := w.references[&all[0]]
	if !known {
		index = make(map[manifest.ID]bundle.ObjectReference, len(all))
		for _, o := range all {
			index[o.ID()] = o
		}
		w.references[&all[0]] = index
	}
	return index
}

// objectData returns the JSON of an object: from the renders of this walk, which may not be in the store yet, or from
// the store. If it is in neither, the graph is walked again later.
func (p *Planner) objectData(ctx context.Context, w *walked, reference bundle.ObjectReference) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.renders {
		if data, ok := r.Fresh(reference.Digest); ok {
			return data, nil
		}
	}
	data, err := p.store.Blobs().Get(ctx, reference.Digest)
	w.passing = w.passing || err != nil
	return data, err
}
