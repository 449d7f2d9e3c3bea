// Package source defines how state is fetched: a Fetcher turns a Request into an artifact.Artifact. It also has what
// fetchers share: the HTTP client with its rules for credentials and redirects, the choice of tags, the names of
// caches, the errors of a fetch and their reasons. Each package below fetches one kind of source; source/worker runs
// the fetchers in confined processes.
package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
)

// Fetcher fetches one kind of source. It may be used from several goroutines.
type Fetcher interface {
	// Fetch returns the artifact that r.Object names now. If the revision is still that of r.Last, Fetch returns r.Last.
	// Errors are those of Errors or an api.Failure, made by Classify. Their texts may quote the server, because Explain
	// cleans them. One that failed in the middle, and has changed what others see, is an artifact.Unfinished. ctx ends
	// when the time limit is over.
	Fetch(ctx context.Context, r Request) (artifact.Artifact, error)
}

// ProviderField is the field under which Request.Secrets has what a credential helper of the hub gave: username and
// password.
const ProviderField = "spec.provider"

// Request is one fetch as plain data, so that another process can carry it out. It holds credentials.
type Request struct {
	Object  *api.Object
	Cluster string             // that Object belongs to, if no other one shares the fetch; its JSON does not say
	Secrets map[string]Secret  // by the field of Object that names the Secret: spec.secretRef
	Giver   string             // see Server
	Last    *artifact.Artifact // the result of an equal request before, whole; or nil
	Timeout time.Duration      // of the whole fetch; see TimeLimit
	Network dial.Policy        // the servers that may be dialled
	// Hosts are the only hosts that may be asked by HTTP, as host or host:port; nil: any.
	Hosts []string
	// Own and Inputs are what the artifact of a source with inputs is composed of: its own tree, nil if it has no server,
	// and the artifacts of api.Source.Inputs. Without Inputs a request is for the source's own tree.
	Own    *artifact.Artifact
	Inputs []artifact.Artifact
	// Upstream is the input whose server is asked, if it is not that of Object; see api.Source.Upstream.
	Upstream *api.Object
	// Servers are the last Inputs, whose servers may be asked for parts; see api.SourceInput.
	Servers []Server
	// Selected are the sources that api.Source.Selects selects, in the order of their keys.
	Selected []Selected
	// Unselected are the sources that it would select if they had other labels.
	Unselected []api.Key
	// TagControl has the decisions of operators, if Object chooses a tag.
	TagControl api.TagControl
	// Bindings are those of the Secrets, by field. They count for servers that the URL does not name.
	Bindings  map[string]api.Binding
	Workspace artifact.Workspace
	// Preview asks for what a source that writes would push now. Nothing is pushed, and the artifact has the file
	// PreviewFile.
	Preview bool
}

// Server is a source whose server may be asked in the fetch of another one, with the source's own credentials.
type Server struct {
	Object   *api.Object
	Secrets  map[string]Secret
	Bindings map[string]api.Binding
	// Giver is the program of the hub that gave the credentials, for messages; empty: they are in the Secret of
	// spec.secretRef.
	Giver string
}

// Selected is a source that another one selects by its labels.
type Selected struct {
	Key      api.Key
	Revision string // of its artifact; empty: it has none
}

// Limits of the time that a slow server may occupy a worker.
const (
	defaultTimeout = time.Minute
	maxTimeout     = 10 * time.Minute
)

// CacheID returns the name under which artifacts and the cache of an address are kept. The name depends on the
// Secrets, so that sources with different Secrets share no files.
func (r Request) CacheID(address string) string {
	// Strings and byte slices: marshalling them cannot fail.
	text, _ := json.Marshal(struct {
		Kind, Address string
		Secrets       map[string]Secret
	}{r.Object.Key.Kind, address, r.Secrets})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// IsLast reports whether Last has a revision, verified as it would be now: in the same mode, with the same keys.
func (r Request) IsLast(revision string, now artifact.Verification) bool {
	return r.Last != nil && r.Last.Revision == revision && r.Last.Verification.Mode == now.Mode &&
		r.Last.Verification.Keys == now.Keys
}

// TimeLimit returns how long the fetch may take: Timeout, or a minute without one, and at most ten minutes.
func (r Request) TimeLimit() time.Duration { return min(cmp.Or(r.Timeout, defaultTimeout), maxTimeout) }

// Limited is a Fetcher that ends each fetch at its time limit.
type Limited struct{ Fetcher }

// Fetch implements Fetcher. If the time limit ends the fetch, the error is ErrTimeout.
func (f Limited) Fetch(ctx context.Context, r Request) (artifact.Artifact, error) {
	limited, cancel := context.WithTimeoutCause(ctx, r.TimeLimit(),
		fmt.Errorf("%w of %s (spec.timeout)", ErrTimeout, r.TimeLimit()))
	defer cancel()
	a, err := f.Fetcher.Fetch(limited, r)
	if err != nil && limited.Err() != nil {
		cause := context.Cause(limited)
		if u, ok := errors.AsType[*artifact.Unfinished](err); ok {
			return a, &artifact.Unfinished{Artifact: u.Artifact, Cause: cause}
		}
		return a, cause
	}
	return a, err
}
