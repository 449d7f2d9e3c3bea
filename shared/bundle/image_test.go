package bundle

import (
	"strings"
	"testing"
)

const imageDigest = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"

// TestCheckImage accepts images that are the same on every node, and no others.
func TestCheckImage(t *testing.T) {
	for image, valid := range map[string]bool{
		"ghcr.io/navefleet/nave-spoke:v1.2.0":                true,
		"ghcr.io/navefleet/nave-spoke@" + imageDigest:        true,
		"ghcr.io/navefleet/nave-spoke:latest@" + imageDigest: true,
		"registry.example.com:5000/nave-spoke:v1":            true,
		"nave-spoke:v1": true,
		"r/" + strings.Repeat("s", MaxImageBytes-4) + ":1":        true,
		"r/" + strings.Repeat("s", MaxImageBytes-3) + ":1":        false,
		"ghcr.io/navefleet/nave-spoke":                            false,
		"registry.example.com:5000/nave-spoke":                    false,
		"ghcr.io/navefleet/nave-spoke:latest":                     false,
		"ghcr.io/navefleet/nave-spoke@sha256:4f53":                false,
		"ghcr.io/Navefleet/nave-spoke:v1":                         false,
		"Nave-spoke:v1":                                           false,
		"https://ghcr.io/navefleet/nave-spoke:v1":                 false,
		"ghcr.io/navefleet/nave-spoke:v1 --privileged":            false,
		"ghcr.io/navefleet/nave-spoke:v1\n":                       false,
		"${registry}/nave-spoke:v1":                               false,
		"ghcr.io/navefleet/nave-spoke:v1@" + imageDigest + "\x1b": false,
		"": false,
	} {
		if err := CheckImage(image); (err == nil) != valid {
			t.Errorf("%q: %v", image, err)
		}
	}
}

// TestIsImage compares what a spoke reports with what is wanted.
func TestIsImage(t *testing.T) {
	other := strings.Replace(imageDigest, "4", "5", 1)
	for name, c := range map[string]struct {
		runs, wanted string
		want         bool
	}{
		"tag":           {"r/s:v1@" + imageDigest, "r/s:v1", true},
		"tag_alone":     {"r/s:v1", "r/s:v1", true},
		"other_tag":     {"r/s:v1@" + imageDigest, "r/s:v2", false},
		"digest":        {"r/s:v1@" + imageDigest, "r/s@" + imageDigest, true},
		"mirror":        {"mirror/s@" + imageDigest, "r/s@" + imageDigest, true},
		"other_digest":  {"r/s:v1@" + other, "r/s:v1@" + imageDigest, false},
		"no_digest_yet": {"r/s:v1", "r/s:v1@" + imageDigest, false},
		"nothing":       {"", "r/s:v1", false},
		"other_mirror":  {"mirror/s:v1", "r/s:v1", false},
	} {
		if got := IsImage(c.runs, c.wanted); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestSpokeImage requires that an image travels in a bundle, with a feature of its own.
func TestSpokeImage(t *testing.T) {
	b := example()
	without := b.Features()
	b.SpokeImage = "r/s:v1"
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBundle(data)
	if err != nil || again.SpokeImage != "r/s:v1" || again.Features().Without(without) != SpokeImages {
		t.Errorf("%v, %v", again, err)
	}
	b.SpokeImage = "r/s:latest"
	if _, err := b.Encode(); err == nil || !strings.Contains(err.Error(), "spoke image") {
		t.Errorf("an image without a version is encoded: %v", err)
	}
}
