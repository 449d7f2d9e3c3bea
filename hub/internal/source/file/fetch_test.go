package file_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/file"
	"github.com/navefleet/nave/shared/manifest"
)

// rig fetches files of a server as the hub does.
type rig struct {
	*testing.T
	*httptest.Server
	store   *artifact.Store
	hosts   []string
	network dial.Policy
	limit   int64
	timeout time.Duration
}

func start(t *testing.T, serve http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{T: t, Server: httptest.NewServer(serve), store: artifact.New(t.TempDir())}
	t.Cleanup(r.Close)
	r.hosts, r.network = []string{hostOf(t, r.Server)}, dial.Policy{Allow: []netip.Prefix{loopback}}
	return r
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func hostOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func (r *rig) fetch(path string, last *artifact.Artifact) (artifact.Artifact, error) {
	r.Helper()
	owner := api.Key{Kind: api.KustomizationKind, Namespace: "apps", Name: "a"}
	base, err := api.NewRemoteBase(owner, time.Minute, "", api.Remote{URL: r.URL + path, File: true})
	if err != nil {
		r.Fatal(err)
	}
	req := source.Request{Object: base, Network: r.network, Hosts: r.hosts, Timeout: r.timeout}
	a, err := r.store.Make(r.Context(), last,
		func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			req.Workspace, req.Last = w, last
			return source.Limited{Fetcher: file.Fetcher{Limit: r.limit}}.Fetch(r.Context(), req)
		})
	if err != nil {
		err = source.Explain(err, r.URL+path, nil)
	}
	return a, err
}

// holds compares the only file of an artifact.
func (r *rig) holds(a artifact.Artifact, want string) {
	r.Helper()
	dir := r.TempDir()
	if err := r.store.Export(r.Context(), a, dir); err != nil {
		r.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		r.Fatalf("%v, %v", entries, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, api.RemoteFile)); string(text) != want {
		r.Errorf("got %q, %v", text, err)
	}
}

// TestFetch fetches a file, again when it did not change, when it did, and when it is gone.
func TestFetch(t *testing.T) {
	var text atomic.Value
	text.Store("a: 1\n")
	r := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.RawQuery != "token=x" {
			t.Errorf("asked for %s with %v", r.URL, r.Header)
		}
		if text.Load() == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text.Load().(string)))
	})
	first, err := r.fetch("/.sourceignore?token=x", nil)
	if err != nil || first.Revision != manifest.DigestOf([]byte("a: 1\n")).String() {
		t.Fatalf("%+v, %v", first, err)
	}
	r.holds(first, "a: 1\n")
	if again, err := r.fetch("/.sourceignore?token=x", &first); again != first || err != nil {
		t.Errorf("again: %+v, %v", again, err)
	}
	text.Store("a: 2\n")
	second, err := r.fetch("/.sourceignore?token=x", &first)
	if err != nil || second.Revision == first.Revision {
		t.Fatalf("moved: %+v, %v", second, err)
	}
	r.holds(second, "a: 2\n")
	text.Store("")
	if _, err := r.fetch("/.sourceignore?token=x", &second); !errors.Is(err, source.ErrFileNotFound) ||
		strings.Contains(err.Error(), "token") {
		t.Errorf("gone: %v", err)
	}
}

// TestFetch_refused has servers that do not give the file.
func TestFetch_refused(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[2Jno", status) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  error
		words string
	}{
		"not_found":    {answer(404), source.ErrFileNotFound, "404 Not Found"},
		"gone":         {answer(410), source.ErrFileNotFound, "410"},
		"forbidden":    {answer(403), source.ErrAuthentication, "without credentials"},
		"unauthorized": {answer(401), source.ErrAuthentication, "commit a copy"},
		"too_many":     {answer(429), source.ErrUnreachable, "429"},
		"broken":       {answer(503), source.ErrUnreachable, "503"},
		"teapot":       {answer(418), source.ErrProtocol, "418"},
		"no_content":   {answer(204), source.ErrProtocol, "204 No Content"},
		"partial":      {answer(206), source.ErrProtocol, "206 Partial Content"},
		"too_large": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1025)) },
			artifact.ErrLimit, "1 KiB"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<16))
			}
		}, artifact.ErrLimit, "1 KiB"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("begin"))
		}, source.ErrUnreachable, "EOF"},
		"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, source.ErrTimeout, "100ms"},
		"other_host": {redirect(other.URL + "/x?token=canary"), dial.ErrDenied,
			"--remote-base-host names, and \"" + other.URL + "/x\" is not one of them"},
		"metadata": {redirect("http://169.254.169.254/latest"), dial.ErrDenied, "--remote-base-host"},
		"file":     {redirect("file:///etc/passwd"), source.ErrUnreachable, "neither http nor https"},
		"circle":   {redirect("/again"), source.ErrUnreachable, "one time too often"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, c.serve)
			r.limit, r.timeout = 1024, 5*time.Second
			if name == "slow" {
				r.timeout = 100 * time.Millisecond
			}
			_, err := r.fetch("/a.yaml", nil)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) ||
				strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %v with %q", err, c.want, c.words)
			}
		})
	}
	if elsewhere.Load() > 0 {
		t.Error("a host was asked that is not named")
	}
}

// TestFetch_redirect follows a redirect to a host that is named, too.
func TestFetch_redirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "there")
	}))
	defer other.Close()
	r := start(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, other.URL+"/release.yaml", http.StatusFound)
	})
	r.hosts = append(r.hosts, strings.ToUpper(hostOf(t, other)))
	a, err := r.fetch("/download/a.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.holds(a, "there")
}

// TestFetch_denied has hosts that are named, and addresses that the dialler refuses.
func TestFetch_denied(t *testing.T) {
	var asked atomic.Int64
	r := start(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for name, network := range map[string]dial.Policy{
		"loopback":    {},
		"by_operator": {Allow: []netip.Prefix{loopback}, Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	} {
		r.network = network
		if _, err := r.fetch("/a.yaml", nil); !errors.Is(err, dial.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.hosts, r.network = []string{}, dial.Policy{Allow: []netip.Prefix{loopback}}
	if _, err := r.fetch("/a.yaml", nil); !errors.Is(err, dial.ErrDenied) || !strings.Contains(err.Error(),
		"--remote-base-host") {
		t.Errorf("no host is named: %v", err)
	}
	if asked.Load() > 0 {
		t.Error("the server was asked")
	}
}
