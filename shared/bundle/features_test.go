package bundle

import (
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

func TestFeatures(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Bundle)
		want   FeatureSet
	}{
		"plain":      {func(*Bundle) {}, ""},
		"pending":    {func(b *Bundle) { b.Pending = []ApplicationName{{}} }, "pending"},
		"incomplete": {func(b *Bundle) { b.Incomplete = true }, "pending"},
		"removals":   {func(b *Bundle) { b.Removals = []Removal{{}} }, "removals"},
		"drift":      {func(b *Bundle) { b.Applications[0].Drift = WarnOfDrift }, "drift-modes"},
		"handovers":  {func(b *Bundle) { b.Handovers = []Handover{{Object: manifest.ID{Kind: "ConfigMap"}}} }, "handovers"},
		"takeovers": {func(b *Bundle) {
			b.Handovers = []Handover{{Object: manifest.ID{Group: "x", Kind: "HelmRelease", Namespace: "a", Name: "b"},
				To: ApplicationName{Kind: "HelmRelease", Namespace: "a", Name: "b"}}}
		}, "handovers,takeovers"},
		"parent": {func(b *Bundle) { b.Applications[1].Parent.Name = "root" }, "parents"},
		"prune":  {func(b *Bundle) { b.Applications[0].ConfirmedPrune[0] = 1 }, "confirmed-prune"},
		"of_applications": {func(b *Bundle) {
			b.Applications[0].Features, b.Applications[1].Features = "hooks,lifecycle", "hooks"
		}, "hooks,lifecycle"},
		"several": {func(b *Bundle) {
			b.Applications[0].Features, b.Incomplete, b.Removals = "hooks", true, []Removal{{}}
		}, "hooks,pending,removals"},
	} {
		b := &Bundle{Applications: make([]Entry, 2)}
		c.change(b)
		if got := b.Features(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestKeyServiceFeature requires the feature key-service of an application that has no keys of its own.
func TestKeyServiceFeature(t *testing.T) {
	for want, keys := range map[FeatureSet]SecretReference{
		"key-service": {Namespace: "flux-system"}, "": {Namespace: "flux-system", Name: "sops-age"},
	} {
		a := &Application{Decryption: keys}
		if got := a.Features(); got != want || got.Without(Known) != "" {
			t.Errorf("%v: %q, want %q", keys, got, want)
		}
	}
}

func TestFeatureSets(t *testing.T) {
	for _, c := range []struct{ set, other, want FeatureSet }{
		{"", "", ""}, {"a", "", "a"}, {"", "a", ""}, {"a,b,c", "b", "a,c"}, {"a,b", "a,b", ""}, {"ab", "a,b", "ab"},
	} {
		if got := c.set.Without(c.other); got != c.want {
			t.Errorf("%q without %q: %q, want %q", c.set, c.other, got, c.want)
		}
	}
	if got, err := ReadFeatures([]string{"b", "a", "b"}); got != "a,b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, names := range [][]string{{"A"}, {"a b"}, {"a,"}, {"\x1b"}, {strings.Repeat("a", maxFeature+1)},
		slices.Repeat([]string{"a"}, maxFeatures+1)} {
		if _, err := ReadFeatures(names); err == nil {
			t.Errorf("%.80q is taken for features", names)
		}
	}
	if got := Baseline.Without(Known); got != "" {
		t.Errorf("this program does not know %s, which every spoke knows", got)
	}
}

// TestEntryFeatures requires that features travel with the entry.
func TestEntryFeatures(t *testing.T) {
	b := example()
	b.Applications[0].Features = setOf([]string{"lifecycle", "hooks"})
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBundle(data)
	if err != nil ||
		again.Features().Without(Baseline) !=
			"drift-modes,handovers,helm-release,hooks,kept-objects,lifecycle,pinned-releases" {
		t.Errorf("%v, %v", again, err)
	}
	b.Applications[0].Features = "No Name"
	if _, err := b.Encode(); err == nil {
		t.Error("a feature without a proper name is encoded")
	}
}

// TestApplicationFeatures requires the feature sealed-files of an application that a spoke without it cannot open.
func TestApplicationFeatures(t *testing.T) {
	for name, c := range map[string]struct {
		file SealedFile
		want FeatureSet
	}{
		"values": {SealedFile{Format: YAML, Values: []SealedValue{{Path: []string{"a"}}}}, ""},
		"format": {SealedFile{Format: JSON}, "sealed-files"},
		"parts":  {SealedFile{Format: YAML, Parts: true}, "sealed-files"},
		"whole":  {SealedFile{Format: YAML, Values: []SealedValue{{Text: YAML}}}, "sealed-files"},
	} {
		a := &Application{SealedFiles: []SealedFile{c.file}}
		if got := a.Features(); got != c.want || got.Without(Known) != "" {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
