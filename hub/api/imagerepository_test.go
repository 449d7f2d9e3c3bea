package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// imageRepository returns an ImageRepository with some lines of spec, and an interval of three minutes unless they have
// one.
func imageRepository(spec string) string {
	if !strings.Contains(spec, "interval:") {
		spec = "interval: 3m\n" + spec
	}
	return "apiVersion: image.toolkit.fluxcd.io/v1beta2\nkind: ImageRepository\nmetadata: {name: app, namespace: a}\n" +
		"spec:\n  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")
}

func TestAdmit_ImageRepository(t *testing.T) {
	const image = "image: ghcr.io/org/name\n"
	for name, c := range map[string]struct{ spec, field, wayOut string }{
		"no_image":     {"timeout: 1m", "spec.image", "ghcr.io/org/name"},
		"empty":        {"image: ''", "spec.image", "ghcr.io/org/name"},
		"scheme":       {"image: oci://ghcr.io/org/name", "spec.image", "no scheme"},
		"tag":          {"image: ghcr.io/org/name:v1", "spec.image", "an ImagePolicy chooses"},
		"digest":       {"image: ghcr.io/org/name@sha256:" + strings.Repeat("0", 64), "spec.image", "an ImagePolicy chooses"},
		"upper_case":   {"image: ghcr.io/Org/name", "spec.image", "lower case"},
		"password":     {"image: me:canary@ghcr.io/org/name", "spec.image", "not the name of an image"},
		"unknown":      {image + "exclusionlist: []", "spec.exclusionlist", "exclusionList"},
		"account":      {image + "serviceAccountName: a", "spec.serviceAccountName", "spec.secretRef"},
		"provider":     {image + "provider: moon", "spec.provider", "azure"},
		"secret":       {image + "secretRef: {}", "spec.secretRef.name", "Required"},
		"certificates": {image + "certSecretRef: {name: a/b}", "spec.certSecretRef.name", "lower case"},
		"exclusion":    {image + "exclusionList: ['(']", "spec.exclusionList[0]", "regular expression"},
		"large":        {image + "exclusionList: [a, '" + strings.Repeat(".{1000}", 5) + "']", "spec.exclusionList[1]", "too large"},
		"many":         {image + "exclusionList: [" + strings.Repeat("a,", 26) + "]", "spec.exclusionList", "at most 25"},
		"labels": {image + "accessFrom: {namespaceSelectors: [{matchLabels: {'a b': c}}]}", "spec.accessFrom.namespaceSelectors[0]",
			"a b"},
		"interval": {image + "interval: never", "spec.interval", "duration"},
	} {
		t.Run(name, func(t *testing.T) {
			text := imageRepository(c.spec)
			refuse(t, text, api.Hub, "ImageRepository a/app", c.field, c.wayOut)
			if _, err := api.Admit(parse(t, text), api.Hub); strings.Contains(err.Error(), "canary") {
				t.Errorf("a password is in the message: %v", err)
			}
		})
	}
	for _, spec := range []string{"image: nginx", "image: docker.io/library/nginx", "image: registry:5000/a/b/c",
		image + "exclusionList: []", image + "accessFrom: {namespaceSelectors: [{matchLabels: {}}, {matchLabels: {a: b}}]}",
		image + "provider: aws\ninsecure: true\nsuspend: true\nproxySecretRef: {name: p}"} {
		admit(t, imageRepository(spec), api.ClusterGraph)
	}
}

// TestImageRepository_view checks the view, and which differences between two must lead to two scans.
func TestImageRepository_view(t *testing.T) {
	view := func(spec string) *api.Source {
		t.Helper()
		s, err := admit(t, imageRepository(spec), api.Hub).Source()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for image, url := range map[string]string{
		"nginx": "oci://docker.io/library/nginx", "docker.io/org/app": "oci://docker.io/org/app",
		"registry:5000/app": "oci://registry:5000/app", "ghcr.io/org/app": "oci://ghcr.io/org/app",
		"ghcr.io/org/app\ninsecure: true": "http://ghcr.io/org/app",
	} {
		if got := view("image: " + image).URL; got != url {
			t.Errorf("%s: got %s, want %s", image, got, url)
		}
	}
	const base = "image: ghcr.io/org/app\n"
	plain := view(base)
	if plain.Timeout != 3*time.Minute || view(base+"timeout: 9s").Timeout != 9*time.Second {
		t.Errorf("got the timeout %s", plain.Timeout)
	}
	if cloud := view(base + "provider: gcp"); cloud.Provider != api.RegistryPlugin || plain.Provider != "" ||
		view(base+"provider: gcp\nsecretRef: {name: a}").Provider != "" {
		t.Errorf("got the provider %q", cloud.Provider)
	}
	same := []string{base, base + "interval: 1h", base + "timeout: 5s", base + "suspend: true",
		base + "exclusionList: []", base + "accessFrom: {namespaceSelectors: [{matchLabels: {a: b}}]}"}
	for _, spec := range same {
		if view(spec).FetchKey(true) != plain.FetchKey(true) {
			t.Errorf("two scans for one list: %s", spec)
		}
	}
	all := []string{plain.FetchKey(true)}
	for _, spec := range []string{"image: ghcr.io/org/other", "image: nginx", "image: docker.io/library/nginx",
		base + "exclusionList: [a]", base + "insecure: true",
		base + "provider: aws", base + "secretRef: {name: a}", base + "certSecretRef: {name: a}",
		base + "proxySecretRef: {name: a}"} {
		all = append(all, view(spec).FetchKey(true))
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("%d of %d differ", n, len(all))
	}
}
