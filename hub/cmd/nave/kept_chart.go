package main

import (
	"context"
	"fmt"
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// madeChart is the HelmChart of a release whose chart is in the checkout.
type madeChart struct {
	plan.PreviewedSource
	object *api.Object
}

// keptChart returns why the hub goes on with the files that it has of the chart of a release: they changed, and the
// version of the chart did not. If the hub would take the files of the checkout, keptChart returns "".
func (c *comparison) keptChart(ctx context.Context, d *pairDiff) (string, error) {
	if d.new == nil || d.old.digest.IsZero() || d.chart.object == nil || d.chart.Made.Revision == "" {
		return "", nil
	}
	answer, err := c.client.Get(ctx, &adminv1.GetRequest{Key: fold.KeyMessage(d.chart.Key)})
	if status.Code(err) == codes.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	has, err := decode(answer.GetObject())
	if err != nil {
		return "", err
	}
	revision, _, _ := unstructured.NestedString(has, "status", "artifact", "revision")
	digest, _, _ := unstructured.NestedString(has, "status", "artifact", "digest")
	made := d.chart.Made
	if revision != made.Revision || digest == made.Digest.String() || !isFetchedAlike(answer.GetObject(), d.chart.object) {
		return "", nil
	}
	return fmt.Sprintf("%s is not compared: files of its chart changed, and its version %s did not, so the hub goes on "+
		"with the files that it has. Raise version in Chart.yaml, or set reconcileStrategy: Revision",
		d.new.Application.Name, revision), nil
}

// isFetchedAlike reports whether a HelmChart that the hub has names the same chart as another version of the object.
func isFetchedAlike(has *adminv1.Object, other *api.Object) bool {
	admitted, err := readmit(has, api.ClusterGraph)
	if err != nil {
		return false
	}
	a, err := admitted.Source()
	b, otherErr := other.Source()
	return err == nil && otherErr == nil && reflect.DeepEqual(a.Identity, b.Identity) &&
		reflect.DeepEqual(a.Inputs, b.Inputs)
}
