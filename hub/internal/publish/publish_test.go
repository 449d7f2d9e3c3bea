package publish

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// bench is a publisher over a store. The test calls its rounds.
type bench struct {
	*testing.T
	*Publisher
	now time.Time
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s, key := store.OpenMemory(store.Twice), newSigner(t)
	t.Cleanup(func() { s.Close() })
	b.Publisher = New(Config{
		Store: s, Signer: key, TrustDomain: "nave-test", TTL: 24 * time.Hour,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now },
	})
	b.useKey(key)
	return b
}

func newSigner(t *testing.T) *signing.Signer {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signing.NewSigner(key)
}

func (b *bench) useKey(s *signing.Signer) {
	b.T.Helper()
	b.Signer = s
	var err error
	b.keyring, err = signing.NewKeyring(s.Public())
	b.must(err)
}

func (b *bench) must(err error) {
	b.T.Helper()
	if err != nil {
		b.T.Fatal(err)
	}
}

func (b *bench) update(fn func(*store.Tx) error) {
	b.T.Helper()
	b.must(b.Store.Update(b.T.Context(), fn))
}

// plan writes a plan of one application that holds one object.
func (b *bench) plan(cluster, content string) {
	b.T.Helper()
	entry := b.application(content)
	b.update(func(tx *store.Tx) error {
		return store.Plans.Put(tx, cluster, store.Plan{
			Applications: []store.Entry{store.EntryOf("all", entry)}, ChangedAt: b.now,
		})
	})
	b.dirty[cluster] = true
}

// application writes an Application to the store.
func (b *bench) application(content string) bundle.Entry {
	b.T.Helper()
	owner := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	app := &bundle.Application{
		Name: owner, DeletionPolicy: bundle.MirrorPrune, Interval: time.Minute, Timeout: time.Minute,
		RetryInterval: time.Minute,
		Objects: []bundle.ObjectReference{{
			ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default",
				Name: "app"}, Digest: b.putBlob(content),
		}},
	}
	data, err := app.Encode()
	b.must(err)
	return bundle.Entry{Name: owner, Digest: b.putBlob(string(data)), Revision: "main@sha1:1"}
}

func (b *bench) putBlob(data string) manifest.Digest {
	b.T.Helper()
	d, err := b.Store.Blobs().Put(b.T.Context(), []byte(data))
	b.must(err)
	return d
}

func (b *bench) publish() {
	b.T.Helper()
	b.must(b.round(b.T.Context()))
}

func (b *bench) signed(cluster string) (d store.SignedBundle, ok bool) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) (err error) {
		d, ok, err = store.SignedBundles.Get(tx, cluster)
		return err
	}))
	return d, ok
}

// acked writes the acknowledgement of a spoke for its newest bundle.
func (b *bench) acked(cluster string, id bundle.ID) {
	b.T.Helper()
	b.update(func(tx *store.Tx) error {
		return store.Spokes.Put(tx, cluster,
			store.Spoke{Connected: true, Acks: map[bundle.Stage]bundle.ID{bundle.Received: id}})
	})
	b.dirty[cluster] = b.dirty[cluster] || false
}

// TestBundleOfCluster checks that a bundle has only the content of its own cluster's plan.
func TestBundleOfCluster(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.publish()
	d, ok := b.signed("east")
	if !ok {
		t.Fatal("nothing was published")
	}
	opened, err := b.open(d.Envelope)
	b.must(err)
	if opened.Cluster != "spiffe://nave-test/cluster/east" || opened.Epoch != b.Store.Epoch() || opened.Sequence != 1 {
		t.Errorf("bundle %s %d %d", opened.Cluster, opened.Epoch, opened.Sequence)
	}
	if !opened.ExpiresAt.Equal(b.now.Add(24*time.Hour)) || !d.ExpiresAt.Equal(opened.ExpiresAt) {
		t.Errorf("expires %s and %s", opened.ExpiresAt, d.ExpiresAt)
	}
	envelope, err := signing.DecodeEnvelope(d.Envelope)
	b.must(err)
	if d.Bundle != (bundle.ID{Epoch: opened.Epoch, Sequence: 1, Digest: manifest.DigestOf(envelope.Payload)}) {
		t.Errorf("bundle is called %v", d.Bundle)
	}
}

// TestSignedAgain checks that a bundle is signed anew only for a reason.
func TestSignedAgain(t *testing.T) {
	sameplan := func(b *bench) { b.dirty["east"] = true }
	for _, tt := range []struct {
		name   string
		change func(*bench)
		signed bool
	}{
		{"nothing", sameplan, false},
		{"all_checked", func(b *bench) { b.whole = true }, false},
		{"same_applications",
			func(b *bench) { b.now = b.now.Add(time.Minute); b.plan("east", "one") }, false},
		{"applications", func(b *bench) { b.plan("east", "two") }, true},
		{"nearly_half_its_life",
			func(b *bench) { b.now = b.now.Add(12 * time.Hour); sameplan(b) }, false},
		{"half_its_life", func(b *bench) { b.now = b.now.Add(12*time.Hour + time.Second); b.whole = true }, true},
		{"issued_a_little_ahead", func(b *bench) { b.now = b.now.Add(-maxStep); b.whole = true }, false},
		{"issued_ahead", func(b *bench) { b.now = b.now.Add(-maxStep - time.Second); b.whole = true }, true},
		{"issued_year_ahead", func(b *bench) { b.now = b.now.AddDate(-1, 0, 0); b.whole = true }, true},
		{"issued_year_behind", func(b *bench) { b.now = b.now.AddDate(1, 0, 0); b.whole = true }, true},
		{"key", func(b *bench) { b.useKey(newSigner(b.T)); sameplan(b) }, true},
		{"trust_domain", func(b *bench) { b.TrustDomain = "nave-other"; sameplan(b) }, true},
		{"acknowledged", func(b *bench) { d, _ := b.signed("east"); b.acked("east", d.Bundle) }, false},
		{"spoke_is_ahead", func(b *bench) {
			b.acked("east",
				bundle.ID{Epoch: b.Store.Epoch(), Sequence: 7})
		}, true},
		{"absurd_sequence",
			func(b *bench) { b.acked("east", bundle.ID{Epoch: 1 << 63, Sequence: 1 << 63}) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.plan("east", "one")
			b.publish()
			before, _ := b.signed("east")
			tt.change(b)
			b.publish()
			after, _ := b.signed("east")
			if signed := after.Bundle != before.Bundle; signed != tt.signed {
				t.Fatalf("signed anew: %v, want %v", signed, tt.signed)
			}
			if tt.signed && !after.Bundle.Newer(before.Bundle) {
				t.Errorf("bundle %v follows %v", after.Bundle, before.Bundle)
			}
		})
	}
}

// TestRefreshedBundle checks that a refreshed bundle does not count as an old change.
func TestRefreshedBundle(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.publish()
	b.now = b.now.Add(13 * time.Hour)
	b.whole = true
	b.publish()
	if d, _ := b.signed("east"); !d.ChangedAt.Equal(b.now) {
		t.Errorf("changed at %s, want %s", d.ChangedAt, b.now)
	}
	changed := b.now.Add(time.Second)
	b.now = changed
	b.plan("east", "two")
	b.now = b.now.Add(time.Second)
	b.publish()
	if d, _ := b.signed("east"); !d.ChangedAt.Equal(changed) {
		t.Errorf("changed at %s, want %s", d.ChangedAt, changed)
	}
}

// TestSequenceFollowsSpoke checks that the sequence continues after the bundle that the spoke has seen.
func TestSequenceFollowsSpoke(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.publish()
	epoch := b.Store.Epoch()
	for _, tt := range []struct{ seen, want bundle.ID }{
		{bundle.ID{Epoch: epoch, Sequence: 41}, bundle.ID{Epoch: epoch, Sequence: 42}},
		{bundle.ID{Epoch: epoch + 3, Sequence: 5}, bundle.ID{Epoch: epoch + 3, Sequence: 6}},
		// another one of that number
		{bundle.ID{Epoch: epoch + 3, Sequence: 6, Digest: manifest.Digest{1}}, bundle.ID{Epoch: epoch + 3, Sequence: 7}},
	} {
		b.acked("east", tt.seen)
		b.publish()
		if d, _ := b.signed("east"); d.Bundle.Epoch != tt.want.Epoch || d.Bundle.Sequence != tt.want.Sequence {
			t.Errorf("bundle %v, want %v", d.Bundle, tt.want)
		}
	}
}

// TestRestoredRemovals has a store that is an older copy: its spoke has seen bundles that the store does not have. The
// removals of the copy are in no bundle, because the applications may have come back since.
func TestRestoredRemovals(t *testing.T) {
	removal := bundle.Removal{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "old"},
		Policy: bundle.Delete}
	for name, ahead := range map[string]uint64{"restored": 5, "not_restored": 0} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.plan("east", "one")
			b.publish()
			first, _ := b.signed("east")
			b.update(func(tx *store.Tx) error {
				plan, _, err := store.Plans.Get(tx, "east")
				plan.Removals = []bundle.Removal{removal}
				return errors.Join(err, store.Plans.Put(tx, "east", plan))
			})
			b.dirty["east"] = true
			seen := first.Bundle
			if ahead > 0 {
				seen = bundle.ID{Epoch: seen.Epoch, Sequence: seen.Sequence + ahead}
			}
			b.acked("east", seen)
			b.publish()
			d, _ := b.signed("east")
			if listed := len(d.Removals) == 1; listed != (ahead == 0) || d.Bundle.Sequence != seen.Sequence+1 ||
				listed != (d.Features == "removals") {
				t.Errorf("bundle %v removes %v with features %q", d.Bundle, d.Removals, d.Features)
			}
		})
	}
}

// TestRemovedCluster checks that a removed cluster has no bundle and comes back with a higher sequence.
func TestRemovedCluster(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.publish()
	b.plan("east", "two")
	b.publish()
	d, _ := b.signed("east")
	b.acked("east", d.Bundle)
	b.update(func(tx *store.Tx) error { return store.Plans.Delete(tx, "east") })
	b.dirty["east"] = true
	b.publish()
	if _, ok := b.signed("east"); ok {
		t.Fatal("the bundle is still there")
	}
	b.plan("east", "one")
	b.publish()
	if again, _ := b.signed("east"); !again.Bundle.Newer(d.Bundle) {
		t.Errorf("bundle %v, the spoke has %v", again.Bundle, d.Bundle)
	}
}

// TestPlanTooLarge checks that a plan that no bundle holds stops its own cluster only.
func TestPlanTooLarge(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.plan("west", "one")
	b.publish()
	east, _ := b.signed("east")
	for range 3 { // reported once
		b.update(func(tx *store.Tx) error {
			plan, _, err := store.Plans.Get(tx, "east")
			plan.Applications[0].Revision = strings.Repeat("x", bundle.MaxBundleBytes)
			return errors.Join(err, store.Plans.Put(tx, "east", plan))
		})
		b.dirty["east"], b.whole = true, true
		b.plan("west", "two")
		b.publish()
	}
	if d, _ := b.signed("east"); d.Bundle != east.Bundle {
		t.Errorf("bundle %v, want the last one, %v", d.Bundle, east.Bundle)
	}
	if revision := b.released("east"); revision != "main@sha1:1" {
		t.Errorf("released is a revision of %d bytes, want that of the last bundle", len(revision))
	}
	if d, _ := b.signed("west"); d.Bundle.Sequence != 2 {
		t.Errorf("the other cluster has bundle %v", d.Bundle)
	}
	if len(b.dirty) > 0 || b.whole {
		t.Error("the round is to be tried again")
	}
	if got := b.events("east"); len(got) != 1 || !strings.Contains(got[0], "BundleRefused: ") ||
		!strings.Contains(got[0], "a bundle of 1 applications has 104") {
		t.Errorf("events %q", got)
	}
	if got := b.refusal("east"); !strings.Contains(got, "a bundle of 1 applications has 104") || b.refusal("west") != "" {
		t.Errorf("refusals %q, %q", got, b.refusal("west"))
	}
	b.plan("east", "three")
	b.publish()
	if d, _ := b.signed("east"); d.Bundle.Sequence != 2 || b.refusal("east") != "" {
		t.Errorf("once it fits the bundle is %v, the refusal %q", d.Bundle, b.refusal("east"))
	}
}

// refusal returns why no bundle can be made of the plan of a cluster.
func (b *bench) refusal(cluster string) (message string) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) error {
		r, _, err := store.Refusals.Get(tx, cluster)
		message = r.Message
		return err
	}))
	return message
}

// released returns the revision of the application that was released last.
func (b *bench) released(cluster string) (revision string) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) error {
		r, _, err := store.Releases.Get(tx, cluster)
		for _, e := range r.Applications {
			revision = e.Revision
		}
		return err
	}))
	return revision
}

// events returns the recorded events of a cluster.
func (b *bench) events(cluster string) (texts []string) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) error {
		texts = nil
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Object == (api.Key{Kind: api.ClusterKind, Name: cluster}) {
				texts = append(texts, e.Reason+": "+e.Message)
			}
			return nil
		})
	}))
	return texts
}

// TestManyBundles publishes more bundles than one transaction writes.
func TestManyBundles(t *testing.T) {
	b := newBench(t)
	for i := range maxClusters + 1 {
		b.plan(fmt.Sprintf("c%d", i), "one")
	}
	watcher := b.Store.Watch(t.Context(), store.SignedBundles.Name())
	defer watcher.Close()
	start := time.Now()
	b.publish()
	t.Logf("signed %d bundles in %s", maxClusters+1, time.Since(start))
	if n := len(watcher.Take()); n != maxClusters+1 {
		t.Errorf("%d bundles", n)
	}
}

// TestSweep checks that the sweep does not delete reached blobs.
func TestSweep(t *testing.T) {
	b := newBench(t)
	b.plan("east", "old")
	b.publish()
	b.plan("east", "new") // planned, not published: the old one is still served
	held := store.Release{Applications: []store.Entry{store.EntryOf("all", b.application("held"))}}
	b.update(func(tx *store.Tx) error { return store.Releases.Put(tx, "west", held) })
	garbage, memo, forgotten := b.putBlob("garbage"), b.putBlob("memo"), b.putBlob("forgotten")
	b.update(func(tx *store.Tx) (err error) {
		return putRenders(tx, map[string]store.Render{
			"used":   {Value: naming(memo), UsedAt: b.now.Add(-renderKeep + time.Hour)},
			"unused": {Value: naming(forgotten), UsedAt: b.now.Add(-renderKeep - time.Hour)},
		})
	})
	b.must(b.sweep(t.Context())) // spares what was just put
	b.must(b.sweep(t.Context()))
	for _, tt := range []struct {
		name   string
		digest manifest.Digest
		stays  bool
	}{
		{"an object of a bundle", manifest.DigestOf([]byte("old")), true},
		{"an object of a plan", manifest.DigestOf([]byte("new")), true},
		{"an object of a release that a rollout holds", manifest.DigestOf([]byte("held")), true},
		{"an object of a render in use", memo, true},
		{"an object of a render long unused", forgotten, false},
		{"what nothing names", garbage, false},
	} {
		if stays := b.has(tt.digest); stays != tt.stays {
			t.Errorf("%s stays: %v, want %v", tt.name, stays, tt.stays)
		}
	}
	b.publish()
	b.must(b.sweep(t.Context()))
	if !b.has(manifest.DigestOf([]byte("old"))) {
		t.Error("an object of the history was swept")
	}
	b.forgetHistory("east")
	b.must(b.sweep(t.Context()))
	if b.has(manifest.DigestOf([]byte("old"))) {
		t.Error("an object of a bundle of the past stays")
	}
}

// TestSweepRetains checks that the sweep keeps the capabilities that spokes reported, and the last healthy
// Applications.
func TestSweepRetains(t *testing.T) {
	b := newBench(t)
	b.plan("east", "old")
	b.publish()
	old, capabilities := b.application("old").Digest, b.putBlob("capabilities")
	report := func(healthy manifest.Digest) {
		b.update(func(tx *store.Tx) error {
			return errors.Join(store.Spokes.Put(tx, "east", store.Spoke{Capabilities: capabilities}),
				store.Reports.Put(tx, "east/Kustomization/flux-system/app", store.Report{Healthy: healthy}),
				store.Reports.Put(tx, "east/Kustomization/flux-system/lost",
					store.Report{Healthy: manifest.DigestOf([]byte("of an older hub, which did not keep it"))}))
		})
	}
	report(old)
	b.plan("east", "new")
	b.publish()
	for range 3 {
		b.must(b.sweep(t.Context()))
	}
	if !b.has(old) || !b.has(manifest.DigestOf([]byte("old"))) || !b.has(capabilities) {
		t.Error("what the cluster reported was swept")
	}
	if row, ok := b.repair("east"); ok {
		t.Errorf("asked for %v", row)
	}
	report(b.application("new").Digest)
	b.forgetHistory("east")
	for range 2 {
		b.must(b.sweep(t.Context()))
	}
	if b.has(old) || b.has(manifest.DigestOf([]byte("old"))) || !b.has(manifest.DigestOf([]byte("new"))) {
		t.Error("what was healthy before stays")
	}
	b.must(b.Store.View(t.Context(), func(tx *store.Tx) error {
		_, ok, err := store.Renders.Get(tx, "unused")
		if ok {
			t.Error("a render long unused stays")
		}
		return err
	}))
}

func naming(d manifest.Digest) json.RawMessage {
	return fmt.Appendf(nil, `{"variants":[{"objects":[{"Digest":%q}]}]}`, d)
}

func putRenders(tx *store.Tx, rows map[string]store.Render) error {
	for key, row := range rows {
		if err := store.Renders.Put(tx, key, row); err != nil {
			return err
		}
	}
	return nil
}

// TestRun checks that Run publishes each plan and ends with its context.
func TestRun(t *testing.T) {
	b := newBench(t)
	p := New(Config{Store: b.Store, Signer: b.Signer, TrustDomain: "nave-test", Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	watcher := b.Store.Watch(ctx, store.SignedBundles.Name())
	defer watcher.Close()
	b.plan("east", "one")
	<-watcher.C()
	watcher.Take()
	first, _ := b.signed("east")
	b.acked("east", bundle.ID{Epoch: b.Store.Epoch(), Sequence: 9})
	<-watcher.C()
	if d, _ := b.signed("east"); d.Bundle.Sequence != 10 || first.Bundle.Sequence != 1 {
		t.Errorf("sequences %d and %d", first.Bundle.Sequence, d.Bundle.Sequence)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
