package tags_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/e2e/treetest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/registry"
	"github.com/navefleet/nave/hub/internal/source/tags"
)

// world is a fetcher, and where its artifacts are.
type world struct {
	*testing.T
	fetcher *tags.Fetcher
	store   *artifact.Store
	timeout time.Duration
}

func newWorld(t *testing.T) *world {
	return &world{t, &tags.Fetcher{}, artifact.New(t.TempDir()), 20 * time.Second}
}

// in returns the world in a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.T = t
	return &sub
}

// realRegistry starts a registry with some tags of the image org/app.
func realRegistry(t *testing.T, o ocitest.Options, tags ...string) *ocitest.Server {
	t.Helper()
	server, err := ocitest.Start(o)
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	for _, tag := range tags {
		if _, err := server.Commit("org/app:"+tag, map[string]string{"a": tag}, "main@sha1:0123"); err != nil {
			t.Fatal(err)
		}
	}
	return server
}

// spec is what the tests say of an ImageRepository.
type spec map[string]any

// secrets are the Secrets of an ImageRepository by field.
type secrets map[string]source.Secret

// fetch scans the image org/app on a host, over plain HTTP unless the spec says otherwise.
func (w *world) fetch(host string, s spec, named secrets, last *artifact.Artifact) (artifact.Artifact, error) {
	full := spec{"image": host + "/org/app", "insecure": true, "interval": "1m"}
	for name, value := range s {
		full[name] = value
	}
	object, err := json.Marshal(map[string]any{"spec": full})
	if err != nil {
		w.Fatal(err)
	}
	r := source.Request{
		Object: api.StoredObject(api.Key{Kind: api.ImageRepositoryKind}, object), Secrets: named, Timeout: w.timeout,
		Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	}
	return w.store.Make(w.Context(), last,
		func(ws artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace, r.Last = ws, last
			return source.Limited{Fetcher: w.fetcher}.Fetch(w.Context(), r)
		})
}

// must fetches and fails the test on an error.
func (w *world) must(host string, s spec, named secrets, last *artifact.Artifact) artifact.Artifact {
	w.Helper()
	a, err := w.fetch(host, s, named, last)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// list returns the tags in an artifact, which has nothing else.
func (w *world) list(a artifact.Artifact) []string {
	w.Helper()
	root := w.TempDir()
	if err := w.store.Export(w.Context(), a, root); err != nil {
		w.Fatal(err)
	}
	files := treetest.Files(w.T, root)
	if len(files) != 1 {
		w.Errorf("got the files %v", files)
	}
	return registry.ParseTags([]byte(files[registry.TagFile]))
}

// expect compares the tags of an artifact.
func (w *world) expect(a artifact.Artifact, want ...string) {
	w.Helper()
	if got := w.list(a); !slices.Equal(got, want) {
		w.Errorf("got the tags %q, want %q", got, want)
	}
}

// refused expects an error of a kind with some words.
func (w *world) refused(host string, s spec, named secrets, kind error, words ...string) {
	w.Helper()
	a, err := w.fetch(host, s, named, nil)
	if !errors.Is(err, kind) {
		w.Errorf("got %v, %v; want %v", a, err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.Errorf("got %v, want %q", err, word)
		}
	}
}

// TestFetch scans a real registry: the tags come sorted, without those that are excluded.
func TestFetch(t *testing.T) {
	w, r := newWorld(t), realRegistry(t, ocitest.Options{}, "v1.10.0", "latest", "v1.9.0", "sha256-0123.sig")
	a := w.must(r.Host(), nil, nil, nil)
	w.expect(a, "latest", "v1.10.0", "v1.9.0")
	if a.Summary != "successful scan: found 3 tags" || a.Notice != "" {
		t.Errorf("got the message %q, %q", a.Summary, a.Notice)
	}
	var got, want any
	text := fmt.Sprintf(`{"canonicalImageName": "%s/org/app", "lastScanResult": {"tagCount": 3, "revision": %q,
		"latestTags": ["v1.9.0", "v1.10.0", "latest"]}}`, r.Host(), a.Revision)
	if err := errors.Join(json.Unmarshal([]byte(a.Status), &got), json.Unmarshal([]byte(text), &want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got the status %v, want %v", got, want)
	}
	w.expect(w.must(r.Host(), spec{"exclusionList": []string{"^v1", "est$"}}, nil, nil), "sha256-0123.sig")
	w.expect(w.must(r.Host(), spec{"exclusionList": []string{"."}}, nil, nil))
}

// TestFetch_poll costs one request, and a list with another order is the same.
func TestFetch_poll(t *testing.T) {
	for name, o := range map[string]ocitest.Options{
		"anonymous": {},
		"basic":     {Username: "u", Password: "secret"},
		"token":     {Username: "u", Password: "secret", Token: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := newWorld(t), realRegistry(t, o, "1.0.0")
			named := secrets{}
			if o.Username != "" {
				named["spec.secretRef"] = source.Secret{source.DockerConfigKey: []byte(r.DockerConfig())}
			}
			first := w.must(r.Host(), nil, named, nil)
			before := r.Requests()
			if again := w.must(r.Host(), nil, named, &first); again != first {
				t.Errorf("got %v, want %v", again, first)
			}
			if cost := r.Requests() - before; cost != 1 {
				t.Errorf("the poll cost %d requests", cost)
			}
			if _, err := r.Commit("org/app:1.0.1", nil, "main@sha1:0123"); err != nil {
				t.Fatal(err)
			}
			w.expect(w.must(r.Host(), nil, named, &first), "1.0.0", "1.0.1")
		})
	}
}

func TestFetch_errors(t *testing.T) {
	w, r := newWorld(t), realRegistry(t, ocitest.Options{}, "1.0.0")
	for name, c := range map[string]struct {
		s     spec
		kind  error
		words []string
	}{
		"repository": {spec{"image": r.Host() + "/org/ap"}, source.ErrRepositoryNotFound, []string{"may not see it"}},
		"nobody":     {spec{"image": "127.0.0.1:1/org/app"}, source.ErrUnreachable, nil},
		"denied":     {spec{"image": "127.0.0.2/org/app"}, dial.ErrDenied, []string{"--allow-source-address"}},
		"plain_http": {spec{"insecure": false}, source.ErrUnreachable, []string{"spec.insecure"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t).refused(r.Host(), c.s, nil, c.kind, c.words...)
		})
	}
}

func TestFetch_credentials(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		t.Run(fmt.Sprintf("tokens=%v", tokens), func(t *testing.T) {
			o := ocitest.Options{Username: "robot", Password: "secret-of-robot", Token: tokens}
			w, r := newWorld(t), realRegistry(t, o, "1.0.0")
			config := func(text string) secrets {
				return secrets{"spec.secretRef": {source.DockerConfigKey: []byte(text)}}
			}
			w.expect(w.must(r.Host(), nil, config(r.DockerConfig()), nil), "1.0.0")
			w.refused(r.Host(), nil, nil, source.ErrAuthentication, "spec.secretRef")
			wrong := fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":"wrong-one"}}}`, r.Host())
			w.refused(r.Host(), nil, config(wrong), source.ErrAuthentication, "check the credentials")
			w.refused(r.Host(), nil, config("x"), source.ErrAuthentication, source.DockerConfigKey)
		})
	}
}

func TestFetch_tls(t *testing.T) {
	w, r := newWorld(t), realRegistry(t, ocitest.Options{TLS: true, ClientCertificates: true})
	certificate, key, err := r.ClientCertificate()
	if err != nil {
		t.Fatal(err)
	}
	secure := spec{"insecure": false}
	known := source.Secret{"ca.crt": r.CA(), "tls.crt": certificate, "tls.key": key}
	if _, err := r.Commit("org/app:1.0.0", nil, "main@sha1:0123"); err != nil {
		t.Fatal(err)
	}
	w.expect(w.must(r.Host(), secure, secrets{"spec.certSecretRef": known}, nil), "1.0.0")
	w.refused(r.Host(), secure, nil, source.ErrUntrusted, "ca.crt")
	w.refused(r.Host(), secure, secrets{"spec.certSecretRef": {"ca.crt": r.CA()}}, source.ErrUnreachable,
		"certificate required")
}

// TestFetch_proxy goes by way of the proxy of the ImageRepository.
func TestFetch_proxy(t *testing.T) {
	w, r := newWorld(t), realRegistry(t, ocitest.Options{}, "1.0.0")
	seen := 0
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) { seen++ },
		ErrorLog: log.New(io.Discard, "", 0)})
	t.Cleanup(proxy.Close)
	by := secrets{"spec.proxySecretRef": {"address": []byte(proxy.URL)}}
	before := r.Requests()
	w.expect(w.must(r.Host(), nil, by, nil), "1.0.0")
	if sent := r.Requests() - before; seen < int(sent) || sent == 0 {
		t.Errorf("the proxy saw %d requests, the registry %d", seen, sent)
	}
}

// TestFetch_timeout has a registry that never answers.
func TestFetch_timeout(t *testing.T) {
	w := newWorld(t)
	w.timeout = 50 * time.Millisecond
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	w.refused(silent.Listener.Addr().String(), nil, nil, source.ErrTimeout, "spec.timeout")
}
