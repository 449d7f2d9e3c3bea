package api_test

import (
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestFetchKey_GitRepository has GitRepositories that differ in one field. If the artifact, or the permission to fetch
// it, depends on the field, the fetches differ.
func TestFetchKey_GitRepository(t *testing.T) {
	keyOf := func(spec string, bound bool) string {
		t.Helper()
		s, err := admit(t, gitRepository("url: https://x/y\n"+spec), api.Hub).Source()
		if err != nil {
			t.Fatal(err)
		}
		return s.FetchKey(bound)
	}
	seen := map[string]string{}
	for _, spec := range []string{
		"", "ref: {branch: main}", "ignore: x", "sparseCheckout: [a]", "recurseSubmodules: true", "provider: aws",
		"provider: azure", "secretRef: {name: a}", "proxySecretRef: {name: a}", "verify: {secretRef: {name: a}}",
		"ref: {tag: v1}\nverify: {mode: Tag, secretRef: {name: a}}",
		"secretRef: {name: a}\nproxySecretRef: {name: b}", "secretRef: {name: b}\nproxySecretRef: {name: a}",
		"secretRef: {name: a}\nverify: {secretRef: {name: b}}",
		"secretRef: {name: a}\nprovider: github",
	} {
		key := keyOf(spec, false)
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q share a fetch", spec, other)
		}
		seen[key] = spec
	}
	for spec, differs := range map[string]bool{"": false, "provider: aws": true, "proxySecretRef: {name: a}": true} {
		if (keyOf(spec, false) != keyOf(spec, true)) != differs {
			t.Errorf("%q: a source that needs a binding shares the fetch of one that needs none: %t", spec, differs)
		}
	}
	for _, same := range []string{"provider: generic", "recurseSubmodules: false", "timeout: 3m"} {
		if keyOf(same, false) != keyOf("", false) {
			t.Errorf("%q makes another fetch", same)
		}
	}
}
