package kube

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestNoMatch reads the hint about a kind that the cluster does not serve.
func TestNoMatch(t *testing.T) {
	for _, c := range []struct{ group, version, want string }{
		{"apps", "v1beta1", "kubectl api-resources"}, {"policy", "v1beta1", "kubectl api-resources"},
		{"networking.k8s.io", "v1beta1", "kubectl api-resources"},
		{"example.com", "v1", "is its CustomResourceDefinition installed?"},
	} {
		err := noMatch(schema.GroupVersionKind{Group: c.group, Version: c.version, Kind: "Thing"})
		if !strings.Contains(err.Message, c.want) || !strings.Contains(err.Message, "Thing in "+c.group+"/"+c.version) {
			t.Errorf("%s: %s", c.group, err.Message)
		}
	}
}
