package agent

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/state"
)

// open opens the state of an agent that was stopped.
func (r *rig) open(t *testing.T) *state.Store {
	t.Helper()
	store, err := state.Open(filepath.Join(r.dir, "spoke.db"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestLostBlobs removes blobs of the bundle from the disk. The agent accepts the same bundle from the hub again, and
// does not apply it again.
func TestLostBlobs(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	object := r.hub.object(t, "ConfigMap", "a", nil)
	offer := r.hub.sign(t, 1, application("apps", object))
	r.hub.send(offer)
	r.hub.expect(t, "1 received", "1 healthy")
	for name, keep := range map[string]func(manifest.Digest) bool{
		"all":    func(manifest.Digest) bool { return false },
		"object": func(d manifest.Digest) bool { return d != object.Digest },
	} {
		t.Run(name, func(t *testing.T) {
			stop()
			store := r.open(t)
			_, err := store.Sweep(keep)
			if err := errors.Join(err, store.Close()); err != nil {
				t.Fatal(err)
			}
			applies := r.cluster.applies
			stop = r.start(t)
			r.hub.send(offer)
			r.hub.expect(t, "1 received", "1 healthy")
			if r.cluster.applies != applies {
				t.Errorf("%d applies of what is applied", r.cluster.applies-applies)
			}
		})
	}
}

// TestLostBlobs_while_running reads a blob that the disk lost since the start.
func TestLostBlobs_while_running(t *testing.T) {
	r := newRig(t)
	store := r.open(t)
	defer store.Close()
	a := New(Config{Store: store, Hub: r.hub})
	d := r.hub.put([]byte("content"))
	for range 2 { // fetched, then on disk
		if data, err := a.blob(t.Context())(d); err != nil || string(data) != "content" {
			t.Fatalf("got %q, %v", data, err)
		}
	}
	if r.hub.fetched != 1 {
		t.Errorf("fetched %d times", r.hub.fetched)
	}
	if _, err := a.blob(t.Context())(manifest.DigestOf([]byte("unknown"))); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("a blob that the hub lacks too: %v", err)
	}
}

// TestDamagedInventory starts with an inventory that cannot be read: its application alone is applied again, as a
// whole.
func TestDamagedInventory(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	damaged, whole := application("damaged", r.hub.object(t, "ConfigMap", "a", nil)), application("whole",
		r.hub.object(t, "ConfigMap", "b", nil))
	offer := r.hub.sign(t, 1, damaged, whole)
	r.hub.send(offer)
	r.hub.expect(t, "1 received", "1 healthy")
	of := func(app *bundle.Application) []byte {
		data, err := inventory.New(app.Name).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{"no_json": []byte("{"), "another_format": []byte(`{"format":9}`),
		"another_owner": of(whole)} {
		t.Run(name, func(t *testing.T) {
			stop()
			store := r.open(t)
			if err := errors.Join(store.PutInventory(damaged.Name, data), store.Close()); err != nil {
				t.Fatal(err)
			}
			r.cluster.applies, r.cluster.live = 0, map[manifest.ID]*manifest.Object{}
			stop = r.start(t)
			r.hub.expect(t, "1 healthy")
			if r.cluster.applies != 1 || r.cluster.has("a") == nil {
				t.Errorf("%d applies", r.cluster.applies)
			}
		})
	}
}

// TestLostDisk starts with the high-water mark of a lost disk alone.
func TestLostDisk(t *testing.T) {
	r := newRig(t)
	app := application("apps", r.hub.object(t, "ConfigMap", "a", nil))
	older, same := r.hub.sign(t, 4, app), r.hub.sign(t, 5, app)
	store := r.open(t)
	if err := errors.Join(store.MarkSeen(self.String(), same.ID), store.Close()); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.hub.send(older)
	r.hub.expect(t, "4 rejected: bundle 1.4: older than the last verified bundle")
	r.hub.send(same)
	r.hub.expect(t, "5 received", "5 healthy")
}

// TestMovedHub starts on the disk of another cluster's identity: its bundle is not applied, and its high-water mark
// does not count.
func TestMovedHub(t *testing.T) {
	r := newRig(t)
	store := r.open(t)
	other := state.Accepted{Recipient: "spiffe://other/cluster/prod", ID: bundle.ID{Epoch: 9, Sequence: 9},
		Envelope: []byte("of another hub")}
	if err := errors.Join(store.Accept(other, nil), store.Close()); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	r.hub.expect(t, "1 received", "1 healthy")
}
