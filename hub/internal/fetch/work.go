package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// result is what came of one fetch.
type result struct {
	source   *scheduled
	artifact artifact.Artifact
	err      error
	unproven bool              // the source was, when the fetch began
	requests map[string]string // by path: the requests to reconcile that this fetch answers
	took     time.Duration
}

// launch starts a fetch in a goroutine of its own.
func (l *Loop) launch(ctx context.Context, s *scheduled) {
	s.running = true
	req, last, secret := s.request(), s.row.Artifact, s.secret
	req.Network = l.Network
	r := result{source: s, unproven: s.unproven(), requests: map[string]string{}}
	for path, m := range s.members {
		r.requests[path] = m.requested
	}
	go func() {
		start := time.Now()
		r.artifact, r.err = l.fetch(ctx, s.address, req, secret, last)
		r.took = time.Since(start)
		l.results <- r
	}()
}

// fetch finds the credentials and fetches.
func (l *Loop) fetch(ctx context.Context, address string, req source.Request, secret secret,
	last *artifact.Artifact) (a artifact.Artifact, err error) {
	if secret.name != "" {
		req.Secret, err = l.credentials(ctx, address, secret)
	}
	if err == nil {
		a, err = l.make(ctx, req, last)
	}
	if err != nil {
		err = source.Explain("fetch "+source.Redact(address), err)
	}
	return a, err
}

// make has the fetcher make an artifact.
func (l *Loop) make(ctx context.Context, req source.Request, last *artifact.Artifact) (artifact.Artifact, error) {
	return l.Artifacts.Make(ctx, last, func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
		req.Workspace, req.Last = w, last
		return l.Fetcher.Fetch(ctx, req)
	})
}

// finish writes what came of a fetch, and plans the next.
func (l *Loop) finish(ctx context.Context, r result) error {
	s := r.source
	s.running = false
	if l.sources[s.key] != s {
		return nil // everybody left meanwhile
	}
	l.metrics.observe(r)
	now := s.row
	now.CheckedAt = time.Now().UTC()
	if r.err == nil {
		now.Artifact, now.Error, now.Reason = &r.artifact, "", ""
	} else {
		now.Error, now.Reason = r.err.Error(), source.Reason(r.err, condition.GitOperationFailed)
	}
	if errors.Is(r.err, source.ErrAccess) {
		now.Artifact = nil // what these credentials brought is not for it any more
	}
	err := l.write(ctx, s, now, r.requests)
	if err == nil {
		l.tell(s, now, r.err)
		s.row = now
	}
	s.plan(r.err != nil || err != nil)
	return l.tolerate(err, "what was fetched could not be written and will be fetched again")
}

// tell logs what is new about a source.
func (l *Loop) tell(s *scheduled, now store.Fetched, err error) {
	address := telemetry.Address(source.Redact(s.address))
	switch {
	case now.Error != "" && now.Error != s.row.Error:
		l.Log.Warn("fetch failed", address, telemetry.Reason(now.Reason), telemetry.Err(err))
	case now.Error == "" && !sameArtifact(s.row.Artifact, now.Artifact):
		l.Log.Info("new artifact", address, telemetry.Revision(now.Artifact.Revision), telemetry.Digest(now.Artifact.Digest))
	}
}

func sameArtifact(a, b *artifact.Artifact) bool {
	return a == b || a != nil && b != nil && *a == *b
}
