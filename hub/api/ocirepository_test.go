package api_test

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// ociRepository returns an OCIRepository with some lines of spec.
func ociRepository(spec string) string {
	return "apiVersion: source.toolkit.fluxcd.io/v1beta2\nkind: OCIRepository\nmetadata: {name: fleet, namespace: a}\n" +
		"spec:\n  interval: 1m\n  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")
}

func TestAdmit_OCIRepository(t *testing.T) {
	const url = "url: oci://ghcr.io/org/name\n"
	for name, c := range map[string]struct{ spec, field, wayOut string }{
		"scheme":       {"url: ghcr.io/org/name", "spec.url", "oci://"},
		"https":        {"url: https://ghcr.io/org/name", "spec.url", "oci://"},
		"no_host":      {"url: oci://org/name", "spec.url", "docker.io"},
		"tag_in_url":   {"url: oci://ghcr.io/org/name:v1", "spec.url", "spec.ref"},
		"digest":       {"url: oci://ghcr.io/org/name@sha256:0123", "spec.url", "spec.ref"},
		"upper_case":   {"url: oci://ghcr.io/Org/name", "spec.url", "lower case"},
		"password":     {"url: oci://me:canary@ghcr.io/org/name", "spec.url", "Secret"},
		"no_url":       {"timeout: 1m", "spec.url", "oci://"},
		"unknown":      {url + "reff: {}", "spec.reff", "unknown field"},
		"account":      {url + "serviceAccountName: a", "spec.serviceAccountName", "spec.secretRef"},
		"provider":     {url + "provider: moon", "spec.provider", "azure"},
		"secret":       {url + "secretRef: {}", "spec.secretRef.name", "Required"},
		"certificates": {url + "certSecretRef: {name: a/b}", "spec.certSecretRef.name", "lower case"},
		"notation": {url + "verify: {provider: notation, secretRef: {name: a}}", "spec.verify.provider",
			"notation is not supported: sign the artifacts with cosign sign --key"},
		"verify_provider": {url + "verify: {provider: gpg, secretRef: {name: a}}", "spec.verify.provider", `"cosign"`},
		"keyless": {url + "verify: {matchOIDCIdentity: [{issuer: a, subject: b}]}", "spec.verify.trustedRootSecretRef",
			"cosign trusted-root create"},
		"issuer": {url + "verify: {trustedRootSecretRef: {name: a}, matchOIDCIdentity: [{issuer: '(', subject: b}]}",
			"spec.verify.matchOIDCIdentity[0].issuer", "regular expression"},
		"subject": {url + "verify: {trustedRootSecretRef: {name: a}, matchOIDCIdentity: [{issuer: b}]}",
			"spec.verify.matchOIDCIdentity[0].subject", "regular expression"},
		"verify_name": {url + "verify: {secretRef: {name: a/b}}", "spec.verify.secretRef.name", "lower case"},
		"operation":   {url + "layerSelector: {operation: move}", "spec.layerSelector.operation", "extract"},
		"bad_digest":  {url + "ref: {digest: 'sha256:01'}", "spec.ref.digest", "64"},
		"bad_range":   {url + "ref: {semver: newest}", "spec.ref.semver", "range"},
		"large_issuer": {url + "verify: {trustedRootSecretRef: {name: a}, matchOIDCIdentity: [{issuer: 'a{1000}b{1000}c{1000}', " +
			"subject: b}]}", "spec.verify.matchOIDCIdentity[0].issuer", "regular expression"},
		"many_subjects": {url + "verify: {trustedRootSecretRef: {name: a}, matchOIDCIdentity: [" +
			strings.Repeat("{issuer: a, subject: b},", 101) + "]}", "spec.verify.matchOIDCIdentity", "at most 100"},
		"large_filter": {url + "ref: {semver: 1.x, semverFilter: '" + strings.Repeat(".{1000}", 5) + "'}",
			"spec.ref.semverFilter", "too large"},
		"bad_filter": {url + "ref: {semver: 1.x, semverFilter: '('}", "spec.ref.semverFilter", "regular expression"},
		"bad_tag":    {url + "ref: {tag: 'a b'}", "spec.ref.tag", "128"},
	} {
		t.Run(name, func(t *testing.T) {
			text := ociRepository(c.spec)
			refuse(t, text, api.Hub, "OCIRepository a/fleet", c.field, c.wayOut)
			if _, err := api.Admit(parse(t, text), api.Hub); strings.Contains(err.Error(), "canary") {
				t.Errorf("a password is in the message: %v", err)
			}
		})
	}
}

// TestOCIRepository_view checks the view, and which differences between two sources must lead to two fetches.
func TestOCIRepository_view(t *testing.T) {
	view := func(spec string) *api.Source {
		t.Helper()
		s, err := admit(t, ociRepository(spec), api.Hub).Source()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for address, host := range map[string]string{
		"oci://ghcr.io/org/name": "ghcr.io", "oci://registry:5000/name": "registry:5000",
		"oci://localhost/name": "localhost", "oci://docker.io/library/name": "docker.io",
	} {
		if got, err := api.HostOf(view("url: " + address).URL); err != nil || got != host {
			t.Errorf("%s: got host %s, %v", address, got, err)
		}
	}
	if got, _ := api.HostOf(view("url: oci://ghcr.io/name\ninsecure: true").URL); got != "ghcr.io:80" {
		t.Errorf("over plain HTTP: got host %s", got)
	}
	keys := map[string]string{}
	for _, more := range []string{"", "ref: {tag: a}", "ref: {semver: a}", "insecure: true", "ignore: x",
		"layerSelector: {mediaType: a}", "secretRef: {name: a}", "certSecretRef: {name: a}", "proxySecretRef: {name: a}",
		"provider: aws",
		"verify: {secretRef: {name: a}}", "verify: {trustedRootSecretRef: {name: a}}",
		"verify: {trustedRootSecretRef: {name: a}, matchOIDCIdentity: [{issuer: a, subject: b}]}"} {
		more = strings.Replace(more, "semver: a", "semver: 1.x", 1)
		key := view("url: oci://ghcr.io/name\n" + more).FetchKey(false)
		if other, taken := keys[key]; taken {
			t.Errorf("%q and %q share a fetch", other, more)
		}
		keys[key] = more
	}
	if s := view("url: oci://ghcr.io/name\nsecretRef: {name: a}\nproxySecretRef: {name: b}"); len(s.Secrets) != 2 {
		t.Errorf("got Secrets %v", s.Secrets)
	}
}
