package bucket_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/s3test"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/bucket"
	"github.com/navefleet/nave/shared/manifest"
)

// rig is a server with the bucket fleet, and a folder of artifacts.
type rig struct {
	*testing.T
	server  *s3test.Server
	address string // host:port of the server
	store   *artifact.Store
	secrets map[string]source.Secret
	limits  artifact.Limits // zero: the default
	timeout time.Duration   // zero: the default
}

func start(t *testing.T) *rig {
	t.Helper()
	server, err := s3test.Start(t.Context())
	if errors.Is(err, s3test.ErrNoServer) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.Client.MakeBucket(t.Context(), "fleet", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]source.Secret{
		"spec.secretRef": {"accesskey": []byte(s3test.AccessKey), "secretkey": []byte(s3test.SecretKey)},
	}
	return &rig{
		T: t, server: server, address: server.Endpoint(), store: artifact.New(t.TempDir()), secrets: secrets,
	}
}

func (r *rig) put(key, text string) {
	r.Helper()
	if err := r.server.Put(r.Context(), "fleet", key, text); err != nil {
		r.Fatal(err)
	}
}

// fetch fetches the bucket with more fields of its spec.
func (r *rig) fetch(more string, last *artifact.Artifact) (artifact.Artifact, error) {
	r.Helper()
	o := &manifest.Object{}
	text := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {name: fleet}\nspec:\n  interval: 1m\n" +
		"  bucketName: fleet\n  insecure: true\n  endpoint: " + r.address + "\n" + more
	if strings.Contains(more, "bucketName") {
		text = strings.Replace(text, "  bucketName: fleet\n", "", 1)
	}
	if strings.Contains(more, "insecure") {
		text = strings.Replace(text, "  insecure: true\n", "", 1)
	}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		r.Fatal(err)
	}
	admitted, err := api.Admit(o, api.Hub)
	if err != nil {
		r.Fatal(err)
	}
	return r.store.Make(r.Context(), last, func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
		return source.Limited{Fetcher: bucket.Fetcher{Limits: r.limits}}.Fetch(context.Background(), source.Request{
			Object: admitted, Secrets: r.secrets, Last: last, Workspace: w, Timeout: r.timeout,
			Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		})
	})
}

// files returns the paths and contents of an artifact.
func (r *rig) files(a artifact.Artifact) string {
	r.Helper()
	var b strings.Builder
	root := r.TempDir()
	if err := r.store.Export(r.Context(), a, root); err != nil {
		r.Fatal(err)
	}
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		below, _ := filepath.Rel(root, name)
		b.WriteString(below + "=" + string(text) + " ")
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

// TestFetch fetches a bucket, again when nothing changed, and again when something did.
func TestFetch(t *testing.T) {
	r := start(t)
	r.put("apps/a.yaml", "1")
	r.put("apps/b.txt", "2")
	r.put("other/c.yaml", "3")
	first, err := r.fetch("  ignore: \"*.txt\"\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.files(first); got != "apps/a.yaml=1 other/c.yaml=3" || !strings.HasPrefix(first.Revision, "sha256:") {
		t.Errorf("revision %s, got %s", first.Revision, got)
	}
	r.server.Requests()
	again, err := r.fetch("  ignore: \"*.txt\"\n", &first)
	if _, objects := r.server.Requests(); err != nil || again != first || objects > 0 {
		t.Errorf("again: %+v, %v, %d downloads", again, err, objects)
	}
	r.put("apps/b.txt", "ignored")
	if again, err = r.fetch("  ignore: \"*.txt\"\n", &first); err != nil || again != first {
		t.Errorf("an ignored object changed: %+v, %v", again, err)
	}
	r.put("apps/a.yaml", "changed")
	next, err := r.fetch("  ignore: \"*.txt\"\n", &first)
	if err != nil || next.Revision == first.Revision {
		t.Fatalf("an object changed: %+v, %v", next, err)
	}
	if got := r.files(next); got != "apps/a.yaml=changed other/c.yaml=3" {
		t.Errorf("got %s", got)
	}
	part, err := r.fetch("  prefix: other/\n", nil)
	if err != nil || r.files(part) != "other/c.yaml=3" {
		t.Errorf("with a prefix: %+v, %v", part, err)
	}
}

// TestFetch_refused: wrong credentials, none, no bucket, a server without TLS.
func TestFetch_refused(t *testing.T) {
	r := start(t)
	r.put("a.yaml", "1")
	right := r.secrets
	for name, c := range map[string]struct {
		more    string
		secrets map[string]source.Secret
		want    error
	}{
		"wrong_key":  {"", map[string]source.Secret{"spec.secretRef": {"accesskey": []byte(s3test.AccessKey), "secretkey": []byte("y")}}, source.ErrAuthentication},
		"no_key":     {"", map[string]source.Secret{"spec.secretRef": {"username": []byte("x"), "password": []byte("y")}}, source.ErrAuthentication},
		"anonymous":  {"", nil, source.ErrAuthentication},
		"no_bucket":  {"  bucketName: gone\n", right, source.ErrRepositoryNotFound},
		"not_s3_tls": {"  insecure: false\n", right, source.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			r.secrets = c.secrets
			if a, err := r.fetch(c.more, nil); !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v; want %v", a, err, c.want)
			}
		})
	}
}

// forward passes requests on to the server as they are: their signatures name the host that was asked.
func (r *rig) forward(w http.ResponseWriter, req *http.Request) {
	out := req.Clone(req.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", r.server.Endpoint()
	answer, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

// TestFetch_tls fetches from a server whose certificate is of a private authority, with and without the authority.
func TestFetch_tls(t *testing.T) {
	r := start(t)
	r.put("a.yaml", "1")
	server := httptest.NewTLSServer(http.HandlerFunc(r.forward))
	defer server.Close()
	r.address = server.Listener.Addr().String()
	more := "  insecure: false\n"
	if a, err := r.fetch(more, nil); !errors.Is(err, source.ErrUntrusted) {
		t.Errorf("without the authority: %+v, %v", a, err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	r.secrets["spec.certSecretRef"] = source.Secret{"ca.crt": ca}
	a, err := r.fetch(more+"  certSecretRef: {name: ca}\n", nil)
	if err != nil || r.files(a) != "a.yaml=1" {
		t.Errorf("with the authority: %+v, %v", a, err)
	}
	r.secrets["spec.certSecretRef"] = source.Secret{"ca.crt": []byte("no certificate")}
	if a, err := r.fetch(more+"  certSecretRef: {name: ca}\n", nil); !errors.Is(err, source.ErrAuthentication) {
		t.Errorf("with a bad authority: %+v, %v", a, err)
	}
}

// TestFetch_proxy fetches through the proxy of the source, and not around it.
func TestFetch_proxy(t *testing.T) {
	r := start(t)
	r.put("a.yaml", "1")
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		asked.Add(1)
		r.forward(w, req)
	}))
	defer proxy.Close()
	secret := source.Secret{"address": []byte(proxy.URL), "username": []byte("u"), "password": []byte("p")}
	r.secrets["spec.proxySecretRef"] = secret
	a, err := r.fetch("  proxySecretRef: {name: proxy}\n", nil)
	if err != nil || r.files(a) != "a.yaml=1" || asked.Load() < 2 {
		t.Errorf("%+v, %v; the proxy was asked %d times", a, err, asked.Load())
	}
	r.server.Requests()
	secret["address"] = []byte("http://169.254.169.254:3128")
	if a, err := r.fetch("  proxySecretRef: {name: proxy}\n", nil); !errors.Is(err, dial.ErrDenied) {
		t.Errorf("through a denied proxy: %+v, %v", a, err)
	}
	if all, _ := r.server.Requests(); all > 0 {
		t.Errorf("%d requests around the proxy", all)
	}
}

// TestFetch_anonymous fetches from a bucket that anybody may read.
func TestFetch_anonymous(t *testing.T) {
	r := start(t)
	r.put("a.yaml", "1")
	policy := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject",
		"s3:ListBucket"], "Resource": ["arn:aws:s3:::fleet", "arn:aws:s3:::fleet/*"]}]}`
	if err := r.server.Client.SetBucketPolicy(t.Context(), "fleet", policy); err != nil {
		t.Fatal(err)
	}
	r.secrets = nil
	if a, err := r.fetch("", nil); err != nil || r.files(a) != "a.yaml=1" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestFetch_limits fetches buckets that are at a limit, and over one. What is over a limit is not downloaded.
func TestFetch_limits(t *testing.T) {
	r := start(t)
	for _, key := range []string{"a.yaml", "b.yaml", "ignored.txt"} {
		r.put(key, "12345678")
	}
	for name, c := range map[string]struct {
		files, file, total int
		fits               bool
	}{
		"at_all": {2, 8, 16, true}, "files": {1, 8, 16, false}, "file": {2, 7, 16, false}, "total": {2, 8, 15, false},
	} {
		t.Run(name, func(t *testing.T) {
			r.limits = artifact.DefaultLimits
			r.limits.Files, r.limits.File, r.limits.Total = c.files, int64(c.file), int64(c.total)
			r.server.Requests()
			a, err := r.fetch("  ignore: \"*.txt\"\n", nil)
			_, downloads := r.server.Requests()
			switch {
			case c.fits && (err != nil || r.files(a) != "a.yaml=12345678 b.yaml=12345678"):
				t.Errorf("%+v, %v", a, err)
			case !c.fits && (!errors.Is(err, artifact.ErrLimit) || downloads > 0):
				t.Errorf("%+v, %v; %d downloads", a, err, downloads)
			}
		})
	}
	r.limits = artifact.DefaultLimits
	r.limits.Files = 1
	for i := range 9 {
		r.put(fmt.Sprintf("more/%d.txt", i), "")
	}
	if a, err := r.fetch("  ignore: \"*\"\n", nil); !errors.Is(err, artifact.ErrLimit) ||
		!strings.Contains(err.Error(), "spec.prefix") {
		t.Errorf("a list that is too long: %+v, %v", a, err)
	}
}
