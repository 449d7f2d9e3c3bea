package spoke_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

const (
	shop = "/api/v1/namespaces/shop/configmaps/"
	own  = "/api/v1/namespaces/nave-system/"
)

// has reports whether an object is in the cluster.
func (a *api) has(path string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects[path] != nil
}

// inventories returns what the cluster keeps of what the spoke owns, all in one text.
func (a *api) inventories() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inventoriesLocked()
}

func (a *api) inventoriesLocked() string {
	var all []string
	for path, o := range a.objects {
		if strings.HasPrefix(path, own+"configmaps/nave-inventory-") {
			data, _ := o.object["data"].(map[string]any)
			text, _ := data["inventory.json"].(string)
			all = append(all, text)
		}
	}
	return strings.Join(all, "\n")
}

// wipe takes the spoke's disk away.
func (r *rig) wipe() {
	r.t.Helper()
	r.stop()
	if err := os.RemoveAll(r.config.StateDir); err != nil {
		r.t.Fatal(err)
	}
}

// TestLostDisk_prune takes an object and an application out of Git while the spoke has no disk.
func TestLostDisk_prune(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	gone := h.configMaps(t, "gone", "one", "c")
	h.signFor(t, "prod", 1, h.configMaps(t, "apps", "one", "a", "b"), gone)
	h.heard(t, "1 healthy")
	r.await("the cluster keeps the UIDs", func() bool {
		return strings.Count(r.api.inventories(), `"u":"uid-`) == 3
	})
	r.wipe()
	h.signAll(t, &bundle.Bundle{
		Cluster: h.id(identity.Cluster, "prod").String(), Sequence: 2, Removals: []bundle.Removal{{Name: gone.Name,
			Policy: bundle.MirrorPrune}},
	}, h.configMaps(t, "apps", "one", "a"))
	r.start()
	h.heard(t, "2 healthy")
	for name, want := range map[string]bool{"a": true, "b": false, "c": false} {
		if r.api.has(shop+name) != want {
			t.Errorf("ConfigMap %s is there: %v, want %v", name, !want, want)
		}
	}
	r.await("the cluster forgets what is gone", func() bool {
		text := r.api.inventories()
		return strings.Contains(text, `"n":"a"`) && !strings.Contains(text, `"n":"b"`) && !strings.Contains(text, `"n":"c"`)
	})
}

// TestLostDisk_killed loses the disk after an object was applied and before its UID was known to the cluster.
func TestLostDisk_killed(t *testing.T) {
	h, r := newHub(t), newRig(t)
	applied := make(chan struct{}, 1)
	r.api.refuse = func(q *http.Request) int {
		switch {
		case q.Method != http.MethodPatch:
		case strings.HasPrefix(q.URL.Path, shop): // from here on the spoke writes nothing
			if !strings.Contains(r.api.inventoriesLocked(), `"n":"a"`) {
				t.Error("the object is applied before the cluster knows that it is ours")
			}
			select {
			case applied <- struct{}{}:
			default:
			}
		case len(applied) > 0:
			return http.StatusServiceUnavailable
		}
		return 0
	}
	r.join(h, "prod", "token", "")
	r.start()
	h.signFor(t, "prod", 1, h.configMaps(t, "apps", "one", "a"))
	r.await("applied", func() bool { return r.api.has(shop + "a") })
	r.wipe()
	r.api.mu.Lock()
	r.api.refuse = nil
	r.api.mu.Unlock()
	if strings.Contains(r.api.inventories(), "uid-") {
		t.Fatal("the UID was written; this test says nothing")
	}
	h.signFor(t, "prod", 2, h.configMaps(t, "apps", "one", "other"))
	r.start()
	h.heard(t, "2 healthy")
	if r.api.has(shop + "a") {
		t.Error("what left Git is still there")
	}
}

// TestLostDisk_requests counts what a restart and a change of content cost beside the objects themselves.
func TestLostDisk_requests(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	h.signFor(t, "prod", 1, h.configMaps(t, "apps", "one", "a", "b"))
	h.heard(t, "1 healthy")
	r.stop() // which writes what is to be written
	written := func() []string {
		r.api.mu.Lock()
		defer r.api.mu.Unlock()
		out := slices.DeleteFunc(r.api.written, func(path string) bool { return strings.HasPrefix(path, shop) })
		r.api.written = nil
		return out
	}
	written()
	r.start()
	r.awaitReady("ok")
	h.signFor(t, "prod", 2, h.configMaps(t, "apps", "two", "a", "b"))
	h.heard(t, "2 healthy")
	r.stop()
	if got, want := written(), []string{own + "secrets/nave-spoke-identity"}; !slices.Equal(got, want) {
		t.Errorf("a restart and a change of content write %v, want the mark alone", got)
	}
}

// TestLostDisk_forbidden starts a spoke that may not read ConfigMaps: it works, and takes up the inventories when it
// may.
func TestLostDisk_forbidden(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	h.signFor(t, "prod", 1, h.configMaps(t, "apps", "one", "a", "b"))
	h.heard(t, "1 healthy")
	r.wipe()
	r.api.refuse = func(q *http.Request) int {
		if q.URL.Path == own+"configmaps" {
			return http.StatusForbidden
		}
		return 0
	}
	h.signFor(t, "prod", 2, h.configMaps(t, "apps", "two", "a"))
	r.start()
	h.heard(t, "2 healthy")
	if !r.api.has(shop + "b") {
		t.Error("it is pruned, although nobody can know that it is ours")
	}
	r.stop()
	r.api.mu.Lock()
	r.api.refuse = nil
	r.api.mu.Unlock()
	r.start()
	r.awaitReady("ok")
	h.signFor(t, "prod", 3, h.configMaps(t, "apps", "three", "a"))
	h.heard(t, "3 healthy")
	if r.api.has(shop + "b") {
		t.Error("it is not pruned, although the cluster keeps that it is ours")
	}
}

// TestLostDisk_old starts a spoke on an old copy of its disk: what it applied since is ours as well.
func TestLostDisk_old(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	h.signFor(t, "prod", 1, h.configMaps(t, "apps", "one", "a"))
	h.heard(t, "1 healthy")
	r.stop()
	file := filepath.Join(r.config.StateDir, "spoke.db")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	h.signFor(t, "prod", 2, h.configMaps(t, "apps", "one", "a", "b"), h.configMaps(t, "more", "one", "c"))
	h.heard(t, "2 healthy")
	r.stop()
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	h.signAll(t, &bundle.Bundle{
		Cluster: h.id(identity.Cluster, "prod").String(), Sequence: 3,
		Removals: []bundle.Removal{{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system",
			Name: "more"},
			Policy: bundle.Delete}},
	}, h.configMaps(t, "apps", "one", "a"))
	r.start()
	r.await("what was applied since that copy is pruned", func() bool {
		return !r.api.has(shop+"b") && !r.api.has(shop+"c")
	})
}
