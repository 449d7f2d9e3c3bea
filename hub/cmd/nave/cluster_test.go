package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// clustersHub has two clusters, and notes what is applied.
type clustersHub struct {
	adminv1.UnimplementedAdminServiceServer
	applied *[]*adminv1.ApplyRequest
	impact  *adminv1.ImpactResponse
	tokens  *int // that were made
}

// bare is a Cluster without labels and variables.
var bare = &adminv1.Object{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "bare"},
	Json: []byte(`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"bare"}}`)}

func clusterNamed(name string) *adminv1.Object {
	return &adminv1.Object{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: name}, Json: []byte(
		`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"` + name +
			`","uid":"1","labels":{"env":"prod"}},"spec":{"vars":{"zone":"a"}},"status":{"version":"v1"}}`)}
}

func (h clustersHub) List(context.Context, *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	return &adminv1.ListResponse{Objects: []*adminv1.Object{clusterNamed("east"), clusterNamed("west")}}, nil
}

func (h clustersHub) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	switch r.Key.Name {
	case "east", "west":
	case "bare":
		return &adminv1.GetResponse{Object: bare}, nil
	case "given": // by a Kustomization
		return &adminv1.GetResponse{Object: &adminv1.Object{Key: r.Key, Json: []byte(
			`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"given","labels":{"env":"prod",` +
				`"kustomize.toolkit.fluxcd.io/name":"hub","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}}}`)}}, nil
	default:
		return nil, notFoundError(r.Key)
	}
	return &adminv1.GetResponse{Object: clusterNamed(r.Key.Name)}, nil
}

// CreateJoinToken answers as a hub that cannot end certificates.
func (h clustersHub) CreateJoinToken(context.Context, *adminv1.CreateJoinTokenRequest) (
	*adminv1.CreateJoinTokenResponse, error) {
	if h.tokens != nil {
		*h.tokens++
	}
	return &adminv1.CreateJoinTokenResponse{Token: "secret"}, nil
}

func (h clustersHub) Impact(context.Context, *adminv1.ImpactRequest) (*adminv1.ImpactResponse, error) {
	return h.impact, nil
}

func (h clustersHub) Apply(_ context.Context, r *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	*h.applied = append(*h.applied, r)
	return &adminv1.ApplyResponse{}, nil
}

// runCluster runs nave cluster with a hub, and returns its output.
func runCluster(t *testing.T, h clustersHub, args ...string) (string, error) {
	t.Helper()
	var out, errOut strings.Builder
	root := newCommand()
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetIn(strings.NewReader(""))
	root.SetArgs(slices.Concat([]string{"cluster", "--config=" + serve(t, h)}, args))
	err := root.ExecuteContext(t.Context())
	return out.String() + errOut.String(), err
}

// TestClusterChange reads what cluster label and cluster set send to the hub, and what they refuse.
func TestClusterChange(t *testing.T) {
	loss := &adminv1.ImpactResponse{Digest: "seen", Clusters: []*adminv1.ClusterImpact{{Cluster: "east"}}}
	for _, c := range []struct {
		name, line string
		impact     *adminv1.ImpactResponse
		want       string // in what is applied, in the output or in the error
		applies    int
	}{
		{"sets", "label east tier=gold", nil, `labels: env: prod tier: gold name: east`, 1},
		{"removes", "label east env-", nil, "metadata: labels: {} name: east", 1},
		{"same", "label east env=prod", nil, "cluster/east not labeled", 0},
		{"removes_none", "label east canary-", nil, "cluster/east not labeled", 0},
		{"removes_of_none", "label bare canary-", nil, "cluster/bare not labeled", 0},
		{"sets_first", "label bare tier=gold", nil, "labels: tier: gold name: bare", 1},
		{"no_key", "label east =gold-", nil, `"=gold-": want name=value`, 0},
		{"removes_var_of_none", "set bare --var zone-", nil, "cluster/bare not changed", 0},
		{"overwrites", "label east env=test --overwrite", nil, "labels: env: test", 1},
		{"needs_overwrite", "label east env=test", nil, "cluster east: label env is prod already: add --overwrite", 0},
		{"several", "label east west tier=gold", nil, "labels: env: prod tier: gold name: west", 1},
		{"all", "label --all tier=gold", nil, "labels: env: prod tier: gold name: west", 1},
		{"unknown", "label north tier=gold", nil, "Cluster north not found", 0},
		{"no_cluster", "label tier=gold", nil, "which clusters?", 0},
		{"names_and_all", "label east --all tier=gold", nil, "which clusters?", 0},
		{"no_label", "label east", nil, "which labels?", 0},
		{"both", "label east tier=gold tier-", nil, "tier cannot be set and removed at once", 0},
		{"list", "label east --list", nil, "env=prod", 0},
		{"list_changes", "label east --list tier=gold", nil, "--list changes nothing", 0},
		{"impact", "label east env-", loss, "nothing was changed: add --yes", 0},
		{"impact_agreed", "label east env- -y", loss, "name: east", 1},
		{"impact_dry", "label east env- --dry-run", loss, "cluster/east labeled (dry run)", 1},
		{"vars", "set east --var zone=b --var domain=x=y", nil, "vars: domain: x=y zone: b", 1},
		{"removes_var", "set east --var zone-", nil, "spec: vars: {}", 1},
		{"no_var", "set east", nil, "which variables?", 0},
		{"upgrades", "upgrade east --image r/s:v2", nil, "spec: spoke: image: r/s:v2 vars: zone: a", 1},
		{"upgrades_several", "upgrade --all --image r/s:v2 --max-concurrent 3", nil, "image: r/s:v2 maxConcurrent: 3", 1},
		{"upgrades_a_share", "upgrade east --image r/s:v2 --max-concurrent 10%", nil, "maxConcurrent: 10%", 1},
		{"upgrade_dry", "upgrade east --image r/s:v2 --dry-run", nil, "cluster/east changed (dry run)", 1},
		{"upgrade_without_image", "upgrade east", nil, "which image?", 0},
		{"upgrade_without_cluster", "upgrade --image r/s:v2", nil, "which clusters?", 0},
		{"upgrade_stops_none", "upgrade east --stop", nil, "cluster/east not changed", 0},
		{"upgrade_or_stop", "upgrade east --stop --image r/s:v2", nil, "[stop image]", 0},
		{"for_git", "get east -o yaml", nil, "labels: env: prod name: east spec: vars: zone: a", 0},
		{"for_git_given", "get given -o yaml", nil, "metadata: labels: env: prod name: given", 0},
		{"adopts_given", "add given --adopt", nil, "metadata: labels: env: prod name: given", 1},
		{"unknown_near", "label eats tier=gold", nil, "Cluster eats not found. Did you mean east?", 0},
		{"rotate_near", "rotate eats -y", nil, "Cluster eats not found. Did you mean east?", 0},
		{"adopts", "add east --adopt", nil, "cluster east is the operators' now", 1},
		{"adopts_alone", "add east --adopt --label a=b", nil, "[adopt label]", 0},
		{"rotate_asks", "rotate east", nil, "nothing was changed: add --yes to agree to that", 0},
		{"rotate_old_hub", "rotate east -y", nil, "cluster east did not end: the hub is too old", 0},
		{"rotate_unknown", "rotate north -y", nil, "not found", 0},
		{"rotate_unwritable", "rotate east -y --output-dir /dev/null/x", nil, "/dev/null: not a directory; nothing was changed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var applied []*adminv1.ApplyRequest
			h := clustersHub{applied: &applied, impact: c.impact}
			if h.impact == nil {
				h.impact = &adminv1.ImpactResponse{}
			}
			seen, err := runCluster(t, h, strings.Fields(c.line)...)
			if err != nil {
				seen += err.Error()
			}
			for _, r := range applied {
				seen += string(r.Manifest)
			}
			if len(applied) != c.applies || !strings.Contains(strings.Join(strings.Fields(seen), " "), c.want) {
				t.Errorf("%d applied, want %d; %q lacks %q", len(applied), c.applies, seen, c.want)
			}
			if strings.Contains(seen, "uid") || strings.Contains(seen, "status") {
				t.Errorf("what the hub added is in %q", seen)
			}
		})
	}
}

// TestSetSpoke changes only the spec of a Cluster that names another image or number.
func TestSetSpoke(t *testing.T) {
	spec := map[string]any{}
	for i, step := range []struct {
		image, maxConcurrent string
		want                 bool
	}{
		{"r/s:v2", "", true}, {"r/s:v2", "", false}, {"r/s:v2", "2", true}, {"r/s:v2", "2", false}, {"r/s:v2", "5%", true},
		{"r/s:v3", "5%", true}, {"", "", true}, {"", "", false},
	} {
		text, err := json.Marshal(spec) // as the hub answers
		if err == nil {
			err = json.Unmarshal(text, &spec)
		}
		if got := setSpoke(spec, step.image, step.maxConcurrent); got != step.want || err != nil {
			t.Errorf("step %d: changed %t: %v, %v", i, got, spec, err)
		}
	}
	if len(spec) > 0 {
		t.Errorf("left %v", spec)
	}
}

// TestClusterChange_large names the way out if the hub would not read a change of so many clusters.
func TestClusterChange_large(t *testing.T) {
	var applied []*adminv1.ApplyRequest
	h := clustersHub{applied: &applied, impact: &adminv1.ImpactResponse{}}
	_, err := runCluster(t, h, "label", "east", "tier="+strings.Repeat("x", maxRequest))
	if err == nil || !strings.Contains(err.Error(), "choose fewer objects") || len(applied) > 0 {
		t.Errorf("%d applied, error %.200v", len(applied), err)
	}
}

// TestClusterChange_replaces sends with a change what it was made from.
func TestClusterChange_replaces(t *testing.T) {
	var applied []*adminv1.ApplyRequest
	h := clustersHub{applied: &applied, impact: &adminv1.ImpactResponse{}}
	for i, line := range []string{"label east tier=gold", "add east --adopt", "add given --adopt"} {
		_, err := runCluster(t, h, strings.Fields(line)...)
		if err != nil || len(applied) != i+1 {
			t.Fatalf("%s: applied %v, error %v", line, applied, err)
		}
		written, err := json.Marshal(string(applied[i].Replaces))
		if err != nil || !strings.Contains(string(written), "env: prod") || strings.Contains(string(written), "gold") {
			t.Errorf("%s replaces %s", line, written)
		}
		owned := strings.Contains(string(written), "toolkit.fluxcd.io/name: hub")
		if owned != strings.Contains(line, "given") {
			t.Errorf("%s replaces %s, whose owner is known: %v", line, written, owned)
		}
	}
}

// TestClusterAdd_output_dir keeps the token from others, also in a file that they could read, and makes none that
// cannot be written.
func TestClusterAdd_output_dir(t *testing.T) {
	dir, tokens := t.TempDir(), 0
	h := clustersHub{tokens: &tokens}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := runCluster(t, h, "add", "east", "--output-dir", dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(token)
	info, statErr := os.Stat(token)
	if err != nil || statErr != nil || string(text) != "secret" || info.Mode().Perm() != 0o600 {
		t.Errorf("the token is %q, %v, %v", text, info.Mode(), err)
	}
	_, err = runCluster(t, h, "add", "east", "--output-dir", filepath.Join(token, "below"))
	if err == nil || !strings.Contains(err.Error(), "--output-dir: ") || tokens != 1 {
		t.Errorf("%d tokens, error %v", tokens, err)
	}
}
