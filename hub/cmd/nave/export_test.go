package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestExport applies what was exported, and nothing changes. No secret is printed.
func TestExport(t *testing.T) {
	config := waitHub(t)
	secret := filepath.Join(t.TempDir(), "secret.yaml")
	write(t, filepath.Dir(secret), "secret.yaml", `apiVersion: v1
kind: Secret
metadata: {name: git, namespace: flux-system}
stringData: {username: canary-user, password: canary-password}
`)
	mustRun(t, "apply", "-f", secret, "--config="+config)
	mustRun(t, "suspend", "gitrepository", "fleet", "--config="+config, "--no-wait")
	mustRun(t, "reconcile", "cluster", "lab", "--config="+config, "--no-wait")
	var out, notes strings.Builder
	root, end := program(&out, &notes)
	root.SetArgs([]string{"export", "all", "--config=" + config})
	if err := end(root.ExecuteContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"kind: GitRepository\nmetadata:\n  name: fleet\n  namespace: flux-system\n",
		"suspend: true", "kind: Fleet\n", "name: lab\n", "name: ring\n",
		"# Secret flux-system/git: the hub does not show its data. Its keys are: password,username\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("without %q", want)
		}
	}
	for _, word := range []string{"canary", "status:", "uid", "generation", "creationTimestamp", "requestedAt",
		"kind: Secret"} {
		if strings.Contains(text, word) {
			t.Errorf("with %q", word)
		}
	}
	if want := "without the data of secrets, which the hub never shows: Secret flux-system/git\n"; notes.String() != want {
		t.Errorf("notes %q, want %q", notes.String(), want)
	}
	file := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "resume", "gitrepository", "fleet", "--config="+config, "--no-wait") // Git says now that it is suspended
	applied, code := exitOf(t.Context(), config, "apply", "--yes", "-f", file)
	if code != 0 || strings.Count(applied, " unchanged\n") != 7 ||
		!strings.Contains(applied, "gitrepository/fleet configured") || t.Failed() {
		t.Errorf("exit code %d:\n%s\n%s", code, applied, text)
	}
}

// TestExport_chosen exports one kind, or one object. Of what Git gives, only a named object is printed.
func TestExport_chosen(t *testing.T) {
	config := hubWith(t, tree(t, diffFiles()), `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: hub, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/fleet"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: hub, namespace: flux-system}
spec: {interval: 10m, path: ./hub, prune: true, sourceRef: {kind: GitRepository, name: hub}}
`, 2)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"all", 0, "left out, because Git or another object gives them: Cluster east, Cluster lab, Cluster other, " +
			"Cluster west, Fleet all, and 1 more\n"},
		{"source git", 0, "name: hub\n"},
		{"fleets", 0, "No objects found.\n"},
		{"fleet all", 0, "kind: Fleet\nmetadata:\n  name: all\nspec:\n"},
		{"fleet all", 0, "Fleet all comes from Git: change it there\n"},
		{"ks -n apps", 0, "No objects found.\n"},
		{"fleet al", 4, "Did you mean all?"},
		{"all x", 2, "all takes no name"},
		{"remotebases", 2, "export what they are made from"},
	} {
		out, code := exitOf(t.Context(), config, append([]string{"export"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.want, out)
		}
	}
}

// listOnly is a hub that answers lists of GitRepositories, and no other call.
type listOnly struct{ adminv1.AdminServiceClient }

func (listOnly) List(_ context.Context, r *adminv1.ListRequest, _ ...grpc.CallOption) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for name, by := range map[string]adminv1.GivenBy{"applied": adminv1.GivenBy_GIVEN_BY_OPERATORS,
		"given": adminv1.GivenBy_GIVEN_BY_OBJECT} {
		if r.GetKind() == "GitRepository" {
			answer.Objects = append(answer.Objects, &adminv1.Object{GivenBy: by,
				Key:  &adminv1.ObjectKey{Kind: "GitRepository", Namespace: "flux-system", Name: name},
				Json: fmt.Appendf(nil, `{"kind":"GitRepository","metadata":{"name":%q}}`, name)})
		}
	}
	return answer, nil
}

// TestExport_calls asks the hub once for each kind, not for each object.
func TestExport_calls(t *testing.T) {
	var out, notes strings.Builder
	e := &export{client: listOnly{}, out: &out, note: &notes}
	if err := e.run(t.Context(), &session{}, []string{"all"}); err != nil {
		t.Fatal(err)
	}
	if want := "---\napiVersion: null\nkind: GitRepository\nmetadata:\n  name: applied\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	want := "left out, because Git or another object gives them: GitRepository flux-system/given\n"
	if notes.String() != want {
		t.Errorf("notes %q, want %q", notes.String(), want)
	}
}
