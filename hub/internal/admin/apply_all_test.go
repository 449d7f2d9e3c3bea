package admin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// applyAll applies manifests, each as a request of its own.
func (r *rig) applyAll(first *adminv1.ApplyAllRequest, texts ...string) (*adminv1.ApplyAllResponse, error) {
	r.t.Helper()
	stream, err := r.ApplyAll(r.t.Context())
	must(r.t, err)
	for i, text := range texts {
		request := &adminv1.ApplyAllRequest{}
		if i == 0 && first != nil {
			request = first
		}
		request.Manifest = []byte(text)
		if stream.Send(request) != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

// deleteAll deletes objects, each by a request of its own.
func (r *rig) deleteAll(first *adminv1.DeleteAllRequest, keys ...*adminv1.ObjectKey) (*adminv1.DeleteAllResponse,
	error) {
	r.t.Helper()
	stream, err := r.DeleteAll(r.t.Context())
	must(r.t, err)
	for i, key := range keys {
		request := &adminv1.DeleteAllRequest{}
		if i == 0 && first != nil {
			request = first
		}
		request.Keys = []*adminv1.ObjectKey{key}
		if stream.Send(request) != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

// TestApplyAll applies the objects of several requests, all or none.
func TestApplyAll(t *testing.T) {
	r := newRig(t)
	isThere := func() bool {
		_, there := r.resource(api.Key{Kind: "Cluster", Name: "a"})
		return there
	}
	wrong := strings.Replace(source, "interval:", "intervall:", 1)
	_, err := r.applyAll(&adminv1.ApplyAllRequest{Files: []*adminv1.ManifestFile{
		{Name: "a.yaml", Size: 1 << 20, Documents: 6, Lines: 100}}}, "kind: X\n---\n"+clusterA, wrong, clusterA)
	wantCode(t, err, codes.InvalidArgument, "a.yaml:101 (document 7): apiVersion is missing", "intervall", "given twice")
	if isThere() {
		t.Fatal("one object of a change that is refused was written")
	}
	answer, err := r.applyAll(&adminv1.ApplyAllRequest{DryRun: true}, clusterA, source, root)
	must(t, err)
	if len(answer.Objects) != 3 || answer.Objects[1].Action != actionCreated || answer.Impact == nil || isThere() {
		t.Fatalf("a dry run answers %v, and the cluster exists: %v", answer, isThere())
	}
	_, err = r.applyAll(&adminv1.ApplyAllRequest{Confirmed: true, Digest: "another"}, clusterA, source)
	wantCode(t, err, codes.FailedPrecondition)
	_, err = r.applyAll(&adminv1.ApplyAllRequest{Confirmed: true, Digest: answer.Impact.Digest}, clusterA, source, root)
	must(t, err)
	if !isThere() {
		t.Error("nothing was written")
	}
}

// TestApplyAll_limits sends changes that are too large.
func TestApplyAll_limits(t *testing.T) {
	r := newRig(t)
	comment := "#" + strings.Repeat("x", 3<<20) + "\n"
	var large []string
	for range maxChangeSize/len(comment) + 1 {
		large = append(large, comment)
	}
	var many bytes.Buffer
	for i := range maxChanged + 1 {
		fmt.Fprintf(&many, `{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"c-%d"}},`, i)
	}
	clusters := `{"apiVersion":"v1","kind":"List","items":[` + strings.TrimSuffix(many.String(), ",") + "]}"
	for name, c := range map[string]struct {
		first *adminv1.ApplyAllRequest
		parts []string
		want  string
	}{
		"large":   {nil, large, "more than 32 MiB"},
		"many":    {nil, []string{clusters}, "more than 20000 objects"},
		"nothing": {nil, nil, "no objects"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.applyAll(c.first, c.parts...)
			wantCode(t, err, codes.InvalidArgument, c.want)
		})
	}
}

// TestApplyAll_shared leaves as many changes open as one operator may have: another operator is answered. A change of
// which nothing comes ends.
func TestApplyAll_shared(t *testing.T) {
	r := newRig(t)
	r.server.silence = time.Hour
	for range 2 {
		_, err := r.ApplyAll(t.Context())
		must(t, err)
	}
	one := identity.ID{TrustDomain: r.authority.TrustDomain(), Role: identity.Operator, Name: "admin"}
	for own := 0; own < maxLarge/2; _, own = r.server.changes.count(one) {
		must(t, t.Context().Err())
	}
	other := &rig{AdminServiceClient: r.dial(r.credential(identity.Operator, "other")), t: t}
	_, err := other.applyAll(nil, clusterA)
	must(t, err)
	silent := newRig(t)
	silent.server.silence = time.Millisecond
	stream, err := silent.ApplyAll(t.Context())
	must(t, err)
	wantCode(t, stream.RecvMsg(&adminv1.ApplyAllResponse{}), codes.DeadlineExceeded, "no content of the change")
}

// TestDeleteAll deletes the objects of several requests, all or none.
func TestDeleteAll(t *testing.T) {
	r := newRig(t)
	r.apply(strings.Join([]string{clusterA, source, root, credentialsYAML}, "---"))
	cluster, fleet := &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}, &adminv1.ObjectKey{Kind: "Fleet", Name: "none"}
	gitSource := &adminv1.ObjectKey{Kind: "GitRepository", Name: "fleet"}
	secret := &adminv1.ObjectKey{Kind: "Secret", Namespace: "flux-system", Name: "git"}
	answer, err := r.deleteAll(&adminv1.DeleteAllRequest{DryRun: true}, cluster, fleet, gitSource, secret)
	must(t, err)
	if len(answer.Missing) != 1 || answer.Missing[0].Kind != "Fleet" || len(answer.Impact.HubObjects) != 1 ||
		len(answer.Impact.UsedBy) != 1 {
		t.Fatalf("a dry run answers %v", answer)
	}
	before := r.rows("")
	_, err = r.deleteAll(nil, cluster, fleet, gitSource)
	wantCode(t, err, codes.NotFound, "Fleet none")
	_, err = r.deleteAll(&adminv1.DeleteAllRequest{Confirmed: true, Digest: "another"}, cluster, gitSource)
	wantCode(t, err, codes.FailedPrecondition)
	if rows := r.rows(""); !slices.Equal(rows, before) {
		t.Fatalf("a refused call left %q of %q", rows, before)
	}
	agreed := &adminv1.DeleteAllRequest{Confirmed: true, Digest: answer.Impact.Digest}
	_, err = r.deleteAll(agreed, cluster, gitSource, secret)
	must(t, err)
	for _, key := range []api.Key{
		api.ClusterKey("a"), {Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
	} {
		if _, there := r.resource(key); there {
			t.Errorf("%s is there", key)
		}
	}
	_, err = r.deleteAll(nil)
	wantCode(t, err, codes.InvalidArgument, "the keys are missing")
}

// TestChanges_refused changes and deletes objects of which several may not be: the error names each, with its place in
// a file, and none of the others is changed.
func TestChanges_refused(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	owner := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "hub"}
	keys := []*adminv1.ObjectKey{{Kind: "Cluster", Name: "a"}}
	change := clusterA
	for _, name := range []string{"b", "c"} {
		r.put(store.Resource{Key: api.ClusterKey(name), Owner: &owner},
			`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"`+name+`"}}`)
		change += "---\n" + strings.Replace(clusterA, "name: a", "name: "+name, 1)
		keys = append(keys, &adminv1.ObjectKey{Kind: "Cluster", Name: name})
	}
	change += "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: empty\n  namespace: flux-system\n" +
		"  annotations: {" + keysAnnotation + ": password}\n"
	files := []*adminv1.ManifestFile{{Name: "all.yaml", Size: uint64(len(change))}}
	before := r.rows("")
	changed := []string{"(document 2): Cluster b comes from Kustomization", "(document 3): Cluster c comes from"}
	_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(change), Files: files})
	noData := "(document 4): Secret flux-system/empty has no data"
	wantCode(t, err, codes.FailedPrecondition, append(changed, "all.yaml:", noData)...)
	_, err = r.applyAll(&adminv1.ApplyAllRequest{Files: files, DryRun: true}, change)
	wantCode(t, err, codes.FailedPrecondition, changed...)
	_, err = r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: []byte(change)}})
	wantCode(t, err, codes.FailedPrecondition, "Cluster b comes from", "\nCluster c comes from")

	_, err = r.deleteAll(nil, append(keys, &adminv1.ObjectKey{Kind: "Fleet", Name: "none"})...)
	wantCode(t, err, codes.FailedPrecondition, "Cluster b comes from", "Cluster c comes from", "Fleet none not found")
	_, err = r.deleteAll(&adminv1.DeleteAllRequest{DryRun: true}, keys...)
	wantCode(t, err, codes.FailedPrecondition, "Cluster b comes from", "Cluster c comes from")
	if rows := r.rows(""); !slices.Equal(rows, before) {
		t.Errorf("refused calls left %q of %q", rows, before)
	}
}
