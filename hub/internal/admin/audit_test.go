package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// audited returns the entries that a request finds, a line for each object.
func (r *rig) audited(request *adminv1.ListAuditRequest) (lines []string) {
	r.t.Helper()
	page, err := r.ListAudit(r.t.Context(), request)
	must(r.t, err)
	for _, e := range page.GetEntries() {
		if e.GetSerial() == "" || e.GetTime() == nil {
			r.t.Errorf("%v lacks the certificate or the time", e)
		}
		for _, o := range e.GetObjects() {
			line := fmt.Sprintf("%s %s %s/%s: %s", identity.NameOf(e.GetBy()), e.GetVerb(), o.GetKey().GetKind(),
				o.GetKey().GetName(), strings.TrimSpace(o.GetChange()+" "+e.GetDenied()))
			lines = append(lines, strings.TrimSuffix(line, ": "))
		}
	}
	return lines
}

func TestAudit(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	key := &adminv1.ObjectKey{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	r.apply(clusterYAML{}.String() + "---" + secretYAML{password: "hunter2"}.String() + "---" + sourceYAML{}.String() +
		"---" + rootYAML{}.String())
	r.apply(clusterYAML{domain: "s3cret.example.com", blocked: true}.String())
	r.apply(clusterYAML{domain: "s3cret.example.com", blocked: true}.String()) // changes nothing
	_, err := r.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(clusterYAML{name: "b"}.String()), DryRun: true})
	must(t, err)
	_, err = r.Suspend(ctx, &adminv1.SuspendRequest{Key: key})
	must(t, err)
	_, err = r.Suspend(ctx, &adminv1.SuspendRequest{Key: key}) // changes nothing
	must(t, err)
	_, err = r.Delete(ctx, &adminv1.DeleteRequest{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "none"}})
	wantCode(t, err, codes.NotFound)
	bob := r.dial(r.credential(identity.Operator, "bob"))
	_, err = bob.Resume(ctx, &adminv1.ResumeRequest{Key: key})
	must(t, err)
	_, err = bob.Reconcile(ctx, &adminv1.ReconcileRequest{Key: key})
	must(t, err)
	r.apply(clusterYAML{}.String())
	_, err = bob.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: "a", EndCertificate: true})
	must(t, err)
	_, err = bob.Delete(ctx, &adminv1.DeleteRequest{Key: key})
	must(t, err)

	all := r.audited(&adminv1.ListAuditRequest{})
	for i, line := range all {
		if before, _, is := strings.Cut(line, " expires at "); is {
			all[i] = before
		}
	}
	want := []string{
		"admin applied Cluster/a: created",
		"admin applied Secret/" + strings.Fields(r.auditedSecret())[0] + ": created",
		"admin applied GitRepository/fleet: created",
		"admin applied Kustomization/root: created",
		"admin applied Cluster/a: configured: spec.blocked=true, spec.vars.domain",
		"admin suspend Kustomization/root",
		"bob resume Kustomization/root",
		"bob reconcile Kustomization/root",
		"admin applied Cluster/a: configured: spec.blocked=false, spec.vars.domain",
		"bob created a join token Cluster/a:",
		"bob deleted Kustomization/root",
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("the audit log is\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
	}
	for _, secret := range []string{"hunter2", "s3cret"} {
		if strings.Contains(strings.Join(all, " "), secret) {
			t.Errorf("the log has the secret %s", secret)
		}
	}
	// an entry is found with all its objects
	for name, c := range map[string]struct {
		request *adminv1.ListAuditRequest
		want    int
	}{
		"operator": {&adminv1.ListAuditRequest{Operator: "bob"}, 4},
		"object":   {&adminv1.ListAuditRequest{Object: key}, 8},
		"cluster":  {&adminv1.ListAuditRequest{Cluster: "a"}, 7},
		"denied":   {&adminv1.ListAuditRequest{Denied: true}, 0},
		"since":    {&adminv1.ListAuditRequest{Since: &timestamppb.Timestamp{Seconds: 1 << 33}}, 0},
	} {
		if n := len(r.audited(c.request)); n != c.want {
			t.Errorf("by %s: %d objects, want %d", name, n, c.want)
		}
	}
}

// auditedSecret returns the name of the Secret that was applied.
func (r *rig) auditedSecret() (name string) {
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		return store.Secrets.Scan(tx, "", func(path string, _ store.Secret) error {
			name = store.CredentialKey(path).Name
			return nil
		})
	}))
	return name
}

func TestDenied(t *testing.T) {
	r := newRig(t)
	caller := identity.Caller{ID: identity.ID{TrustDomain: "d", Role: identity.Cluster, Name: "east"}, Serial: "1f"}
	request := &adminv1.DeleteRequest{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}}
	for range 100 {
		r.server.Denied(t.Context(), caller, adminv1.AdminService_Delete_FullMethodName, request,
			status.Error(codes.PermissionDenied, "not an operator"))
	}
	r.server.Denied(context.Background(), caller, adminv1.AdminService_Delete_FullMethodName, request,
		status.Error(codes.NotFound, "is no refusal"))
	lines := r.audited(&adminv1.ListAuditRequest{Denied: true})
	if len(lines) != denialBurst || lines[0] != "east Delete Cluster/a: not an operator" {
		t.Errorf("%d refusals are recorded, the first %q: want %d", len(lines), lines[0], denialBurst)
	}
}

func TestChangedFields(t *testing.T) {
	object := func(text string) *api.Object { return api.StoredObject(api.ClusterKey("a"), json.RawMessage(text)) }
	for name, c := range map[string]struct{ before, after, want string }{
		"value":   {`{"spec":{"a":"x","b":1}}`, `{"spec":{"a":"y","b":1}}`, "spec.a"},
		"switch":  {`{"spec":{"blocked":true}}`, `{"spec":{"blocked":false}}`, "spec.blocked=false"},
		"added":   {`{}`, `{"spec":{"a":"x"}}`, "spec"},
		"removed": {`{"spec":{"a":"x","c":"d"}}`, `{"spec":{"c":"d"}}`, "spec.a"},
		"list":    {`{"spec":{"l":["x"]}}`, `{"spec":{"l":["y"]}}`, "spec.l"},
		"name":    {`{"a":{"x\u001b[2J":"1"}}`, `{"a":{"x\u001b[2J":"2"}}`, `a."x\x1b[2J"`},
		"same":    {`{"a":1}`, `{"a":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changedFields(object(c.before), object(c.after)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
