package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// process is one confined process. One goroutine at a time uses it.
type process struct {
	config *Config
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr *words
	served int // requests
}

// start starts a process.
func start(c *Config) (*process, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Dir = "/"
	cmd.Env = append([]string{
		fmt.Sprintf("%s=%d", memoryVariable, c.Memory),
		fmt.Sprintf("%s=%d", outputVariable, c.Output),
		fmt.Sprintf("%s=%d", fileVariable, c.File),
		"GOTRACEBACK=none",
	}, c.Env...)
	cmd.SysProcAttr = dieWithParent()
	p := &process{config: c, cmd: cmd, stderr: &words{}}
	cmd.Stderr = p.stderr
	var err, err2 error
	p.stdin, err = cmd.StdinPipe()
	p.stdout, err2 = cmd.StdoutPipe()
	if err := errors.Join(err, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return p, nil
}

// ask sends a request and returns the answer. After an error other than *remoteError the process is dead. If ctx ends,
// the process is killed.
func (p *process) ask(ctx context.Context, request []byte) ([]byte, error) {
	p.stderr.forget()
	disarm := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	answer, err := p.roundTrip(request)
	if disarm() && (err == nil || isRemote(err)) {
		p.served++
		return answer, err
	}
	ended := p.kill()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s stopped: %w", p.config.Name, context.Cause(ctx))
	case errors.Is(err, ErrOutput):
		return nil, err
	}
	return nil, &DiedError{
		Name: p.config.Name, Hint: p.config.Hint, Cause: errors.Join(err, ended), LastWords: p.stderr.String(),
	}
}

func (p *process) roundTrip(request []byte) ([]byte, error) {
	if err := writeFrame(p.stdin, request); err != nil {
		return nil, err
	}
	content, err := readFrame(p.stdout, p.config.Output)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return decodeAnswer(content, p.config.Reasons)
}

// kill kills the process and returns how it ended.
func (p *process) kill() error {
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	return p.cmd.Wait()
}

// DiedError says that a process ended in the middle of a request, most often because the request needed more memory
// than the process may have.
type DiedError struct {
	Name, Hint string // of the Config
	Cause      error
	LastWords  string // the beginning of what the process wrote to standard error
}

// Error returns how the process ended, its last words in quotes, without control characters, and the hint.
func (e *DiedError) Error() string {
	s := e.Name + " died: " + strings.ReplaceAll(e.Cause.Error(), "\n", "; ")
	if e.LastWords != "" {
		s += ": " + strconv.Quote(e.LastWords)
	}
	return s + " (only this request failed; one that needs too much memory ends so: " + e.Hint + ")"
}

// Unwrap returns how the process ended.
func (e *DiedError) Unwrap() error { return e.Cause }

// words keeps the beginning of what a process writes to standard error during one request.
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

// forget drops the text when a new request begins.
func (w *words) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = w.data[:0]
}

// deathMarks begin the messages of Go when it ends a process; the most telling one is first.
var deathMarks = []string{"fatal error: ", "panic: ", "runtime: "}

// String returns in one line why the process ended; if it does not say so, the beginning of what it wrote.
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
