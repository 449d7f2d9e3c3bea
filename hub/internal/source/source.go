// Package source defines how state is fetched: a Fetcher turns a Request into an artifact.Artifact. It also has what
// fetchers share: credentials, the errors of a fetch and their reasons. Each package below fetches one kind of source;
// source/worker runs the fetchers in confined processes.
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
	// Fetch returns the artifact that r.Object names now. If the revision is still that of r.Last, Fetch returns r.Last.
	// Errors are those of Errors, made by Explain, or the cause of the end of ctx.
	Fetch(ctx context.Context, r Request) (artifact.Artifact, error)
}

// Request is one fetch as plain data, so that another process can carry it out. It holds credentials.
type Request struct {
	Object    *api.Object
	Secrets   map[string]Secret  // by the field of Object that names the Secret: spec.secretRef
	Last      *artifact.Artifact // the result of an equal request before, whole; or nil
	Timeout   time.Duration      // of the whole fetch; see TimeLimit
	Network   dial.Policy        // the servers that may be dialled
	Workspace artifact.Workspace
}

// Secret is the data of a Secret.
type Secret map[string][]byte

// A slow server may occupy a worker for so long.
const (
	defaultTimeout = time.Minute
	maxTimeout     = 10 * time.Minute
)

// Auths returns the passwords and tokens of all Secrets, for Explain.
func (r Request) Auths() (auths []Auth) {
	for _, s := range r.Secrets {
		auths = append(auths, Auth{
			Username: string(s["username"]), Password: string(s["password"]), BearerToken: string(s["bearerToken"]),
		})
	}
	return auths
}

// TimeLimit returns how long the fetch may take: Timeout, or a minute without one, and at most ten minutes.
func (r Request) TimeLimit() time.Duration { return min(cmp.Or(r.Timeout, defaultTimeout), maxTimeout) }
