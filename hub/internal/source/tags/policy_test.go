package tags

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/registry"
)

// world is a fetcher, where its artifacts are, and the image whose tags it chooses from.
type world struct {
	*testing.T
	fetcher *Policies
	store   *artifact.Store
	image   string
	secrets map[string]source.Secret
	missing string // of the list of tags
}

func newWorld(t *testing.T) *world {
	return &world{T: t, fetcher: &Policies{}, store: artifact.New(t.TempDir()), image: "ghcr.io/org/app"}
}

// realRegistry starts a registry, and makes its image org/app that of the world.
func (w *world) realRegistry(o ocitest.Options) *ocitest.Server {
	w.Helper()
	server, err := ocitest.Start(o)
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		w.Skip(err)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = server.Close() })
	w.image = server.Host() + "/org/app"
	return server
}

// list returns the artifact of an ImageRepository with some tags.
func (w *world) list(tags []string) artifact.Artifact {
	w.Helper()
	a, err := w.store.Make(w.Context(), nil, func(ws artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
		r := source.Request{Workspace: ws, Object: w.object(api.ImageRepositoryKind, nil)}
		a, err := r.PutFiles(w.Context(), r.CacheID(w.image), strings.Join(tags, " "), map[string][]byte{
			registry.TagFile: registry.FormatTags(tags)})
		a.Notice = w.missing
		return a, err
	})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// object returns a stored object.
func (w *world) object(kind string, spec map[string]any) *api.Object {
	w.Helper()
	data, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		w.Fatal(err)
	}
	return api.StoredObject(api.Key{Kind: kind}, data)
}

// spec is what a test says of an ImagePolicy, as JSON. newest is the highest version.
const newest = `{"policy": {"semver": {"range": "*"}}}`

// choose fetches an ImagePolicy for tags, separated by blanks and sorted.
func (w *world) choose(spec, tags string, last *artifact.Artifact) (artifact.Artifact, error) {
	var policy map[string]any
	if err := json.Unmarshal([]byte(spec), &policy); err != nil {
		w.Fatal(err)
	}
	r := source.Request{
		Object:   w.object(api.ImagePolicyKind, policy),
		Upstream: w.object(api.ImageRepositoryKind, map[string]any{"image": w.image, "insecure": true, "interval": "1m"}),
		Inputs:   []artifact.Artifact{w.list(strings.Fields(tags))}, Secrets: w.secrets, Timeout: 20 * time.Second,
		Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	}
	return w.store.Make(w.Context(), last,
		func(ws artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace, r.Last = ws, last
			return source.Limited{Fetcher: w.fetcher}.Fetch(w.Context(), r)
		})
}

// must fetches and fails the test on an error.
func (w *world) must(spec, tags string, last *artifact.Artifact) artifact.Artifact {
	w.Helper()
	a, err := w.choose(spec, tags, last)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// status returns the status that an artifact notes.
func (w *world) status(a artifact.Artifact) (s imagev1.ImagePolicyStatus) {
	w.Helper()
	if err := json.Unmarshal([]byte(a.Status), &s); err != nil || s.LatestRef == nil {
		w.Fatalf("status %s: %v", a.Status, err)
	}
	return s
}

// TestPolicies says which image is chosen and which was before, as Flux does.
func TestPolicies(t *testing.T) {
	w := newWorld(t)
	first := w.must(newest, "1.0.0 latest", nil)
	if first.Revision != "ghcr.io/org/app:1.0.0" || first.Notice != "" ||
		first.Summary != "Latest image tag for ghcr.io/org/app resolved to 1.0.0" {
		t.Errorf("got %+v", first)
	}
	if s := w.status(first); *s.LatestRef != (imagev1.ImageRef{Name: "ghcr.io/org/app", Tag: "1.0.0"}) ||
		s.ObservedPreviousRef != nil {
		t.Errorf("got the status %s", first.Status)
	}
	if same := w.must(newest, "0.9.0 1.0.0 main", &first); same != first {
		t.Errorf("got %+v, want %+v", same, first)
	}
	second := w.must(newest, "1.0.0 1.1.0", &first)
	const message = "Latest image tag for ghcr.io/org/app resolved to 1.1.0 (previously ghcr.io/org/app:1.0.0)"
	if second.Revision != "ghcr.io/org/app:1.1.0" || second.Summary != message {
		t.Errorf("got %+v", second)
	}
	if s := w.status(second); s.ObservedPreviousRef == nil || s.ObservedPreviousRef.Tag != "1.0.0" {
		t.Errorf("got the status %s", second.Status)
	}
	if same := w.must(newest, "1.0.0 1.1.0 x", &second); same != second {
		t.Errorf("got %+v, want %+v", same, second)
	}
	back := w.must(newest, "1.0.0", &second)
	if s := w.status(back); s.LatestRef.Tag != "1.0.0" || s.ObservedPreviousRef.Tag != "1.1.0" {
		t.Errorf("after the tag is deleted: %s", back.Status)
	}
	const gone = "Latest image tag for ghcr.io/org/app resolved to 1.0.0 (previously ghcr.io/org/app:1.1.0, which is no " +
		"longer among the tags)"
	if back.Summary != gone {
		t.Errorf("after the tag is deleted: %s", back.Summary)
	}
	if same := w.must(newest, "1.0.0 2.0.0-rc.1", &back); same != back {
		t.Errorf("got %+v, want %+v", same, back)
	}
	w.image = "ghcr.io/org/other"
	if other := w.must(newest, "1.2.0", &back); !strings.HasSuffix(other.Summary, "(previously ghcr.io/org/app:1.0.0)") {
		t.Errorf("of another image: %s", other.Summary)
	}
}

// TestPolicies_errors has the reason of the policy, and names tags.
func TestPolicies_errors(t *testing.T) {
	for name, c := range map[string]struct{ spec, tags, want string }{
		"no_tags":    {newest, "", "the repository has no tags"},
		"no_version": {newest, "a latest", "no tag is a version"},
		"no_number":  {`{"policy": {"numerical": {}}}`, "1 v2", `the tag "v2" is not a number`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newWorld(t).choose(c.spec, c.tags, nil)
			if reason, _ := api.ReasonOf(err); err == nil || !strings.Contains(err.Error(), c.want) || reason.Name != "Failure" {
				t.Errorf("got %v, reason %q", err, reason.Name)
			}
		})
	}
}

// TestPolicies_notice tells of ties, and of policies that can choose only a few tags.
func TestPolicies_notice(t *testing.T) {
	const floating = `the policy can choose no other tag than "latest"`
	for name, c := range map[string]struct{ spec, tags, want string }{
		"tie": {newest, "1.0.0 v1.0.0", "which is equal by the policy to 1.0.0 and the last of them in the order of bytes"},
		"floating": {`{"policy": {"alphabetical": {}}, "filterTags": {"pattern": "^latest$"}}`, "latest main", floating +
			", so a push to this tag updates nothing: set spec.digestReflectionPolicy to Always"},
		"some": {`{"policy": {"alphabetical": {}}, "filterTags": {"pattern": "^(latest|main)$"}}`, "latest main",
			"the policy can choose no other tags than latest, main, so another push to the chosen one updates nothing: " +
				"set spec.digestReflectionPolicy to Always"},
		"neither": {`{"policy": {"alphabetical": {}}, "filterTags": {"pattern": "^(latest|main-.*)$"}}`, "latest main-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if a := newWorld(t).must(c.spec, c.tags, nil); a.Notice != c.want {
				t.Errorf("got the notice %q, want %q", a.Notice, c.want)
			}
		})
	}
}

// TestPolicies_capped says that the list of tags was not whole: a higher version may be missing.
func TestPolicies_capped(t *testing.T) {
	w := newWorld(t)
	w.missing = `without 5 more, all that come before "2.0.0"`
	if a, want := w.must(newest, "2.0.0 3.0.0", nil), "of the tags that were found "+w.missing; a.Notice != want {
		t.Errorf("got the notice %q, want %q", a.Notice, want)
	}
}

// reflecting returns the spec of a policy for the tag v1 with the digest of the image.
func reflecting(digest string) string {
	return fmt.Sprintf(`{"policy": {"alphabetical": {}}, "filterTags": {"pattern": "^v1$"}, "digestReflectionPolicy": %q}`,
		digest)
}

// TestPolicies_digest asks a real registry for the digest: once with IfNotPresent, each time with Always.
func TestPolicies_digest(t *testing.T) {
	for name, o := range map[string]ocitest.Options{
		"anonymous": {}, "token": {Username: "u", Password: "secret", Token: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.realRegistry(o)
			if o.Username != "" {
				w.secrets = map[string]source.Secret{"spec.secretRef": {source.DockerConfigKey: []byte(r.DockerConfig())}}
			}
			push := func(content string) string {
				digest, err := r.Commit("org/app:v1", map[string]string{"a": content}, "")
				if err != nil {
					t.Fatal(err)
				}
				return digest
			}
			one := push("one")
			fixed, always := w.must(reflecting("IfNotPresent"), "v1", nil), w.must(reflecting("Always"), "v1", nil)
			for _, a := range []artifact.Artifact{fixed, always} {
				if s := w.status(a); a.Revision != w.image+":v1@"+one || s.LatestRef.Digest != one ||
					a.Summary != "Latest image tag for "+w.image+" resolved to v1 with digest "+one {
					t.Errorf("got %+v", a)
				}
			}
			if fixed.Notice == "" || always.Notice != "" {
				t.Errorf("notices %q and %q", fixed.Notice, always.Notice)
			}
			two, before := push("two"), r.Requests()
			if same := w.must(reflecting("IfNotPresent"), "v1 v2", &fixed); same != fixed || r.Requests() != before {
				t.Errorf("got %+v, want %+v", same, fixed)
			}
			moved := w.must(reflecting("Always"), "v1 v2", &always)
			if s := w.status(moved); moved.Revision != w.image+":v1@"+two || s.ObservedPreviousRef.Digest != one {
				t.Errorf("got %+v", moved)
			}
			if cost := r.Requests() - before; cost != 1 {
				t.Errorf("the digest cost %d requests", cost)
			}
		})
	}
}

// TestPolicies_digestErrors says why there is no digest. The image is not chosen without it.
func TestPolicies_digestErrors(t *testing.T) {
	w := newWorld(t)
	r := w.realRegistry(ocitest.Options{Username: "u", Password: "secret"})
	_, err := w.choose(reflecting("Always"), "v1", nil)
	if !errors.Is(err, source.ErrAuthentication) || !strings.Contains(err.Error(), w.image+":v1") {
		t.Errorf("without credentials: %v", err)
	}
	w.secrets = map[string]source.Secret{"spec.secretRef": {source.DockerConfigKey: []byte(r.DockerConfig())}}
	if _, err := w.choose(reflecting("Always"), "v1", nil); !errors.Is(err, source.ErrReferenceNotFound) {
		t.Errorf("without the tag: %v", err)
	}
	w.image = "127.0.0.1:1/org/app"
	if _, err := w.choose(reflecting("IfNotPresent"), "v1", nil); !errors.Is(err, source.ErrUnreachable) {
		t.Errorf("without a registry: %v", err)
	}
}
