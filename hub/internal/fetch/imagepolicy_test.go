package fetch_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/store"
)

// images are a loop and a real registry.
type images struct {
	*charts
	registry *ocitest.Server
	gate     sync.RWMutex // whoever locks it lets the registry hang
}

func startImages(t *testing.T, changes ...func(*fetch.Config)) *images {
	t.Helper()
	i := &images{}
	registry, err := ocitest.Start(ocitest.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i.gate.RLock()
			defer i.gate.RUnlock()
			next.ServeHTTP(w, r)
		})
	}})
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Close() })
	i.registry = registry
	i.charts, _ = startCharts(t, changes...)
	return i
}

// push pushes an image and returns its digest.
func (i *images) push(tag, content string) string {
	i.Helper()
	digest, err := i.registry.Commit("org/app:"+tag, map[string]string{"a": content}, "")
	if err != nil {
		i.Fatal(err)
	}
	return digest
}

// repository returns the ImageRepository apps/app, with some more of its spec.
func (i *images) repository(more string) string {
	return fmt.Sprintf(`{"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository", "metadata": {"name": "app", `+
		`"namespace": "apps"}, "spec": {"image": %q, "insecure": true, "interval": "1h"%s}}`, i.registry.Host()+"/org/app", more)
}

// policy returns the ImagePolicy app of a namespace for the ImageRepository apps/app.
func policy(namespace, spec string) string {
	return fmt.Sprintf(`{"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy", "metadata": {"name": "app", `+
		`"namespace": %q}, "spec": {"imageRepositoryRef": {"name": "app", "namespace": "apps"}, %s}}`, namespace, spec)
}

const anyVersion = `"policy": {"semver": {"range": "*"}}`

func policyKey(namespace string) api.Key {
	return api.Key{Cluster: "east", Kind: api.ImagePolicyKind, Namespace: namespace, Name: "app"}
}

// put writes objects of the cluster east, with a request to reconcile.
func (i *images) put(requested string, objects ...string) {
	i.Helper()
	err := i.store.Update(i.Context(), func(tx *store.Tx) error { return putObjects(tx, "east", requested, objects) })
	if err != nil {
		i.Fatal(err)
	}
}

// TestImagePolicy follows the tags of its ImageRepository, and keeps the image that was chosen if none can be.
func TestImagePolicy(t *testing.T) {
	i := startImages(t)
	i.push("1.0.0", "one")
	image := i.registry.Host() + "/org/app"
	i.put("", i.repository(""), policy("apps", anyVersion))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+":1.0.0" && o.Ready == "True" })
	i.push("1.1.0", "two")
	i.put("scan", i.repository(""))
	o := i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+":1.1.0" })
	if want := "resolved to 1.1.0 (previously " + image + ":1.0.0)"; !strings.Contains(o.Message, want) {
		t.Errorf("the message %q lacks %q", o.Message, want)
	}
	i.put("exclude", i.repository(`, "exclusionList": ["."]`))
	o = i.await(policyKey("apps"), func(o store.Condition) bool { return o.Ready == "False" })
	if o.Reason != "Failure" || o.Revision != image+":1.1.0" ||
		!strings.HasPrefix(o.Message, "no tag to choose: the repository has no tags") {
		t.Errorf("without tags: %+v", o)
	}
	i.put("include", i.repository(""))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Ready == "True" && o.Revision == image+":1.1.0" })
}

// TestImagePolicy_digest asks for the digest again if a reconciliation is requested.
func TestImagePolicy_digest(t *testing.T) {
	const always = `"policy": {"alphabetical": {}}, "digestReflectionPolicy": "Always", "interval": "1h"`
	i := startImages(t)
	image := i.registry.Host() + "/org/app:main@"
	one := i.push("main", "one")
	i.put("", i.repository(""), policy("apps", always))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+one })
	two := i.push("main", "two")
	i.put("again", policy("apps", always))
	o := i.await(policyKey("apps"), func(o store.Condition) bool { return o.HandledRequest == "again" })
	if o.Revision != image+two {
		t.Errorf("got %+v, want %s", o, image+two)
	}
}

// TestImagePolicy_changed changes the spec of a policy: it knows what it chose before, and keeps that if it can choose
// nothing now. The digest of a tag that stays chosen stays, too.
func TestImagePolicy_changed(t *testing.T) {
	const one, two, none = `"policy": {"semver": {"range": "1.x"}}, "digestReflectionPolicy": "IfNotPresent"`,
		`"policy": {"semver": {"range": "2.x"}}, "digestReflectionPolicy": "IfNotPresent"`, `"policy": {"semver": {"range": "3.x"}}`
	const same = `"policy": {"alphabetical": {}}, "digestReflectionPolicy": "IfNotPresent"`
	i := startImages(t)
	image := i.registry.Host() + "/org/app"
	first, second := i.push("1.0.0", "one"), i.push("2.0.0", "two")
	i.put("", i.repository(""), policy("apps", one))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+":1.0.0@"+first })
	i.put("two", policy("apps", two))
	o := i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+":2.0.0@"+second })
	if want := "(previously " + image + ":1.0.0@" + first + ")"; !strings.Contains(o.Message, want) {
		t.Errorf("the message %q lacks %q", o.Message, want)
	}
	i.push("2.0.0", "moved")
	i.put("same", policy("apps", same))
	o = i.await(policyKey("apps"), func(o store.Condition) bool { return o.HandledRequest == "same" })
	if o.Revision != image+":2.0.0@"+second {
		t.Errorf("the digest of the tag that stays is now %s", o.Revision)
	}
	i.put("none", policy("apps", none))
	o = i.await(policyKey("apps"), func(o store.Condition) bool { return o.Ready == "False" })
	if o.Revision != image+":2.0.0@"+second || o.HandledRequest != "none" {
		t.Errorf("without a tag that fits: %+v", o)
	}
	i.put("back", policy("apps", one))
	i.await(policyKey("apps"), func(o store.Condition) bool {
		return o.Ready == "True" && o.Revision == image+":1.0.0@"+first
	})
}

// TestImagePolicy_changedSuspended changes the spec of a suspended policy: the store has what it chose before, also for
// the next start of the hub.
func TestImagePolicy_changedSuspended(t *testing.T) {
	i := startImages(t)
	image := i.registry.Host() + "/org/app"
	i.push("1.0.0", "one")
	i.put("", i.repository(""), policy("apps", anyVersion))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+":1.0.0" })
	i.put("", policy("apps", anyVersion+`, "suspend": true`))
	i.put("", policy("apps", `"policy": {"alphabetical": {}}, "suspend": true`))
	i.put("", policy("apps", `"policy": {"semver": {"range": "1.x"}}, "suspend": true`), policy("web", anyVersion))
	i.await(policyKey("web"), func(o store.Condition) bool { return o.Reason != "" })
	if !slices.Contains(i.revisions(), image+":1.0.0") {
		t.Errorf("the store has %q", i.revisions())
	}
}

// TestImagePolicy_otherScan changes what makes another scan of the ImageRepository, and that scan fails: the last
// list of tags and the chosen image stay. Afterwards the digest of the tag that stays chosen does, too.
func TestImagePolicy_otherScan(t *testing.T) {
	const reflected = anyVersion + `, "digestReflectionPolicy": "IfNotPresent"`
	i := startImages(t)
	image := i.registry.Host() + "/org/app:1.0.0@"
	first := i.push("1.0.0", "one")
	i.put("", i.repository(""), policy("apps", reflected))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+first })
	list := i.await(imageKey("east", "app"), func(o store.Condition) bool { return o.Ready == "True" }).Revision
	i.push("1.0.0", "moved")

	i.bind("no Docker configuration", i.registry.Host())
	i.put("", i.repository(`, "secretRef": {"name": "login"}`))
	i.await(imageKey("east", "app"), func(o store.Condition) bool { return o.Reason == "AuthenticationFailed" })
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Reason == "SourceNotReady" })
	if got := i.revisions(); !slices.Contains(got, list) || !slices.Contains(got, image+first) {
		t.Errorf("after a scan that failed the store has %q, want %s and %s", got, list, image+first)
	}
	i.put("", i.repository(`, "exclusionList": ["^2"]`))
	o := i.await(policyKey("apps"), func(o store.Condition) bool { return o.Ready == "True" })
	if o.Revision != image+first {
		t.Errorf("the digest of the tag that stays is now %s", o.Revision)
	}
}

// TestImagePolicy_lacksRepository has the ImageRepository deleted, and the policy name another one that does not exist:
// the policy is not ready, and what it chose stays.
func TestImagePolicy_lacksRepository(t *testing.T) {
	const reflected = anyVersion + `, "digestReflectionPolicy": "IfNotPresent"`
	i := startImages(t)
	image := i.registry.Host() + "/org/app:1.0.0@"
	first := i.push("1.0.0", "one")
	i.put("", i.repository(""), policy("apps", reflected))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+first })
	i.push("1.0.0", "moved")
	lacks := func(name string) {
		t.Helper()
		o := i.await(policyKey("apps"), func(o store.Condition) bool {
			return o.Ready == "False" && strings.Contains(o.Message, name)
		})
		if o.Reason != "SourceNotReady" || o.Revision != image+first {
			t.Errorf("without the ImageRepository: %+v", o)
		}
		if got := i.revisions(); !slices.Contains(got, image+first) {
			t.Errorf("the store has %q", got)
		}
	}
	err := i.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Resources.Delete(tx, imageKey("east", "app").Path())
	})
	if err != nil {
		t.Fatal(err)
	}
	lacks("there is no ImageRepository apps/app")
	i.put("", strings.Replace(policy("apps", reflected), `"name": "app", "namespace": "apps"}, "policy"`,
		`"name": "typo", "namespace": "apps"}, "policy"`, 1))
	lacks("there is no ImageRepository apps/typo")
	i.put("", policy("apps", reflected), i.repository(""))
	o := i.await(policyKey("apps"), func(o store.Condition) bool { return o.Ready == "True" })
	if o.Revision != image+first {
		t.Errorf("the digest of the tag that stays is now %s", o.Revision)
	}
}

// revisions returns the revisions of all sources in the store.
func (i *images) revisions() (all []string) {
	i.Helper()
	err := i.store.View(i.Context(), func(tx *store.Tx) error {
		all = nil
		return store.Sources.Scan(tx, "", func(_ string, row store.Fetched) error {
			if row.Artifact != nil {
				all = append(all, row.Artifact.Revision)
			}
			return nil
		})
	})
	if err != nil {
		i.Fatal(err)
	}
	return all
}

// TestImagePolicy_access gives a policy of another namespace what the ImageRepository shares, as long as it does.
func TestImagePolicy_access(t *testing.T) {
	const shared = `, "accessFrom": {"namespaceSelectors": [{"matchLabels": {"kubernetes.io/metadata.name": "web"}}]}`
	i := startImages(t)
	i.push("1.0.0", "one")
	denied := func(o store.Condition) bool {
		return o.Reason == "AccessDenied" &&
			strings.Contains(o.Message, "no access to ImageRepository apps/app from namespace")
	}
	i.put("", i.repository(""), policy("web", anyVersion))
	i.await(policyKey("web"), denied)
	i.put("", i.repository(shared), policy("db", anyVersion))
	i.await(policyKey("web"), func(o store.Condition) bool { return o.Ready == "True" })
	i.await(policyKey("db"), denied)
	i.put("", i.repository(""))
	i.await(policyKey("web"), denied)
}

// TestImagePolicy_noCross refuses a shared ImageRepository of another namespace if the operator allows none.
func TestImagePolicy_noCross(t *testing.T) {
	i := startImages(t, func(c *fetch.Config) { c.NoCrossNamespaceRefs = true })
	i.push("1.0.0", "one")
	i.put("", i.repository(`, "accessFrom": {"namespaceSelectors": [{}]}`), policy("web", anyVersion),
		policy("apps", anyVersion))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Ready == "True" })
	i.await(policyKey("web"), func(o store.Condition) bool {
		return o.Reason == "AccessDenied" && strings.Contains(o.Message, "--no-cross-namespace-refs")
	})
}
