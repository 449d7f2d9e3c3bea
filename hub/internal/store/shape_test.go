package store

import (
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestShapes forgets the answers that nobody asks for: those of a cluster at once, those of all later.
func TestShapes(t *testing.T) {
	s := OpenMemory(Twice)
	defer s.Close()
	reader := bundle.ApplicationName{Kind: "HelmRelease", Namespace: "shop", Name: "web"}
	live := bundle.ShapeQuestion{Reader: reader, Kind: "Secret", Name: "a", Key: "values.yaml", Form: bundle.ShapeYAML}
	given := live
	given.Giver, given.Object = reader, manifest.DigestOf([]byte("object"))
	now := time.Now()
	row := Shape{Shape: []byte(`{}`), AnsweredAt: now}
	update := func(fn func(tx *Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	known := func(cluster string, q bundle.ShapeQuestion) (known bool) {
		t.Helper()
		if err := s.View(t.Context(), func(tx *Tx) (err error) {
			_, known, err = ShapeOf(tx, cluster, q)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return known
	}
	for _, q := range []bundle.ShapeQuestion{live, given} {
		update(func(tx *Tx) error { return PutShape(tx, "east", q, row) })
	}
	if !known("east", live) || !known("east", given) || known("west", live) || !known("west", given) {
		t.Fatal("another cluster has the answer about an object of one, or none about what Git gives")
	}
	asked := map[string]bool{live.ID().String(): true}
	update(func(tx *Tx) error { return ForgetShapes(tx, "east", asked, now) })
	update(func(tx *Tx) error { return ForgetShapes(tx, "", nil, now.Add(-time.Hour)) })
	if !known("east", live) || !known("west", given) {
		t.Error("an answer that is asked for, or that is new, is forgotten")
	}
	update(func(tx *Tx) error { return ForgetShapes(tx, "east", nil, now) })
	update(func(tx *Tx) error { return ForgetShapes(tx, "", asked, now.Add(time.Hour)) })
	if known("east", live) || known("west", given) {
		t.Error("an answer that nobody asks for stays")
	}
}
