package confine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"
)

var errKnown = errors.New("known")

var reasons = []error{errKnown}

// held keeps what a request allocates.
var held [][]byte

// echo answers a request with itself, and does what some requests ask for.
func echo(request []byte) ([]byte, error) {
	what, n, _ := strings.Cut(string(request), " ")
	switch what {
	case "fail":
		return nil, fmt.Errorf("it %w", errKnown)
	case "fail-otherwise":
		return nil, errors.New("unknown")
	case "fail-long":
		return nil, fmt.Errorf("it %w: %s", errKnown, strings.Repeat("\x01", 3<<20))
	case "bytes":
		var size int
		if _, err := fmt.Sscan(n, &size); err != nil {
			return nil, err
		}
		return make([]byte, size), nil
	case "garbage":
		var size int
		if _, err := fmt.Sscan(n, &size); err != nil {
			return nil, err
		}
		held = [][]byte{bytes.Repeat([]byte{1}, size<<20)}
		held = nil
	case "memory", "memory-and-wait":
		var most int
		if _, err := fmt.Sscan(n, &most); err != nil {
			return nil, err
		}
		for i := range most {
			held = append(held, bytes.Repeat([]byte{byte(i)}, 1<<20))
		}
		if what == "memory-and-wait" {
			_ = syscall.Pause()
		}
	case "file":
		var size int
		if _, err := fmt.Sscan(n, &size); err != nil {
			return nil, err
		}
		file, err := os.CreateTemp("", "confine-")
		if err != nil {
			return nil, err
		}
		defer os.Remove(file.Name())
		_, err = file.Write(make([]byte, size))
		return request, errors.Join(err, file.Close())
	case "panic":
		panic("something broke")
	}
	return request, nil
}

// The test binary is its own process: the first argument says of what kind.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "echo":
		exit(Serve(os.Stdin, os.Stdout, Service{Answer: echo, Reasons: reasons}))
	case "dies":
		_, _ = os.Stdin.Read(make([]byte, 1))
		fmt.Fprintln(os.Stderr, "something broke\x1b[2J")
		os.Exit(3)
	case "hangs":
		_ = syscall.Pause()
	case "babbles":
		_, _ = os.Stdout.Write([]byte{0xff, 0xff, 0xff, 0xff})
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "lies": // a frame that is neither an answer nor a failure
		_, _ = os.Stdout.Write([]byte{0, 0, 0, 1, 7})
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "parent":
		exit(beParent())
	default:
		os.Exit(m.Run())
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// beParent starts a pool with a process that never reads, prints the process's pid, and waits to be killed.
func beParent() error {
	p, err := New(Config{Command: []string{os.Args[0], "hangs"}})
	if err != nil {
		return err
	}
	fmt.Println(p.idle[0].cmd.Process.Pid)
	return syscall.Pause()
}

func newPool(t testing.TB, c Config, kind string) *Pool {
	t.Helper()
	c.Name, c.Hint, c.Reasons = "test worker", "ask for less", reasons
	c.Command = []string{os.Args[0], kind}
	c.Workers = max(c.Workers, 1)
	for limit, otherwise := range map[*int64]int64{&c.Memory: 1 << 30, &c.Output: 1 << 20,
		(*int64)(&c.Timeout): int64(time.Minute)} {
		if *limit == 0 {
			*limit = otherwise
		}
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// answers asks for an answer, which must be the request.
func (p *Pool) answers(t testing.TB, request string) {
	t.Helper()
	if got, err := p.Ask(t.Context(), []byte(request)); err != nil || string(got) != request {
		t.Errorf("%q is answered by %q, %v", request, got, err)
	}
}

func TestAsk(t *testing.T) {
	p := newPool(t, Config{}, "echo")
	pid := p.idle[0].cmd.Process.Pid
	p.answers(t, "hello")
	p.answers(t, "")
	_, err := p.Ask(t.Context(), []byte("fail"))
	if !errors.Is(err, errKnown) || err.Error() != "it known" {
		t.Errorf("got %v", err)
	}
	if _, err := p.Ask(t.Context(), []byte("fail-otherwise")); err == nil || errors.Is(err, errKnown) ||
		err.Error() != "unknown" {
		t.Errorf("got %v", err)
	}
	if _, err := p.Ask(t.Context(), make([]byte, MaxRequest+1)); err == nil {
		t.Error("a request over the limit was sent")
	}
	if len(p.idle) != 1 || p.idle[0].cmd.Process.Pid != pid {
		t.Error("the process was replaced")
	}
}

func TestDeath(t *testing.T) {
	for name, c := range map[string]struct {
		kind, request string
		words         []string
	}{
		"exit":   {"dies", "x", []string{"test worker died", "exit status 3", "something broke", "ask for less"}},
		"panic":  {"echo", "panic", []string{"test worker died", "panic: something broke"}},
		"babble": {"lies", "x", []string{"test worker died", "neither an answer nor a failure"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, Config{}, "echo")
			other := newPool(t, Config{}, c.kind)
			p.idle, other.idle = append(p.idle, other.idle...), nil
			_, err := p.Ask(t.Context(), []byte(c.request))
			var died *DiedError
			if !errors.As(err, &died) {
				t.Fatalf("got %v", err)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q has control characters", err)
			}
			p.answers(t, "the next")
		})
	}
}

func TestTimeLimit(t *testing.T) {
	p := newPool(t, Config{Timeout: 50 * time.Millisecond}, "hangs")
	if _, err := p.Ask(t.Context(), nil); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("got %v", err)
	}
	if len(p.idle) != 0 {
		t.Error("the process was kept")
	}
}

func TestContextEnds(t *testing.T) {
	p := newPool(t, Config{}, "hangs")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody wants it any more")
	go cancel(why)
	if _, err := p.Ask(ctx, nil); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestOutputLimit(t *testing.T) {
	babbling := newPool(t, Config{}, "babbles")
	if _, err := babbling.Ask(t.Context(), nil); !errors.Is(err, ErrOutput) {
		t.Errorf("got %v", err)
	}
	p := newPool(t, Config{Output: 2000}, "echo")
	pid := p.idle[0].cmd.Process.Pid
	if got, err := p.Ask(t.Context(), []byte("bytes 1999")); len(got) != 1999 || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := p.Ask(t.Context(), []byte("bytes 2000")); !errors.Is(err, ErrOutput) ||
		!strings.Contains(err.Error(), "2000") {
		t.Errorf("got %v", err)
	}
	p.answers(t, "the next")
	if p.idle[0].cmd.Process.Pid != pid {
		t.Error("the process was replaced")
	}
}

// TestLongError has a process fail with a text that is larger than an answer may be: the pool still learns the reason.
func TestLongError(t *testing.T) {
	p := newPool(t, Config{}, "echo")
	pid := p.idle[0].cmd.Process.Pid
	_, err := p.Ask(t.Context(), []byte("fail-long"))
	if !errors.Is(err, errKnown) || !strings.HasSuffix(err.Error(), "…") {
		t.Errorf("got %.80v", err)
	}
	p.answers(t, "the next")
	if p.idle[0].cmd.Process.Pid != pid {
		t.Error("the process was replaced")
	}
}

func TestDieFirst(t *testing.T) {
	if dieWithParent() == nil {
		t.Skip("the system cannot be asked for it")
	}
	p := newPool(t, Config{}, "echo")
	p.answers(t, "hello")
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.idle[0].cmd.Process.Pid))
	if err != nil || strings.TrimSpace(string(score)) != "1000" {
		t.Errorf("the score is %s, %v", score, err)
	}
}

func TestSideBySide(t *testing.T) {
	p := newPool(t, Config{Workers: 3}, "echo")
	var requests sync.WaitGroup
	for i := range 12 {
		requests.Go(func() { p.answers(t, fmt.Sprint("request ", i)) })
	}
	requests.Wait()
	if len(p.idle) > 3 {
		t.Errorf("%d processes", len(p.idle))
	}
}

func TestClose(t *testing.T) {
	p := newPool(t, Config{}, "hangs")
	pid := p.idle[0].cmd.Process.Pid
	failed := make(chan error, 1)
	go func() {
		_, err := p.Ask(context.Background(), nil)
		failed <- err
	}()
	for taken := false; !taken; {
		p.mu.Lock()
		taken = len(p.idle) == 0
		p.mu.Unlock()
	}
	_ = p.Close()
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
	if _, err := p.Ask(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestParentDies(t *testing.T) {
	parent := exec.Command(os.Args[0], "parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	deadline := time.After(10 * time.Second)
	for isRunning(pid) {
		select {
		case <-deadline:
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the process outlived its parent")
		default:
		}
	}
}

// isRunning reports whether a process is there and no zombie: an orphan may wait for its new parent.
func isRunning(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, ok := bytes.Cut(stat, []byte(") "))
	return ok && state[0] != 'Z' && state[0] != 'X'
}

func TestInputEnds(t *testing.T) {
	cmd := exec.Command(os.Args[0], "echo")
	cmd.Stdin = strings.NewReader("")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, '{', '}'})
	f.Add([]byte{0, 0, 0, 3, 1, '{', '}'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, data []byte) {
		if content, err := readFrame(bytes.NewReader(data), 1<<16); err == nil {
			_, _ = decodeAnswer(content, reasons)
		}
	})
}

// TestFileLimit has processes that write files: one byte more than they may is an error, and ends no process. Answers
// have a limit of their own.
func TestFileLimit(t *testing.T) {
	if dieWithParent() == nil {
		t.Skip("no limit on files on this system")
	}
	for name, limit := range map[string]int64{"none": 0, "some": 1000} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, Config{File: limit}, "echo")
			p.answers(t, fmt.Sprint("file ", limit))
			_, err := p.Ask(t.Context(), fmt.Append(nil, "file ", limit+1))
			if err == nil || !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
				t.Errorf("error %v", err)
			}
			if answer, err := p.Ask(t.Context(), []byte("bytes 100000")); err != nil || len(answer) != 100_000 {
				t.Errorf("%d bytes, error %v", len(answer), err)
			}
			if len(p.idle) != 1 || p.idle[0].served != 3 {
				t.Error("a process has ended")
			}
		})
	}
}
