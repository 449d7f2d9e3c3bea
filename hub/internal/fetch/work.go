package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/telemetry"
)

// result is what came of one fetch.
type result struct {
	source   *scheduled
	artifact source.Artifact
	err      error
	unproven bool              // the source was, when the fetch began
	requests map[string]string // by path: the requests to reconcile that this fetch answers
	took     time.Duration
}

// launch starts a fetch in a goroutine of its own.
func (l *Loop) launch(ctx context.Context, s *scheduled) {
	s.running = true
	req, last, secret := s.request, s.row.Artifact, s.secret
	req.Timeout = s.timeout()
	r := result{source: s, unproven: s.unproven(), requests: map[string]string{}}
	for path, m := range s.members {
		r.requests[path] = m.requested
	}
	go func() {
		start := time.Now()
		r.artifact, r.err = l.fetch(ctx, req, secret, last)
		r.took = time.Since(start)
		l.results <- r
	}()
}

// fetch finds the credentials and fetches.
func (l *Loop) fetch(ctx context.Context, req git.Request, secret secret, last *source.Artifact) (source.Artifact,
	error) {
	if secret.name != "" {
		var err error
		if req.Auth, err = l.credentials(ctx, req.URL, secret); err != nil {
			return source.Artifact{}, fmt.Errorf("fetch %s: %w", git.Redact(req.URL), err)
		}
	}
	return l.Fetcher.Fetch(ctx, req, last)
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
		now.Error, now.Reason = r.err.Error(), reasonOf(r.err)
	}
	if errors.Is(r.err, errDenied) {
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
	address := telemetry.Address(git.Redact(s.request.URL))
	switch {
	case now.Error != "" && now.Error != s.row.Error:
		l.Log.Warn("fetch failed", address, telemetry.Reason(now.Reason), telemetry.Err(err))
	case now.Error == "" && !sameArtifact(s.row.Artifact, now.Artifact):
		l.Log.Info("new artifact", address, telemetry.Revision(now.Artifact.Revision), telemetry.Digest(now.Artifact.Digest))
	}
}

func sameArtifact(a, b *source.Artifact) bool {
	return a == b || a != nil && b != nil && *a == *b
}
