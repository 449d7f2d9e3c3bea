package bucket_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	return &rig{t, server, server.Endpoint(), artifact.New(t.TempDir()), map[string]source.Secret{
		"spec.secretRef": {"accesskey": []byte(s3test.AccessKey), "secretkey": []byte(s3test.SecretKey)},
	}}
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
		return source.Limited{Fetcher: bucket.Fetcher{}}.Fetch(context.Background(), source.Request{
			Object: admitted, Secrets: r.secrets, Last: last, Workspace: w,
			Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		})
	})
}

// files returns the paths and contents of an artifact.
func (r *rig) files(a artifact.Artifact) string {
	r.Helper()
	var b strings.Builder
	root := r.store.Path(a)
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
