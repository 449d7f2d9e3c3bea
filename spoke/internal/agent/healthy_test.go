package agent

import (
	"log/slog"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
)

// revise sends a bundle of one application with another digest. It returns the application and the digests of its
// blobs.
func (r *rig) revise(t *testing.T, sequence uint64, word string) (app *bundle.Application, blobs []manifest.Digest) {
	t.Helper()
	object := r.hub.object(t, "ConfigMap", "a", map[string]any{"data": map[string]any{"word": word}})
	app = application("apps", object)
	app.Wait = true
	data, err := app.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r.hub.send(r.hub.sign(t, sequence, app))
	return app, []manifest.Digest{object.Digest, manifest.DigestOf(data)}
}

// TestLastHealthy_blobs keeps the blobs of the last healthy digest of an application until another digest is healthy.
func TestLastHealthy_blobs(t *testing.T) {
	r := newRig(t)
	store := r.open(t)
	defer store.Close()
	index := inventory.NewIndex()
	r.cluster.index = index
	a := New(Config{Cluster: self, Store: store, Hub: r.hub, Applier: r.cluster, Watcher: r.watch, Index: index,
		Ledger: ledger.New(ledger.Config{}), Kubernetes: r.api, Reporter: report.New(r.out, slog.New(slog.DiscardHandler)),
		Jitter: func() float64 { return 0 }})
	a.base, a.timer, a.sweep, a.rest = t.Context(), stoppedTimer(), stoppedTimer(), stoppedTimer()
	step := func(sequence uint64, word string, status health.Status) []manifest.Digest {
		t.Helper()
		app, blobs := r.revise(t, sequence, word)
		assess := func() { index.SetHealth(app.Objects[0].ID(), "", status, "", "", time.Now()) }
		assess() // an apply finds it in this health; before the first one there is no object
		frames := &collector{store: store, hub: r.hub, log: a.Log}
		if err := frames.fetch(t.Context(), blobs, nil); err != nil {
			t.Fatal(err)
		}
		id := bundle.ID{Epoch: 1, Sequence: sequence}
		if err := store.Accept(state.Accepted{Recipient: self.String(), ID: id}, frames.pending); err != nil {
			t.Fatal(err)
		}
		b := &bundle.Bundle{Applications: []bundle.Entry{{Name: app.Name, Digest: blobs[1], Revision: word}}}
		a.model.offer = &session.Offer{ID: id}
		a.handle(received{id: id, bundle: b, apps: applications{app.Name: app}})
		a.handle(<-a.inputs) // applied
		assess()
		a.handle(observed{name: app.Name, health: index.Summarize(app.Name, 1)})
		return blobs
	}
	missing := func(blobs []manifest.Digest) int {
		t.Helper()
		a.sweepBlobs()
		missing, err := store.Missing(blobs)
		if err != nil {
			t.Fatal(err)
		}
		return len(missing)
	}
	first := step(1, "first", health.Current)
	second := step(2, "second", health.Failed)
	if n := missing(append(first, second...)); n != 0 {
		t.Errorf("while the second is unhealthy, %d blobs are missing", n)
	}
	third := step(3, "third", health.Failed)
	if n := missing(append(first, third...)); n != 0 {
		t.Errorf("while the third is unhealthy, %d blobs are missing", n)
	}
	if n := missing(second); n != len(second) {
		t.Errorf("%d of the %d blobs that were never healthy are missing", n, len(second))
	}
	fourth := step(4, "fourth", health.Current)
	if n := missing(first); n != len(first) {
		t.Errorf("when the fourth is healthy, %d of the first's %d blobs are missing", n, len(first))
	}
	if n := missing(fourth); n != 0 {
		t.Errorf("of the bundle, %d blobs are missing", n)
	}
}

// TestLastHealthy_restart reports the last healthy digest from the disk.
func TestLastHealthy_restart(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	r.hub.expect(t, "1 received", "1 healthy")
	stop()
	store := r.open(t)
	defer store.Close()
	marks, err := store.Marks()
	if err != nil {
		t.Fatal(err)
	}
	for name, mark := range marks {
		if mark.HealthyDigest.IsZero() || mark.HealthyDigest != mark.Digest || mark.HealthyRevision != mark.Revision {
			t.Errorf("%s: applied %s at %q, last healthy %s at %q", name, mark.Digest, mark.Revision, mark.HealthyDigest,
				mark.HealthyRevision)
		}
	}
	if len(marks) != 1 {
		t.Errorf("%d marks", len(marks))
	}
}
