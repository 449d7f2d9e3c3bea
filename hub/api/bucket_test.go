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
	for spec, words := range map[string][]string{
		"prefix: x":                                       {"spec.endpoint", "Required"},
		"endpoint: 'https://s3'":                          {"spec.endpoint", "host:port"},
		"endpoint: 'user:pass@s3'":                        {"spec.endpoint", "host:port"},
		"endpoint: s3, provider: aws":                     {"spec.secretRef", "accesskey"},
		"endpoint: s3, provider: gcp":                     {"spec.provider", "storage.googleapis.com"},
		"endpoint: s3, provider: azure":                   {"spec.provider", "OCI"},
		"endpoint: s3, provider: x":                       {"spec.provider", "generic"},
		"endpoint: s3, sts: {provider: aws, endpoint: x}": {"spec.sts", "secretkey"},
		"endpoint: s3, serviceAccountName: x":             {"spec.serviceAccountName", "spec.secretRef"},
		"endpoint: s3, secretRef: {}":                     {"spec.secretRef.name", "Required"},
		"endpoint: s3, provider: aws, secretRef: {name: x}, certSecretRef: {name: z}": {"spec.certSecretRef", "generic"},
	} {
		refuse(t, bucket("v1", spec), api.Hub, words...)
	}
}
