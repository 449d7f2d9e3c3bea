package plan

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// RemoteBases decides which remote bases of kustomization files are fetched. The zero RemoteBases lets none be fetched.
type RemoteBases struct {
	Hosts []string // host or host:port; a host without a port stands for the usual port
	// Tenants lets renderables that run with a service account have remote bases, too.
	Tenants bool
}

// Check returns an error if a host is not one.
func (r RemoteBases) Check() error {
	for _, host := range r.Hosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" {
			return fmt.Errorf("remote base host %q: want a host such as github.com, or host:port", host)
		}
	}
	return nil
}

// check returns the error of a need that must not be fetched. tenant reports whether the renderable runs with a service
// account.
func (r RemoteBases) check(need render.Need, tenant bool) error {
	switch {
	case !slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.EqualFold(h, need.Host()) }):
		return errors.New(need.Refusal)
	case tenant && !r.Tenants:
		return fmt.Errorf("%s; %s is allowed, but not for objects that run with a service account "+
			"(--tenant-remote-bases)", need.Refusal, need.Host())
	}
	return nil
}

// baseError is the error of a remote base that is not fetched, with the reason of the condition.
type baseError struct {
	error
	reason string
}

// Unwrap returns the error.
func (e baseError) Unwrap() error { return e.error }

// notYet returns the error of something that is tried, or asked for, the first time.
func notYet(reason, format string, args ...any) error {
	return baseError{&graph.NotYet{Err: fmt.Errorf(format, args...)}, reason}
}

// baseInterval is how often remote bases are fetched if the renderable has no interval.
const baseInterval = 10 * time.Minute

// basedRender is a render with the remote bases that it needs.
type basedRender struct {
	*cache.Rendering              // nil: the render failed
	bases            []graph.Base // all that are known, also those without an artifact yet
	given            []cache.Base // those with an artifact
}

// withBases renders one object. As long as the render needs more remote bases, withBases adds their artifacts and
// renders again. It returns the bases with an error, too.
func (p *Planner) withBases(ctx context.Context, w *walked, work graph.Work, a *artifact.Artifact) (r basedRender,
	err error) {
	for {
		r.Rendering, err = p.renders.Render(ctx, work.Key.In(""), work.Renderable.Renderer, work.Spec, a,
			r.given...)
		needs, ok := errors.AsType[*cache.NeedsError](err)
		if !ok {
			return r, err
		}
		err = nil
		for _, need := range needs.Needs {
			base, found, nerr := p.base(w, work, need)
			if base.Object != nil {
				r.bases = append(r.bases, base)
			}
			if nerr != nil {
				err = errors.Join(err, nerr)
				continue
			}
			r.given = append(r.given, cache.Base{Remote: need.Remote, Artifact: found})
		}
		if err != nil {
			return r, err
		}
	}
}

// base returns the source of a remote base, and its artifact. If the source must not be fetched, its Object is nil.
func (p *Planner) base(w *walked, work graph.Work, need render.Need) (b graph.Base, a *artifact.Artifact, err error) {
	if err := p.bases.check(need, work.Tenant); err != nil {
		return b, nil, baseError{err, condition.BuildFailed}
	}
	interval := work.Renderable.Interval
	if interval <= 0 {
		interval = baseInterval
	}
	object, err := api.NewRemoteBase(work.Key.In(""), interval, w.requestOf(work.Key, work.RequestedAt), need.Remote)
	if err != nil {
		return b, nil, err
	}
	view, err := object.Source()
	if err != nil {
		return b, nil, err
	}
	b = graph.Base{Object: object, FetchKey: view.FetchKey(false)} // it has no Secrets that could be bound
	switch fetched := p.sources[b.FetchKey]; {
	case fetched.Artifact != nil:
		return b, fetched.Artifact, nil
	case fetched.Error != "":
		return b, nil, baseError{fmt.Errorf("remote base %s has not been fetched: %s", need.Remote, fetched.Error),
			condition.ArtifactFailed}
	}
	return b, nil, notYet(condition.SourceNotReady, "remote base %s has not been fetched yet", need.Remote)
}

// noticeOf returns the part of a condition's message about remote bases. If there are none, noticeOf returns "".
func noticeOf(bases []cache.Base) string {
	if len(bases) == 0 {
		return ""
	}
	return "; remote bases: " + strings.Join(namesOf(bases), ", ")
}

// namesOf returns remote bases as store.Content lists them.
func namesOf(bases []cache.Base) []string {
	names := make([]string, len(bases))
	for i, b := range bases {
		names[i] = b.Address() + " at " + b.Artifact.Revision
	}
	return names
}

// recordBases adds the remote bases to the entries of a walk. Bases that moved and changed nothing are no news: the
// first ones stay.
func (w *walked) recordBases() {
	last := map[bundle.ApplicationName]store.Content{}
	for _, e := range w.last.Applications {
		if e.Bases != "" {
			last[e.Name] = e.Content
		}
	}
	for i := range w.entries {
		e := &w.entries[i].entry
		switch was, had := last[e.Name]; {
		case had && was.Digest == e.Digest && was.Revision == e.Revision:
			e.Bases = was.Bases
		case w.entries[i].data != nil: // it was rendered
			e.Bases = store.NewBaseNames(w.given[w.entries[i].key])
		}
	}
}
