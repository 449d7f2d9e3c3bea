package git

import (
	"context"
	"errors"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
)

// Fetcher fetches Git repositories. It may be used from several goroutines.
type Fetcher struct {
	dir    string
	limits Limits
}

// New returns a Fetcher that keeps its caches and artifacts below dir.
func New(dir string, limits Limits) *Fetcher { return &Fetcher{dir: dir, limits: limits} }

// Fetch returns the artifact that req means now. last is the artifact that an equal request gave before, or nil.
func (f *Fetcher) Fetch(ctx context.Context, req Request, last *source.Artifact) (source.Artifact, error) {
	return source.Artifact{}, errors.New("not there yet")
}

// Sweep removes artifacts that are not kept.
func (f *Fetcher) Sweep(ctx context.Context, keep func(dir string) bool, unused time.Duration) error {
	return nil
}
