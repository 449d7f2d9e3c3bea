package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Known is an object of a cluster's graph that an earlier walk found.
type Known struct {
	Object    *api.Object
	Owner     api.Key
	Suspended bool // by an operator
	Confined  *api.Confinement
}

// Last is what the hub has of a cluster, for what a walk does not render. The zero Last is nothing.
type Last struct {
	Known []Known
	// Entries are Applications that the walk keeps if it does not render them. Others may read variables from them.
	Entries []bundle.Entry
	// Application returns the Application of an Entry, and Object one of its objects in JSON.
	Application func(context.Context, bundle.Entry) (*bundle.Application, error)
	Object      func(context.Context, bundle.Entry, manifest.Digest) ([]byte, error)
}

// addTo adds the Entries to an Input.
func (l Last) addTo(ctx context.Context, in *graph.Input) {
	if len(l.Entries) == 0 {
		return
	}
	byDigest := map[manifest.Digest]bundle.Entry{}
	for _, e := range l.Entries {
		in.Entries[e.Name], byDigest[e.Digest] = e, e
	}
	in.Contents = func(d manifest.Digest) (ids []manifest.ID, err error) {
		app, err := l.Application(ctx, byDigest[d])
		if err != nil {
			return nil, err
		}
		for _, o := range app.Objects {
			ids = append(ids, o.ID())
		}
		return ids, nil
	}
	sealed := in.Sealed
	in.Sealed = func(app graph.Application) ([]bundle.SealedFile, bundle.SecretReference, error) {
		if app.Rendered != nil {
			return sealed(app)
		}
		last, err := l.Application(ctx, app.Last)
		if err != nil {
			return nil, bundle.SecretReference{}, err
		}
		return last.SealedFiles, last.Decryption, nil
	}
	rendered := in.Object
	in.Object = func(app graph.Application, id manifest.ID) (*manifest.Object, error) {
		if app.Rendered != nil {
			return rendered(app, id)
		}
		return l.object(ctx, app.Last, id)
	}
}

// object returns an object of an Entry.
func (l Last) object(ctx context.Context, e bundle.Entry, id manifest.ID) (*manifest.Object, error) {
	app, err := l.Application(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, reference := range app.Objects {
		if reference.ID() != id {
			continue
		}
		data, err := l.Object(ctx, e, reference.Digest)
		if err != nil {
			return nil, err
		}
		o := &manifest.Object{}
		return o, json.Unmarshal(data, &o.Object)
	}
	return nil, fmt.Errorf("%s is not among the objects of %s", id, e.Name)
}

// sealed returns an encrypted file that one of the Entries has.
func (l Last) sealed(ctx context.Context, d manifest.Digest) ([]byte, bool) {
	for _, e := range l.Entries {
		app, err := l.Application(ctx, e)
		if err != nil || !slices.ContainsFunc(app.SealedFiles, func(f bundle.SealedFile) bool { return f.Digest == d }) {
			continue
		}
		if data, err := l.Object(ctx, e, d); err == nil {
			return data, true
		}
	}
	return nil, false
}
