package health

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestMetadataOnly(t *testing.T) {
	for gk, want := range map[schema.GroupKind]bool{
		{Kind: "Secret"}: true, {Kind: "ConfigMap"}: true, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}: true,
		{Group: "apps", Kind: "Deployment"}: false, {Group: "example.com",
			Kind: "Secret"}: false, {Kind: "PersistentVolumeClaim"}: false,
	} {
		if MetadataOnly(gk) != want {
			t.Errorf("%s: %t", gk, !want)
		}
	}
}
