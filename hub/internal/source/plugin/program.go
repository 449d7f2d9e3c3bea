package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
)

const (
	timeLimit = time.Minute // of one program
	maxOutput = 1 << 20     // bytes that a program prints
	graceTime = time.Second // for what a program has started to end, too, after the program
)

// program is a program that knows credentials. It gets the environment of the hub, as it would get the kubelet's: cloud
// identities are in there.
type program struct {
	path   string
	args   []string
	env    []string      // besides the environment of the hub
	time   time.Duration // zero: timeLimit
	byHand string        // the command that shows what the program says
}

// errTooSlow: a program has not answered in time.
var errTooSlow = errors.New("no answer")

// ask gives a program a text and returns what it prints. Errors quote nothing of that, because it may be a password:
// they say how to see it. If a program fails, its output is returned, too.
func (p program) ask(ctx context.Context, text string) ([]byte, error) {
	limit := p.time
	if limit == 0 {
		limit = timeLimit
	}
	inTime, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said, err := p.run(inTime, text)
	switch {
	case err == nil || errors.Is(err, artifact.ErrLimit) || ctx.Err() != nil:
		return said, err
	case inTime.Err() != nil:
		return nil, fmt.Errorf("%w in %s", errTooSlow, limit)
	}
	return said, fmt.Errorf("%w; to see what it says, run where the hub runs: %s", err, p.byHand)
}

// run runs the program, and then ends what it has started. An answer counts as soon as the program has ended, also if a
// process that it has started keeps the output open.
func (p program) run(ctx context.Context, text string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, graceTime
	var said limited
	cmd.Stdin, cmd.Stdout, cmd.Env = strings.NewReader(text), &said, append(os.Environ(), p.env...)
	err := cmd.Run()
	if cmd.Process != nil {
		_ = kill() // there may be nothing to end
	}
	switch {
	case said.full:
		err = fmt.Errorf("%w: it prints more than %s", artifact.ErrLimit, artifact.FormatSize(maxOutput))
	case errors.Is(err, exec.ErrWaitDelay): // the program itself ended well
		err = nil
	}
	return said.text.Bytes(), err
}

// limited is a buffer of at most maxOutput bytes.
type limited struct {
	text bytes.Buffer
	full bool // more was written
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if l.text.Len()+len(b) > maxOutput {
		l.full = true
		return 0, artifact.ErrLimit
	}
	return l.text.Write(b)
}
