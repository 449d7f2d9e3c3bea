package api_test

import (
	"fmt"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestSpoke admits images that are the same on every node, and numbers and shares of clusters.
func TestSpoke(t *testing.T) {
	for spec, want := range map[string]string{
		"{image: r/s:v1}":                        "",
		"{image: r/s:v1, maxConcurrent: 2}":      "",
		"{image: r/s:v1, maxConcurrent: 25%}":    "",
		"{image: r/s:latest}":                    "spec.spoke.image",
		"{image: r/s}":                           "spec.spoke.image",
		"{maxConcurrent: 2}":                     "spec.spoke.maxConcurrent",
		"{image: r/s:v1, maxConcurrent: 0}":      "spec.spoke.maxConcurrent",
		"{image: r/s:v1, maxConcurrent: 101%}":   "spec.spoke.maxConcurrent",
		"{image: r/s:v1, maxConcurrent: '2'}":    "spec.spoke.maxConcurrent",
		"{image: r/s:v1, maxConcurrent: two}":    "spec.spoke.maxConcurrent",
		"{image: r/s:v1, tag: v2}":               "spec.spoke.tag",
		"{image: [r/s:v1], maxConcurrent: true}": "spec.spoke",
	} {
		for _, text := range []string{
			"{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}, spec: {spoke: %s}}",
			`{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {clusterSelector: {}, spoke: %s,
  template: {spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: a}}}}}`,
		} {
			if text = fmt.Sprintf(text, spec); want == "" {
				admit(t, text, api.Hub)
			} else {
				refuse(t, text, api.Hub, want)
			}
		}
	}
}

// TestSpoke_concurrent rounds shares down, and upgrades at least one spoke at a time.
func TestSpoke_concurrent(t *testing.T) {
	for spec, want := range map[string]int{"{image: r/s:v1}": 1, "{image: r/s:v1, maxConcurrent: 3}": 3,
		"{image: r/s:v1, maxConcurrent: 25%}": 2, "{image: r/s:v1, maxConcurrent: 1%}": 1} {
		c, err := admit(t, "{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}, spec: {spoke: "+spec+
			"}}", api.Hub).Cluster()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Spec.Spoke.Concurrent(11); got != want {
			t.Errorf("%s: %d of 11, want %d", spec, got, want)
		}
	}
}
