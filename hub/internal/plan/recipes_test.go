package plan

import (
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// connectAll connects the spokes of clusters that know all features.
func connectAll(s *story, clusters ...string) {
	for _, cluster := range clusters {
		s.connect(cluster, "v1.36.0", nil, bundle.Known)
	}
}

// releaseIn returns the digest of the release that a cluster should run, and the release; nil if it runs none.
func releaseIn(s *story, cluster string) (manifest.Digest, *bundle.Release) {
	s.t.Helper()
	for _, e := range s.plan(cluster).Applications {
		app, err := store.ReadApplication(s.t.Context(), s.store.Blobs(), e.Digest)
		s.must(err)
		if app.Release != nil {
			return e.Digest, app.Release
		}
	}
	return manifest.Digest{}, nil
}

// TestRecipes_shared checks that clusters share a render with recipes, and that a spoke that does not know recipes gets
// everything else until it is upgraded.
func TestRecipes_shared(t *testing.T) {
	s := releasesOf(t, 3, "password: '{{ randAlphaNum 9 }}'")
	connectAll(s, "c0001", "c0002")
	s.round()
	s.play([]string{"renders", "2"}) // with that of the root
	if _, old := releaseIn(s, "c0000"); old != nil {
		t.Error("a spoke that does not know recipes gets them")
	}
	first, release := releaseIn(s, "c0001")
	second, _ := releaseIn(s, "c0002")
	if release == nil || len(release.Recipes) != 1 || first != second {
		t.Fatalf("%v and %v, want equal releases with a recipe", release, second)
	}
	connectAll(s, "c0000")
	s.round()
	if third, _ := releaseIn(s, "c0000"); third != first {
		t.Error("the upgraded spoke does not get the release")
	}
}

// TestRecipes_looked_into checks that no two clusters share a value that the hub generates, and that each keeps its
// own.
func TestRecipes_looked_into(t *testing.T) {
	s := releasesOf(t, 2, "sum: '{{ $p := randAlphaNum 9 }}{{ $p | sha256sum }}'")
	connectAll(s, "c0000", "c0001")
	s.round()
	s.play([]string{"renders", "3"})
	first, release := releaseIn(s, "c0000")
	second, _ := releaseIn(s, "c0001")
	if release == nil || len(release.Recipes) != 0 || len(release.Generated) != 1 || first == second {
		t.Errorf("%v, want other releases with a generated field", release)
	}
	s.connect("c0000", "v1.37.0", nil, bundle.Known) // a fact that the chart does not ask for
	s.round()
	s.play([]string{"renders", "0"})
	if again, _ := releaseIn(s, "c0000"); again != first {
		t.Error("the value is another one in the next plan")
	}
}
