package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/generate"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

// recordAPI is an API server with one record.
type recordAPI struct {
	release.Kubernetes
	data []byte
	err  error
}

func (a recordAPI) Get(context.Context, bundle.ObjectIdentity) (*manifest.Object, error) {
	return &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": "sh.helm.release.v1.web.v1"},
		"data":     map[string]any{"release": base64.StdEncoding.EncodeToString(a.data)}}}, a.err
}

// recordIn returns the newest record of release web, in a cluster with this API server and a budget.
func recordIn(api recordAPI, b *budget) *recordsOf {
	return &recordsOf{budget: b, versions: []int{1}, mayTake: map[manifest.ID]bool{{Kind: "ConfigMap", Namespace: "shop",
		Name: "a"}: true}, storage: &release.Storage{Client: api, Namespace: "shop", Name: "web"}}
}

// passwordSearch returns a search for the password in a ConfigMap.
func passwordSearch(t *testing.T) *generate.Search {
	t.Helper()
	s := generate.NewSearch(passwordRecipes())
	objects, err := manifest.Parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n" +
		"data: {password: " + passwordPlaceholder + "}"))
	if err != nil || !s.Add(objects[0]) {
		t.Fatal(err)
	}
	return s
}

func recordOfManifest(t *testing.T, text string) []byte {
	t.Helper()
	r := release.Record{Name: "web", Namespace: "shop", Version: 1, Manifest: text,
		Info: release.Info{Status: release.Deployed}}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const passwordDocument = "\n---\n# Source: web/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" +
	"data: {password: of-the-record}"

// TestRecordsOf_take takes a value of one document, whatever the others are, and none of a record that cannot be read.
func TestRecordsOf_take(t *testing.T) {
	for name, c := range map[string]struct {
		api  recordAPI
		want string // "found", "none", or the reason of the error
	}{
		"text":              {recordAPI{data: recordOfManifest(t, passwordDocument)}, "found"},
		"damaged_document":  {recordAPI{data: recordOfManifest(t, "a: [\n--- {\n---"+passwordDocument)}, "found"},
		"large_document":    {recordAPI{data: recordOfManifest(t, strings.Repeat("- 0\n", 1<<20)+passwordDocument)}, "found"},
		"damaged_record":    {recordAPI{data: []byte("no record")}, "none"},
		"record_of_another": {recordAPI{data: []byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"db"}`)))}, "none"},
		"deleted":           {recordAPI{err: &kube.Error{Reason: kube.NotFound}}, "none"},
		"forbidden":         {recordAPI{err: &kube.Error{Reason: kube.Forbidden}}, string(kube.Forbidden)},
	} {
		t.Run(name, func(t *testing.T) {
			s := passwordSearch(t)
			got := "none"
			if err := recordIn(c.api, newBudget(0)).takeNext(t.Context(), s); err != nil {
				got = string(kube.ReasonOf(err))
			} else if s.IsComplete() {
				got = "found"
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestRecordsOf_waits waits for the memory of a record, until the context ends.
func TestRecordsOf_waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(deployedMemory(t))
		taken, err := b.acquire(t.Context(), b.objects, b.objects.size)
		if err != nil {
			t.Fatal(err)
		}
		api, s := recordAPI{data: recordOfManifest(t, passwordDocument)}, passwordSearch(t)
		newer := errors.New("a newer bundle")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() { result <- recordIn(api, b).takeNext(ctx, s) }()
		}
		synctest.Wait()
		cancel(newer)
		if err := <-result; !errors.Is(err, newer) {
			t.Errorf("error %v", err)
		}
		if taken(); <-result != nil || !s.IsComplete() {
			t.Error("no value when there is memory")
		}
		if !b.objects.free.TryAcquire(b.objects.size) {
			t.Error("memory is held afterwards")
		}
	})
}

// TestRecordsOf_cost reads the largest records of any program.
func TestRecordsOf_cost(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures memory")
	}
	const size = 15 << 20
	document := "\n---\nl:\n" + strings.Repeat("- 0\n", documentCost/fileValueCost-100)
	chart, err := json.Marshal(map[string]any{"values": map[string]any{"a": strings.Repeat("x", size)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]release.Record{
		"text":      {Manifest: strings.Repeat("x", size)},
		"lines":     {Manifest: strings.Repeat("- x\n", size/5)},
		"documents": {Manifest: strings.Repeat(document, size*4/5/len(document))},
		"chart":     {Chart: chart},
		"hooks":     {Hooks: []release.Hook{{Manifest: strings.Repeat("x", size)}}},
		"notes":     {Info: release.Info{Notes: strings.Repeat("x", size)}},
	} {
		t.Run(name, func(t *testing.T) {
			r.Name, r.Namespace, r.Version, r.Info.Status = "web", "shop", 1, release.Deployed
			data, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			b, s := newBudget(deployedMemory(t)), passwordSearch(t)
			used := leastPeak(t, recordCost, func() {
				if err := recordIn(recordAPI{data: data}, b).takeNext(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
			if t.Logf("%d KiB used of %d", used>>10, recordCost>>10); used > recordCost {
				t.Errorf("%d MiB used", used>>20)
			}
		})
	}
	if limit := newBudget(deployedMemory(t)).objects.size; recordCost > limit {
		t.Errorf("a record takes %d MiB of %d", recordCost>>20, limit>>20)
	}
}
