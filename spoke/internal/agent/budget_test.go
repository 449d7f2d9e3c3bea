package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/deploy"
	"github.com/navefleet/nave/e2e/heap"
	"github.com/navefleet/nave/e2e/sopstest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/kube"
)

const mib = 1 << 20

// deployedMemory is the memory limit of nave-spoke with the manifests of deploy/spoke: 90 % of the container's.
func deployedMemory(t *testing.T) int64 {
	t.Helper()
	text, err := deploy.Spoke.ReadFile("spoke/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`limits: \{memory: (\d+)Mi\}`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the container has no memory limit")
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n * mib / 100 * 90
}

// largest returns an object that is as large, and takes as much memory, as the limits allow.
func largest() []byte {
	const pair = `{"a":`
	text := `{"apiVersion":"example.com/v1","kind":"X","metadata":{"name":"x","namespace":"y"},"spec":[`
	nested := strings.Repeat(pair, 100) + "0" + strings.Repeat("}", 100) + ","
	text += strings.Repeat(nested, (bundle.MaxObjectValues-1000)/101)
	return []byte(text + `"` + strings.Repeat("x", bundle.MaxObjectBytes-len(text)-10) + `"]}`)
}

// largestFile returns a SOPS file that is as large as the limits allow.
func largestFile() []byte {
	text := "l: [" + strings.Repeat("0,", bundle.MaxSealedFileValues-100) + "0]\nsops:\n  mac: x\n"
	return []byte(text + "# " + strings.Repeat("x", bundle.MaxSealedFileBytes-len(text)-3) + "\n")
}

// TestBudget_deployed checks that the largest objects and files that the hub accepts fit a deployed spoke.
func TestBudget_deployed(t *testing.T) {
	b := newBudget(deployedMemory(t))
	object, file := largest(), largestFile()
	if err := bundle.FitsObject("x", object); err != nil {
		t.Fatal(err)
	}
	if err := bundle.FitsSealedFile("x", file); err != nil {
		t.Fatal(err)
	}
	if cost := objectCost(object); cost > b.objects.size {
		t.Errorf("the largest object takes %d MiB of %d", cost/mib, b.objects.size/mib)
	}
	if cost := openCost(file) + keptCost(file); cost > b.files.size {
		t.Errorf("the largest file takes %d MiB of %d", cost/mib, b.files.size/mib)
	}
}

// TestBudget_unlimited divides the assumed limit if none is known.
func TestBudget_unlimited(t *testing.T) {
	for _, limit := range []int64{0, math.MaxInt64} {
		if b := newBudget(limit); b.limit != assumedMemory || b.objects.size <= 0 {
			t.Errorf("of %d: %d", limit, b.limit)
		}
	}
}

// blobs is a store in memory.
type blobs map[manifest.Digest][]byte

func (b blobs) put(data []byte) manifest.Digest {
	d := manifest.DigestOf(data)
	b[d] = data
	return d
}

func (b blobs) object(t *testing.T, data []byte) bundle.ObjectReference {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return bundle.ObjectReference{ObjectIdentity: kube.Identify(o), Digest: b.put(data)}
}

// newTestLoader returns the loader of a run of app on a budget.
func newTestLoader(b blobs, budget *budget, app *bundle.Application) *loader {
	app.Name = appNamed("a")
	a := &Agent{budget: budget, redactors: newRedactors()}
	a.Kubernetes = &farAPI{}
	l := a.newLoader(context.Background(), app)
	l.blob = func(d manifest.Digest) ([]byte, error) {
		data, ok := b[d]
		if !ok {
			return nil, errors.New("no such blob")
		}
		return data, nil
	}
	return l
}

// TestLoad_waits loads the largest object twice: the second load waits until the first one is released.
func TestLoad_waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blobs{}
		ref := b.object(t, largest())
		l := newTestLoader(b, newBudget(deployedMemory(t)), &bundle.Application{})
		defer l.close()
		first, err := l.load(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		second := make(chan error, 1)
		go func() {
			loaded, err := l.load(t.Context(), ref)
			if err == nil {
				loaded.Release()
			}
			second <- err
		}()
		synctest.Wait()
		select {
		case err := <-second:
			t.Fatalf("the second is loaded beside the first: %v", err)
		default:
		}
		first.Release()
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

// TestLoad_canceled ends the wait for memory with the context.
func TestLoad_canceled(t *testing.T) {
	b := blobs{}
	ref := b.object(t, largest())
	l := newTestLoader(b, newBudget(deployedMemory(t)), &bundle.Application{})
	defer l.close()
	first, err := l.load(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	newer := errors.New("a newer bundle")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(newer)
	if _, err := l.load(ctx, ref); !errors.Is(err, newer) {
		t.Errorf("error %v", err)
	}
}

// TestLoad_tooLarge loads an object that never fits: it fails alone, with an error that names the remedy.
func TestLoad_tooLarge(t *testing.T) {
	small := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"}}`)
	file := largestFile()
	sealedToken := string(sealed.NewSalt([]byte("salt")).Placeholder("ENC[…]", nil))
	secret := []byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"b"},"stringData":{"k":"` + sealedToken + `"}}`)
	many := []byte(`{"apiVersion":"example.com/v1","kind":"X","metadata":{"name":"many"},"spec":[` + strings.Repeat("0,", bundle.MaxObjectValues) + `0]}`)
	b := blobs{}
	app := &bundle.Application{SealedFiles: []bundle.SealedFile{{
		Path: "s.yaml", Digest: b.put(file), Format: bundle.YAML, Values: []bundle.SealedValue{{Placeholder: sealedToken,
			Type: "str"}},
	}}}
	l := newTestLoader(b, newBudget(32*mib), app)
	defer l.close()
	for _, tt := range []struct{ name, data, want string }{
		{"object", string(largest()), "of memory, and nave-spoke gives 11 of its 32 MiB to it: raise its memory limit, or " +
			"split it"},
		{"sealed_file", string(secret), "of memory, and nave-spoke gives 8 of its 32 MiB to it: raise its memory limit, or " +
			"split it"},
		{"values", string(many), "values, the limit is 65536"},
		{"small", string(small), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loaded, err := l.load(t.Context(), b.object(t, []byte(tt.data)))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				loaded.Release()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// TestLoad_grows puts one large value into an object many times: that must not make it larger than an API server takes.
func TestLoad_grows(t *testing.T) {
	b := blobs{}
	key, err := sopstest.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	file, err := key.Encrypt([]byte("stringData:\n  a: " + strings.Repeat("x", 100_000) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	token := string(sealed.NewSalt([]byte("salt")).Placeholder("ENC[…]", []string{"stringData", "a"}))
	app := &bundle.Application{
		Decryption: bundle.SecretReference{Namespace: "flux-system", Name: "sops-age"},
		SealedFiles: []bundle.SealedFile{{
			Path: "s.yaml", Digest: b.put(file), Format: bundle.YAML, Values: []bundle.SealedValue{{Placeholder: token,
				Path: []string{"stringData", "a"}, Type: "str"}},
		}},
	}
	l := newTestLoader(b, newBudget(0), app)
	defer l.close()
	l.secret = func(context.Context, string, string) (map[string][]byte, error) {
		return map[string][]byte{key.Entry(): key.Private()}, nil
	}
	object := func(times int) bundle.ObjectReference {
		return b.object(t, fmt.Appendf(nil, `{"apiVersion":"example.com/v1","kind":"X","metadata":{"name":"x"},"spec":"%s"}`, strings.Repeat(token, times)))
	}
	if loaded, err := l.load(t.Context(), object(20)); err != nil {
		t.Error(err)
	} else {
		loaded.Release()
	}
	if _, err := l.load(t.Context(), object(40)); err == nil ||
		!strings.Contains(err.Error(), "larger than any API server takes") {
		t.Errorf("error %v", err)
	}
}

// TestBudget_live checks that a live object which is far larger than the desired one counts, without waiting, until the
// object is released.
func TestBudget_live(t *testing.T) {
	b, budget := blobs{}, newBudget(32*mib)
	l := newTestLoader(b, budget, &bundle.Application{})
	defer l.close()
	loaded, err := l.load(t.Context(), b.object(t, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}`)))
	if err != nil {
		t.Fatal(err)
	}
	text := func(size int) []byte { return []byte(`"` + strings.Repeat("x", size) + `"`) }
	if err := loaded.Hold(text(100 << 10)); err != nil {
		t.Errorf("a little larger: %v", err)
	}
	if err := loaded.Hold(text(4 << 20)); !errors.Is(err, apply.ErrMemory) {
		t.Errorf("larger than all memory: error %v", err)
	}
	if err := loaded.Hold(text(1 << 20)); err != nil {
		t.Errorf("larger: %v", err)
	}
	if budget.objects.free.TryAcquire(budget.objects.size - 4*mib) {
		t.Error("the live object does not count")
	}
	if err := loaded.Hold(text(2 << 20)); !errors.Is(err, apply.ErrMemory) {
		t.Errorf("larger than what is free: error %v", err)
	}
	loaded.Release()
	if !budget.objects.free.TryAcquire(budget.objects.size) {
		t.Error("memory is not given back")
	}
}

// TestBudget_await waits for the memory of a live object until another one is released, and refuses one that never
// fits. The memory for objects is not touched.
func TestBudget_await(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, budget := blobs{}, newBudget(40*mib)
		l := newTestLoader(b, budget, &bundle.Application{})
		defer l.close()
		ref := b.object(t, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}`))
		first, err := l.load(t.Context(), ref)
		second, err2 := l.load(t.Context(), ref)
		if err = errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		text := func(size int) []byte { return []byte(`"` + strings.Repeat("x", size) + `"`) }
		if err := first.Await(text(2 << 20)); !errors.Is(err, apply.ErrMemory) {
			t.Errorf("larger than all memory: error %v", err)
		}
		if err := first.Await(text(900 << 10)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- second.Await(text(900 << 10)) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("the second has memory beside the first: %v", err)
		default:
		}
		if !budget.objects.free.TryAcquire(budget.objects.size - mib) {
			t.Error("live objects take memory of others")
		}
		first.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		second.Release()
		if !budget.live.free.TryAcquire(budget.live.size) {
			t.Error("memory is not given back")
		}
	})
}

// TestCost compares the estimates with the memory that is used. It takes long, because it collects garbage all the
// time.
func TestCost(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures memory")
	}
	for name, unit := range map[string]string{
		"empty_maps": "{}", "numbers": "0", "lists": "[0]", "texts": `"a"`, "maps": `{"a":0}`, "maps_of_maps": `{"a":{}}`,
		"environment": `{"name":"SOME_NAME","value":"some value of it"}`,
		"nested":      strings.Repeat(`{"a":`, 50) + "0" + strings.Repeat("}", 50),
		"text":        `"` + strings.Repeat("x", 20_000) + `"`,
	} {
		t.Run("object_of_"+name, func(t *testing.T) { checkObjectCost(t, unit) })
	}
	for name, file := range map[string]string{
		"numbers": "l: [" + strings.Repeat("0,", 60_000) + "0]\n", "maps": "l: [" +
			strings.Repeat("{a: 0},", 20_000) + "0]\n",
		"pairs": "l: [" + strings.Repeat("a: 0,", 30_000) + "0]\n", "nested": "l:\n" +
			strings.Repeat(strings.Repeat("- ", 50)+"0\n", 1_200),
		"comments": strings.Repeat("#\n", 60_000) + "a: b\n", "text": "a: " + strings.Repeat("x", 2<<20) + "\n",
	} {
		t.Run("file_of_"+name, func(t *testing.T) { checkFileCost(t, []byte(file)) })
	}
	for _, as := range []bundle.Format{bundle.YAML, bundle.JSON} {
		t.Run("whole_file_in_"+string(as), func(t *testing.T) { checkTextCost(t, as) })
	}
}

// checkTextCost opens a file of many values and writes it as a whole.
func checkTextCost(t *testing.T, as bundle.Format) {
	key, err := sopstest.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	file, err := key.Encrypt([]byte("l: [" + strings.Repeat("0,", 60_000) + "0]\ndata: {a: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := decrypt.ParseKeys(map[string][]byte{key.Entry(): key.Private()})
	if err != nil {
		t.Fatal(err)
	}
	limit := openCost(file, as)
	used := leastPeak(t, limit, func() {
		if _, err := decrypt.Open(t.Context(), file, bundle.YAML, keys, as); err != nil {
			t.Error(err)
		}
	})
	if t.Logf("%d KiB used of %d", used>>10, limit>>10); used > limit {
		t.Errorf("%d bytes used, %d estimated", used, limit)
	}
}

// checkObjectCost applies an object of many of the same values to an API server that answers with it.
func checkObjectCost(t *testing.T, unit string) {
	values, _ := bundle.ObjectValues([]byte(unit))
	n := min(bundle.MaxObjectValues/values, bundle.MaxObjectBytes/(len(unit)+1)) - 50
	text := `{"apiVersion":"example.com/v1","kind":"X","metadata":{"name":"x","namespace":"y","uid":"u"},"spec":[` +
		strings.TrimSuffix(strings.Repeat(unit+",", n), ",") + `]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPatch {
			_, _ = io.Copy(w, strings.NewReader(text))
			return
		}
		_, _ = w.Write([]byte(`{"kind":"APIResourceList","resources":[{"name":"xs","kind":"X","namespaced":true,"verbs":["get"]}]}`))
	}))
	defer server.Close()
	client := connect(t, server.URL)
	b := blobs{}
	ref := b.object(t, []byte(text))
	l := newTestLoader(b, newBudget(0), &bundle.Application{})
	defer l.close()
	limit := objectCost([]byte(text))
	used := leastPeak(t, limit, func() {
		loaded, err := l.load(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		applied, err := client.Apply(t.Context(), loaded.Object, kube.ApplyOptions{Whole: true})
		if err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(applied)
		runtime.KeepAlive(loaded.Object) // as an apply keeps it
		loaded.Release()
	})
	if t.Logf("%d KiB used of %d", used>>10, limit>>10); used > limit {
		t.Errorf("%d bytes used, %d estimated", used, limit)
	}
}

func connect(t *testing.T, url string) *kube.Client {
	t.Helper()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: " + url + "}}]\n" +
		"contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// checkFileCost opens a file, which is parsed, but which no key opens.
func checkFileCost(t *testing.T, text []byte) {
	file := append(text, "sops:\n  mac: x\n  lastmodified: \"2026-01-01T00:00:00Z\"\n"...)
	keys := &decrypt.Keys{}
	limit := openCost(file)
	used := leastPeak(t, limit, func() {
		if _, err := decrypt.Open(t.Context(), file, bundle.YAML, keys); !errors.Is(err, decrypt.ErrNoKey) {
			t.Errorf("error %v", err)
		}
	})
	if t.Logf("%d KiB used of %d", used>>10, limit>>10); used > limit {
		t.Errorf("%d bytes used, %d estimated", used, limit)
	}
}

// leastPeak returns the least of some peaks of fn, or the first that is within the limit. On a busy machine the
// collector lags behind, and one peak may count garbage as needed.
func leastPeak(t *testing.T, limit int64, fn func()) int64 {
	t.Helper()
	least := heap.Peak(fn)
	for range 4 {
		if least > limit {
			least = min(least, heap.Peak(fn))
		}
	}
	return least
}
