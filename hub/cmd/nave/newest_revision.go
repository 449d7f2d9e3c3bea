package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// newestRevision returns the function that asks the hub for the newest revision of a release, which its spoke reported.
func newestRevision(client adminv1.AdminServiceClient) func(context.Context, string, bundle.ApplicationName) (int,
	string, error) {
	return func(ctx context.Context, cluster string, name bundle.ApplicationName) (int, string, error) {
		key := fold.KeyMessage(api.ApplicationKey(cluster, name))
		answer, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
		if status.Code(err) == codes.NotFound {
			return 0, "", nil
		}
		if err != nil {
			return 0, "", err
		}
		object, err := decode(answer.GetObject())
		if err != nil {
			return 0, "", err
		}
		history, _, _ := unstructured.NestedSlice(object, "status", "history")
		if len(history) == 0 {
			return 0, "", nil
		}
		newest, _ := history[0].(map[string]any)
		revision, _ := newest["version"].(int64)
		word, _ := newest["status"].(string)
		return int(revision), word, nil
	}
}
