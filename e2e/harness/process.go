package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/navefleet/nave/e2e/kubetest"
)

// Process is a daemon that can be stopped, killed and started again with the same arguments.
type Process struct {
	Name string
	Args []string
	HTTP string // host:port of its /metrics, /healthz, /readyz
	Log  string // path; appended to over restarts

	binary string

	mu    sync.Mutex // guards the following
	cmd   *exec.Cmd
	ended chan error
}

// Start starts the daemon and returns when it is ready, or has begun to ask the hub for its certificate.
func (p *Process) Start(ctx context.Context) error {
	if err := p.launch(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := kubetest.Until(ctx, p.Name+" ready", func(ctx context.Context) error {
		select {
		case err := <-p.ended:
			p.ended <- err
			return nil // returned below
		default:
			_, err := p.Get(ctx, "/readyz")
			if err != nil && strings.Contains(err.Error(), "not registered with the hub") {
				return nil // a story may want the hub to refuse it
			}
			return err
		}
	})
	select {
	case ended := <-p.ended:
		p.ended <- ended
		err = fmt.Errorf("%s ended: %w", p.Name, ended)
	default:
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.Tail())
	}
	return nil
}

func (p *Process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.binary, p.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd, p.ended = cmd, make(chan error, 1)
	started := make(chan error)
	ended := p.ended
	go func() {
		// The kernel sends the parent-death signal when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
			if err == nil {
				err = errors.New("exit status 0")
			}
			ended <- err
		}
	}()
	return <-started
}

// Wait waits until ctx ends and returns nil. If the daemon ends before, Wait returns an error with the end of its log.
// Stop and Kill must not be called meanwhile.
func (p *Process) Wait(ctx context.Context) error {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	select {
	case err := <-ended:
		ended <- err
		return fmt.Errorf("%s ended: %w; the end of %s:\n%s", p.Name, err, p.Log, p.Tail())
	case <-ctx.Done():
		return nil
	}
}

// Stop asks the daemon to end (SIGTERM) and waits until it has, at most 20 seconds; then it is killed, and Stop returns
// an error.
func (p *Process) Stop() error {
	return p.end(syscall.SIGTERM)
}

// Kill ends the daemon as kill -9 does.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Freeze stops the daemon where it is, as kill -STOP does: its connections stay, and nobody answers on them.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen daemon go on.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.Name)
	}
	return p.cmd.Process.Signal(s)
}

func (p *Process) end(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	defer func() { p.cmd = nil }()
	_ = p.cmd.Process.Signal(signal) // it may have ended by itself
	select {
	case <-p.ended:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s did not end in 20 s after %s", p.Name, signal), p.cmd.Process.Kill())
	}
}

// PID returns the process ID; 0 if the daemon does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Tail returns the end of the daemon's log.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-6000):])
}

// freeAddress asks the kernel for a loopback port that is not in use.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
