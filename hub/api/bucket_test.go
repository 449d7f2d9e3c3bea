package api_test

import (
	"testing"

	"github.com/navefleet/nave/hub/api"
)

func TestBucket(t *testing.T) {
	bucket := func(version, spec string) string {
		return "apiVersion: source.toolkit.fluxcd.io/" + version + "\nkind: Bucket\nmetadata: {name: a, namespace: b}\n" +
			"spec: {interval: 1m, bucketName: fleet, " + spec + "}\n"
	}
	for _, version := range []string{"v1", "v1beta2", "v1beta1"} {
		s := sourceView(t, bucket(version, "endpoint: s3.example.com, secretRef: {name: x}, certSecretRef: {name: z}"))
		if s.URL != "https://s3.example.com/fleet" || len(s.Secrets) != 2 {
			t.Errorf("%s: %s %v", version, s.URL, s.Secrets)
		}
	}
	if s := sourceView(t, bucket("v1", "endpoint: 's3:9000', insecure: true")); s.URL != "http://s3:9000/fleet" {
		t.Errorf("got %s", s.URL)
	}
	for name, c := range map[string]struct {
		spec  string
		words []string
	}{
		"no_endpoint":          {"prefix: x", []string{"spec.endpoint", "Required"}},
		"endpoint_with_scheme": {"endpoint: 'https://s3'", []string{"spec.endpoint", "host:port"}},
		"endpoint_with_user":   {"endpoint: 'user:pass@s3'", []string{"spec.endpoint", "host:port"}},
		"aws_without_secret":   {"endpoint: s3, provider: aws", []string{"spec.secretRef", "accesskey"}},
		"gcp":                  {"endpoint: s3, provider: gcp", []string{"spec.provider", "storage.googleapis.com"}},
		"azure":                {"endpoint: s3, provider: azure", []string{"spec.provider", "OCI"}},
		"unknown_provider":     {"endpoint: s3, provider: x", []string{"spec.provider", "generic"}},
		"sts":                  {"endpoint: s3, sts: {provider: aws, endpoint: x}", []string{"spec.sts", "secretkey"}},
		"service_account":      {"endpoint: s3, serviceAccountName: x", []string{"spec.serviceAccountName", "spec.secretRef"}},
		"unnamed_secret":       {"endpoint: s3, secretRef: {}", []string{"spec.secretRef.name", "Required"}},
		"aws_certificates":     {"endpoint: s3, provider: aws, secretRef: {name: x}, certSecretRef: {name: z}", []string{"spec.certSecretRef", "generic"}},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, bucket("v1", c.spec), api.Hub, c.words...) })
	}
}
