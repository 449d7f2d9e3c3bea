// Package source says how state is fetched: a Fetcher makes an artifact.Artifact of a Request. Each package below this
// one fetches one kind of source; source/worker runs the fetchers in confined processes.
package source

import (
	"cmp"
	"context"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
)

// Fetcher fetches one kind of source. It may be used from several goroutines.
type Fetcher interface {
	// Fetch returns the artifact that r.Object means now. While its revision has not moved, that is r.Last, and only the
	// server's list of revisions was read. Errors are those of this package, dial.ErrDenied, artifact.ErrLimit,
	// artifact.ErrTree and artifact.ErrStorage, made by Explain; or the cause of ctx's end.
	Fetch(ctx context.Context, r Request) (artifact.Artifact, error)
}

// Request is one fetch as plain data: it can be carried out by another process, and holds credentials.
type Request struct {
	Object    *api.Object
	Secrets   map[string]Secret  // those that Object names, by the field that names each
	Last      *artifact.Artifact // what an equal request gave before, whole; or nil
	Timeout   time.Duration      // of the whole fetch; see TimeLimit
	Network   dial.Policy        // the servers that may be dialled
	Workspace artifact.Workspace
}

// Secret is the data of a Secret.
type Secret map[string][]byte

// Limits on the time of a fetch: a slow server holds a worker for so long.
const (
	defaultTimeout = time.Minute
	maxTimeout     = 10 * time.Minute
)

// TimeLimit returns how long the fetch may take: Timeout, or a minute without one, and at most ten minutes.
func (r Request) TimeLimit() time.Duration { return min(cmp.Or(r.Timeout, defaultTimeout), maxTimeout) }
