package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/internal/render"
)

// checkCalls returns ErrInspected if the result depends on what a function finds in a sealed value. A comparison with
// an empty text is none, and neither is a call that only makes the render fail.
func (s settling) checkCalls(ctx context.Context, placeholders pairs) error {
	seen := map[string]call{}
	for _, texts := range []pairs{placeholders.same(), placeholders.numbers()} {
		w, err := s.watch(ctx, texts)
		if err != nil {
			return err
		}
		maps.DeleteFunc(w.seen, func(place string, _ call) bool { return seen[place].function != "" })
		maps.Copy(seen, w.seen)
		if err := s.checkTurned(ctx, texts, w); err != nil {
			return err
		}
	}
	return nil
}

// watch renders the chart, and returns what a watcher saw.
func (s settling) watch(ctx context.Context, texts pairs) (*watcher, error) {
	w := s.newWatcher(texts, nil, true)
	_, err := s.engine.Render(otherwise(w.rewrite(s.in), texts, nil))
	if err != nil { // perhaps a template refuses the length
		w = s.newWatcher(texts, nil, false)
		_, _ = s.engine.Render(otherwise(w.rewrite(s.in), texts, nil)) // if a template refuses the texts, what it saw counts
	}
	if ctx.Err() == nil && w.opaque != nil {
		return nil, s.describeCall(render.ErrInspected, texts, *w.opaque)
	}
	return w, ctx.Err()
}

// checkTurned renders the chart with another result of each call, and of all: two may matter only together.
func (s settling) checkTurned(ctx context.Context, texts pairs, w *watcher) error {
	places := slices.Sorted(maps.Keys(w.seen))
	for _, place := range places {
		if err := s.turned(ctx, texts, w, place); err != nil {
			return err
		}
	}
	if len(places) < 2 {
		return nil
	}
	return s.turned(ctx, texts, w, places...)
}

// turned renders the chart with other results of some calls that a watcher saw, and returns ErrInspected for one of
// them if the result of the chart is another one.
func (s settling) turned(ctx context.Context, texts pairs, saw *watcher, places ...string) error {
	turned := map[string]bool{}
	for _, place := range places {
		turned[place] = true
	}
	w := s.newWatcher(texts, turned, saw.lengths)
	other, err := renderChart(ctx, s.engine, otherwise(w.rewrite(s.in), texts, strange), s.post)
	if err != nil {
		return ctx.Err() // nil: the values are checked
	}
	if cause := s.inspected(ctx, other, texts); cause != nil {
		return s.describeCall(cause, texts, saw.seen[places[0]])
	}
	return nil
}

// describeCall adds the value and the place of a call to an error.
func (s settling) describeCall(cause error, texts pairs, c call) error {
	place := fmt.Sprintf("a text for tpl, %s: ", c.function)
	if c.file >= 0 {
		place = placeOf(s.in.Files[c.file], c.at, c.function)
	}
	return s.describe(cause, texts.back()[c.text], place)
}

// inspected returns ErrInspected if another render, in which texts stand for placeholders, gives another result.
func (s settling) inspected(ctx context.Context, other *render.Result, texts pairs) error {
	fields, err := s.compare(other, texts)
	if err != nil {
		return fmt.Errorf("%w: %w", err, render.ErrInspected)
	}
	if g, field := s.unexplainedStill(ctx, fields); field != "" {
		return fmt.Errorf("%s: %s: %w", g.ID, field, render.ErrInspected)
	}
	return nil
}

// failing returns the error of a render. If a function cannot do with a placeholder, the error is ErrInspected, and
// names the value.
func (s settling) failing(ctx context.Context, cause error) error {
	placeholders := placeholdersIn(s.in.Values)
	if len(placeholders) == 0 || ctx.Err() != nil {
		return cause
	}
	texts := placeholders.same()
	w := newWatcher(texts, nil, false)
	if _, err := s.engine.Render(w.rewrite(s.in)); err == nil || w.failed == nil {
		return cause
	}
	return s.describeCall(fmt.Errorf("%w: %w", render.ErrInspected, cause), texts, *w.failed)
}
