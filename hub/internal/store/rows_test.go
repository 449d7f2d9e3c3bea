package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestEntry holds that an Entry loses nothing that a bundle lists, in memory and on disk.
func TestEntry(t *testing.T) {
	want := bundle.Entry{
		Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "a", Name: "b"}, Digest: manifest.DigestOf(nil),
		Revision: "main", Suspended: true, RequestedAt: "now", ConfirmedPrune: manifest.DigestOf([]byte("c")),
		Parent: bundle.ApplicationName{Kind: "Kustomization", Namespace: "a", Name: "p"}, Features: "hooks",
		Drift: bundle.WarnOfDrift, KeepsObjects: true, ForceRequestedAt: "force", ResetRequestedAt: "reset",
		TestRequestedAt: "test", PinnedRevision: 3,
	}
	for i := range reflect.TypeFor[bundle.Entry]().NumField() {
		if reflect.ValueOf(want).Field(i).IsZero() {
			t.Fatalf("the test has no %s", reflect.TypeFor[bundle.Entry]().Field(i).Name)
		}
	}
	data, err := json.Marshal(EntryOf("all", want))
	if err != nil {
		t.Fatal(err)
	}
	var read Entry
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if got := read.Bundle(); got != want || read.Fleet != "all" {
		t.Errorf("%+v of Fleet %q, want %+v of Fleet all", got, read.Fleet, want)
	}
}

// TestStoredObject holds that an object is read as it was put: what compares objects compares their bytes.
func TestStoredObject(t *testing.T) {
	s := OpenMemory()
	want := api.StoredObject(api.Key{Kind: "GitRepository", Namespace: "a", Name: "b"},
		[]byte(`{"spec":{"ref":{"semver":">=1.0 <2.0"},"url":"https://git/?a&b"}}`))
	var read Resource
	err := s.Update(t.Context(), func(tx *Tx) (err error) {
		if err := Resources.Put(tx, want.Key.Path(), Resource{Key: want.Key, Object: want}); err != nil {
			return err
		}
		read, _, err = Resources.Get(tx, want.Key.Path())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !read.Object.Equal(want) {
		t.Errorf("read %s, want %s", read.Object.JSON, want.JSON)
	}
}
