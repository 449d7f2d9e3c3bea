package oci_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"os"
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
	"github.com/navefleet/nave/hub/internal/source/oci"
)

// world is a registry and a fetcher.
type world struct {
	*testing.T
	*ocitest.Server
	fetcher *oci.Fetcher
	store   *artifact.Store
	timeout time.Duration
	allow   []netip.Prefix
}

// in returns the world in a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.T = t
	return &sub
}

func newWorld(t *testing.T, o ocitest.Options) *world {
	t.Helper()
	server, err := ocitest.Start(o)
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return &world{t, server, &oci.Fetcher{}, artifact.New(t.TempDir()), 20 * time.Second,
		[]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
}

// commit pushes files and returns the digest.
func (w *world) commit(ref string, files map[string]string) string {
	w.Helper()
	digest, err := w.Commit(ref, files, "main@sha1:0123")
	if err != nil {
		w.Fatal(err)
	}
	return digest
}

// spec is what the tests say of an OCIRepository.
type spec map[string]any

// secrets are the Secrets of an OCIRepository by field.
type secrets map[string]source.Secret

// fetch fetches the repository fleet, over plain HTTP unless the spec says otherwise.
func (w *world) fetch(s spec, named secrets, last *artifact.Artifact) (artifact.Artifact, error) {
	full := spec{"url": w.URL("fleet"), "insecure": true}
	for name, value := range s {
		full[name] = value
	}
	object, err := json.Marshal(map[string]any{"spec": full})
	if err != nil {
		w.Fatal(err)
	}
	r := source.Request{
		Object: api.StoredObject(api.Key{Kind: api.OCIRepositoryKind}, object), Secrets: named, Timeout: w.timeout,
		Network: dial.Policy{Allow: w.allow},
	}
	return w.store.Make(
		w.Context(),
		last,
		func(ws artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace, r.Last = ws, last
			return source.Limited{Fetcher: w.fetcher}.Fetch(w.Context(), r)
		},
	)
}

// must fetches and fails the test on an error.
func (w *world) must(s spec, named secrets, last *artifact.Artifact) artifact.Artifact {
	w.Helper()
	a, err := w.fetch(s, named, last)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// files returns the files of an artifact with their contents.
func (w *world) files(a artifact.Artifact) map[string]string {
	w.Helper()
	root := w.TempDir()
	if err := w.store.Export(w.Context(), a, root); err != nil {
		w.Fatal(err)
	}
	return treetest.Files(w.T, root)
}

// expect compares the files of an artifact with "path=content path=content".
func (w *world) expect(a artifact.Artifact, want string) {
	w.Helper()
	var got []string
	for name, text := range w.files(a) {
		got = append(got, name+"="+text)
	}
	slices.Sort(got)
	if text := strings.Join(got, " "); text != want {
		w.Errorf("got %s, want %s", text, want)
	}
}

func TestFetch_references(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	digests := map[string]string{}
	for _, tag := range []string{"latest", "v1.0.0", "1.2.0", "2.0.0-rc.1", "1.2.1-debug", "main"} {
		digests[tag] = w.commit("fleet:"+tag, map[string]string{"tag": tag})
	}
	for name, c := range map[string]struct {
		ref map[string]any
		tag string
	}{
		"default":       {nil, "latest"},
		"tag":           {map[string]any{"tag": "main"}, "main"},
		"range":         {map[string]any{"semver": ">=1.0.0", "tag": "main"}, "1.2.0"},
		"v":             {map[string]any{"semver": "1.0.x"}, "v1.0.0"},
		"prerelease":    {map[string]any{"semver": ">=1.0.0-0"}, "2.0.0-rc.1"},
		"filter":        {map[string]any{"semver": ">=1.0.0-0", "semverFilter": `.*-debug$`}, "1.2.1-debug"},
		"digest_counts": {map[string]any{"digest": digests["main"], "semver": "1.x", "tag": "latest"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			s, revision, content := spec{}, c.tag+"@"+digests[c.tag], c.tag
			if c.ref != nil {
				s["ref"] = c.ref
			}
			if c.tag == "" {
				revision, content = digests["main"], "main"
			}
			a := w.must(s, nil, nil)
			if a.Revision != revision {
				t.Errorf("got revision %s, want %s", a.Revision, revision)
			}
			w.expect(a, "tag="+content)
			if want := (artifact.Origin{Revision: "main@sha1:0123", Source: "https://git.example.com/fleet"}); a.Origin != want {
				t.Errorf("got origin %v", a.Origin)
			}
		})
	}
}

// TestFetch_poll counts the requests of a fetch that finds nothing new.
func TestFetch_poll(t *testing.T) {
	for name, c := range map[string]struct {
		o    ocitest.Options
		ref  map[string]any
		cost int64
	}{
		"anonymous": {ocitest.Options{}, nil, 1},
		"basic":     {ocitest.Options{Username: "u", Password: "secret"}, nil, 1},
		"token":     {ocitest.Options{Username: "u", Password: "secret", Token: true}, nil, 1},
		"semver":    {ocitest.Options{}, map[string]any{"semver": "1.x"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.o)
			w.commit("fleet:latest", map[string]string{"a": "1"})
			w.commit("fleet:1.0.0", map[string]string{"a": "1"})
			s, named := spec{}, secrets{}
			if c.o.Username != "" {
				named["spec.secretRef"] = source.Secret{source.DockerConfigKey: []byte(w.DockerConfig())}
			}
			if c.ref != nil {
				s["ref"] = c.ref
			}
			first := w.must(s, named, nil)
			before := w.Requests()
			if again := w.must(s, named, &first); again != first {
				t.Errorf("got %v, want %v", again, first)
			}
			if cost := w.Requests() - before; cost != c.cost {
				t.Errorf("the poll cost %d requests, want %d", cost, c.cost)
			}
			w.commit("fleet:latest", map[string]string{"a": "2"})
			w.commit("fleet:1.0.1", map[string]string{"a": "2"})
			w.expect(w.must(s, named, &first), "a=2")
		})
	}
}

// TestFetch_digest_poll asks nobody, because a digest does not move.
func TestFetch_digest_poll(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	s := spec{"ref": map[string]any{"digest": w.commit("fleet:latest", map[string]string{"a": "1"})}}
	first := w.must(s, nil, nil)
	before := w.Requests()
	if again := w.must(s, nil, &first); again != first || w.Requests() != before {
		t.Errorf("got %v with %d requests", again, w.Requests()-before)
	}
}

func TestFetch_layers(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	chart := ocitest.Archive(map[string]string{"chart/Chart.yaml": "name: chart"})
	image, err := ocitest.Image(nil, ocitest.Layer(ocitest.Archive(map[string]string{"a.yaml": "a"}), ocitest.ContentType),
		ocitest.Layer(chart, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Push("fleet:latest", image); err != nil {
		t.Fatal(err)
	}
	helm := "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	w.expect(w.must(spec{}, nil, nil), "a.yaml=a")
	w.expect(w.must(spec{"layerSelector": map[string]any{"mediaType": helm}}, nil, nil), "chart/Chart.yaml=name: chart")
	w.expect(w.must(spec{"layerSelector": map[string]any{"mediaType": helm, "operation": "copy"}}, nil, nil),
		"layer="+string(chart))
	w.refused(spec{"layerSelector": map[string]any{"mediaType": "text/none"}}, nil, source.ErrReferenceNotFound,
		`no layer is of the type "text/none"`, helm)
}

func TestFetch_ignore(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	w.commit("fleet:latest", map[string]string{
		"a.yaml": "a", "b.yaml": "b", "logo.png": "p", "sub/.sourceignore": "x.yaml", "sub/x.yaml": "x", "sub/y.yaml": "y",
	})
	w.expect(w.must(spec{}, nil, nil), "a.yaml=a b.yaml=b logo.png=p sub/.sourceignore=x.yaml sub/y.yaml=y")
	w.expect(w.must(spec{"ignore": "b.yaml\n!sub/x.yaml"}, nil, nil),
		"a.yaml=a logo.png=p sub/.sourceignore=x.yaml sub/x.yaml=x sub/y.yaml=y")
}

// refused expects an error of a kind with some words.
func (w *world) refused(s spec, named secrets, kind error, words ...string) {
	w.Helper()
	a, err := w.fetch(s, named, nil)
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

func TestFetch_errors(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	w.commit("fleet:v1.0.0", map[string]string{"a": "1"})
	for name, c := range map[string]struct {
		s     spec
		kind  error
		words []string
	}{
		"tag": {spec{"ref": map[string]any{"tag": "v1.0"}}, source.ErrReferenceNotFound,
			[]string{`tag "v1.0" not found`, "v1.0.0"}},
		"repository": {spec{"url": w.URL("flet")}, source.ErrRepositoryNotFound, []string{"tag latest"}},
		"range":      {spec{"ref": map[string]any{"semver": "2.x"}}, source.ErrReferenceNotFound, []string{"v1.0.0"}},
		"filter": {spec{"ref": map[string]any{"semver": "1.x", "semverFilter": "rc"}}, source.ErrReferenceNotFound,
			[]string{"semverFilter matches none"}},
		"digest": {spec{"ref": map[string]any{"digest": "sha256:" + strings.Repeat("0", 64)}}, source.ErrReferenceNotFound,
			nil},
		"nobody":     {spec{"url": "oci://127.0.0.1:1/fleet"}, source.ErrUnreachable, nil},
		"denied":     {spec{"url": "oci://127.0.0.2/fleet"}, dial.ErrDenied, []string{"--allow-source-address"}},
		"plain_http": {spec{"insecure": false}, source.ErrUnreachable, []string{"spec.insecure"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.in(t).refused(c.s, nil, c.kind, c.words...)
		})
	}
}

func TestFetch_credentials(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		t.Run(fmt.Sprintf("tokens=%v", tokens), func(t *testing.T) {
			w := newWorld(t, ocitest.Options{Username: "robot", Password: "secret-of-robot", Token: tokens})
			w.commit("fleet:latest", map[string]string{"a": "1"})
			config := func(text string) secrets {
				return secrets{"spec.secretRef": {source.DockerConfigKey: []byte(text)}}
			}
			w.expect(w.must(spec{}, config(w.DockerConfig()), nil), "a=1")
			w.refused(spec{}, nil, source.ErrAuthentication, "spec.secretRef")
			w.refused(spec{}, config(`{"auths":{"ghcr.io":{"username":"u","password":"p"}}}`), source.ErrAuthentication,
				"no credentials for "+w.Host(), "ghcr.io")
			wrong := fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":"wrong-one"}}}`, w.Host())
			w.refused(spec{}, config(wrong), source.ErrAuthentication, "check the credentials")
			w.refused(spec{}, config("x"), source.ErrAuthentication, source.DockerConfigKey)
			w.refused(spec{}, secrets{"spec.secretRef": {"username": []byte("u"), "password": []byte("p")}},
				source.ErrAuthentication, "docker-registry")
		})
	}
}

func TestFetch_tls(t *testing.T) {
	w := newWorld(t, ocitest.Options{TLS: true})
	w.commit("fleet:latest", map[string]string{"a": "1"})
	secure := spec{"insecure": false}
	w.expect(w.must(secure, secrets{"spec.certSecretRef": {"ca.crt": w.CA()}}, nil), "a=1")
	w.refused(secure, nil, source.ErrUntrusted, "ca.crt")
	w.refused(secure, secrets{"spec.certSecretRef": {"ca.crt": []byte("x")}}, source.ErrAuthentication,
		"the Secret of spec.certSecretRef", "ca.crt")
}

// TestFetch_client_certificate has a registry that wants a certificate.
func TestFetch_client_certificate(t *testing.T) {
	w := newWorld(t, ocitest.Options{TLS: true, ClientCertificates: true})
	w.commit("fleet:latest", map[string]string{"a": "1"})
	certificate, key, err := w.ClientCertificate()
	if err != nil {
		t.Fatal(err)
	}
	known := source.Secret{"ca.crt": w.CA(), "tls.crt": certificate, "tls.key": key}
	w.expect(w.must(spec{"insecure": false}, secrets{"spec.certSecretRef": known}, nil), "a=1")
	w.refused(spec{"insecure": false}, secrets{"spec.certSecretRef": {"ca.crt": w.CA()}}, source.ErrUnreachable,
		"certificate required")
	delete(known, "tls.key")
	w.refused(spec{"insecure": false}, secrets{"spec.certSecretRef": known}, source.ErrAuthentication, "tls.key")
}

// TestFetch_proxy goes by way of the proxy of the source.
func TestFetch_proxy(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	w.commit("fleet:latest", map[string]string{"a": "1"})
	seen := 0
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		seen++
		if r.In.Header.Get("Proxy-Authorization") == "" {
			t.Error("the proxy saw no password")
		}
	}})
	t.Cleanup(proxy.Close)
	by := secrets{"spec.proxySecretRef": {"address": []byte(proxy.URL), "username": []byte("u"), "password": []byte("p")}}
	before := w.Requests()
	w.expect(w.must(spec{}, by, nil), "a=1")
	if sent := w.Requests() - before; seen < int(sent) || sent == 0 {
		t.Errorf("the proxy saw %d requests, the registry %d", seen, sent)
	}
	w.refused(spec{}, secrets{"spec.proxySecretRef": {"address": []byte("proxy")}}, source.ErrAuthentication)
}

// TestFetch_timeout has a registry that never answers.
func TestFetch_timeout(t *testing.T) {
	w := newWorld(t, ocitest.Options{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}})
	w.timeout = 50 * time.Millisecond
	w.refused(spec{}, nil, source.ErrTimeout, "spec.timeout")
}
