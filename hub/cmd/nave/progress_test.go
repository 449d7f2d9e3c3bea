package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// changingHub answers each request, and its watches send the changes of one object.
type changingHub struct {
	silentHub
	changes []*adminv1.WatchResponse
}

func (h changingHub) Watch(r *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	for _, change := range h.changes {
		if err := stream.Send(change); err != nil {
			return err
		}
	}
	return h.silentHub.Watch(r, stream)
}

func (changingHub) Get(context.Context, *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return nil, status.Error(codes.NotFound, "not found")
}

// applying is a change of a Kustomization: how many of its 5 objects are healthy, and its condition Ready.
func applying(healthy int, ready, message string) *adminv1.WatchResponse {
	text, _ := json.Marshal(message) // a string always works
	return &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: &adminv1.Object{
		Json: fmt.Appendf(nil, `{"status":{"lastHandledReconcileAt":"2026-01-02T03:04:05Z","objects":{"total":5,"healthy":%d},"conditions":[`+
			`{"type":"Ready","status":%q,"message":%s}]}}`, healthy, ready, text)}}
}

// TestProgress_lines prints each change of what is awaited once, as a line on standard error.
func TestProgress_lines(t *testing.T) {
	earlier := applying(5, "True", "Applied revision: a")
	earlier.Object.Json = bytes.Replace(earlier.Object.Json, []byte("2026"), []byte("2025"), 1)
	config := serve(t, changingHub{changes: []*adminv1.WatchResponse{earlier,
		applying(3, "Unknown", "Deployment app/web 1/2"), applying(3, "Unknown", "Deployment app/web 1/2"),
		{Type: adminv1.WatchType_WATCH_TYPE_SYNCED}, applying(4, "Unknown", "Job app/b\x1b[2J"),
		applying(5, "True", "Applied revision: b")}})
	out, errOut := nave(t, config, "resume", "kustomization", "apps")
	const name = "Kustomization flux-system/apps"
	if want := "► " + name + " resumed\n✔ " + name + ": Applied revision: b\n"; out != want {
		t.Errorf("printed\n%swant\n%s", out, want)
	}
	want := "◎ " + name + ": the request has not been handled yet; before it: Applied revision: a\n" +
		"◎ " + name + ": 3/5 healthy, Deployment app/web 1/2\n" +
		"◎ " + name + ": 4/5 healthy, Job app/b\\u001b[2J\n"
	if errOut != want {
		t.Errorf("progress\n%swant\n%s", errOut, want)
	}
}

// openTerminal returns both ends of a terminal of 60 columns.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 60, Row: 20}); err != nil {
		t.Fatal(err)
	}
	return keyboard, terminal
}

// onTerminal runs do with a terminal, and returns all that was printed there.
func onTerminal(t *testing.T, do func(terminal *os.File)) string {
	t.Helper()
	keyboard, terminal := openTerminal(t)
	printed := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(keyboard) // the error says that the terminal is closed
		printed <- string(text)
	}()
	do(terminal)
	terminal.Close()
	select {
	case text := <-printed:
		return strings.ReplaceAll(text, "\r\n", "\n")
	case <-time.After(10 * time.Second):
		t.Fatal("the terminal does not end")
		return ""
	}
}

// TestProgress_terminal replaces the line on a terminal, cuts it to the width, and erases it before a result.
func TestProgress_terminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	config := serve(t, changingHub{changes: []*adminv1.WatchResponse{applying(3, "Unknown", strings.Repeat("x", 60)),
		applying(4, "Unknown", "y\x1b[2J"), applying(5, "True", "Applied")}})
	got := onTerminal(t, func(terminal *os.File) {
		root, end := program(terminal, terminal)
		root.SetArgs([]string{"resume", "kustomization", "apps", "--config=" + config})
		if err := end(root.ExecuteContext(t.Context())); err != nil {
			t.Error(err)
		}
	})
	const name = "Kustomization flux-system/apps"
	want := "► " + name + " resumed\n" + eraseLine + "◎ " + name + ": 3/5 healthy, xxxxxxxxxxx…" + eraseLine +
		"◎ " + name + ": 4/5 healthy, y\\u001b[2J" + eraseLine + "✔ " + name + ": Applied\n"
	if got != want {
		t.Errorf("printed\n%q, want\n%q", got, want)
	}
}

// TestProgress_dumb prints lines on a terminal that cannot move its cursor.
func TestProgress_dumb(t *testing.T) {
	t.Setenv("TERM", "dumb")
	t.Setenv("NO_COLOR", "1")
	got := onTerminal(t, func(terminal *os.File) {
		root, _ := program(io.Discard, terminal)
		newProgress(root).show("a", "b")
	})
	if got != "◎ a: b\n" {
		t.Errorf("printed %q", got)
	}
}

// TestProgress_several shows what changed last, the number of the others, and results above.
func TestProgress_several(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	got := onTerminal(t, func(terminal *os.File) {
		root, _ := program(terminal, terminal)
		p := newProgress(root)
		p.show("a", "1")
		p.show("b", "2")
		p.printf("✔ %s\n", "c")
		p.end("b")
		p.end("a")
	})
	if at := strings.LastIndex(got, "✔ c\n"); at < 0 || !strings.HasSuffix(got[:at], "◎ b: 2 (and 1 more)"+eraseLine) ||
		got[at:] != "✔ c\n"+eraseLine+"◎ b: 2 (and 1 more)"+eraseLine+eraseLine+"◎ a: 1"+eraseLine {
		t.Errorf("printed %q", got)
	}
}

// TestWaitFor_gone ends at once with the exit code of what is not found, if the object is deleted meanwhile.
func TestWaitFor_gone(t *testing.T) {
	for name, changes := range map[string][]*adminv1.WatchResponse{
		"before": {{Type: adminv1.WatchType_WATCH_TYPE_SYNCED}},
		"during": {applying(3, "Unknown", "m"), {Type: adminv1.WatchType_WATCH_TYPE_SYNCED},
			{Type: adminv1.WatchType_WATCH_TYPE_DELETED, Object: &adminv1.Object{}}},
	} {
		t.Run(name, func(t *testing.T) {
			root, _ := program(io.Discard, io.Discard)
			config := serve(t, changingHub{changes: changes})
			root.SetArgs([]string{"reconcile", "ks", "apps", "--timeout=1m", "--config=" + config})
			err := root.ExecuteContext(t.Context())
			if exitCode(err) != notFound || !strings.Contains(fmt.Sprint(err), "apps does not exist any more") {
				t.Errorf("got %v, exit code %d", err, exitCode(err))
			}
		})
	}
}
