package daemon

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/version"
)

func TestCommand(t *testing.T) {
	for name, test := range map[string]struct {
		args      []string
		log, fail string // of what it says
	}{
		"text":     {nil, "level=INFO msg=hello", ""},
		"json":     {[]string{"--log-format=json"}, `"msg":"hello"`, ""},
		"quiet":    {[]string{"--log-level=error"}, "", ""},
		"format":   {[]string{"--log-format=xml"}, "", "want json or text"},
		"level":    {[]string{"--log-level=loud"}, "", "want debug, info, warn or error"},
		"argument": {[]string{"now"}, "", "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			ran := false
			c := Command("daemon", "A daemon", func(_ context.Context, log *slog.Logger, limit int64) error {
				ran = limit > 0
				log.Info("hello")
				return nil
			})
			c.SetArgs(test.args)
			c.SetErr(&out)
			err := c.ExecuteContext(t.Context())
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) || ran {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || !ran || test.log == "" != (out.Len() == 0) || !strings.Contains(out.String(), test.log) {
				t.Errorf("ran %t, %v: %s", ran, err, out.String())
			}
		})
	}
}

func TestCommand_version(t *testing.T) {
	var out bytes.Buffer
	c := Command("daemon", "A daemon", func(context.Context, *slog.Logger, int64) error {
		t.Error("the daemon runs")
		return nil
	})
	c.SetArgs([]string{"--version"})
	c.SetOut(&out)
	if err := c.ExecuteContext(t.Context()); err != nil || out.String() != "daemon version "+version.String()+"\n" {
		t.Errorf("%v: %q", err, out.String())
	}
}

// TestMain_signals ends a daemon that does not end by itself: the first signal ends its context, a further one the
// process.
func TestMain_signals(t *testing.T) {
	const variable = "NAVE_TEST_DAEMON"
	if os.Getenv(variable) != "" {
		os.Args = os.Args[:1]
		Main(Command("daemon", "A daemon", func(ctx context.Context, _ *slog.Logger, _ int64) error {
			fmt.Println("started")
			<-ctx.Done()
			fmt.Println("ending")
			<-time.After(time.Hour)
			return nil
		}))
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMain_signals$")
			cmd.Env = append(os.Environ(), variable+"=1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() == "started" {
				_ = cmd.Process.Signal(signal)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for again, deadline := time.Tick(20*time.Millisecond), time.After(30*time.Second); ended != nil; {
				select {
				case <-again:
					_ = cmd.Process.Signal(signal)
				case <-ended:
					ended = nil
				case <-deadline:
					_ = cmd.Process.Kill()
					t.Fatal("the daemon does not end")
				}
			}
			status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != signal {
				t.Errorf("the daemon ended with %v, want %v", cmd.ProcessState, signal)
			}
		})
	}
}
