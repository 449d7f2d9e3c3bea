package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// inputs is what the loop knows of sources that read other sources, by the paths of objects.
type inputs struct {
	looked  map[string][]string        // where the inputs of an object, or what it stands for, were looked for
	readers map[string]map[string]bool // the objects whose inputs were looked for at a path
	lost    map[string]bool            // objects that are not fetched, because an input does not exist; see scheduled.lost
	reports []placed                   // of lost objects, to be written
}

func newInputs() inputs {
	return inputs{looked: map[string][]string{}, readers: map[string]map[string]bool{}, lost: map[string]bool{}}
}

// placed is a row and what is fetched of it.
type placed struct {
	row    store.Resource
	of     store.Resource // the row that says what is fetched: row, or the source of the hub that it stands for
	fetch  api.Fetch
	looked []string // paths at which inputs were looked for
	err    error    // why nothing is fetched: an input does not exist or may not be read, or inputs form a loop
}

// place finds what is fetched of a row. The error is that of get.
func place(row store.Resource, get func(api.Key) (store.Resource, bool, error)) (p placed, err error) {
	p.row = row
	p.fetch, p.of, p.err = row.FetchOf(func(key api.Key) (found store.Resource, exists bool, _ error) {
		p.looked = append(p.looked, key.Path())
		found, exists, err = get(key)
		return found, exists, err
	})
	return p, err
}

// placeIn finds what is fetched of an object in a transaction; false if there is no such object.
func placeIn(tx *store.Tx, path string) (p placed, exists bool, err error) {
	row, exists, err := store.Resources.Get(tx, path)
	if err != nil || !exists {
		return p, false, err
	}
	p, err = place(row, func(key api.Key) (store.Resource, bool, error) { return store.Resources.Get(tx, key.Path()) })
	return p, true, err
}

// crossing returns api.ErrNotShared if a source reads one of another namespace, and the hub allows no source to.
func (l *Loop) crossing(view *api.Source, by api.Key) error {
	for _, in := range view.Inputs {
		if l.NoCrossNamespaceRefs && in.Key.Namespace != by.Namespace {
			return fmt.Errorf("%s: %w to %s from namespace %s: the hub runs with --no-cross-namespace-refs", in.Field,
				api.ErrNotShared, in.Key.Local(), by.Namespace)
		}
	}
	return nil
}

// look notes where the inputs of an object were looked for.
func (in *inputs) look(path string, at []string) {
	for _, old := range in.looked[path] {
		if delete(in.readers[old], path); len(in.readers[old]) == 0 {
			delete(in.readers, old)
		}
	}
	delete(in.looked, path)
	for _, now := range at {
		if in.readers[now] == nil {
			in.readers[now] = map[string]bool{}
		}
		in.readers[now][path] = true
	}
	if len(at) > 0 {
		in.looked[path] = at
	}
}

// readersOf returns the objects whose inputs were looked for at a path.
func (in *inputs) readersOf(path string) []string { return slices.Sorted(maps.Keys(in.readers[path])) }

// lose notes that an object is not fetched.
func (in *inputs) lose(path string, p placed) {
	in.lost[path] = true
	in.reports = append(in.reports, p)
}

// report writes the Conditions of objects that are not fetched. The revisions in the Conditions stay.
func (l *Loop) report(ctx context.Context) error {
	if len(l.inputs.reports) == 0 {
		return nil
	}
	at := l.Now().UTC()
	err := l.Store.Update(ctx, func(tx *store.Tx) error {
		for _, p := range l.inputs.reports {
			view, err := p.of.Object.Source()
			if err != nil {
				continue // assign reports the error
			}
			kind := source.ErrInput
			if errors.Is(p.err, api.ErrNotShared) {
				kind = source.ErrAccess
			}
			n := news{at: at, Fetched: store.Fetched{
				Error: source.ExplainComposition(p.err).Error(), Reason: source.Reason(kind, ""),
			}}
			m := newMember(&p.row, view)
			if m.suspended || !l.inputs.lost[p.row.Key.Path()] {
				continue
			}
			m.answered = m.requested
			if _, err := n.write(tx, m, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		l.inputs.reports = nil
	}
	return err
}
