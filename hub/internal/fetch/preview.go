package fetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// maxPreviews is how many previews are made at a time: each takes a worker from the fetches.
const maxPreviews = 2

// previewed is a fetch of which somebody wants a preview.
type previewed struct {
	source  *scheduled
	request source.Request
	parts   parts
	err     error
}

// Preview returns what a source that writes would push now, also if the source is suspended. It pushes nothing, and
// leaves the source as it is. Run must be running. The error says why a fetch would fail now.
func (l *Loop) Preview(ctx context.Context, key api.Key) (p source.Preview, err error) {
	select {
	case l.previews <- struct{}{}:
		defer func() { <-l.previews }()
	case <-ctx.Done():
		return p, ctx.Err()
	}
	found := make(chan previewed, 1)
	select {
	case l.looks <- func() { found <- l.findPreviewed(key) }:
	case <-ctx.Done():
		return p, ctx.Err()
	}
	select {
	case of := <-found:
		return l.preview(ctx, key, of)
	case <-ctx.Done():
		return p, ctx.Err()
	}
}

// findPreviewed returns the fetch of an object. If there is none, its source is nil.
func (l *Loop) findPreviewed(key api.Key) (of previewed) {
	s := l.sources[l.keys[key.Path()]]
	if s == nil {
		return of
	}
	of.source, of.parts = s, l.parts(s)
	of.request = source.Request{Object: s.object, Last: s.row.Artifact, Timeout: s.timeout(), Network: l.Network,
		Preview: true, Inputs: of.parts.artifacts, Unselected: of.parts.others}
	switch held := l.heldUntil(s); {
	case !s.view.Writes:
		of.err = fmt.Errorf("%w: %s writes nothing", source.ErrRequest, key)
	case !held.IsZero():
		of.err = refusedUntil(held, s.server.view.URL)
	case of.parts.missing != nil:
		of.err = of.parts.missing
	case len(of.parts.artifacts) < len(s.inputs):
		of.err = fmt.Errorf("%w: %s is being fetched for the first time: try again", source.ErrInput, s.view.Inputs[0].Key)
	}
	return of
}

// preview asks the fetcher for a preview.
func (l *Loop) preview(ctx context.Context, key api.Key, of previewed) (p source.Preview, err error) {
	if of.source == nil {
		return p, l.whyNotFetched(ctx, key)
	}
	if of.err != nil {
		return p, source.ExplainComposition(of.err)
	}
	if err := l.readSuspended(ctx, of.parts.selected); err != nil {
		return p, err
	}
	of.request.Selected = of.parts.selected.all
	a, err := l.fetch(ctx, of.request, of.source)
	if err != nil {
		return p, err
	}
	return source.ReadPreview(l.Artifacts.Path(a))
}

// whyNotFetched returns the error about an object that is not fetched.
func (l *Loop) whyNotFetched(ctx context.Context, key api.Key) error {
	var c store.Condition
	err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
		c, _, err = store.Conditions.Get(tx, key.Path())
		return err
	})
	if err == nil && c.Message == "" {
		err = fmt.Errorf("the hub has not read %s yet: try again", key)
	}
	if err == nil {
		err = errors.New(c.Message)
	}
	return err
}
