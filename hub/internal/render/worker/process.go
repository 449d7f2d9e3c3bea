package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// process is one worker process. One goroutine at a time has it.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr *words
	output int64
	builds int
}

// start starts a worker.
func start(c *Config) (*process, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{
		fmt.Sprintf("%s=%d", memoryVariable, c.Memory),
		fmt.Sprintf("%s=%d", outputVariable, c.Output),
		"GOTRACEBACK=none",
	}
	cmd.SysProcAttr = dieWithParent()
	p := &process{cmd: cmd, stderr: &words{}, output: c.Output}
	cmd.Stderr = p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start render worker: %w", err)
	}
	if p.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("start render worker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start render worker: %w", err)
	}
	return p, nil
}

// ask sends a request and waits for the response. After an error the process is dead. When ctx ends, it is killed.
func (p *process) ask(ctx context.Context, request []byte) (*response, error) {
	p.stderr.forget()
	disarm := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	r, err := p.roundTrip(request)
	if disarm() && err == nil {
		p.builds++
		return r, nil
	}
	ended := p.kill()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("render worker stopped: %w", context.Cause(ctx))
	case errors.Is(err, ErrOutput):
		return nil, err
	}
	return nil, &DiedError{Cause: errors.Join(err, ended), LastWords: p.stderr.String()}
}

func (p *process) roundTrip(request []byte) (*response, error) {
	if err := writeFrame(p.stdin, request); err != nil {
		return nil, err
	}
	data, err := readFrame(p.stdout, p.output)
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	var r response
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("decode response: %w", err)
	}
	return &r, nil
}

// kill ends the process and returns how it ended.
func (p *process) kill() error {
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	return p.cmd.Wait()
}

// DiedError is a worker that ended in the middle of a build: most often the build needed more memory than it may have.
type DiedError struct {
	Cause     error
	LastWords string // what it wrote to standard error
}

// Error says how the worker ended.
func (e *DiedError) Error() string {
	s := "render worker died: " + strings.ReplaceAll(e.Cause.Error(), "\n", "; ")
	if e.LastWords != "" {
		s += ": " + e.LastWords
	}
	return s + " (only this build failed; a build that needs too much memory ends so: look for what makes its output large)"
}

// Unwrap returns how the worker ended.
func (e *DiedError) Unwrap() error { return e.Cause }

// words keeps the beginning of what a worker writes to standard error during one build.
type words struct {
	mu   sync.Mutex
	data []byte
}

const (
	wordsSize = 8 << 10
	shownSize = 300
)

// Write implements io.Writer.
func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, b[:min(len(b), wordsSize-len(w.data))]...)
	return len(b), nil
}

// forget starts a new build.
func (w *words) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = w.data[:0]
}

// deathMarks begin what Go says when it ends a process, in the order in which they tell most. Goroutines follow.
var deathMarks = []string{"fatal error: ", "panic: ", "runtime: "}

// String returns why the worker ended as one line, else what it said first.
func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.data)
	for _, mark := range deathMarks {
		if _, after, ok := strings.Cut(text, mark); ok {
			line, _, _ := strings.Cut(after, "\n")
			return mark + line
		}
	}
	line := strings.Join(strings.Fields(text), " ")
	return line[:min(len(line), shownSize)]
}
