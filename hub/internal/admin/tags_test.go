package admin

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const (
	imageRepository = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: apps}
spec:
  image: ghcr.io/org/app
  interval: 1h
`
	imagePolicy = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: apps}
spec:
  imageRepositoryRef: {name: app}
  policy: {semver: {range: 1.x}}
`
)

var policyKey = api.Key{Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}

// newTagsRig returns a rig with an ImagePolicy, whose repository has some tags.
func newTagsRig(t *testing.T) *rig {
	r := newRig(t)
	r.server.tags = func(_ context.Context, a artifact.Artifact) ([]string, error) {
		if a.Revision != "tags" {
			t.Errorf("got the artifact %q", a.Revision)
		}
		return []string{"1.0.0", "1.1.0"}, nil
	}
	r.apply(imageRepository + "---" + imagePolicy)
	r.scanned()
	return r
}

// scanned says that the repository was scanned.
func (r *rig) scanned() {
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Resources.Get(tx, policyKey.Path())
		must(r.t, err)
		fetch, _, err := row.FetchOf(func(key api.Key) (store.Resource, bool, error) {
			return store.Resources.Get(tx, key.Path())
		})
		must(r.t, err)
		return store.Sources.Put(tx, fetch.Inputs[0], store.Fetched{Artifact: &artifact.Artifact{Revision: "tags"}})
	}))
}

// forget deletes the row of an object.
func (r *rig) forget(key api.Key) {
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error { return store.Resources.Delete(tx, key.Path()) }))
}

func (r *rig) control(request *adminv1.ControlTagsRequest) (*adminv1.ControlTagsResponse, error) {
	request.Key = fold.KeyMessage(policyKey)
	return r.ControlTags(r.t.Context(), request)
}

// TestControlTags_pin pins a policy, whatever Git says, until it is released.
func TestControlTags_pin(t *testing.T) {
	r := newTagsRig(t)
	answer, err := r.control(&adminv1.ControlTagsRequest{Pin: "1.0.0"})
	must(t, err)
	row, _ := r.resource(policyKey)
	if pin := row.Tags.Pin; pin.Tag != "1.0.0" || pin.By == "" || pin.At.IsZero() || !answer.Changed ||
		answer.Pin != "1.0.0" || answer.RequestedAt == "" || row.RequestedAt != answer.RequestedAt {
		t.Errorf("pinned %+v, answered %v", row.Tags, answer)
	}
	answer, err = r.control(&adminv1.ControlTagsRequest{Pin: "1.0.0"})
	if err != nil || answer.Changed || answer.RequestedAt != row.RequestedAt { // the first one may not be carried out yet
		t.Errorf("pinned again: %v, %v", answer, err)
	}
	r.apply(imagePolicy + "  digestReflectionPolicy: IfNotPresent\n")
	if row, _ = r.resource(policyKey); row.Tags.Pin.Tag != "1.0.0" {
		t.Error("a change of the policy ended the pin")
	}
	answer, err = r.control(&adminv1.ControlTagsRequest{Release: true})
	must(t, err)
	if row, _ = r.resource(policyKey); row.Tags.Pin != (store.TagDecision{}) || answer.Released != "1.0.0" {
		t.Errorf("released %+v, answered %v", row.Tags, answer)
	}
	if answer, err = r.control(&adminv1.ControlTagsRequest{Release: true}); err != nil || answer.Changed {
		t.Errorf("released again: %v, %v", answer, err)
	}
	r.expectEvents(policyKey, "Pinned: pinned to tag 1.0.0 by admin", "PinEnded: released from tag 1.0.0 by admin")
}

// TestControlTags_exclude excludes tags, whether or not they exist, and includes them again.
func TestControlTags_exclude(t *testing.T) {
	r := newTagsRig(t)
	for _, c := range []struct {
		request       *adminv1.ControlTagsRequest
		changed, want []string // the tags that changed, and those that are excluded then
	}{
		{&adminv1.ControlTagsRequest{Exclude: []string{"9.0.0", "1.1.0", "1.1.0"}}, []string{"9.0.0", "1.1.0"},
			[]string{"1.1.0", "9.0.0"}},
		{&adminv1.ControlTagsRequest{Exclude: []string{"1.1.0"}}, nil, []string{"1.1.0", "9.0.0"}},
		{&adminv1.ControlTagsRequest{Exclude: []string{"1.1.0", "2"}}, []string{"2"}, []string{"1.1.0", "2", "9.0.0"}},
		{&adminv1.ControlTagsRequest{Include: []string{"3"}}, nil, []string{"1.1.0", "2", "9.0.0"}},
		{&adminv1.ControlTagsRequest{Include: []string{"3", "2"}}, []string{"2"}, []string{"1.1.0", "9.0.0"}},
		{&adminv1.ControlTagsRequest{Pin: "1.1.0"}, []string{"1.1.0"}, []string{"1.1.0", "9.0.0"}},
		{&adminv1.ControlTagsRequest{IncludeAll: true}, []string{"1.1.0", "9.0.0"}, nil},
		{&adminv1.ControlTagsRequest{IncludeAll: true}, nil, nil},
	} {
		answer, err := r.control(c.request)
		must(t, err)
		row, _ := r.resource(policyKey)
		if got := row.Tags.Control().Excluded; !slices.Equal(got, c.want) || !slices.Equal(answer.Excluded, c.want) ||
			!slices.Equal(answer.Tags, c.changed) || answer.Changed != (c.changed != nil) {
			t.Errorf("%v: excluded %q, answered %v, want %q and then %q", c.request, got, answer, c.changed, c.want)
		}
	}
	r.expectEvents(policyKey, "TagsExcluded: excluded 9.0.0, 1.1.0 by admin", "TagsIncluded: included 2 by admin")
}

// TestControlTags_contradiction refuses to exclude the pinned tag, and to exclude too many.
func TestControlTags_contradiction(t *testing.T) {
	r := newTagsRig(t)
	_, err := r.control(&adminv1.ControlTagsRequest{Pin: "1.0.0"})
	must(t, err)
	_, err = r.control(&adminv1.ControlTagsRequest{Exclude: []string{"1.0.0"}})
	wantCode(t, err, codes.FailedPrecondition, "is pinned to tag 1.0.0: release it first (nave image release app -n apps)")
	many := &adminv1.ControlTagsRequest{}
	for n := range maxExcluded + 1 {
		many.Exclude = append(many.Exclude, strconv.Itoa(n))
	}
	_, err = r.control(many)
	wantCode(t, err, codes.FailedPrecondition, "would have 501 excluded tags, and at most 500 may be")
}

// TestControlTags_one refuses a request for several decisions, and one for none.
func TestControlTags_one(t *testing.T) {
	r := newTagsRig(t)
	for _, request := range []*adminv1.ControlTagsRequest{
		{}, {Pin: "1.0.0", Release: true}, {Pin: "1.0.0", Exclude: []string{"1.1.0"}},
		{Include: []string{"1.0.0"}, Exclude: []string{"1.1.0"}}, {Release: true, IncludeAll: true},
	} {
		_, err := r.control(request)
		wantCode(t, err, codes.InvalidArgument, "want one of pin, release, exclude, and include")
	}
	r.expectEvents(policyKey)
}

// TestControlTags_suspended decides about a suspended policy, which nothing carries out before it is resumed.
func TestControlTags_suspended(t *testing.T) {
	r := newTagsRig(t)
	_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: fold.KeyMessage(policyKey)})
	must(t, err)
	answer, err := r.control(&adminv1.ControlTagsRequest{Pin: "1.0.0"})
	must(t, err)
	if !answer.Changed || answer.RequestedAt != "" {
		t.Error(answer)
	}
}

// TestControlTags_refused changes nothing.
func TestControlTags_refused(t *testing.T) {
	repository := fold.KeyMessage(api.Key{Kind: api.ImageRepositoryKind, Namespace: "apps", Name: "app"})
	for name, c := range map[string]struct {
		change  func(*rig)
		request *adminv1.ControlTagsRequest
		code    codes.Code
		want    string
	}{
		"unknown_tag": {nil, &adminv1.ControlTagsRequest{Pin: "1.1"}, codes.FailedPrecondition,
			`ImageRepository apps/app has no tag "1.1"; it has: 1.1.0, 1.0.0. If the tag is new, let the hub find it first: nave reconcile image repository app -n apps`},
		"no_tag":     {nil, &adminv1.ControlTagsRequest{Pin: "../1"}, codes.InvalidArgument, `"../1" cannot be a tag`},
		"other_kind": {nil, &adminv1.ControlTagsRequest{Key: repository, Release: true}, codes.InvalidArgument, "chooses no tag"},
		"never_scanned": {func(r *rig) { r.apply(imageRepository + "  insecure: true\n") },
			&adminv1.ControlTagsRequest{Pin: "1.0.0"}, codes.FailedPrecondition,
			"ImageRepository apps/app has found no tags yet, so nothing can be pinned to one: " +
				"nave reconcile image repository app -n apps"},
		"no_repository": {func(r *rig) { r.forget(api.Key{Kind: api.ImageRepositoryKind, Namespace: "apps", Name: "app"}) }, &adminv1.ControlTagsRequest{Pin: "1.0.0"},
			codes.FailedPrecondition, "there is no ImageRepository apps/app"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTagsRig(t)
			if c.change != nil {
				c.change(r)
			}
			if c.request.Key == nil {
				c.request.Key = fold.KeyMessage(policyKey)
			}
			_, err := r.ControlTags(t.Context(), c.request)
			wantCode(t, err, c.code, c.want)
			if row, _ := r.resource(policyKey); row.Tags.Pin.Tag != "" || row.Tags.RequestedAt != "" {
				t.Errorf("changed to %+v", row.Tags)
			}
		})
	}
}
