package admin

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestPreviewImageUpdate(t *testing.T) {
	r := newRig(t)
	r.apply(source)
	auto := api.Key{Cluster: "a", Kind: api.ImageUpdateAutomationKind, Namespace: "apps", Name: "auto"}
	r.put(store.Resource{Key: auto}, `{"metadata":{"namespace":"apps"},"spec":{"interval":"1m","sourceRef":{"name":"x"},
		"git":{"commit":{"author":{"email":"a@b"}}}}}`)
	var failure error
	r.server.preview = func(_ context.Context, key api.Key) (*adminv1.PreviewImageUpdateResponse, error) {
		return &adminv1.PreviewImageUpdateResponse{Checkout: key.String()}, failure
	}
	ask := func(key api.Key) (*adminv1.PreviewImageUpdateResponse, error) {
		return r.PreviewImageUpdate(t.Context(), &adminv1.PreviewImageUpdateRequest{Key: fold.KeyMessage(key)})
	}
	answer, err := ask(auto)
	must(t, err)
	if answer.GetCheckout() != auto.String() {
		t.Errorf("got %v", answer)
	}
	failure = errors.New("the server refuses the credentials")
	_, err = ask(auto)
	wantCode(t, err, codes.FailedPrecondition, "the server refuses the credentials")
	failure = context.DeadlineExceeded
	_, err = ask(auto)
	wantCode(t, err, codes.DeadlineExceeded, "")
	_, err = ask(api.Key{Kind: api.GitRepositoryKind, Namespace: "flux-system", Name: "fleet"})
	wantCode(t, err, codes.InvalidArgument, "only runs of an ImageUpdateAutomation")
	auto.Name = "other"
	_, err = ask(auto)
	wantCode(t, err, codes.NotFound, "apps/other on a not found")
}
