package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

// Command is the hub's subcommand that is a worker: its main calls ServeWorker.
const Command = "render-worker"

// The defaults of a Config.
const (
	DefaultTimeout = 60 * time.Second
	DefaultMemory  = 1 << 30
	DefaultOutput  = 256 << 20
	// buildsPerWorker is after how many builds a worker is replaced, against slow leaks in what it links.
	buildsPerWorker = 5000
)

// Errors of a pool.
var (
	ErrTimeout = errors.New("the build took too long")
	ErrMemory  = errors.New("the build needs too much memory")
	ErrClosed  = errors.New("the render pool is closed")
)

// Config is how a Pool runs its workers. Zero values stand for the defaults.
type Config struct {
	// Command starts a worker; default: this binary with the argument Command.
	Command []string
	// Workers is how many run at once; default: the number of CPUs.
	Workers int
	// Timeout is for one build, from when a worker takes it.
	Timeout time.Duration
	// Memory is a limit on what one worker holds, in bytes (Linux only).
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
	if c.Workers <= 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	if c.Output <= 0 {
		c.Output = DefaultOutput
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Pool renders in worker processes. It implements render.Renderer and is safe for concurrent use.
type Pool struct {
	config Config
	slots  chan struct{} // one for each build under way
	starts chan func()   // work for the thread that starts workers
	stop   context.Context
	cancel context.CancelCauseFunc

	mu   sync.Mutex // guards idle
	idle []*process
}

// New returns a pool with one worker that is warming up; more are started as builds need them, and all are kept.
func New(c Config) (*Pool, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{config: c, slots: make(chan struct{}, c.Workers), starts: make(chan func())}
	p.stop, p.cancel = context.WithCancelCause(context.Background())
	go p.startThread()
	first, err := p.start()
	if err != nil {
		p.cancel(err)
		return nil, err
	}
	p.idle = []*process{first}
	return p, nil
}

// startThread starts workers on one thread that lives as long as the pool: the kernel kills a child when the thread
// that started it ends, not the process.
func (p *Pool) startThread() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case work := <-p.starts:
			work()
		case <-p.stop.Done():
			return
		}
	}
}

func (p *Pool) start() (w *process, err error) {
	done := make(chan struct{})
	select {
	case p.starts <- func() { w, err = start(&p.config); close(done) }:
		<-done
		return w, err
	case <-p.stop.Done():
		return nil, ErrClosed
	}
}

// Kustomize implements render.Renderer. A build that takes too long or too much costs its worker and fails; the error
// is then ErrTimeout, ErrMemory, ErrOutput or a *DiedError. When ctx ends, the worker is killed.
func (p *Pool) Kustomize(ctx context.Context, req kustomize.Request) (*kustomize.Result, error) {
	if req.Exclude != nil {
		return nil, errors.New("render: Exclude cannot be sent to a worker")
	}
	request, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode render request: %w", err)
	}
	if len(request) > maxRequest {
		return nil, fmt.Errorf("render request of %d bytes: the limit is %d", len(request), maxRequest)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.stop.Done():
		return nil, ErrClosed
	}
	r, err := p.ask(ctx, request)
	if err != nil {
		return nil, err
	}
	return r.result()
}

// ask has one worker answer a request, within the pool's time.
func (p *Pool) ask(ctx context.Context, request []byte) (*response, error) {
	w, err := p.take()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.config.Timeout, fmt.Errorf("%w (more than %s)", ErrTimeout, p.config.Timeout))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(p.stop, func() { end(ErrClosed) })()
	go p.watch(ctx, w.cmd.Process.Pid, end)
	r, err := w.ask(ctx, request)
	if err != nil {
		p.config.Log.Warn("render worker lost", "pid", w.cmd.Process.Pid, "error", err)
		return nil, err
	}
	p.put(w)
	return r, nil
}

// watchEvery is how often a worker's memory is looked at while it builds.
const watchEvery = 20 * time.Millisecond

// watch ends a build whose worker holds too much memory, until ctx ends.
func (p *Pool) watch(ctx context.Context, pid int, end context.CancelCauseFunc) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if held := residentMemory(pid); held > p.config.Memory {
				end(fmt.Errorf("%w: %d MiB, the limit is %d; look for what makes its output large", ErrMemory, held>>20, p.config.Memory>>20))
			}
		}
	}
}

// take returns an idle worker, or a new one.
func (p *Pool) take() (*process, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return w, nil
	}
	p.mu.Unlock()
	return p.start()
}

// put keeps a worker for the next build.
func (p *Pool) put(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.builds >= buildsPerWorker || p.stop.Err() != nil {
		_ = w.kill()
		return
	}
	p.idle = append(p.idle, w)
}

// Close ends the workers. Builds under way fail with ErrClosed.
func (p *Pool) Close() error {
	p.cancel(ErrClosed)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle {
		_ = w.kill()
	}
	p.idle = nil
	return nil
}
