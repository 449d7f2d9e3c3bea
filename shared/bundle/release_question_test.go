package bundle

import (
	"testing"

	"github.com/navefleet/nave/shared/sealed"
)

// TestReleaseAnswer reads the answer about a release as it is written, and refuses others.
func TestReleaseAnswer(t *testing.T) {
	shape, err := sealed.ReadShape(ReleaseAnswer(12, "deployed"))
	if err != nil {
		t.Fatal(err)
	}
	if n, status, err := ReadReleaseAnswer(shape); n != 12 || status != "deployed" || err != nil {
		t.Error(n, status, err)
	}
	if n, _, err := ReadReleaseAnswer(ReleaseAnswer(0, "")); n != 0 || err != nil {
		t.Error(n, err)
	}
	for _, text := range []string{`{"revision":"=0","status":"=\"a\""}`, `{"revision":"int","status":"str"}`,
		`{"revision":"=1"}`, `{"revision":"=-1","status":"=\"a\""}`, `{"revision":"=\"x\"","status":"=\"a\""}`, `"=1"`,
		`["=1"]`} {
		if shape, err := sealed.ReadShape([]byte(text)); err == nil {
			if n, _, err := ReadReleaseAnswer(shape); err == nil {
				t.Errorf("%s is read as revision %d", text, n)
			}
		} else {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestReleaseQuestion travels in bundles for spokes that know it, and is no source of values.
func TestReleaseQuestion(t *testing.T) {
	q := ReleaseQuestion(ApplicationName{"HelmRelease", "shop", "web"}, "team", "web", "shop")
	b := example()
	b.Questions = []ShapeQuestion{q}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBundle(data)
	if err != nil || again.Questions[0].ID() != q.ID() || ReleaseQuestions.Without(again.Features()) != "" {
		t.Error(again, err)
	}
	a := exampleApplication()
	a.ValueSources = []ValueSource{{Question: q}}
	if _, err := a.Encode(); err == nil {
		t.Error("a release is taken for a source of values")
	}
}
