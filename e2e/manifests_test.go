package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/navefleet/nave/e2e/kubetest"
)

// The API server takes every object of the manifests, and lets their Pods in: they keep to the restricted Pod security
// that their namespaces demand.
func TestTheManifestsAreTakenByARealAPIServer(t *testing.T) {
	needsLab(t)
	root, err := kubetest.Root()
	must(t, err)
	east := lab.Clusters[0]
	t.Cleanup(func() { must(t, clean(context.Background(), east)) })
	for _, tt := range []struct{ dir, kind, namespace, name, path, want string }{
		{"hub", "StatefulSet.apps", "nave-hub", "nave-hub", ".status.currentReplicas", "1"},
		{"spoke", "Deployment.apps", ours, "nave-spoke", ".status.readyReplicas", "1"},
	} {
		t.Run(tt.dir, func(t *testing.T) {
			built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "deploy", tt.dir))
			must(t, err)
			manifest, err := built.AsYaml()
			must(t, err)
			must(t, east.Apply(t.Context(), manifest))
			waitLive(t, fmt.Sprintf("east %s %s/%s %s %s", tt.kind, tt.namespace, tt.name, tt.path, tt.want))
		})
	}
}
