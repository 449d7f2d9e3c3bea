package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// emptyHub has objects and has released nothing. Shapes answers nothing, or with an error.
type emptyHub struct {
	adminv1.UnimplementedAdminServiceServer
	objects []*api.Object
	fails   error
}

func (h emptyHub) Published(_ *adminv1.PublishedRequest,
	stream grpc.ServerStreamingServer[adminv1.PublishedResponse]) error {
	part := &adminv1.PublishedHub{Epoch: 1}
	for _, o := range h.objects {
		part.Objects = append(part.Objects, &adminv1.HubObject{Json: o.JSON})
	}
	return stream.Send(&adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Hub{Hub: part}})
}

func (h emptyHub) Capabilities(context.Context, *adminv1.CapabilitiesRequest) (*adminv1.CapabilitiesResponse, error) {
	return &adminv1.CapabilitiesResponse{KubernetesVersion: "v1.36.0"}, nil
}

func (h emptyHub) Shapes(context.Context, *adminv1.ShapesRequest) (*adminv1.ShapesResponse, error) {
	return &adminv1.ShapesResponse{}, h.fails
}

// TestDiff_failed ends with 2 and says why if a call of the hub fails, or if a chart of the checkout is none. What only
// waits for the answer of a cluster is not compared.
func TestDiff_failed(t *testing.T) {
	const (
		chart = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
		reads = "  valuesFrom: [{kind: Secret, name: only-there}]\n"
		needs = chart + "dependencies: [{name: a, version: 1.x, repository: 'https://x.example.com'}]\n"
		lacks = chart + "dependencies: [{name: a, version: 1.x, repository: 'file://../a'}]\n"
	)
	for name, c := range map[string]struct {
		chart string
		spec  string
		fails error
		code  int
		want  string
	}{
		"shapes": {chart, reads, status.Error(codes.Internal, "the disk is full"), 2,
			"ask the hub for the keys: the disk is full"},
		"old_hub": {chart, reads, status.Error(codes.Unimplemented, "unknown method"), 2, "the hub is too old for the keys " +
			"that clusters told: upgrade it"},
		"not_answered":  {chart, reads, nil, 1, "HelmRelease flux-system/web is not compared: spec.valuesFrom[0]"},
		"not_vendored":  {needs, "", nil, 1, "run helm dependency build"},
		"no_dependency": {lacks, "", nil, 2, "not everything could be rendered"},
		"broken_chart":  {"a: [", "", nil, 2, "not everything could be rendered"},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, map[string]string{"hub/fleet.yaml": fleetFiles["hub/fleet.yaml"],
				"hub/clusters.yaml": fleetFiles["hub/clusters.yaml"],
				"clusters/lab/hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n" +
					"metadata: {name: web, namespace: flux-system}\nspec:\n  interval: 1m\n" +
					"  chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: fleet}}}\n" +
					c.spec,
				"chart/Chart.yaml": c.chart, "chart/templates/a.yaml": "",
			})
			objects, err := readObjects(nil, []string{filepath.Join(root, "hub")})
			if err != nil {
				t.Fatal(err)
			}
			config := serve(t, emptyHub{objects: objects, fails: c.fails})
			out, code := diffWith(t, config, "cluster", "lab", root)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.code, c.want, out)
			}
		})
	}
}
