package admin

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestSecretBinding binds a Secret by its annotations, shows the binding, and unbinds it.
func TestSecretBinding(t *testing.T) {
	r := newRig(t)
	bind := func(annotations string) string {
		return secretYAML{annotations: annotations}.String()
	}
	const hosts, namespaces = api.HostsAnnotation + ": 'git.example.com,b:1'", api.NamespacesAnnotation + ": team"
	for _, step := range []struct{ text, action, shown string }{
		{credentialsYAML, "created", ""},
		{bind(hosts), "configured", `"fleet.nave.io/hosts":"git.example.com,b:1"`},
		{bind(hosts), "unchanged", `"fleet.nave.io/hosts"`},
		{bind(hosts + ", " + namespaces), "configured", `"fleet.nave.io/namespaces":"team"`},
		{credentialsYAML, "configured", ""},
	} {
		if got := r.apply(step.text); got[0] != "Secret/git "+step.action {
			t.Errorf("got %v, want %s", got, step.action)
		}
		one, err := r.Get(t.Context(), &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: "secret", Namespace: "flux-system",
			Name: "git"}})
		must(t, err)
		if !bytes.Contains(one.Object.Json, []byte(step.shown)) || step.shown == "" &&
			bytes.Contains(one.Object.Json, []byte("hosts")) {
			t.Errorf("after %s it shows %s, want %s", step.action, one.Object.Json, step.shown)
		}
	}
	for name, annotations := range map[string]string{"scheme": api.HostsAnnotation + ": 'https://x'",
		"no_hosts": namespaces} {
		_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(bind(annotations))})
		wantCode(t, err, codes.InvalidArgument)
		if !strings.Contains(err.Error(), "Secret flux-system/git: metadata.annotations[") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Secrets.Get(tx, "flux-system/git")
		if !row.Binding.Equal(api.Binding{}) {
			t.Errorf("bound to %+v", row.Binding)
		}
		return err
	}))
}
