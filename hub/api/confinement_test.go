package api_test

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestAllowAnnotations checks that valid annotations are admitted, and that annotations without an effect, or with an
// obvious mistake, are refused.
func TestAllowAnnotations(t *testing.T) {
	with := func(annotation, spec string) string {
		return strings.Replace(kustomization(spec), "metadata: {", "metadata: {annotations: {"+annotation+"}, ", 1)
	}
	const account = "serviceAccountName: team"
	for name, annotation := range map[string]string{
		"namespaces": api.AllowNamespaces + ": 'a, b'", "every namespace": api.AllowNamespaces +
			": '*'", "accounts": api.AllowServiceAccounts + ": a.b",
	} {
		t.Run(name, func(t *testing.T) {
			admit(t, with(annotation, account), api.ClusterGraph)
			refuse(t, with(annotation, ""), api.ClusterGraph, "metadata.annotations", "spec.serviceAccountName confines")
		})
	}
	for name, annotation := range map[string]string{
		"no name": api.AllowNamespaces + ": ' ,'", "pattern": api.AllowNamespaces +
			": 'team-*'", "bad name": api.AllowServiceAccounts + ": a/b",
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, with(annotation, account), api.ClusterGraph,
				"metadata.annotations["+strings.SplitN(annotation, ":", 2)[0]+"]")
		})
	}
}
