package confine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

const (
	// MaxRequest is a limit on the bytes of one request.
	MaxRequest = 32 << 20
	// requestsPerProcess is how many requests a process answers before it is replaced, against slow leaks in libraries.
	requestsPerProcess = 5000
)

// Errors of a pool.
var (
	ErrTimeout = errors.New("it took too long")
	ErrMemory  = errors.New("it needs too much memory")
	ErrOutput  = errors.New("the result is too large")
	ErrClosed  = errors.New("the pool of processes is closed")
)

// Config is the configuration of a Pool.
type Config struct {
	// Name is the name of a process in messages, such as "render worker". Hint tells users why a request may need too
	// much memory.
	Name, Hint string
	// Command starts a process, whose main calls Serve. Required.
	Command []string
	// Env is the environment of a process, beside the variables of Serve.
	Env []string
	// Workers is how many processes work at once. Zero: the number of CPUs.
	Workers int
	// Timeout limits one request, from the moment when a process gets it. Zero: only the context limits it.
	Timeout time.Duration
	// Memory limits the resident memory of one process, in bytes (Linux only).
	Memory int64
	// Together limits the resident memory of all working processes, in bytes: beyond it the largest is killed. Zero: no
	// limit.
	Together int64
	// Output limits one answer, in bytes.
	Output int64
	// File limits each file that a process writes, in bytes (Linux only). Zero: it writes none.
	File int64
	// Reasons are the errors for which errors.Is holds across the pipe; if an error is several, the first. Their texts
	// differ. Service.Reasons must be the same.
	Reasons []error
	Log     *slog.Logger // nil: slog.Default
}

// Pool answers requests in confined processes. It is safe for concurrent use.
type Pool struct {
	config Config
	slots  chan struct{} // one for each request under way
	starts chan func()   // work for the thread that starts processes
	stop   context.Context
	cancel context.CancelCauseFunc

	mu   sync.Mutex // guards idle and busy
	idle []*process
	busy map[*process]int64 // resident bytes of each, as last measured
}

// New starts one process and returns the pool. More processes are started when requests need them, and all are kept.
func New(c Config) (*Pool, error) {
	if c.Workers <= 0 {
		c.Workers = runtime.NumCPU()
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	p := &Pool{
		config: c, slots: make(chan struct{}, c.Workers), starts: make(chan func()), busy: map[*process]int64{},
	}
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

// startThread starts processes on one thread that lives as long as the pool: the kernel kills a child when the thread
// that started it ends, even if the thread's process goes on.
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

// Ask returns one process's answer to a request. If the request needs too much time, memory or output, the process is
// killed and the error is ErrTimeout, ErrMemory, ErrOutput or a *DiedError. If ctx ends, the process is killed and the
// error is the cause. An error that the process reports has the same text, wraps one of Config.Reasons and is a Named;
// there may be an answer beside it.
func (p *Pool) Ask(ctx context.Context, request []byte) ([]byte, error) {
	if len(request) > MaxRequest {
		return nil, fmt.Errorf("%s: a request of %d bytes: the limit is %d", p.config.Name, len(request), MaxRequest)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-p.stop.Done():
		return nil, ErrClosed
	}
	w, err := p.acquire()
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if limit := p.config.Timeout; limit > 0 {
		tooLong := fmt.Errorf("%w (more than %s)", ErrTimeout, limit)
		defer time.AfterFunc(limit, func() { end(tooLong) }).Stop()
	}
	defer context.AfterFunc(p.stop, func() { end(ErrClosed) })()
	defer p.leave(w)
	go p.watch(ctx, w, end)
	answer, err := w.ask(ctx, request)
	if err != nil && !isRemote(err) {
		p.config.Log.Warn("worker lost", slog.String("worker", p.config.Name), slog.Int("pid", w.cmd.Process.Pid),
			slog.String("err", err.Error()))
		return nil, err
	}
	p.release(w)
	return answer, err
}

// watchEvery is how often the memory of a working process is measured.
const watchEvery = 20 * time.Millisecond

// watch measures a process until ctx ends, and calls end if it holds too much memory.
func (p *Pool) watch(ctx context.Context, w *process, end context.CancelCauseFunc) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := p.weigh(w, residentMemory(w.cmd.Process.Pid)); err != nil {
				end(err)
			}
		}
	}
}

// weigh notes the resident memory of a working process. The error says that it is too much.
func (p *Pool) weigh(w *process, held int64) error {
	if limit := p.config.Memory; held > limit {
		return fmt.Errorf("%w: %d MiB, the limit is %d; %s", ErrMemory, held>>20, limit>>20, p.config.Hint)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, busy := p.busy[w]; !busy {
		return nil // its request has just ended
	}
	p.busy[w] = held
	var all, most int64
	for _, n := range p.busy {
		all, most = all+n, max(most, n)
	}
	if limit := p.config.Together; limit > 0 && all > limit && held == most {
		return fmt.Errorf("%w: %d MiB, and all processes together hold %d of at most %d; %s",
			ErrMemory, held>>20, all>>20, limit>>20, p.config.Hint)
	}
	return nil
}

// leave notes that a process works no more.
func (p *Pool) leave(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, w)
}

// acquire returns an idle process, or starts one. It counts as working until leave.
func (p *Pool) acquire() (*process, error) {
	if w := p.acquireIdle(); w != nil {
		return w, nil
	}
	w, err := p.start()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy[w] = 0
	return w, nil
}

func (p *Pool) acquireIdle() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	w := p.idle[n-1]
	p.idle = p.idle[:n-1]
	p.busy[w] = 0
	return w
}

// release keeps a process for the next request.
func (p *Pool) release(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.served >= requestsPerProcess || p.stop.Err() != nil {
		_ = w.kill()
		return
	}
	p.idle = append(p.idle, w)
}

// Close kills the processes. Requests under way fail with ErrClosed.
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
