package admin

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestShapes answers what clusters told about texts: its own answers and shared ones, and nothing to other questions.
func TestShapes(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	reader := bundle.ApplicationName{Kind: "HelmRelease", Namespace: "apps", Name: "web"}
	question := func(name string, giver bundle.ApplicationName) bundle.ShapeQuestion {
		q := bundle.ShapeQuestion{Reader: reader, Kind: "Secret", Name: name, Key: "values.yaml", Form: bundle.ShapeYAML,
			Giver: giver}
		if giver != (bundle.ApplicationName{}) {
			q.Object = manifest.DigestOf([]byte(name))
		}
		return q
	}
	given := question("given", bundle.ApplicationName{Kind: "Kustomization", Namespace: "apps", Name: "secrets"})
	live, ofOther := question("live", bundle.ApplicationName{}), question("other", bundle.ApplicationName{})
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		must(t, store.PutShape(tx, "b", given, store.Shape{Shape: []byte(`{"a":"str"}`)}))
		must(t, store.PutShape(tx, "a", live, store.Shape{Shape: []byte(`{"b":"int"}`), Content: []byte("hash")}))
		return store.PutShape(tx, "b", ofOther, store.Shape{Shape: []byte(`{"c":"bool"}`)})
	}))
	ask := func(cluster string, questions ...bundle.ShapeQuestion) (*adminv1.ShapesResponse, error) {
		request := &adminv1.ShapesRequest{Cluster: cluster}
		for _, q := range questions {
			id := q.ID()
			request.Questions = append(request.Questions, id[:])
		}
		return r.Shapes(t.Context(), request)
	}
	got, err := ask("a", given, live, ofOther)
	must(t, err)
	if len(got.Shapes) != 2 || string(got.Shapes[0].Shape) != `{"a":"str"}` ||
		string(got.Shapes[1].Shape) != `{"b":"int"}` || string(got.Shapes[1].Content) != "hash" {
		t.Errorf("%v, want the shared answer and that of the cluster", got)
	}
	_, err = ask("none", given)
	wantCode(t, err, codes.NotFound, "none")
	_, err = ask("a", make([]bundle.ShapeQuestion, maxShapes+1)...)
	wantCode(t, err, codes.InvalidArgument, "at most")
	_, err = r.Shapes(t.Context(), &adminv1.ShapesRequest{Cluster: "a", Questions: [][]byte{{1}}})
	wantCode(t, err, codes.InvalidArgument, "questions[0]")
}
