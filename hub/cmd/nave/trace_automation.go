package main

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// addAutomations names the ImageUpdateAutomations that pushed the commits of the trace. Each automation knows the last
// commit that it pushed.
func (t *traced) addAutomations(ctx context.Context, client adminv1.AdminServiceClient) error {
	var steps []*traceStep
	for _, s := range append([]*traceStep{&t.GivenBy}, pointers(t.Sources)...) {
		if strings.Contains(s.Revision, commitMark) {
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return nil
	}
	all, err := list(ctx, client, &adminv1.ListRequest{Kind: api.ImageUpdateAutomationKind, AllClusters: true}, chunkSize)
	if code := statusOf(err).Code(); code == codes.InvalidArgument || code == codes.Unimplemented {
		return nil // an older hub, which has no such kind
	}
	if err != nil {
		return err
	}
	for _, message := range all {
		object, err := decode(message)
		if err != nil {
			return err
		}
		commit, _, _ := unstructured.NestedString(object, "status", "lastPushCommit")
		for _, s := range steps {
			if commit != "" && strings.HasSuffix(s.Revision, commitMark+commit) {
				s.Automation = automationOf(message.GetKey(), object)
			}
		}
	}
	return nil
}

// commitMark is before the commit in the revision of a GitRepository.
const commitMark = "sha1:"

func pointers(steps []traceStep) (all []*traceStep) {
	for i := range steps {
		all = append(all, &steps[i])
	}
	return all
}

// automationOf names an automation, and the policies whose images it wrote in its last commit.
func automationOf(message *adminv1.ObjectKey, object map[string]any) string {
	key := fold.KeyOf(message)
	text := key.String()
	names, _, _ := unstructured.NestedStringSlice(object, "status", "lastPush", "policies")
	for i, name := range names {
		names[i] = api.Key{Kind: api.ImagePolicyKind, Namespace: key.Namespace, Name: name}.Local()
	}
	if len(names) > 0 {
		text += ", for " + listed(names)
	}
	return text
}
