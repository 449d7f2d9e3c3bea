package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// The test binary is its own worker: the first argument says of what kind.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case Command:
		if err := ServeWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "small":
		small := Fetchers{api.GitRepositoryKind: oneObject()}
		if err := serve(os.Stdin, os.Stdout, small); err != nil {
			os.Exit(1)
		}
	case "closes":
		if err := serve(os.Stdin, os.Stdout, Fetchers{api.GitRepositoryKind: closed{}}); err != nil {
			os.Exit(1)
		}
	case "busy":
		if err := serve(os.Stdin, os.Stdout, Fetchers{api.GitRepositoryKind: busy{}}); err != nil {
			os.Exit(1)
		}
	case "unfinished", "unfinished_busy":
		fetchers := Fetchers{api.GitRepositoryKind: unfinished{os.Args[1] != "unfinished"}}
		if err := serve(os.Stdin, os.Stdout, fetchers); err != nil {
			os.Exit(1)
		}
	case "verbose":
		if err := serve(os.Stdin, os.Stdout, Fetchers{api.GitRepositoryKind: verbose{}}); err != nil {
			os.Exit(1)
		}
	case "hangs":
		_ = syscall.Pause()
	case "dies":
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(3)
	default:
		os.Exit(m.Run())
	}
}

// closed is a fetcher that fails for a reason of the kind.
type closed struct{}

func (closed) Fetch(context.Context, source.Request) (artifact.Artifact, error) {
	failure := &api.Failure{Reason: api.InvalidTagSignature, Text: "not accepted"}
	return artifact.Artifact{}, source.Classify(fmt.Errorf("fetch: %w", failure), nil)
}

// busy is a fetcher whose server asks to wait.
type busy struct{}

var busyUntil = time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)

func (busy) Fetch(context.Context, source.Request) (artifact.Artifact, error) {
	err := &source.BusyError{Server: "example.com:443", Until: busyUntil, Text: "asks to wait"}
	return artifact.Artifact{}, fmt.Errorf("tag latest: %w", err)
}

// unfinished is a fetcher that fails after it has made an artifact, because the server asks to wait or otherwise.
type unfinished struct{ busy bool }

func (u unfinished) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	a, err := r.PutFiles(ctx, r.CacheID("x"), "pushed", map[string][]byte{"run": []byte("1")})
	if err != nil {
		return a, err
	}
	cause := fmt.Errorf("%w: not now", source.ErrDeclined)
	if u.busy {
		_, cause = busy{}.Fetch(ctx, r)
	}
	return artifact.Artifact{}, &artifact.Unfinished{Artifact: a, Cause: cause}
}

// verbose is a fetcher that quotes the whole of a large file.
type verbose struct{}

func (verbose) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	a, err := r.PutFiles(ctx, r.CacheID("x"), "pushed", map[string][]byte{"run": []byte("1")})
	a.Notice = "not carried out: " + strings.Repeat("x", 3<<20)
	a.Summary = a.Notice
	return a, err
}

// oneObject is a fetcher that accepts no transfer of more than one object.
func oneObject() git.Fetcher {
	limits := git.DefaultLimits
	limits.Objects = 1
	return git.Fetcher{Limits: limits}
}

// fetcher fetches into a folder as the hub does.
type fetcher struct {
	artifacts *artifact.Store
	source.Fetcher
}

// request is a GitRepository that follows a branch, and its Secret.
type request struct {
	URL, Branch        string
	Username, Password string
	Timeout            time.Duration
}

func (f fetcher) Fetch(ctx context.Context, req request, last *artifact.Artifact) (artifact.Artifact, error) {
	object, err := json.Marshal(map[string]any{
		"kind": api.GitRepositoryKind, "metadata": map[string]any{"namespace": "team", "name": "fleet"},
		"spec": map[string]any{"url": req.URL, "ref": map[string]any{"branch": req.Branch}},
	})
	if err != nil {
		return artifact.Artifact{}, err
	}
	r := source.Request{
		Object:  api.StoredObject(api.Key{Kind: api.GitRepositoryKind, Namespace: "team", Name: "fleet"}, object),
		Timeout: req.Timeout, Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	if req.Username != "" {
		r.Secrets = map[string]source.Secret{
			"spec.secretRef": {"username": []byte(req.Username), "password": []byte(req.Password)},
		}
	}
	return f.artifacts.Make(ctx, last, func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
		r.Workspace, r.Last = w, last
		return f.Fetcher.Fetch(ctx, r)
	})
}

// newFetcher returns a fetcher that fetches in workers of a kind.
func newFetcher(t *testing.T, c Config, kind string) fetcher {
	t.Helper()
	c.Command = []string{os.Args[0], kind}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return fetcher{artifact.New(t.TempDir()), p}
}

func newRepository(t *testing.T, o gittest.Options) *gittest.Repository {
	t.Helper()
	server, err := gittest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo, err := server.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func commit(t *testing.T, repo *gittest.Repository, files map[string]string) {
	t.Helper()
	if _, err := repo.Commit(files, "change"); err != nil {
		t.Fatal(err)
	}
}

func mainOf(repo *gittest.Repository) request { return request{URL: repo.URL(), Branch: "main"} }

func fetch(t *testing.T, f fetcher, req request, last *artifact.Artifact) artifact.Artifact {
	t.Helper()
	a, err := f.Fetch(t.Context(), req, last)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fails fetches and wants one of these errors, with these words in its message.
func fails(t *testing.T, f fetcher, req request, want []error, words ...string) {
	t.Helper()
	_, err := f.Fetch(t.Context(), req, nil)
	found := false
	for _, w := range want {
		found = found || errors.Is(err, w)
	}
	if !found {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the message %q does not say %q", err, word)
		}
	}
}

func TestFetch(t *testing.T) {
	repo := newRepository(t, gittest.Options{})
	commit(t, repo, map[string]string{"a": "1", "d/b": "1"})
	f := newFetcher(t, Config{}, Command)
	first := fetch(t, f, mainOf(repo), nil)
	if again := fetch(t, f, mainOf(repo), &first); again != first {
		t.Errorf("unmoved: %+v, want %+v", again, first)
	}
	commit(t, repo, map[string]string{"a": "2"})
	second := fetch(t, f, mainOf(repo), &first)
	if text, err := readFile(t, f, second, "a"); string(text) != "2" {
		t.Errorf("a is %q, %v", text, err)
	}
	if left, _ := os.ReadDir(filepath.Join(f.artifacts.Path(artifact.Artifact{}), "tmp")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestErrors has errors that must be the same through a worker as in the own process.
func TestErrors(t *testing.T) {
	repo := newRepository(t, gittest.Options{Username: "u", Password: "p"})
	commit(t, repo, map[string]string{"a": "1"})
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	there, here := newFetcher(t, Config{}, Command), fetcher{artifact.New(t.TempDir()), All()}
	for name, c := range map[string]struct {
		req  request
		want error
	}{
		"authentication": {request{URL: repo.URL(), Username: "u", Password: "wrong"}, source.ErrAuthentication},
		"secret":         {request{URL: repo.URL(), Username: "u"}, source.ErrAuthentication},
		"reference": {request{URL: repo.URL(), Username: "u", Password: "p", Branch: "mian"},
			source.ErrReferenceNotFound},
		"repository": {request{URL: gone.URL + "/x.git"}, source.ErrRepositoryNotFound},
		"denied":     {request{URL: "http://169.254.169.254/x.git"}, dial.ErrDenied},
		"request":    {request{URL: "file:///etc"}, source.ErrRequest},
		"limit":      {request{URL: repo.URL(), Username: "u", Password: "p", Branch: "main"}, artifact.ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			there, here := there, here
			if name == "limit" {
				there = newFetcher(t, Config{}, "small")
				here.Fetcher = oneObject()
			}
			_, want := here.Fetch(t.Context(), c.req, nil)
			_, got := there.Fetch(t.Context(), c.req, nil)
			if !errors.Is(got, c.want) || !errors.Is(want, c.want) || got.Error() != want.Error() {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestReasons wants every error of a fetch to cross the pipe; ErrWorker is of this side.
func TestReasons(t *testing.T) {
	sent := source.Errors()
	for _, reason := range []error{
		source.ErrRequest, source.ErrAuthentication, source.ErrUntrusted, source.ErrRepositoryNotFound,
		source.ErrReferenceNotFound, source.ErrUnreachable, source.ErrTimeout, source.ErrProtocol,
		artifact.ErrLimit, artifact.ErrTree, artifact.ErrStorage, dial.ErrDenied,
	} {
		if !slices.Contains(sent, reason) {
			t.Errorf("%q is not sent", reason)
		}
	}
}

// TestKindReason has a fetcher in a worker that fails for a reason of the source's kind.
func TestKindReason(t *testing.T) {
	f := newFetcher(t, Config{}, "closes")
	_, err := f.Fetch(t.Context(), request{URL: "https://example.com/x"}, nil)
	err = source.Explain(err, "https://example.com/x", nil)
	got := source.Reason(err, "other")
	if got != api.InvalidTagSignature || !strings.Contains(err.Error(), "not accepted") {
		t.Errorf("got reason %s of %v", got, err)
	}
}

// TestBusy has a fetcher in a worker whose server asks to wait: the hub learns which server, and until when.
func TestBusy(t *testing.T) {
	_, err := newFetcher(t, Config{}, "busy").Fetch(t.Context(), request{URL: "https://example.com/x"}, nil)
	got, ok := errors.AsType[*source.BusyError](err)
	if !ok || got.Server != "example.com:443" || !got.Until.Equal(busyUntil) || err.Error() != "tag latest: asks to wait" {
		t.Errorf("got %v", err)
	}
	if reason := source.Reason(source.Explain(err, "https://example.com/x", nil), "other"); reason != "RateLimited" {
		t.Errorf("got reason %s", reason)
	}
}

// TestUnfinished has a fetcher in a worker that fails after it has done something: the hub learns what, and why.
func TestUnfinished(t *testing.T) {
	for kind, reason := range map[string]string{"unfinished": "other", "unfinished_busy": "RateLimited"} {
		_, err := newFetcher(t, Config{}, kind).Fetch(t.Context(), request{URL: "https://example.com/x"}, nil)
		u, ok := errors.AsType[*artifact.Unfinished](err)
		if !ok || u.Artifact.Revision != "pushed" || source.Reason(err, "other") != reason {
			t.Errorf("%s: got %v, reason %s", kind, err, source.Reason(err, "other"))
		}
	}
}

// TestVerbose has a fetcher that says more of its artifact than an answer may have: the artifact comes all the same.
func TestVerbose(t *testing.T) {
	f := newFetcher(t, Config{}, "verbose")
	a, err := f.Fetch(t.Context(), request{URL: "https://example.com/x"}, nil)
	if err != nil || a.Revision != "pushed" || !strings.HasPrefix(a.Notice, "not carried out: x") {
		t.Errorf("got %q, %.80q, %v", a.Revision, a.Notice, err)
	}
}

func TestDeadWorker(t *testing.T) {
	repo := newRepository(t, gittest.Options{})
	commit(t, repo, map[string]string{"a": "1"})
	f := newFetcher(t, Config{}, "dies")
	fails(t, f, mainOf(repo), []error{source.ErrWorker}, "exit status 3")
	fails(t, f, mainOf(repo), []error{source.ErrWorker}) // by another one
}

// TestHangingWorker has a worker that does not even keep the time itself.
func TestHangingWorker(t *testing.T) {
	repo := newRepository(t, gittest.Options{})
	f := newFetcher(t, Config{}, "hangs")
	req := mainOf(repo)
	req.Timeout = time.Millisecond
	fails(t, f, req, []error{source.ErrTimeout})
}

// TestSlowServer has a server that sends a byte now and then, for ever.
func TestSlowServer(t *testing.T) {
	ended := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = w.Write([]byte("fff0")) // begins a line of nearly 64 KiB
		for next := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-next.C:
				_, _ = w.Write([]byte("a"))
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer slow.Close()
	f := newFetcher(t, Config{Workers: 1}, Command)
	f.Fetcher = Fetchers{api.GitRepositoryKind: f.Fetcher} // as in the hub
	before := workers(t)
	fails(t, f, request{URL: slow.URL + "/x.git", Timeout: 100 * time.Millisecond}, []error{source.ErrTimeout}, "100ms",
		"spec.timeout")
	if after := workers(t); !slices.Equal(before, after) {
		t.Errorf("the workers were %v and are %v", before, after)
	}
	<-ended // the connection goes with the fetch
	repo := newRepository(t, gittest.Options{})
	commit(t, repo, map[string]string{"a": "1"})
	fetch(t, f, mainOf(repo), nil)
}

// TestCredentials looks at the worker as any process of the machine can, while it fetches with a password.
func TestCredentials(t *testing.T) {
	const canary = "s3cr3t-canary"
	t.Setenv("NAVE_TEST_SECRET", canary) // of the hub
	seen := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		seen <- password
		for _, name := range workers(t) {
			for _, part := range []string{"cmdline", "environ"} {
				if text, err := os.ReadFile(filepath.Join(name, part)); err != nil || strings.Contains(string(text), canary) {
					t.Errorf("%s of the worker: %q, %v", part, text, err)
				}
			}
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	f := newFetcher(t, Config{Workers: 1}, Command)
	req := request{URL: server.URL + "/x.git", Username: "u", Password: canary}
	fails(t, f, req, []error{source.ErrRepositoryNotFound})
	if got := <-seen; got != canary {
		t.Errorf("the server saw the password %q", got)
	}
}

// workers returns the folders in /proc of the workers of this test, at least one.
func workers(t *testing.T) (found []string) {
	t.Helper()
	names, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, name := range names {
		status, _ := os.ReadFile(name)
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) &&
			strings.Contains(string(command), Command) {
			found = append(found, filepath.Dir(name))
		}
	}
	if len(found) == 0 {
		t.Error("no worker is running")
	}
	return found
}

func BenchmarkFetch(b *testing.B) {
	server, err := gittest.Start(gittest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	repo, err := server.NewRepository("fleet")
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(Config{Command: []string{os.Args[0], Command}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for name, by := range map[string]source.Fetcher{"worker": p, "own_process": All()} {
		b.Run(name, func(b *testing.B) {
			f, n := fetcher{artifact.New(b.TempDir()), by}, 0
			var last artifact.Artifact
			for b.Loop() {
				b.StopTimer()
				n++
				if _, err := repo.Commit(map[string]string{"a": fmt.Sprint(name, n)}, "change"); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if last, err = f.Fetch(b.Context(), mainOf(repo), &last); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// readFile returns the content of a file of an artifact.
func readFile(t *testing.T, f fetcher, a artifact.Artifact, name string) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	if err := f.artifacts.Export(t.Context(), a, dir); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, name))
}
