package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/state"
)

var apps = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}

// far is an API server that keeps ConfigMaps, and a disk that keeps inventories.
type far struct {
	mu       sync.Mutex
	maps     map[string]*manifest.Object
	disk     map[bundle.ApplicationName][]byte
	requests []string
	down     bool
}

func newFar() *far {
	return &far{maps: map[string]*manifest.Object{}, disk: map[bundle.ApplicationName][]byte{}}
}

func (f *far) do(request string) error {
	f.requests = append(f.requests, request)
	if f.down {
		return &kube.Error{Op: "apply", Reason: kube.Unreachable, Message: "down"}
	}
	return nil
}

func (f *far) Apply(_ context.Context, o *manifest.Object, _ kube.ApplyOptions) (kube.Applied, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do("apply"); err != nil {
		return kube.Applied{}, err
	}
	f.maps[o.GetName()] = o
	return kube.Applied{}, nil
}

func (f *far) Delete(_ context.Context, id bundle.ObjectIdentity, _ kube.DeleteOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do("delete"); err != nil {
		return err
	}
	if f.maps[id.Name] == nil {
		return &kube.Error{Op: "delete", Reason: kube.NotFound}
	}
	delete(f.maps, id.Name)
	return nil
}

func (f *far) List(_ context.Context, _ kube.Mapping, s kube.Scope, see func(kube.Live) error) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do("list"); err != nil {
		return "", err
	}
	for name, o := range f.maps {
		if o.GetNamespace() != s.Namespace || o.GetLabels()[s.Selector] == "" {
			continue
		}
		if err := see(kube.Live{ID: bundle.ObjectIdentity{Name: name}, Object: o}); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (f *far) Inventory(app bundle.ApplicationName) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data := f.disk[app]; data != nil {
		return data, nil
	}
	return nil, state.ErrNotFound
}

// sent returns the requests since the last call.
func (f *far) sent() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := strings.Join(f.requests, " ")
	f.requests = nil
	return out
}

func (f *far) fall(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

// rig is a running ledger.
type rig struct {
	*Ledger
	far *far
	t   testing.TB
}

func (f *far) ledger() *Ledger {
	return New(Config{Client: f, Namespace: "nave-system", Disk: f, Log: slog.New(slog.DiscardHandler)})
}

// open returns a ledger that has read what there is.
func open(t testing.TB, f *far) *rig {
	t.Helper()
	r := &rig{f.ledger(), f, t}
	if _, err := r.Read(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.sent()
	return r
}

func start(t *testing.T, f *far) *rig {
	r := open(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

// save puts an inventory on disk and into the ledger, as the agent does.
func (r *rig) save(v *inventory.Inventory) {
	r.t.Helper()
	data, err := v.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	r.far.mu.Lock()
	r.far.disk[v.Application] = data
	r.far.mu.Unlock()
	r.Save(v)
}

// expect wants exactly these requests, at once and after a second.
func (r *rig) expect(what, now, later string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.far.sent(); got != now {
		r.t.Errorf("%s: sent %q at once, want %q", what, got, now)
	}
	time.Sleep(pause)
	synctest.Wait()
	if got := r.far.sent(); got != later {
		r.t.Errorf("%s: sent %q within a second, want %q", what, got, later)
	}
}

// read returns what another process would read.
func (r *rig) read() map[bundle.ApplicationName]Page {
	r.t.Helper()
	pages, err := r.far.ledger().Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.far.sent()
	return pages
}

func object(i int) manifest.ID {
	return manifest.ID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprintf("object-%05d", i)}
}

// items makes an inventory of objects as they are after an apply.
func items(names ...int) *inventory.Inventory {
	v := inventory.New(apps)
	for _, i := range names {
		v.Items[object(i)] = inventory.Item{
			Version: "v1", Resource: "configmaps", UID: fmt.Sprint("uid-",
				i), ResourceVersion: "7", Labelled: true, AppliedAt: time.Unix(1, 0),
			Digest: manifest.DigestOf([]byte("desired")), Managed: manifest.DigestOf([]byte("fields")),
		}
	}
	return v
}

func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFar())
		mark := state.Mark{Prune: true, DeletionPolicy: bundle.MirrorPrune, ServiceAccount: "app",
			Digest: manifest.DigestOf([]byte("d"))}
		r.Mark(apps, mark)
		ahead := items(1)
		ahead.Items[object(2)] = inventory.Item{Version: "v1"}
		r.save(ahead)
		r.expect("an object is about to be added", "apply", "")
		if page := r.read()[apps]; len(page.Inventory.Items) != 2 || page.Mark.ServiceAccount != "app" || !page.Mark.Prune ||
			!page.Mark.Digest.IsZero() {
			t.Errorf("before the apply the cluster keeps %+v", page)
		}

		r.save(items(1, 2))
		r.expect("it was added", "", "apply")
		changed := items(1, 2)
		for id, item := range changed.Items {
			item.Digest, item.ResourceVersion = manifest.DigestOf([]byte("other")), "8"
			changed.Items[id] = item
		}
		r.save(changed)
		mark.Revision, mark.Digest = "main@sha1:2", manifest.DigestOf([]byte("e"))
		r.Mark(apps, mark)
		r.expect("contents changed", "", "")
		for _, item := range r.read()[apps].Inventory.Items {
			if item.UID == "" || item.ResourceVersion != "" || !item.Digest.IsZero() || !item.Managed.IsZero() ||
				!item.AppliedAt.IsZero() {
				t.Errorf("the cluster keeps %+v", item)
			}
		}

		mark.Suspended, mark.Withheld = true, true
		r.Mark(apps, mark)
		pruned := items(2)
		pruned.Guarded = 30
		r.save(pruned)
		r.expect("an object was pruned, the application suspended", "", "apply")
		if page := r.read()[apps]; len(page.Inventory.Items) != 1 || page.Inventory.Guarded != 30 || !page.Mark.Suspended ||
			!page.Mark.Withheld {
			t.Errorf("the cluster keeps %+v", page)
		}
		delete(r.far.disk, apps)
		r.Forget(apps)
		r.expect("the application is gone", "", "delete")
		if len(r.read()) != 0 {
			t.Error("its page is left")
		}
		r.Mark(apps, mark)
		r.save(items(1))
		r.expect("it is back", "", "apply")
	})
}

func TestLedger_restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		r := start(t, f)
		r.Mark(apps, state.Mark{Prune: true})
		r.save(items(1, 2))
		r.expect("applied", "", "apply")
		again := start(t, f)
		again.Mark(apps, state.Mark{Prune: true, Revision: "main"})
		again.save(items(1, 2))
		again.expect("an unchanged restart", "", "")
	})
}

func TestLedger_outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFar())
		r.far.fall(true)
		ahead := inventory.New(apps)
		ahead.Items[object(1)] = inventory.Item{Version: "v1"}
		r.save(ahead) // returns: the disk has it
		r.expect("the API server is away", "apply", "apply")
		r.far.fall(false)
		time.Sleep(2 * pause)
		r.expect("it is back", "apply", "")
	})
}

func TestLedger_flush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, newFar())
		r.save(items(1))
		if err := r.Flush(t.Context()); err != nil || r.far.sent() != "apply" {
			t.Errorf("flush: %v", err)
		}
	})
}

// TestLedger_large grows and shrinks an application beyond what one ConfigMap takes.
func TestLedger_large(t *testing.T) {
	f := newFar()
	r := open(t, f)
	r.Mark(apps, state.Mark{Prune: true})
	size := func(n int) []int {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	for _, n := range []int{10, 8_000, 8_001, 100} {
		r.save(items(size(n)...))
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent := f.sent()
		if n == 8_001 && sent != "apply" {
			t.Errorf("one object more sends %q", sent)
		}
		for name, o := range f.maps {
			if data := dataOf(o); len(data[inventoryKey])+len(data[markKey]) > 600<<10 {
				t.Errorf("%d objects: ConfigMap %s has %d bytes", n, name, len(data[inventoryKey]))
			}
		}
		if got := len(r.read()[apps].Inventory.Items); got != n {
			t.Errorf("%d objects read back as %d", n, got)
		}
		t.Logf("%d objects: %d ConfigMaps", n, len(f.maps))
	}
}

// TestRead_partly reads a page of which a part was lost, and ConfigMaps that somebody spoiled.
func TestRead_partly(t *testing.T) {
	f := newFar()
	r := open(t, f)
	other := items(1)
	other.Application.Name = "other"
	r.save(items(1, 2))
	r.save(other)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, o := range f.maps {
		if v, err := inventory.Decode([]byte(dataOf(o)[inventoryKey])); err == nil && v.Application == other.Application {
			o.Object["data"] = map[string]any{inventoryKey: "{"}
			f.maps[name] = o
		}
	}
	newer := configMap("nave-system", "nave-inventory-newer", apps, nil)
	newer.SetLabels(map[string]string{layoutLabel: "2"})
	f.maps["nave-inventory-newer"] = newer
	pages := r.read()
	if got := slices.Collect(maps.Keys(pages)); len(got) != 1 || got[0] != apps || len(pages[apps].Inventory.Items) != 2 {
		t.Errorf("read %v", pages)
	}
}

// TestRead_fails wants a ledger that could not read to overwrite nothing.
func TestRead_fails(t *testing.T) {
	f := newFar()
	f.down = true
	r := &rig{f.ledger(), f, t}
	if _, err := r.Read(t.Context()); !kube.Retryable(err) {
		t.Errorf("got %v", err)
	}
	f.down = false
	f.sent()
	ahead := inventory.New(apps)
	ahead.Items[object(1)] = inventory.Item{Version: "v1"}
	r.Mark(apps, state.Mark{Prune: true})
	r.save(ahead)
	r.Forget(apps)
	if err := r.Flush(t.Context()); err != nil || f.sent() != "" {
		t.Errorf("it writes, or %v", err)
	}
}

// FuzzMerge reads a ConfigMap that anybody may have written.
func FuzzMerge(f *testing.F) {
	whole, err := encode(state.Mark{Prune: true}, items(1, 2))
	if err != nil {
		f.Fatal(err)
	}
	for _, data := range whole {
		f.Add(data[markKey], data[inventoryKey])
		f.Add("{}", strings.Replace(data[inventoryKey], `"n":"object-00001"`, `"n":"object-00002"`, 1))
	}
	f.Add("", `{"format":1,"owner":{},"items":[{"k":"A","n":"b","v":"v1"}]}`)
	f.Add("[]", `{"format":9}`)
	f.Fuzz(func(t *testing.T, mark, text string) {
		pages := map[bundle.ApplicationName]Page{}
		o := configMap("nave-system", "x", apps, map[string]string{markKey: mark, inventoryKey: text})
		if app, err := merge(pages, o); err == nil && pages[app].Inventory == nil {
			t.Error("a page without an inventory")
		} else if err != nil && len(pages) > 0 {
			t.Error("a ConfigMap that cannot be read is a page")
		}
	})
}

func BenchmarkSaveUnchanged(b *testing.B) {
	l := open(b, newFar())
	all := make([]int, 1000)
	for i := range all {
		all[i] = i
	}
	v := items(all...)
	l.Save(v)
	for b.Loop() {
		l.Save(v)
	}
}
