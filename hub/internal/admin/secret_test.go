package admin

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// TestExplain_newVault names the Secrets that a new vault's key does not open, until they are applied again.
func TestExplain_newVault(t *testing.T) {
	r := newRig(t)
	explained := func(key *adminv1.ObjectKey) (names []string) {
		t.Helper()
		answer, err := r.Explain(t.Context(), &adminv1.ExplainRequest{Key: key})
		must(t, err)
		for _, e := range answer.Explanations {
			if e.Reason == condition.SecretUnreadable {
				names = append(names, e.Object.Name+" "+e.Reason)
			}
		}
		return names
	}
	r.apply(credentialsYAML + "---" + source)
	if got := explained(nil); len(got) != 0 {
		t.Errorf("with the vault's key: %q", got)
	}
	vault, err := store.NewVault(filepath.Join(t.TempDir(), "vault.key"))
	must(t, err)
	r.server.vault = vault
	for _, key := range []*adminv1.ObjectKey{nil, {Namespace: "flux-system"},
		{Kind: "secret", Namespace: "flux-system", Name: "git"}} {
		if got := explained(key); !slices.Equal(got, []string{"git SecretUnreadable"}) {
			t.Errorf("%v: %q", key, got)
		}
	}
	r.apply(credentialsYAML)
	if got := explained(nil); len(got) != 0 {
		t.Errorf("applied again: %q", got)
	}
}

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
