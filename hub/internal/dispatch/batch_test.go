package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

func id(sequence uint64) bundle.ID {
	return bundle.ID{Epoch: 1, Sequence: sequence, Digest: manifest.DigestOf([]byte{byte(sequence)})}
}

func TestBatchRetries(t *testing.T) {
	broken := store.OpenMemory(store.Twice)
	must(t, broken.Close())
	b := newBatch(broken, slog.New(slog.DiscardHandler), time.Now)
	b.hello("a", &spokev1.Hello{Version: "v1"}, id(1))
	b.ack("a", bundle.Received, id(2))
	b.event(store.Event{Time: time.Now(), Object: api.ClusterKey("a"), Reason: "Test"})
	p := &pendingReport{cluster: "a", report: &checkedReport{}, done: make(chan error, 1)}
	b.reports = append(b.reports, p)
	if err := b.flush(t.Context()); err == nil {
		t.Fatal("a closed store took the batch")
	}
	wantCode(t, <-p.done, codes.Unavailable)
	b.ack("a", bundle.Received, id(3))
	b.ack("a", bundle.Applied, id(2))

	b.store = store.OpenMemory(store.Twice)
	registered(t, b.store, "a")
	must(t, b.flush(t.Context()))
	must(t, b.store.View(t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, "a")
		if row.Version != "v1" || !row.Connected || row.Acks[bundle.Received] != id(3) || row.Acks[bundle.Applied] != id(2) {
			t.Errorf("row is %+v", row)
		}
		events := 0
		must(t, store.Events.Scan(tx, "", func(string, store.Event) error { events++; return nil }))
		if events != 1 {
			t.Errorf("%d events", events)
		}
		return err
	}))
	if !b.empty() {
		t.Fatal("something is left")
	}
}

func TestDeltaMerge(t *testing.T) {
	type step func(d *spokeDelta)
	steps := map[string]step{
		"hello_1":  func(d *spokeDelta) { d.hello(&spokev1.Hello{Stage: 2}, id(1), time.Now()) },
		"hello_0":  func(d *spokeDelta) { d.hello(&spokev1.Hello{}, bundle.ID{}, time.Now()) },
		"received": func(d *spokeDelta) { d.ack(bundle.Received, id(2)) },
		"healthy":  func(d *spokeDelta) { d.ack(bundle.Healthy, id(2)) },
		"late_ack": func(d *spokeDelta) { d.ack(bundle.Received, id(1)) },
		"goodbye":  func(d *spokeDelta) { d.disconnect(time.Now(), time.Time{}) },
		"rejected": func(d *spokeDelta) { why := "why"; d.rejected = &why },
	}
	show := func(row store.Spoke) string {
		row.Since = time.Time{}
		return fmt.Sprintf("%+v", row)
	}
	for first, one := range steps {
		for second, two := range steps {
			start := store.Spoke{Acks: map[bundle.Stage]bundle.ID{bundle.Received: id(1)}}
			oneByOne, merged := start, start
			var d1, d2, both spokeDelta
			one(&d1)
			two(&d2)
			d1.apply(&oneByOne)
			d2.apply(&oneByOne)
			one(&both)
			both.merge(&d2)
			both.apply(&merged)
			if first == "received" && second == "late_ack" {
				continue // a session's acks only grow; the delta trusts that
			}
			if second == "hello_0" || second == "hello_1" {
				oneByOne.Rejected, merged.Rejected = "", "" // a hello says nothing about rejections of before
			}
			if show(oneByOne) != show(merged) {
				t.Errorf("%s, %s:\n%s\n%s", first, second, show(oneByOne), show(merged))
			}
		}
	}
}

func TestBatchBound(t *testing.T) {
	b := newBatch(store.OpenMemory(store.Twice), slog.New(slog.DiscardHandler), time.Now)
	for range 3 {
		b.reports = append(b.reports, &pendingReport{report: &checkedReport{size: maxBatchBytes / 2},
			done: make(chan error, 1)})
	}
	if l := b.pick(); len(l.reports) != 2 || b.empty() {
		t.Fatalf("picked %d", len(l.reports))
	}
	if l := b.pick(); len(l.reports) != 1 || !b.empty() {
		t.Fatalf("picked %d", len(l.reports))
	}
}

func TestBatchLast(t *testing.T) {
	s := store.OpenMemory(store.Twice)
	registered(t, s, "a")
	b := newBatch(s, slog.New(slog.DiscardHandler), time.Now)
	b.ack("a", bundle.Applied, id(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, b.run(ctx))
	must(t, s.View(t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, "a")
		if row.Acks[bundle.Applied] != id(1) {
			t.Errorf("row is %+v", row)
		}
		return err
	}))
}

func TestCommitToLive(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	live := func(row store.SignedBundle) {
		t.Helper()
		c.offer()
		c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_APPLIED, "")
		c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_APPLIED, "")
		c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_HEALTHY, "")
		r.awaitSpoke("a", "healthy", func(s store.Spoke) bool { return s.Acks[bundle.Healthy] == row.Bundle })
	}
	first := r.desire("a", 1)
	live(first)
	again := r.sign("a", 2) // signed anew for its time to live: the change is the same
	again.ChangedAt = first.ChangedAt
	r.update(func(tx *store.Tx) error { return store.SignedBundles.Put(tx, "a", again) })
	live(again)
	live(r.desire("a", 3))
	families, err := r.metrics.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "nave_commit_to_live_seconds" {
			if n := f.Metric[0].Histogram.GetSampleCount(); n != 2 {
				t.Fatalf("%d samples", n)
			}
			return
		}
	}
	t.Fatal("no histogram")
}

func TestConnectedMetric(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "b"} {
		r.cluster(name, false)
		r.open(r.dial(identity.Cluster, name), bundle.ID{}, 0)
	}
	problems, err := testutil.GatherAndLint(r.metrics)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	if n := len(r.server.sessions.all()); n != 2 {
		t.Fatalf("%d", n)
	}
}

// TestBatchNamesBlobs: only capabilities are blobs that the store may not have written yet.
func TestBatchNamesBlobs(t *testing.T) {
	acked := &spokeDelta{}
	acked.ack(bundle.Applied, bundle.ID{Epoch: 1, Sequence: 1, Digest: manifest.DigestOf(nil)})
	l := load{spokes: map[string]*spokeDelta{"a": acked}, reports: []*pendingReport{{cluster: "a"}}}
	if l.namesBlobs() {
		t.Error("acks and reports wait for room for blobs")
	}
	l.spokes["b"] = &spokeDelta{capabilities: manifest.DigestOf(nil)}
	if !l.namesBlobs() {
		t.Error("capabilities are written without their blob")
	}
}
