package api_test

import (
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// helmRepository returns a HelmRepository.
func helmRepository(spec string) string {
	return "{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmRepository, metadata: {name: charts, namespace: apps}, " +
		"spec: {" + spec + "}}"
}

func TestHelmRepository(t *testing.T) {
	s := sourceView(t, helmRepository("url: 'https://charts.example.com/stable', secretRef: {name: a}, certSecretRef: "+
		"{name: b}, timeout: 5s"))
	if s.URL != "https://charts.example.com/stable" || len(s.Secrets) != 2 || s.Interval != time.Minute ||
		s.Timeout != 5*time.Second || s.Upstream {
		t.Errorf("got %+v", s)
	}
	s = sourceView(t, helmRepository("type: oci, url: 'oci://registry.example.com', insecure: true, provider: aws"))
	if s.URL != "http://registry.example.com" || s.Provider != api.RegistryPlugin || s.Interval != time.Hour {
		t.Errorf("got %+v", s)
	}
	for name, c := range map[string]struct {
		spec  string
		words []string
	}{
		"no_url":        {"interval: 1m", []string{"spec.url", "Required"}},
		"ftp":           {"url: 'ftp://charts.example.com'", []string{"spec.url", "https://"}},
		"no_host":       {"url: 'https:///charts'", []string{"spec.url", "host"}},
		"password":      {"url: 'https://me:it@charts.example.com'", []string{"spec.url", "spec.secretRef"}},
		"fragment":      {"url: 'https://charts.example.com/#x'", []string{"spec.url", "#"}},
		"oci_untyped":   {"url: 'oci://registry.example.com/charts'", []string{"spec.url", "spec.type: oci"}},
		"oci_https":     {"type: oci, url: 'https://registry.example.com'", []string{"spec.url", "oci://"}},
		"oci_tag":       {"type: oci, url: 'oci://registry.example.com/a:v1'", []string{"spec.url", "tag"}},
		"oci_no_host":   {"type: oci, url: 'oci://charts'", []string{"spec.url", "host"}},
		"type":          {"type: git, url: 'https://charts.example.com'", []string{"spec.type", "oci"}},
		"provider":      {"provider: x, url: 'https://charts.example.com'", []string{"spec.provider", "gcp"}},
		"access":        {"url: 'https://a.example.com', accessFrom: {namespaceSelectors: [{}]}", []string{"spec.accessFrom"}},
		"unnamed":       {"url: 'https://charts.example.com', secretRef: {}", []string{"spec.secretRef.name"}},
		"bad_interval":  {"url: 'https://charts.example.com', interval: x", []string{"spec.interval"}},
		"unknown_field": {"url: 'https://charts.example.com', repo: x", []string{"spec.repo", "unknown field"}},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, helmRepository(c.spec), api.Hub, c.words...) })
	}
}

// TestHelmRepository_key tells apart all that changes a fetch of a repository or of its charts.
func TestHelmRepository_key(t *testing.T) {
	keys := map[string]string{}
	for _, spec := range []string{
		"url: 'https://a.example.com'", "url: 'https://b.example.com'", "url: 'https://a.example.com', passCredentials: true",
		"url: 'https://a.example.com', secretRef: {name: a}", "url: 'https://a.example.com', certSecretRef: {name: a}",
		"type: oci, url: 'oci://a.example.com'", "type: oci, url: 'oci://a.example.com', insecure: true",
	} {
		key := sourceView(t, helmRepository(spec)).FetchKey(false)
		if other, taken := keys[key]; taken {
			t.Errorf("%s and %s share a fetch", spec, other)
		}
		keys[key] = spec
	}
	shared := sourceView(t, helmRepository("url: 'https://a.example.com', interval: 3m, timeout: 1s"))
	if key := shared.FetchKey(false); keys[key] == "" {
		t.Error("equal repositories do not share a fetch")
	}
}
