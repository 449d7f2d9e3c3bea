package fetch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// result is the result of one fetch.
type result struct {
	source   *scheduled
	artifact *artifact.Artifact // nil: the last one stays
	err      error
	composed composed
	unproven bool              // the source was, when the fetch began
	requests map[string]string // by path: the requests to reconcile that this fetch answers
	took     time.Duration
}

// launch starts a fetch in a goroutine of its own.
func (l *Loop) launch(ctx context.Context, s *scheduled) {
	s.running, s.brake.held = true, ""
	if s.view.Writes {
		l.writing[s.repository] = true
	}
	held := l.heldUntil(s)
	req := source.Request{Object: s.object, Last: s.row.Artifact, Timeout: s.timeout(), Network: l.Network,
		TagControl: s.tags}
	if s.view.NamedHosts {
		req.Hosts = append([]string{}, l.RemoteBaseHosts...) // not nil: none is not any
	}
	if s.selects.Selection != nil { // then it has one member
		req.Cluster = s.selects.given.Key.Cluster
	}
	r := result{source: s, unproven: s.unproven(), requests: map[string]string{}}
	for path, m := range s.members {
		r.requests[path] = m.requested
	}
	work := l.fetchOnly
	if !held.IsZero() {
		r.composed = composed{own: s.row.Own, made: s.made}
		work = func(_ context.Context, _ source.Request, r *result) { r.err = refusedUntil(held, s.server.view.URL) }
	} else if len(s.inputs) > 0 {
		parts := l.parts(s)
		work = func(ctx context.Context, req source.Request, r *result) { l.compose(ctx, req, parts, r) }
	}
	l.underway.Go(func() {
		start := time.Now()
		work(ctx, req, &r)
		r.took = time.Since(start)
		l.results <- func(ctx context.Context) error { return l.finish(ctx, r) }
	})
}

// fetchOnly fetches a source without inputs.
func (l *Loop) fetchOnly(ctx context.Context, req source.Request, r *result) {
	a, err := l.fetch(ctx, req, r.source)
	if r.err = err; err == nil || a.Dir != "" {
		r.artifact = &a
	}
}

// fetch finds the credentials and fetches. The time of a new artifact is by l.Now, whatever clock the fetcher has. An
// artifact beside an error is that of an artifact.Unfinished; without a Dir there is none.
func (l *Loop) fetch(ctx context.Context, r source.Request, s *scheduled) (a artifact.Artifact, err error) {
	last, url := r.Last, s.server.view.URL
	r.Upstream = s.server.upstream
	given, err := l.credentials(ctx, url, s.server.secrets)
	r.Secrets, r.Bindings, r.Giver = given.Secrets, given.Bindings, given.Giver
	switch provider := s.server.view.Provider; {
	case err != nil || provider == "":
	case provider == api.RegistryPlugin:
		r.Secrets["spec.secretRef"], err = l.pluginCredentials(ctx, s.server, s.isRefused())
		r.Giver = pluginGiver
	default:
		r.Secrets[source.ProviderField], err = l.assist(ctx, s)
		r.Giver = "the Git credential helper of the hub for spec.provider " + provider
	}
	if err == nil {
		a, err = l.Artifacts.Make(ctx, r.Last,
			func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
				r.Workspace, r.Last = w, last
				return l.Fetcher.Fetch(ctx, r)
			})
	}
	if u, ok := errors.AsType[*artifact.Unfinished](err); ok {
		a = u.Artifact
	}
	if a.Dir != "" && !last.Equal(&a) {
		a.FetchedAt = l.Now().Add(-time.Since(a.FetchedAt)).UTC().Round(0)
	}
	isOwn := s.view.Writes && errors.Is(err, source.ErrRequest) // about the spec, and not about the repository
	switch {
	case err != nil && (s.view.ChoosesTag || isOwn): // the text names the image, if the registry was asked for it at all
		err = source.ExplainComposition(source.Conceal(err, r.Secrets))
	case err != nil:
		err = source.Explain(err, url, r.Secrets)
	}
	return a, err
}

// finish writes the result of a fetch and schedules the next one.
func (l *Loop) finish(ctx context.Context, r result) error {
	s := r.source
	s.running = false
	l.running--
	if s.view.Writes {
		delete(l.writing, s.repository)
	}
	if r.unproven {
		l.trying--
	}
	if l.sources[s.key] != s {
		return nil // no object names it any more
	}
	if r.composed.waits {
		return l.finishOwn(ctx, r)
	}
	now := l.rowAfter(r)
	l.metrics.observe(r, now)
	l.traceFetch(r, now)
	for path, at := range r.requests {
		if m := s.members[path]; m != nil {
			m.answered = at
		}
	}
	err := l.write(ctx, s, now)
	if err == nil {
		l.logChange(s, now, r.err)
		changed := !sameRow(s.row, now)
		first := s.row.Artifact == nil
		wrote := s.view.Writes && r.artifact != nil && !isSameRevision(s.row.Artifact, r.artifact)
		s.row, s.made, s.waiting = now, r.composed.made, false
		if wrote {
			l.hasPushed(s, first)
		}
		err = l.wakeReaders(ctx, s.key, changed)
	}
	s.brake.answers = false
	s.schedule(!r.composed.only, r.err != nil || err != nil)
	err = cmp.Or(err, l.wakeAfterRun(ctx, s))
	l.noteBusy(s, r.err)
	l.metrics.sources.note(s)
	return err
}

// traceFetch exports the span of a fetch that brought something new. Plans are named after the moment of its
// artifact. A failure is a change of its own, if it is another one than that of the fetch before.
func (l *Loop) traceFetch(r result, now store.Fetched) {
	span := trace.Span{Name: "fetch", Attributes: []trace.Attribute{
		{Key: "nave.source", Value: r.source.object.Key.String()}}}
	switch {
	case now.Error != "" && now.Error != r.source.row.Error:
		span.End, span.Error = now.CheckedAt, telemetry.Line(now.Error, maxSpanError)
	case now.Error != "" || r.source.row.Artifact.Equal(now.Artifact):
		return
	default:
		span.End = now.Artifact.FetchedAt
		span.Attributes = append(span.Attributes, trace.Attribute{Key: "nave.revision", Value: now.Artifact.Revision})
	}
	span.Change, span.Start = span.End, span.End.Add(-r.took)
	l.Trace.Add(span)
}

// maxSpanError is how many bytes of an error a span has.
const maxSpanError = 512

// rowAfter returns the row of a source after a result.
func (l *Loop) rowAfter(r result) store.Fetched {
	now := r.source.row
	now.CheckedAt, now.Error, now.Reason, now.Own = l.Now().UTC(), "", "", r.composed.own
	if r.artifact != nil {
		now.SetArtifact(r.artifact)
	}
	if r.err == nil {
		now.SucceededAt = now.CheckedAt
	} else {
		now.Error, now.Reason = r.err.Error(), source.Reason(r.err, cmp.Or(r.source.view.Failed, condition.FetchFailed))
	}
	if errors.Is(r.err, source.ErrAccess) {
		now.Artifact, now.Earlier = nil, nil // the source may not use what these credentials gave access to
	}
	return now
}

// logChange logs what is new about a source.
func (l *Loop) logChange(s *scheduled, now store.Fetched, err error) {
	object, address := telemetry.Object(s.first()), telemetry.Address(source.Redact(s.view.URL))
	if s.view.URL == "" {
		address = slog.Attr{}
	}
	switch {
	case now.Error != "" && now.Error != s.row.Error:
		l.Log.Warn("fetch failed", object, address, telemetry.Reason(now.Reason), telemetry.Err(err))
	case now.Error == "" && !s.row.Artifact.Equal(now.Artifact):
		l.Log.Info("new artifact", object, address, telemetry.Revision(now.Artifact.Revision),
			telemetry.Digest(now.Artifact.Digest))
	}
}
