package agent

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
)

// enclosed returns a blob of the hub as an offer encloses it.
func (h *farHub) enclosed(t *testing.T, d manifest.Digest) session.Blob {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	return session.Blob{Digest: d, Size: uint64(len(h.blobs[d])), Frame: compress(t, h.blobs[d])}
}

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// wantLacking looks into the state of an agent that was stopped.
func (r *rig) wantLacking(t *testing.T, d manifest.Digest) {
	t.Helper()
	store, err := state.Open(filepath.Join(r.dir, "spoke.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if missing, err := store.Missing([]manifest.Digest{d}); err != nil || len(missing) != 1 {
		t.Errorf("blob %s is on disk, %v", d, err)
	}
}

func TestEnclosed_not_fetched(t *testing.T) {
	r := newRig(t)
	r.start(t)
	object := r.hub.object(t, "ConfigMap", "a", nil)
	app := application("apps", object)
	data, err := app.Encode()
	if err != nil {
		t.Fatal(err)
	}
	o := r.hub.sign(t, 1, app)
	o.Blobs = []session.Blob{r.hub.enclosed(t, object.Digest), r.hub.enclosed(t, manifest.DigestOf(data))}
	r.hub.mu.Lock()
	r.hub.broken = true // no call but the offer
	r.hub.mu.Unlock()
	r.hub.send(o)
	r.hub.expect(t, "1 received", "1 healthy")
	if r.cluster.has("a") == nil {
		t.Error("the object is not in the cluster")
	}
}

// TestFetchGetsOn breaks the connection in the middle of a bundle. Blobs that came before are not fetched again.
func TestFetchGetsOn(t *testing.T) {
	r := newRig(t)
	r.start(t)
	var objects []bundle.ObjectReference
	for i := range 20 {
		objects = append(objects, r.hub.object(t, "ConfigMap", fmt.Sprint("c", i), nil))
	}
	o := r.hub.sign(t, 1, application("apps", objects...))
	r.hub.mu.Lock()
	r.hub.breaks = 11
	r.hub.mu.Unlock()
	r.hub.send(o)
	r.hub.expect(t, "1 received", "1 healthy")
	if r.hub.fetched != 21 {
		t.Errorf("%d blobs were fetched, want the application and 20 objects once each", r.hub.fetched)
	}
}

func TestEnclosed_swapped(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, b *session.Blob){
		"other_bytes":         func(t *testing.T, b *session.Blob) { b.Frame = compress(t, []byte(`{"other":"bytes"}`)) },
		"not_a_frame":         func(_ *testing.T, b *session.Blob) { b.Frame = []byte("not zstd") },
		"no_frame":            func(_ *testing.T, b *session.Blob) { b.Frame = nil },
		"more_than_announced": func(_ *testing.T, b *session.Blob) { b.Size-- },
		"less_than_announced": func(_ *testing.T, b *session.Blob) { b.Size++ },
		"huge_announcement":   func(_ *testing.T, b *session.Blob) { b.Size = 1 << 62 },
		"frame_that_unpacks_to_too_much": func(t *testing.T, b *session.Blob) {
			b.Frame = compress(t, make([]byte, 64<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.start(t)
			object := r.hub.object(t, "ConfigMap", "a", nil)
			o := r.hub.sign(t, 1, application("apps", object))
			bad := r.hub.enclosed(t, object.Digest)
			spoil(t, &bad)
			o.Blobs = []session.Blob{bad}
			r.hub.send(o)
			r.hub.expect(t, "1 received", "1 healthy")
			if r.hub.fetched != 2 {
				t.Errorf("%d blobs were fetched, want the application and the object", r.hub.fetched)
			}
			if r.cluster.has("a") == nil {
				t.Error("the object is not in the cluster")
			}
			if !r.out.holds("enclosed blob not used") {
				t.Error("nobody can find out")
			}
			r.hub.silent(t)
		})
	}
}

func TestEnclosed_unreached(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	stray := r.hub.object(t, "ConfigMap", "stray", nil)
	o := r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil)))
	o.Blobs = []session.Blob{r.hub.enclosed(t, stray.Digest)}
	r.hub.send(o)
	r.hub.expect(t, "1 received", "1 healthy")
	stop()
	r.wantLacking(t, stray.Digest)
}

func TestEnclosed_untrusted(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	object := r.hub.object(t, "ConfigMap", "a", nil)
	o := r.hub.sign(t, 1, application("apps", object))
	o.Envelope[len(o.Envelope)-1] ^= 1
	o.Blobs = []session.Blob{r.hub.enclosed(t, object.Digest)}
	r.hub.send(o)
	r.hub.expect(t, "1 rejected")
	stop()
	r.wantLacking(t, object.Digest)
}
