package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// TestTrace traces objects of the graph of a cluster, which a hub knows without a spoke.
func TestTrace(t *testing.T) {
	config := waitHub(t)
	for _, c := range []struct {
		name, args string
		code       int
		want       []string
	}{
		{"application", "ks/app", 0, []string{"Object:         Kustomization.kustomize.toolkit.fluxcd.io/app\n",
			"---\nKustomization:  flux-system\nNamespace:      flux-system\nCluster:        east\n" +
				"Path:           ./clusters/eu\n",
			"---\nGitRepository:  fleet\nNamespace:      flux-system\nURL:            https://git.example.com/org/fleet\n",
			"---\nGiven by:       Fleet all\n"}},
		{"root", "kustomization flux-system", 0, []string{"---\nFleet:          all\nStatus:         Ready "}},
		{"unmanaged", "deployment/web -n apps", 4, []string{"nothing that the hub knows manages deployment apps/web"}},
		{"other_namespace", "kustomization/app -n apps", 4, []string{
			"there is one in namespace flux-system: set --namespace"}},
		{"other_group", "kustomization.example.com/app", 4, []string{"nothing that the hub knows"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := exitOf(t.Context(), config, append([]string{"trace", "--cluster=east"}, strings.Fields(c.args)...)...)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("without %q", want)
				}
			}
			if code != c.code || t.Failed() {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, out)
			}
		})
	}
	if out, code := exitOf(t.Context(), config, "trace", "ks/app", "--cluster=eats"); code != 4 {
		t.Errorf("exit code %d of a cluster that does not exist:\n%s", code, out)
	}
	for _, args := range []string{"ks", "ks/", "/app", "ks/app web"} {
		if out, code := exitOf(t.Context(), config, append([]string{"trace"}, strings.Fields(args)...)...); code == 0 {
			t.Errorf("%s:\n%s", args, out)
		}
	}
}

// TestTrace_fleet looks for an object in all clusters.
func TestTrace_fleet(t *testing.T) {
	config := waitHub(t)
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"ks/flux-system": {0, "Clusters:       east, lab"},
		"ks/app":         {1, "lab has it from Kustomization flux-system/flux-system ./clusters/lab, GitRepository flux-system/fleet "},
		"ks/none":        {4, "nothing that the hub knows manages ks flux-system/none"},
		"ks/app -n apps": {4, "cluster east: ks apps/app is managed by nothing, but there is one in namespace flux-system"},
	} {
		out, code := exitOf(t.Context(), config, append([]string{"trace"}, strings.Fields(args)...)...)
		if code != want.code || !strings.Contains(out, want.text) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", args, code, want.code, want.text, out)
		}
	}
}

// TestTogether names clusters together if they have an object from the same place, and each where they differ.
func TestTogether(t *testing.T) {
	on := func(cluster, path, revision string) *traced {
		return &traced{Object: traceStep{Kind: "Deployment", Name: "web", Cluster: cluster, Status: "Current"},
			GivenBy: traceStep{Kind: "Kustomization", Namespace: "flux-system", Name: "app", Cluster: cluster, Path: path,
				Revision: revision, Since: cluster},
			Sources: []traceStep{{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}}}
	}
	got, err := together([]*traced{on("east", "./a", "main@1"), on("lab", "./a", "main@2"), on("west", "./a", "main@1")})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got.Clusters, ",") != "east,lab,west" || got.Object.Status != "Current" || got.Object.Cluster != "" ||
		got.GivenBy.Revision != "main@1 on east, west; main@2 on lab" || got.GivenBy.Since != "" {
		t.Errorf("got %+v", got)
	}
	_, err = together([]*traced{on("east", "./a", "main@1"), on("lab", "./b", "main@1")})
	const want = "clusters have the object from different places; choose one with --cluster:"
	if err == nil || exitCode(err) != 1 || !strings.HasPrefix(err.Error(), want) ||
		!strings.Contains(err.Error(), "lab has it from Kustomization flux-system/app ./b") {
		t.Errorf("got %v", err)
	}
}

// TestTogether_many tells ten differences of a thousand clusters, and how many more there are.
func TestTogether_many(t *testing.T) {
	var same, other []*traced
	for i := range 1000 {
		object, revision := traceStep{Kind: "Deployment", Name: "web", Cluster: fmt.Sprint("c", i)}, fmt.Sprint("main@", i)
		same = append(same, &traced{Object: object, GivenBy: traceStep{Revision: revision}})
		other = append(other, &traced{Object: object, GivenBy: traceStep{Path: revision}})
	}
	got, err := together(same)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := got.print(&out); err != nil || len(out.String()) > 1000 || len(got.Clusters) != 1000 ||
		!strings.Contains(out.String(), "c8, c9, and 990 more") ||
		!strings.HasSuffix(got.GivenBy.Revision, "main@9 on c9; and 990 more") {
		t.Errorf("%v, %d clusters:\n%s", err, len(got.Clusters), out.String())
	}
	_, err = together(other)
	if err == nil || len(err.Error()) > 1000 || !strings.HasSuffix(err.Error(), "; and 990 more") {
		t.Errorf("got %v", err)
	}
}

// fleetHub has a hundred clusters like that of tracedHub, of which odd ones have a root that nothing gives.
type fleetHub struct {
	tracedHub
	asked *atomic.Int32
	fails error // of Tree
}

func (fleetHub) List(context.Context, *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for i := range 100 {
		answer.Objects = append(answer.Objects, &adminv1.Object{Json: []byte("{}"),
			Key: &adminv1.ObjectKey{Kind: "Cluster", Name: fmt.Sprint("c", i)}})
	}
	return answer, nil
}

func (h fleetHub) Tree(ctx context.Context, r *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	h.asked.Add(1)
	if h.fails != nil {
		return nil, h.fails
	}
	return h.tracedHub.Tree(ctx, r)
}

func (h fleetHub) Published(r *adminv1.PublishedRequest,
	stream grpc.ServerStreamingServer[adminv1.PublishedResponse]) error {
	name := r.GetClusters()[0]
	part := &adminv1.PublishedCluster{Cluster: name}
	if i := name[len(name)-1]; i%2 == 0 {
		part.Applications = []*adminv1.PublishedApplication{{Digest: manifest.DigestOf(nil).String(), Fleet: "prod",
			Key: &adminv1.ObjectKey{Cluster: name, Kind: "Kustomization", Namespace: "flux-system", Name: "root"}}}
	}
	return stream.Send(&adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Cluster{Cluster: part}})
}

// TestTrace_leftBehind traces an object in the clusters that get it, though others have kept it from before.
func TestTrace_leftBehind(t *testing.T) {
	out, code := exitOf(t.Context(), serve(t, fleetHub{asked: new(atomic.Int32)}), "trace", "ks/root")
	if code != 0 || !strings.Contains(out, "Clusters:       c0, c2, c4, ") || !strings.Contains(out, "and 40 more") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// locatingHub is a fleetHub that finds objects in all clusters, and counts what it is asked about itself.
type locatingHub struct{ fleetHub }

func (locatingHub) Locate(_ context.Context, r *adminv1.LocateRequest) (*adminv1.LocateResponse, error) {
	answer := &adminv1.LocateResponse{Clusters: 100}
	for i := 0; i < 100 && r.GetName() == "podinfo"; i++ {
		answer.Objects = append(answer.Objects, &adminv1.LocatedObject{Cluster: fmt.Sprint("c", i),
			Object: "ConfigMap apps/podinfo", Status: "Current",
			Above: []string{fmt.Sprint("Kustomization.kustomize.toolkit.fluxcd.io flux-system/root on c", i)}})
	}
	return answer, nil
}

func (h locatingHub) Get(ctx context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	if r.GetKey().GetCluster() == "" {
		h.asked.Add(1)
	}
	return h.tracedHub.Get(ctx, r)
}

func (h locatingHub) Published(r *adminv1.PublishedRequest,
	stream grpc.ServerStreamingServer[adminv1.PublishedResponse]) error {
	h.asked.Add(1)
	for _, name := range r.GetClusters() {
		if err := h.fleetHub.Published(&adminv1.PublishedRequest{Clusters: []string{name}}, stream); err != nil {
			return err
		}
	}
	return nil
}

// TestTrace_shared traces an object of a hundred clusters. The hub is asked for the trees of none, and once for what
// the clusters have in common: the releases, the source and the Fleet.
func TestTrace_shared(t *testing.T) {
	asked := new(atomic.Int32)
	config := serve(t, locatingHub{fleetHub{asked: asked}})
	out, code := exitOf(t.Context(), config, "trace", "cm/podinfo", "-n", "apps")
	if code != 1 || !strings.Contains(out, "c0, c2, c4") || !strings.Contains(out, "Fleet prod") || asked.Load() != 3 {
		t.Errorf("exit code %d after %d requests about the hub:\n%s", code, asked.Load(), out)
	}
	out, code = exitOf(t.Context(), config, "trace", "cm/none", "-n", "apps")
	if code != notFound || !strings.Contains(out, "in 100 clusters, nothing that the hub knows manages cm apps/none") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, code = exitOf(t.Context(), config, "trace", "secret/podinfo", "-n", "apps")
	if code != notFound || !strings.Contains(out, "in 100 clusters, nothing that the hub knows manages secret apps/pod") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestTrace_fails asks about no further clusters when the hub does not answer.
func TestTrace_fails(t *testing.T) {
	asked := new(atomic.Int32)
	out, code := exitOf(t.Context(), serve(t, fleetHub{asked: asked, fails: status.Error(codes.Internal, "broken")}),
		"trace", "ks/root")
	if code != 1 || !strings.Contains(out, "broken") || asked.Load() > 2*maxTraces {
		t.Errorf("exit code %d after %d requests:\n%s", code, asked.Load(), out)
	}
}

// TestTraceStep_withCommit tells the commit of a revision that the source had before.
func TestTraceStep_withCommit(t *testing.T) {
	source := map[string]any{"status": map[string]any{"artifact": map[string]any{"revision": "main@3"},
		"earlierRevisions": []any{map[string]any{"revision": "main@2", "metadata": map[string]any{
			"commit.author": "Ada", "commit.subject": "Two", "commit.time": "then"}}}}}
	if s := (traceStep{Revision: "main@2"}).withCommit(source); s.Author != "Ada" || s.Subject != "Two" ||
		s.CommitTime != "then" {
		t.Errorf("got %+v", s)
	}
	for _, revision := range []string{"", "main@1", "main@3"} {
		if s := (traceStep{Revision: revision}).withCommit(source); s.Author != "" {
			t.Errorf("%s: got %+v", revision, s)
		}
	}
}

// tracedHub has a cluster with a release of Helm.
type tracedHub struct {
	adminv1.UnimplementedAdminServiceServer
}

func (tracedHub) Tree(context.Context, *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	node := func(name string, below ...*adminv1.TreeNode) *adminv1.TreeNode {
		return &adminv1.TreeNode{Object: name, Status: "Current", Children: below}
	}
	release := node("HelmRelease.helm.toolkit.fluxcd.io apps/podinfo", node("Deployment.apps apps/podinfo"),
		node("ClusterRole.rbac.authorization.k8s.io system:podinfo"), node("Ingress.networking.k8s.io apps/podinfo"),
		node("Ingress.example.com apps/podinfo"))
	root := node("Kustomization.kustomize.toolkit.fluxcd.io flux-system/root on east", release)
	return &adminv1.TreeResponse{Root: node("Cluster.fleet.nave.io east", root)}, nil
}

func (tracedHub) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	text := map[string]string{
		"HelmRelease on east": `{"spec":{"chart":{"spec":{"chart":"podinfo","version":"6.x","sourceRef":{"kind":` +
			`"HelmRepository","name":"podinfo"}}}},"status":{"lastAttemptedRevision":"6.1.4","conditions":[{"type":"Ready",` +
			`"status":"True","message":"upgraded"}]}}`,
		"Kustomization on east": `{"spec":{"path":"./apps","sourceRef":{"kind":"GitRepository","name":"fleet"}}}`,
		"HelmChart on east": `{"spec":{"chart":"podinfo","version":"6.x","sourceRef":{"kind":"HelmRepository",` +
			`"name":"podinfo"}}}`,
		"HelmRepository on east": `{"spec":{"url":"https://charts.example.com"},"status":{"artifact":{"revision":` +
			`"sha256:1"}}}`,
		"GitRepository": `{"spec":{"url":"https://git.example.com","ref":{"branch":"main"}},"status":{"artifact":{` +
			`"revision":"main@sha1:1","metadata":{"commit.author":"Ada <ada@example.com>","commit.subject":"Begin",` +
			`"commit.time":"2026-01-02T03:04:05Z"}}}}`,
	}[r.GetKey().GetKind()+map[bool]string{true: " on east"}[r.GetKey().GetCluster() != ""]]
	if text == "" {
		return nil, status.Error(codes.NotFound, "not found")
	}
	return &adminv1.GetResponse{Object: &adminv1.Object{Key: r.GetKey(), Json: []byte(text)}}, nil
}

// List has an automation that pushed the commit of the GitRepository, and others.
func (tracedHub) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	if r.GetKind() != "ImageUpdateAutomation" {
		return nil, status.Error(codes.Unimplemented, "not asked for")
	}
	for name, commit := range map[string]string{"never": "", "older": "0", "update": "1"} {
		text := fmt.Sprintf(`{"status":{"lastPushCommit":%q,"lastPush":{"policies":["db","web"]}}}`, commit)
		answer.Objects = append(answer.Objects, &adminv1.Object{Json: []byte(text),
			Key: &adminv1.ObjectKey{Kind: r.GetKind(), Namespace: "flux-system", Name: name}})
	}
	return answer, nil
}

func (tracedHub) Published(_ *adminv1.PublishedRequest,
	stream grpc.ServerStreamingServer[adminv1.PublishedResponse]) error {
	digest := manifest.DigestOf(nil).String()
	root := &adminv1.PublishedApplication{Digest: digest, Fleet: "prod", Key: &adminv1.ObjectKey{Cluster: "east",
		Kind: "Kustomization", Namespace: "flux-system", Name: "root"}}
	return stream.Send(&adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Cluster{
		Cluster: &adminv1.PublishedCluster{Cluster: "east", Applications: []*adminv1.PublishedApplication{root}}}})
}

// TestTrace_payload traces an object of any kind, by any word for its kind, to the chart and its repository.
func TestTrace_payload(t *testing.T) {
	config := serve(t, tracedHub{})
	for _, args := range []string{"deployment/podinfo", "deploy podinfo", "Deployments.apps/podinfo",
		"clusterroles/system:podinfo", "ingresses.networking.k8s.io/podinfo"} {
		out, code := exitOf(t.Context(), config, append([]string{"trace", "--cluster=east", "-n=apps", "-o=json"},
			strings.Fields(args)...)...)
		var found traced
		if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 {
			t.Fatalf("%s: exit code %d, %v\n%s", args, code, err, out)
		}
		repository := found.Sources[len(found.Sources)-1]
		if found.Object.Status != "Current" || found.GivenBy.Chart != "podinfo 6.x" || found.GivenBy.Revision != "6.1.4" ||
			repository.URL != "https://charts.example.com" || len(found.Parents) != 2 || found.Parents[1].Name != "prod" {
			t.Errorf("%s: %+v", args, found)
		}
	}
	out, code := exitOf(t.Context(), config, "trace", "--cluster=east", "-n=apps", "ing/podinfo")
	if code != 4 || !strings.Contains(out, "name its kind as ingress.example.com, ingress.networking.k8s.io") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, _ = exitOf(t.Context(), config, "trace", "--cluster=east", "hr/podinfo", "-n=apps")
	if !strings.Contains(out, "Reference:      branch main\nRevision:       main@sha1:1\n"+
		"Author:         Ada <ada@example.com>\nCommitted:      2026-01-02T03:04:05Z\nSubject:        Begin\n"+
		"Automation:     ImageUpdateAutomation flux-system/update, for ImagePolicy flux-system/db, "+
		"ImagePolicy flux-system/web\n") {
		t.Errorf("without the commit:\n%s", out)
	}
}
