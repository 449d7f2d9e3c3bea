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

	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// Command is the hub's subcommand that is a worker: its main calls ServeWorker.
const Command = "fetch-worker"

const (
	defaultMemory = 1 << 30 // bytes, of one worker and of all that are at work
	maxOutput     = 1 << 20 // bytes of one answer: an artifact's name or an error
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

// Pool fetches in worker processes. It is safe for concurrent use.
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
		Name: "fetch worker", Hint: "the repository has too large objects or too many of them",
		Command: c.Command, Env: environment(), Workers: c.Workers, Memory: c.Memory, Together: c.Memory, Output: maxOutput,
		Reasons: git.Reasons, Log: c.Log,
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

// Git runs a job in a worker. A job that takes too long or too much costs its worker and fails with ErrTimeout,
// ErrLimit or ErrWorker of package git. When ctx ends, the worker is killed.
func (p *Pool) Git(ctx context.Context, job git.Job) (git.Result, error) {
	request, err := json.Marshal(job)
	if err != nil {
		return git.Result{}, fmt.Errorf("encode fetch request: %w", err)
	}
	limited, cancel := context.WithTimeoutCause(ctx, job.Request.Timeout+grace, git.ErrTimeout)
	defer cancel()
	answer, err := p.processes.Ask(limited, request)
	if err != nil {
		return git.Result{}, explain(err)
	}
	var result git.Result
	if err := json.Unmarshal(answer, &result); err != nil {
		return git.Result{}, fmt.Errorf("%w: decode its answer: %w", git.ErrWorker, err)
	}
	return result, nil
}

// explain gives an error of a confined process the error of package git that it stands for.
func explain(err error) error {
	var died *confine.DiedError
	switch {
	case errors.Is(err, confine.ErrMemory):
		return fmt.Errorf("%w: %w", git.ErrLimit, err)
	case errors.As(err, &died), errors.Is(err, confine.ErrOutput), errors.Is(err, confine.ErrClosed):
		return fmt.Errorf("%w: %w", git.ErrWorker, err)
	default:
		return err
	}
}

// Close ends the workers. Fetches under way fail with git.ErrWorker.
func (p *Pool) Close() error { return p.processes.Close() }

// ServeWorker is a worker process: it answers requests until standard input ends.
func ServeWorker(stdin io.Reader, stdout io.Writer) error {
	return confine.Serve(stdin, stdout, confine.Service{Answer: answer, Reasons: git.Reasons})
}

// answer fetches what one request asks for.
func answer(data []byte) ([]byte, error) {
	var job git.Job
	if err := json.Unmarshal(data, &job); err != nil {
		return nil, fmt.Errorf("decode fetch request: %w", err)
	}
	result, err := job.Run(context.Background())
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}
