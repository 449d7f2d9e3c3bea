package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
)

// Command is the hub's subcommand that runs a worker. It calls ServeWorker.
const Command = "render-worker"

// The defaults of a Config.
const (
	defaultTimeout = 60 * time.Second
	defaultMemory  = 1 << 30
	defaultOutput  = 256 << 20
)

// Config configures the workers of a Pool. Zero values mean the defaults.
type Config struct {
	// Command starts a worker; default: this binary with the argument Command.
	Command []string
	// Workers is how many run at once; default: the number of CPUs.
	Workers int
	// Timeout is for one render, from when a worker begins it.
	Timeout time.Duration
	// Memory is a limit on the memory of one worker, in bytes (Linux only).
	Memory int64
	// Output is a limit on one response, in bytes.
	Output int64
	Log    *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("find the hub's own binary: %w", err)
		}
		c.Command = []string{self, Command}
	}
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Memory, c.Output = cmp.Or(c.Memory, defaultMemory), cmp.Or(c.Output, defaultOutput)
	return c, nil
}

// Pool renders in worker processes. It implements render.Renderer and is safe for concurrent use.
type Pool struct{ processes *confine.Pool }

// New returns a pool and starts its first worker. The pool starts more workers as renders need them, and keeps them.
func New(c Config) (*Pool, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	processes, err := confine.New(confine.Config{
		Name: "render worker", Hint: "find the patch or object that makes its output large",
		Command: c.Command, Workers: c.Workers, Timeout: c.Timeout, Memory: c.Memory, Output: c.Output,
		Reasons: render.Reasons, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Pool{processes}, nil
}

// Render implements render.Renderer. The result has Encoded in place of Objects. If a render exceeds the timeout or a
// limit, its worker ends, and the error is one of package confine. If ctx ends, the worker is killed.
func (p *Pool) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	if req.Exclude != nil {
		return nil, errors.New("render: Exclude cannot be sent to a worker")
	}
	request, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode render request: %w", err)
	}
	answer, err := p.processes.Ask(ctx, request)
	if err != nil {
		return nil, err
	}
	return decode(answer)
}

// Close ends the workers. Renders under way fail with confine.ErrClosed.
func (p *Pool) Close() error { return p.processes.Close() }
