package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestEntry holds that an Entry loses nothing that a bundle lists, in memory and on disk.
func TestEntry(t *testing.T) {
	want := bundle.Entry{
		Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "a", Name: "b"}, Digest: manifest.DigestOf(nil),
		Revision: "main", Suspended: true, RequestedAt: "now", ConfirmedPrune: manifest.DigestOf([]byte("c")),
		Parent: bundle.ApplicationName{Kind: "Kustomization", Namespace: "a", Name: "p"}, Features: "hooks",
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
