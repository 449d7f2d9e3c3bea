package kustomize

import (
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func TestObjectOfManyValues(t *testing.T) {
	for name, tt := range map[string]struct {
		values  int
		refused bool
	}{
		"all_that_fit": {bundle.MaxObjectValues - 20, false},
		"too_many":     {bundle.MaxObjectValues, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, "a.yaml", []byte("apiVersion: example.com/v1\nkind: X\nmetadata: {name: a, namespace: a}\nspec:\n  "+
				"l: ["+
				strings.TrimSuffix(strings.Repeat("{},", tt.values), ",")+"]\n"))
			_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
			if !tt.refused {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var large *bundle.TooLargeError
			if !errors.Is(err, render.ErrLarge) || !errors.As(err, &large) || large.Unit != "values" {
				t.Fatalf("error %v", err)
			}
		})
	}
}

// TestObjectSize checks that an object that is too large for an API server is refused, and that the error names it.
func TestObjectSize(t *testing.T) {
	const around = 300 // more than all else in the object
	for name, tt := range map[string]struct {
		text    string
		refused bool
	}{
		"just_below":             {strings.Repeat("x", bundle.MaxObjectBytes-around), false},
		"above":                  {strings.Repeat("x", bundle.MaxObjectBytes), true},
		"above_when_written_out": {strings.Repeat("\\x01", bundle.MaxObjectBytes/6), true},
		"not_above_though_close": {strings.Repeat("\\x01", bundle.MaxObjectBytes/6-around), false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, "small.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small, namespace: a}\n"))
			plant(t, root, "large.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large, namespace: "+
				"a}\ndata: {x: \""+tt.text+"\"}\n"))
			result, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
			if tt.refused {
				var large *bundle.TooLargeError
				if !errors.Is(err, render.ErrLarge) || !errors.As(err, &large) ||
					!strings.Contains(err.Error(), "ConfigMap a/large") {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range result.Objects {
				if data, err := manifest.Canonical(o); err != nil || len(data) > bundle.MaxObjectBytes {
					t.Errorf("%s has %d bytes, %v", manifest.IDOf(o), len(data), err)
				}
			}
		})
	}
}
