package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// composed is what the result of a source with inputs has beside its artifact.
type composed struct {
	own   *artifact.Artifact // the source's own tree
	made  string             // what the artifact was made of
	only  bool               // no server was asked
	waits bool               // nothing was composed: an input is about to be fetched
}

// parts are the artifacts of the inputs of one source, as they are when a composition begins.
type parts struct {
	artifacts []artifact.Artifact
	selected  selection
	others    []api.Key // that are not selected
	fetch     bool      // the source's own tree is to be fetched, too
	ask       bool      // the server of the input is to be asked, whether or not the input changed
	waits     bool      // an input is about to be fetched
	missing   error     // an input has no artifact
	failed    error     // the last fetch of an input failed
}

// parts collects the artifacts of the inputs of a source.
func (l *Loop) parts(s *scheduled) parts {
	now := time.Now()
	isDue := !s.fetchAt.After(now)
	p := parts{fetch: s.view.URL != "" && isDue, ask: s.asksUpstream() && isDue,
		selected: l.selected(s), others: l.unselected(s)}
	for i, key := range s.inputs {
		in := l.sources[key]
		isAwaited := in == nil || in.isDue(now) || !in.known() && !in.idle()
		hasSome := in != nil && in.row.Artifact != nil
		if isAwaited && !(hasSome && s.choosesAtOnce()) {
			p.waits = true
			continue
		}
		if hasSome {
			p.artifacts = append(p.artifacts, *in.row.Artifact)
		}
		if err := s.inputError(i, in.row); err != nil && in.row.Artifact != nil {
			p.failed = cmp.Or(p.failed, err)
		} else {
			p.missing = cmp.Or(p.missing, err)
		}
	}
	return p
}

// asksUpstream reports whether a composition of the source asks the server of its input.
func (s *scheduled) asksUpstream() bool { return s.view.Upstream && !s.view.Offline }

// isDue reports whether a fetch of the source is running, or will be as soon as there is a worker.
func (s *scheduled) isDue(now time.Time) bool { return s.running || !s.idle() && !s.next.After(now) }

// inputError returns what is wrong with an input; nil if nothing is.
func (s *scheduled) inputError(i int, row store.Fetched) error {
	in := s.view.Inputs[i]
	switch {
	case row.Error == "" && row.Artifact != nil:
		return nil
	case row.Reason == source.Reason(source.ErrAccess, ""):
		return fmt.Errorf("%w: %s: %s: %s", source.ErrAccess, in.Field, in.Key, row.Error)
	}
	why := cmp.Or(row.Error, "it was never fetched, and it is suspended")
	return fmt.Errorf("%w: %s: %s: %s", source.ErrInput, in.Field, in.Key, why)
}

// compose fetches the source's own tree, if that is due, and makes the artifact of it and of the inputs, unless it is
// made of the same already. If anything fails, the last artifact stays; an input whose last fetch failed gives what it
// has.
func (l *Loop) compose(ctx context.Context, req source.Request, p parts, r *result) {
	s := r.source
	r.composed = composed{own: s.row.Own, made: s.made, only: s.view.URL != "" && !p.fetch}
	var fetched error
	if p.fetch {
		own := req
		own.Last = s.row.Own
		var a artifact.Artifact
		if a, fetched = l.fetch(ctx, own, s); fetched == nil {
			r.composed.own = &a
		} else if errors.Is(fetched, source.ErrAccess) {
			r.composed.own = nil
		}
	}
	lacks := s.view.URL != "" && r.composed.own == nil
	r.composed.waits = fetched == nil && (p.waits || lacks)
	if r.composed.waits || lacks || p.waits || p.missing != nil {
		r.err = cmp.Or(fetched, p.missing)
		return
	}
	if err := l.readSuspended(ctx, p.selected); err != nil {
		r.err = cmp.Or(fetched, err)
		return
	}
	req.Own, req.Inputs, req.Selected = r.composed.own, p.artifacts, p.selected.all
	req.Unselected = p.others
	err := l.composeOf(ctx, req, p.ask, r)
	r.err = cmp.Or(fetched, err, p.failed)
}

// composeOf makes the artifact of the parts in a request. If the parts are those of the last artifact, that is the
// result, unless ask is set.
func (l *Loop) composeOf(ctx context.Context, req source.Request, ask bool, r *result) error {
	made := nameOf(req)
	isWhole := req.Last != nil && l.Artifacts.Usable(ctx, *req.Last)
	if req.Last != nil && !isWhole {
		l.doubt(req) // contents of the last artifact are hard links to those of its parts
	}
	if err := l.requireParts(ctx, req); err != nil {
		return err
	}
	var err error
	if req.Servers, err = l.servers(ctx, r.source); err != nil {
		return source.ExplainComposition(err)
	}
	if made == r.composed.made && isWhole && !ask {
		r.composed.only = r.composed.only || r.source.asksUpstream()
		r.artifact = req.Last
		return nil
	}
	if r.source.asksUpstream() {
		r.composed.made = "" // a failure is tried again
	}
	a, err := l.makeOf(ctx, req, r.source)
	if err != nil && a.Dir != "" {
		r.artifact = &a
	}
	if err != nil {
		if errors.Is(err, artifact.ErrStorage) {
			l.doubt(req)
		}
		return err
	}
	r.artifact, r.composed.made = &a, made
	return nil
}

// makeOf makes a new artifact of the parts in a request. A source with an upstream server asks that server, too. Errors
// show nothing of Secrets.
func (l *Loop) makeOf(ctx context.Context, req source.Request, s *scheduled) (artifact.Artifact, error) {
	if s.asksUpstream() {
		return l.fetch(ctx, req, s)
	}
	req.Upstream = s.server.upstream
	last := req.Last
	a, err := l.Artifacts.Make(ctx, last,
		func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			req.Workspace, req.Last = w, last
			return l.Fetcher.Fetch(ctx, req)
		})
	if err != nil {
		for _, server := range req.Servers {
			err = source.Conceal(err, server.Secrets)
		}
		return a, source.ExplainComposition(err)
	}
	if !last.Equal(&a) {
		a.FetchedAt = l.Now().Add(-time.Since(a.FetchedAt)).UTC().Round(0)
	}
	return a, nil
}

// doubt has the parts of a composition verified, because one of them may be damaged.
func (l *Loop) doubt(req source.Request) {
	for _, a := range partsOf(req) {
		l.Artifacts.Doubt(a)
	}
}

// requireParts returns an error if a part of a composition is damaged. The next fetch of the part mends it.
func (l *Loop) requireParts(ctx context.Context, req source.Request) error {
	for _, a := range partsOf(req) {
		if !l.Artifacts.Usable(ctx, a) {
			return fmt.Errorf("%w: artifact %s is damaged and will be fetched again", artifact.ErrStorage, a.Revision)
		}
	}
	return nil
}

// partsOf returns the artifacts that a composition is made of.
func partsOf(req source.Request) []artifact.Artifact {
	if req.Own == nil {
		return req.Inputs
	}
	return append([]artifact.Artifact{*req.Own}, req.Inputs...)
}

// nameOf names the parts of a composition.
func nameOf(req source.Request) string {
	var b strings.Builder
	if req.Own != nil {
		fmt.Fprintln(&b, req.Own.Dir, req.Own.Revision, req.Own.Verification, req.Own.Notice)
	}
	for _, a := range req.Inputs {
		fmt.Fprintln(&b, a.Dir, a.Revision, a.Notice)
	}
	for _, s := range req.Selected {
		fmt.Fprintln(&b, s.Key.Path(), s.Revision)
	}
	return b.String()
}

// finishOwn keeps the tree that was fetched of a source whose composition waits for an input.
func (l *Loop) finishOwn(ctx context.Context, r result) error {
	s := r.source
	now := s.row
	now.Own = r.composed.own
	var err error
	if !sameRow(s.row, now) {
		err = l.Store.Update(ctx, func(tx *store.Tx) error { return store.Sources.Put(tx, s.key, now) })
	}
	if err == nil {
		s.row = now
	}
	s.waiting = true
	asked := s.fetchAt
	s.schedule(!r.composed.only, err != nil)
	err = cmp.Or(err, l.wakeAfterRun(ctx, s))
	if s.asksUpstream() {
		s.fetchAt = asked // the server is still to be asked, once the input is there
	}
	return err
}

// wakeReaders has every source composed again that reads the one with this key, if that one changed or is waited for.
func (l *Loop) wakeReaders(ctx context.Context, key string, changed bool) (err error) {
	if changed {
		for _, m := range l.sources[key].members {
			l.wakeSelectorsOf(m)
		}
	}
	for _, s := range l.sources {
		if slices.Contains(s.inputs, key) && (changed || s.waiting || s.running) {
			err = cmp.Or(l.wakeForInput(ctx, s), err)
		}
	}
	return err
}
