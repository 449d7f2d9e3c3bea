package bundle

import (
	"slices"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// TestNewGeneratedFields compares the digests of an object that was rendered twice.
func TestNewGeneratedFields(t *testing.T) {
	rendered := func(password, other string) *manifest.Object {
		return &manifest.Object{Object: map[string]any{"kind": "Secret", "data": map[string]any{"a/b": password},
			"list": []any{map[string]any{"x": password}, other}}}
	}
	fields := []string{"/data/a~1b", "/list/0/x", "/list/7", "/absent/deep", "/list/0/x/deeper"}
	digest := func(password, other string) manifest.Digest {
		o := rendered(password, other)
		g, err := NewGeneratedFields(o, ObjectIdentity{}, false, fields)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Object["data"].(map[string]any)["a/b"]; got != password {
			t.Error("the object is changed:", got)
		}
		return g.Digest
	}
	if digest("one", "same") != digest("two", "same") {
		t.Error("generated fields change the digest")
	}
	if digest("one", "same") == digest("one", "different") {
		t.Error("other fields do not change the digest")
	}
	g := GeneratedFields{Fields: fields[:1]}
	if got := g.Paths(); !slices.Equal(got[0], []string{"data", "a/b"}) {
		t.Error(got)
	}
}
