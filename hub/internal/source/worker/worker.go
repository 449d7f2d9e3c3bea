// Package worker fetches in confined processes, so that a bad server costs one process and never the hub. What a fetch
// needs, credentials among it, goes over the pipe.
package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/bucket"
	"github.com/navefleet/nave/hub/internal/source/compose"
	"github.com/navefleet/nave/hub/internal/source/file"
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/hub/internal/source/git/writeback"
	"github.com/navefleet/nave/hub/internal/source/helm"
	"github.com/navefleet/nave/hub/internal/source/oci"
	"github.com/navefleet/nave/hub/internal/source/tags"
	"github.com/navefleet/nave/shared/telemetry"
)

// Fetchers are what fetches each kind of source, in this process.
type Fetchers map[string]source.Fetcher

// All returns the fetchers of all kinds.
func All() Fetchers {
	repositories := git.Fetcher{Tokens: &git.Tokens{}}
	return Fetchers{
		api.GitRepositoryKind:   source.Limited{Fetcher: repositories},
		api.RemoteBaseKind:      source.Limited{Fetcher: remoteBases{git.Fetcher{}, file.Fetcher{}}},
		api.OCIRepositoryKind:   source.Limited{Fetcher: &oci.Fetcher{}},
		api.BucketKind:          source.Limited{Fetcher: bucket.Fetcher{}},
		api.HelmRepositoryKind:  source.Limited{Fetcher: helm.Repositories{}},
		api.HelmChartKind:       source.Limited{Fetcher: helm.Charts{Registries: registriesOfCharts()}},
		api.ImageRepositoryKind: source.Limited{Fetcher: &tags.Fetcher{}},
		api.ImagePolicyKind:     source.Limited{Fetcher: &tags.Policies{}},

		api.ImageUpdateAutomationKind: source.Limited{Fetcher: &writeback.Fetcher{Git: repositories}},
	}
}

// registriesOfCharts returns what pulls the archives of charts, which are layers.
func registriesOfCharts() source.Fetcher {
	limits := oci.DefaultLimits
	limits.Layer = helm.DefaultLimits.Archive
	return &oci.Fetcher{Limits: limits, PlusInVersions: true}
}

// remoteBases fetches RemoteBases.
type remoteBases struct{ repository, file source.Fetcher }

// Fetch implements source.Fetcher.
func (f remoteBases) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	b, err := api.Decode[api.RemoteBase](r.Object)
	switch {
	case err != nil:
		return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
	case b.Spec.File:
		return f.file.Fetch(ctx, r)
	}
	return f.repository.Fetch(ctx, r)
}

// Fetch implements source.Fetcher for all kinds, and composes artifacts.
func (f Fetchers) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	if len(r.Inputs) > 0 {
		view, err := r.Object.Source()
		if err != nil {
			return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
		}
		if len(view.Composition.Aliases) > 0 {
			return source.Limited{Fetcher: compose.Composer{}}.Fetch(ctx, r)
		}
	}
	fetcher := f[r.Object.Key.Kind]
	if fetcher == nil {
		return artifact.Artifact{}, fmt.Errorf("%w: the hub has no fetcher for objects of kind %s", source.ErrRequest,
			r.Object.Key.Kind)
	}
	return fetcher.Fetch(ctx, r)
}

// Command is the hub's subcommand that is a worker: its main calls ServeWorker.
const Command = "fetch-worker"

const (
	defaultMemory = 1 << 30  // bytes, of one worker and of all that are at work
	maxOutput     = 1 << 20  // bytes of one answer: an artifact's name or an error
	maxText       = 16 << 10 // bytes of the text of a source.BusyError
	maxFile       = 2 << 30  // bytes of a file that a worker writes: the largest is the content of an OCI layer
	// grace is how much longer than a fetch's own time a worker may take to say that the time is over.
	grace = 2 * time.Second
)

// Config is how a Pool runs its workers. Zero values stand for the defaults.
type Config struct {
	Command []string // starts a worker; default: this binary with the argument Command
	Workers int      // how many run at once: as many as CPUs
	Memory  int64    // bytes that one worker may hold, and all at work together (Linux only): 1 GiB
	Log     *slog.Logger
}

// Pool is a source.Fetcher of all kinds that fetches in worker processes. It is safe for concurrent use.
type Pool struct{ processes *confine.Pool }

// New returns a pool with one worker; more are started as fetches need them, and all are kept.
func New(c Config) (*Pool, error) {
	if len(c.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the hub's own binary: %w", err)
		}
		c.Command = []string{self, Command}
	}
	if c.Memory <= 0 {
		c.Memory = defaultMemory
	}
	processes, err := confine.New(confine.Config{
		Name: "fetch worker", Hint: "the source has too large files or too many of them",
		Command: c.Command, Env: environment(), Workers: c.Workers, Memory: c.Memory, Together: c.Memory, Output: maxOutput,
		File: maxFile, Reasons: source.Errors(), Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Pool{processes}, nil
}

// environment returns what of the hub's environment a worker needs: where the system's certificates are, and how Go
// resolves names. No credentials are among it.
func environment() []string {
	var found []string
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "LOCALDOMAIN", "RES_OPTIONS"} {
		if value, ok := os.LookupEnv(name); ok {
			found = append(found, name+"="+value)
		}
	}
	return found
}

// Fetch implements source.Fetcher. A fetch that takes too long or too much costs its worker and fails with
// source.ErrTimeout, artifact.ErrLimit or source.ErrWorker. When ctx ends, the worker is killed.
func (p *Pool) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	request, err := json.Marshal(r)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("encode fetch request: %w", err)
	}
	limited, cancel := context.WithTimeoutCause(ctx, r.TimeLimit()+grace, source.ErrTimeout)
	defer cancel()
	answer, err := p.processes.Ask(limited, request)
	if ctx.Err() != nil {
		return artifact.Artifact{}, context.Cause(ctx)
	}
	if err != nil {
		err = classify(err)
	}
	if err != nil && len(answer) == 0 {
		return artifact.Artifact{}, err
	}
	var a fetched
	if err := json.Unmarshal(answer, &a); err != nil {
		return artifact.Artifact{}, fmt.Errorf("%w: decode its answer: %w", source.ErrWorker, err)
	}
	if a.Busy != nil {
		err = a.Busy
	}
	switch {
	case err == nil:
		return a.Artifact, nil
	case a.Artifact.Dir != "":
		err = &artifact.Unfinished{Artifact: a.Artifact, Cause: err}
	}
	return artifact.Artifact{}, err
}

// fetched is the answer of a worker. Errors but a BusyError, which has a time, are not in it. The artifact beside an
// error is that of an artifact.Unfinished.
type fetched struct {
	Artifact artifact.Artifact `json:"artifact,omitzero"`
	Busy     *source.BusyError `json:"busy,omitempty"`
}

// classify returns an error of a confined process as an error of a fetch.
func classify(err error) error {
	var died *confine.DiedError
	switch {
	case errors.Is(err, confine.ErrMemory):
		return fmt.Errorf("%w: %w", artifact.ErrLimit, err)
	case errors.As(err, &died), errors.Is(err, confine.ErrOutput), errors.Is(err, confine.ErrClosed):
		return fmt.Errorf("%w: %w", source.ErrWorker, err)
	default:
		return err
	}
}

// Close ends the workers. Fetches under way fail with source.ErrWorker.
func (p *Pool) Close() error { return p.processes.Close() }

// ServeWorker is a worker process: it answers requests until standard input ends.
func ServeWorker(stdin io.Reader, stdout io.Writer) error { return serve(stdin, stdout, All()) }

func serve(stdin io.Reader, stdout io.Writer, fetchers Fetchers) error {
	answer := func(data []byte) ([]byte, error) {
		var r source.Request
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("decode fetch request: %w", err)
		}
		return answerOf(fetchers.Fetch(context.Background(), r))
	}
	return confine.Serve(stdin, stdout, confine.Service{Answer: answer, Reasons: source.Errors()})
}

// answerOf returns the answer of a worker after a fetch, and the error beside it.
func answerOf(a artifact.Artifact, failed error) ([]byte, error) {
	answer := fetched{Artifact: a.Brief()}
	unfinished, isPart := errors.AsType[*artifact.Unfinished](failed)
	if isPart {
		answer.Artifact = unfinished.Artifact.Brief()
	} else if failed != nil {
		answer.Artifact = artifact.Artifact{}
	}
	if busy, ok := errors.AsType[*source.BusyError](failed); ok {
		answer.Busy = &source.BusyError{Server: busy.Server, Until: busy.Until,
			Text: telemetry.Printable(failed.Error(), maxText)}
		failed = nil
	}
	if failed != nil && !isPart {
		return nil, failed
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	return text, failed
}
