package stages

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

const manyClusters = 10_000

// BenchmarkDecide decides about a rollout over 10,000 clusters of which one has news. It logs how long the beginning
// takes, which writes all turns, and the first decision after it.
func BenchmarkDecide(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "hub.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Update(b.Context(), fillFleet); err != nil {
		b.Fatal(err)
	}
	l := New(Config{Store: s, Log: slog.New(slog.DiscardHandler)})
	timed := func(what string, do func() error) {
		started := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		b.Logf("%s: %s", what, time.Since(started).Round(time.Millisecond))
	}
	decide := func() error { return l.decideAll(b.Context()) }
	watcher := s.Watch(b.Context(), store.Turns.Name())
	timed("load", func() error { return l.load(b.Context()) })
	timed("begin", decide)
	timed("note the turns", func() error { return l.note(b.Context(), watcher.Take()) })
	timed("decide", decide)
	for b.Loop() {
		l.stale[largeName(1)] = true
		if err := decide(); err != nil {
			b.Fatal(err)
		}
	}
}

func largeName(i int) string { return fmt.Sprintf("c%05d", i) }

// fillFleet writes a Fleet with a rollout, its clusters, of which every tenth is a canary, and their plans.
func fillFleet(tx *store.Tx) error {
	put := func(kind, name, fields string) error {
		key := api.Key{Kind: kind, Name: name}
		json := fmt.Appendf(nil, `{"apiVersion":"fleet.nave.io/v1alpha1","kind":%q,%s}`, kind, fields)
		return store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Object: api.StoredObject(key, json)})
	}
	err := put(api.FleetKind, "all", fmt.Sprintf(canaryFirst, "Pause"))
	content := store.Content{Name: app, Fleet: "all", Digest: digestOf("one"), Revision: "one"}
	plan := store.Plan{Applications: []store.Entry{{Content: content}}}
	for i := range manyClusters {
		ring := "prod"
		if i%10 == 0 {
			ring = "canary"
		}
		name := largeName(i)
		metadata := fmt.Sprintf(`"metadata":{"name":%q,"labels":{"ring":%q}}`, name, ring)
		err = errors.Join(err, put(api.ClusterKind, name, metadata),
			store.Plans.Put(tx, name, plan),
			store.Spokes.Put(tx, name, store.Spoke{Connected: true, RegisteredAt: time.Now()}))
	}
	return err
}
