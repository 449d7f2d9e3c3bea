package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

func TestKindOf(t *testing.T) {
	for words, want := range map[string]struct {
		kind string
		rest string
	}{
		"kustomizations":          {api.KustomizationKind, ""},
		"ks apps":                 {api.KustomizationKind, "apps"},
		"ks/apps":                 {api.KustomizationKind, "apps"},
		"source git fleet":        {api.GitRepositoryKind, "fleet"},
		"sources git":             {api.GitRepositoryKind, ""},
		"gitrepository/fleet":     {api.GitRepositoryKind, "fleet"},
		"clusters":                {api.ClusterKind, ""},
		"fleet prod unexpected-2": {api.FleetKind, "prod unexpected-2"},
	} {
		kind, rest, err := kindOf(strings.Fields(words))
		if err != nil || kind.Name != want.kind || strings.Join(rest, " ") != want.rest {
			t.Errorf("%q: %s %q, %v; want %s %q", words, kind.Name, rest, err, want.kind, want.rest)
		}
	}
	for _, words := range []string{"", "nonsense", "source"} {
		if _, _, err := kindOf(strings.Fields(words)); err == nil {
			t.Errorf("%q names a kind", words)
		}
	}
}

// heldClient is a hub whose lists are empty, and that has one application, which left Git.
type heldClient struct{ adminv1.AdminServiceClient }

func (heldClient) Get(_ context.Context, r *adminv1.GetRequest, _ ...grpc.CallOption) (*adminv1.GetResponse, error) {
	if r.GetKey().GetName() != "held" {
		return nil, status.Error(codes.NotFound, "not found")
	}
	return &adminv1.GetResponse{Object: &adminv1.Object{Key: r.GetKey(), Json: []byte(`{}`)}}, nil
}

// TestHeldRow gets an application by its name that is in no list.
func TestHeldRow(t *testing.T) {
	for _, c := range []struct{ cluster, kind, name, want string }{
		{"east", "ks", "held", "east/held"},
		{"east", "ks", "other", "Kustomization other not found"},
		{"", "ks", "held", "Kustomization held not found"},
		{"east", "source git", "held", "GitRepository held not found"},
	} {
		kind, _, err := kindOf(strings.Fields(c.kind))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := (&session{cluster: c.cluster}).heldRow(t.Context(), heldClient{}, kind, c.name)
		got := ""
		if err != nil {
			got = err.Error()
		}
		for _, r := range rows {
			got += r.key.GetCluster() + "/" + r.key.GetName()
		}
		if got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

func TestPrintRows(t *testing.T) {
	rows, err := decodeRows([]*adminv1.Object{
		{Key: &adminv1.ObjectKey{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
			Json: []byte(
				`{"metadata":{"name":"apps"},"spec":{"suspend":true},"status":{"lastAppliedRevision":"main@sha1:0123456789abcdef","conditions":[{"type":"Ready","status":"False","message":"first\nsecond"}]}}`)},
		{Key: &adminv1.ObjectKey{Kind: "Kustomization", Namespace: "flux-system", Name: "hub"},
			Json: []byte(`{"metadata":{"name":"hub"},"status":{"lastAttemptedRevision":"main@sha1:b"}}`)},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	kind, _ := api.KindByName("ks")
	var out bytes.Buffer
	if err := printRows(&printer{out: &out}, &out, kind, rows, false); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"CLUSTER NAMESPACE NAME REVISION SUSPENDED READY AGE MESSAGE",
		"east flux-system apps main@sha1:01234567 True False - first second",
		"- flux-system hub - False Unknown -",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPrintJoinManifest(t *testing.T) {
	join := &adminv1.CreateJoinTokenResponse{
		Token: "token-1", CaPin: "sha256:aa", HubAddress: "hub.example.com:7443", SigningKeys: "-----BEGIN PUBLIC " +
			"KEY-----\nx\n-----END PUBLIC KEY-----\n", TrustDomain: "nave-1",
	}
	var out bytes.Buffer
	settings := joinSettings("east", join, newCluster{})
	if err := printJoinManifest(&out, settings, join.GetToken(), "registry.example.com/spoke:1"); err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, manifest.IDOf(o).String())
	}
	want := []string{
		"Namespace nave-system", "ServiceAccount nave-system/nave-spoke", "ClusterRole.rbac.authorization.k8s.io nave-spoke",
		"ClusterRoleBinding.rbac.authorization.k8s.io nave-spoke", "Role.rbac.authorization.k8s.io nave-system/nave-spoke",
		"RoleBinding.rbac.authorization.k8s.io nave-system/nave-spoke", "Deployment.apps nave-system/nave-spoke",
		"ConfigMap nave-system/nave-spoke", "Secret nave-system/nave-join",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, text := range []string{"registry.example.com/spoke:1", "token-1", "sha256:aa", "hub.example.com:7443",
		"trust-domain: nave-1", "BEGIN PUBLIC KEY"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the manifest lacks %q", text)
		}
	}
	if strings.Contains(out.String(), defaultImage) {
		t.Errorf("the manifest still has the image %s", defaultImage)
	}
}

// TestPrintRows_unsupported says that the hub does not carry out a kind.
func TestPrintRows_unsupported(t *testing.T) {
	for word, want := range map[string]bool{"hr": false, "ks": false, "secrets": false, "alerts": true} {
		kind, _ := api.KindByName(word)
		var out, errOut bytes.Buffer
		if err := printRows(&printer{out: &out}, &errOut, kind, nil, false); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(errOut.String(), "does not carry out"); got != want {
			t.Errorf("%s: %s", word, errOut.String())
		}
	}
}

// notFoundError returns the hub's error about an object that does not exist.
func notFoundError(key *adminv1.ObjectKey) error {
	s, err := status.Newf(codes.NotFound, "%s not found", show(key)).WithDetails(key)
	if err != nil {
		return err
	}
	return s.Err()
}

// scattered is a hub that has one HelmRelease, in a namespace of a cluster.
type scattered struct {
	adminv1.UnimplementedAdminServiceServer
}

func (scattered) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	if r.Kind != "HelmRelease" || r.Namespace != "" && r.Namespace != "apps" || r.Cluster != "" && r.Cluster != "east" {
		return &adminv1.ListResponse{}, nil
	}
	return &adminv1.ListResponse{Objects: []*adminv1.Object{{Json: []byte(`{}`), Key: &adminv1.ObjectKey{
		Cluster: "east", Kind: "HelmRelease", Namespace: "apps", Name: "podinfo"}}}}, nil
}

func (scattered) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	if r.GetKey().GetKind() == "Cluster" {
		return &adminv1.GetResponse{}, nil
	}
	return nil, status.Error(codes.NotFound, "not found")
}

func (scattered) Reconcile(_ context.Context, r *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	return nil, notFoundError(r.GetKey())
}

func (scattered) History(_ context.Context, r *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	return nil, notFoundError(&adminv1.ObjectKey{Kind: api.ClusterKind, Name: r.GetCluster()})
}

func (scattered) Rollback(_ context.Context, r *adminv1.RollbackRequest) (*adminv1.RollbackResponse, error) {
	return nil, notFoundError(&adminv1.ObjectKey{Kind: api.ClusterKind, Name: r.GetCluster()})
}

// TestGet_elsewhere names the namespace and the cluster of objects that a list leaves out.
func TestGet_elsewhere(t *testing.T) {
	config := "--config=" + serve(t, scattered{})
	const place = "namespace apps of cluster east: add --namespace apps --cluster east"
	for _, c := range []struct{ name, args, want string }{
		{"list", "get helmreleases", "No helmreleases found here. There are some in " + place +
			", or list all with nave get helmreleases -A"},
		{"other_cluster", "get helmreleases -A --cluster west", place},
		{"found", "get helmreleases -n apps", ""},
		{"name", "get hr podinfo", "HelmRelease podinfo not found. There are some in " + place},
		{"other_name", "get hr web", "HelmRelease web not found"},
		{"near_name", "get hr pdinfo -n apps", "HelmRelease pdinfo not found. Did you mean podinfo? nave get helmreleases -A"},
		{"near_name_everywhere", "get hr pdinfo -A", "Did you mean podinfo?"},
		{"no_such", "get kustomizations", "No kustomizations found.\n"},
		{"test", "test podinfo -n apps", "on east: name a cluster with --cluster"},
		{"test_in_no_namespace", "test podinfo", "HelmRelease flux-system/podinfo does not exist; there is one in " + place},
		{"test_in_cluster", "test podinfo --cluster east", place},
		{"test_other", "test web", "not found"},
		{"test_near", "test pdinfo -n apps --cluster east", "HelmRelease apps/pdinfo on east not found. Did you mean podinfo? " +
			"nave get helmreleases -A lists all, and nave explain says what of Git is refused"},
		{"history", "history podinfo", "Cluster podinfo not found. nave get clusters lists all. Of a release of Helm: nave " +
			"history helmrelease podinfo"},
		{"rollback", "rollback podinfo", "Of a release of Helm: nave rollback helmrelease podinfo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			root, end := program(&out, &errOut)
			root.SetArgs(append(strings.Fields(c.args), config))
			said := errOut.String()
			if err := end(root.ExecuteContext(t.Context())); err != nil {
				said = err.Error()
			}
			if said += errOut.String(); !strings.Contains(said, c.want) || (said == "") != (c.want == "") {
				t.Errorf("%q, want %q", said, c.want)
			}
		})
	}
}
