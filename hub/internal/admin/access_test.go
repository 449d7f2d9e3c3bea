package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// TestRights wants a row of the table for each method, and none for others.
func TestRights(t *testing.T) {
	var methods []string
	for _, m := range adminv1.AdminService_ServiceDesc.Methods {
		methods = append(methods, m.MethodName)
	}
	for _, m := range adminv1.AdminService_ServiceDesc.Streams {
		methods = append(methods, m.StreamName)
	}
	slices.Sort(methods)
	if rows := slices.Sorted(maps.Keys(rights)); !slices.Equal(rows, methods) {
		t.Errorf("the table of rights has\n%v\nand the service\n%v", rows, methods)
	}
}

// TestRights_roles names what each role adds, so that a method does not change its role by accident.
func TestRights_roles(t *testing.T) {
	for role, want := range map[store.OperatorRole]int{"none": 0, "unknown": 0, "": 0, store.RoleReadOnly: 26,
		store.RoleOperate: 37, store.RoleAdmin: len(rights)} {
		if got := methodsOf(role); len(got) != want {
			t.Errorf("%q may call %d methods, want %d: %v", role, len(got), want, got)
		}
	}
	for _, method := range methodsOf(store.RoleReadOnly) {
		for _, verb := range []string{"Apply", "Delete", "Create", "Add", "Set", "Revoke", "Suspend", "Resume", "Control",
			"Pin", "Unpin", "Confirm", "Rollback"} {
			if strings.HasPrefix(method, verb) {
				t.Errorf("the role read-only may call %s", method)
			}
		}
	}
}

// TestRights_clusters wants each request of a method of the scope ofCluster to name clusters.
func TestRights_clusters(t *testing.T) {
	service := adminv1.File_nave_admin_v1_admin_proto.Services().ByName("AdminService")
	for method, r := range rights {
		if r.scope != ofCluster {
			continue
		}
		fields := service.Methods().ByName(protoreflect.Name(method)).Input().Fields()
		if fields.ByName("cluster") == nil && fields.ByName("clusters") == nil && fields.ByName("key") == nil {
			t.Errorf("requests of %s name no cluster", method)
		}
	}
}

func TestClustersOf(t *testing.T) {
	key := func(cluster, kind, name string) *adminv1.ObjectKey {
		return &adminv1.ObjectKey{Cluster: cluster, Kind: kind, Name: name}
	}
	for name, c := range map[string]struct {
		request proto.Message
		want    string
	}{
		"object":        {&adminv1.GetRequest{Key: key("a", "Kustomization", "x")}, "a"},
		"cluster":       {&adminv1.GetRequest{Key: key("", "Cluster", "b")}, "b"},
		"alias":         {&adminv1.GetRequest{Key: key("", "clusters", "b")}, "b"},
		"two":           {&adminv1.ExplainRequest{Key: key("a", "Cluster", "b")}, "a b"},
		"hub":           {&adminv1.GetRequest{Key: key("", "Kustomization", "x")}, ""},
		"nothing":       {&adminv1.GetRequest{}, ""},
		"confirm_hub":   {&adminv1.ConfirmRequest{Key: key("a", "", "")}, ""},
		"history":       {&adminv1.HistoryRequest{Cluster: "a"}, "a"},
		"published":     {&adminv1.PublishedRequest{Clusters: []string{"a", "b"}}, "a b"},
		"published_all": {&adminv1.PublishedRequest{}, ""},
		"list":          {&adminv1.ListRequest{Kind: "Cluster", Name: "a"}, "a"},
		"list_all":      {&adminv1.ListRequest{Kind: "Kustomization", Cluster: "a", AllClusters: true}, ""},
		"watch":         {&adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "Kustomization", Cluster: "a"}}, "a"},
		"events_all":    {&adminv1.ListEventsRequest{Cluster: "a", AllClusters: true}, ""},
		"logs_hub":      {&adminv1.LogsRequest{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(clustersOf(c.request), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// enforce makes a rig whose calls are guarded as those of the hub.
func enforce(t *testing.T) *rig {
	r := newRig(t)
	go func() { _ = r.server.Run(t.Context()) }()
	begin := func(ctx context.Context, path string) (*Call, error) {
		caller, err := identity.Peer(ctx)
		must(t, err)
		return r.server.Begin(ctx, caller, path)
	}
	r.unary = func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any,
		err error) {
		call, err := begin(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		defer func() { err = call.End(err) }()
		if err := call.Check(request); err != nil {
			return nil, err
		}
		return handle(call.Context(), request)
	}
	r.stream = func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (
		err error) {
		call, err := begin(stream.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		defer func() { err = call.End(err) }()
		return handle(server, checkedStream{stream, call})
	}
	return r
}

type checkedStream struct {
	grpc.ServerStream
	call *Call
}

func (c checkedStream) Context() context.Context { return c.call.Context() }

func (c checkedStream) RecvMsg(m any) error {
	if err := c.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return c.call.Check(m)
}

// addOperator returns the client of a new operator, and the serial number of the certificate.
func (r *rig) addOperator(name, role, selector string) (adminv1.AdminServiceClient, string) {
	r.t.Helper()
	key, err := identity.NewKey()
	must(r.t, err)
	csr, err := identity.NewCSR(key)
	must(r.t, err)
	answer, err := r.AddOperator(r.t.Context(), &adminv1.AddOperatorRequest{Name: name, Role: role, Selector: selector,
		Csr: csr})
	must(r.t, err)
	chain, err := identity.ParseCertificates(answer.GetCertificate())
	must(r.t, err)
	c := &identity.Credential{}
	pair := tls.Certificate{PrivateKey: key}
	for _, one := range chain {
		pair.Certificate = append(pair.Certificate, one.Raw)
	}
	c.Set(pair, []*x509.Certificate{r.authority.Certificate()})
	return r.dial(c), chain[0].SerialNumber.Text(16)
}

func TestRoles(t *testing.T) {
	r := enforce(t)
	ctx := t.Context()
	r.apply(clusterYAML{name: "a", env: "prod"}.String() + "---" + clusterYAML{name: "b", env: "test"}.String() + "---" +
		sourceYAML{}.String())
	cluster := func(name string) *adminv1.ObjectKey { return &adminv1.ObjectKey{Kind: "Cluster", Name: name} }
	source := &adminv1.ObjectKey{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	clients := map[string]adminv1.AdminServiceClient{"admin": r.AdminServiceClient}
	clients["reader"], _ = r.addOperator("reader", "read-only", "")
	clients["operate"], _ = r.addOperator("operate", "operate", "")
	clients["prod"], _ = r.addOperator("prod", "operate", "env=prod")
	clients["prod-admin"], _ = r.addOperator("prod-admin", "admin", "env=prod")
	clients["of-a"], _ = r.addOperator("of-a", "operate", "kubernetes.io/metadata.name=a")
	suspend := func(key *adminv1.ObjectKey) func(adminv1.AdminServiceClient) error {
		return func(c adminv1.AdminServiceClient) error {
			_, err := c.Suspend(ctx, &adminv1.SuspendRequest{Key: key})
			return err
		}
	}
	get := func(key *adminv1.ObjectKey) func(adminv1.AdminServiceClient) error {
		return func(c adminv1.AdminServiceClient) error {
			_, err := c.Get(ctx, &adminv1.GetRequest{Key: key})
			return err
		}
	}
	token := func(name string) func(adminv1.AdminServiceClient) error {
		return func(c adminv1.AdminServiceClient) error {
			_, err := c.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: name})
			return err
		}
	}
	apply := func(c adminv1.AdminServiceClient) error {
		_, err := c.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(sourceYAML{}.String())})
		return err
	}
	ok, denied, missing := codes.OK, codes.PermissionDenied, codes.NotFound
	for _, c := range []struct {
		name string
		call func(adminv1.AdminServiceClient) error
		want map[string]codes.Code
	}{
		{"get_a", get(cluster("a")), map[string]codes.Code{"admin": ok, "reader": ok, "operate": ok, "prod": ok}},
		{"get_b", get(cluster("b")), map[string]codes.Code{"admin": ok, "reader": ok, "prod": missing, "prod-admin": missing}},
		{"get_none", get(cluster("none")), map[string]codes.Code{"admin": missing, "prod": missing}},
		{"get_source", get(source), map[string]codes.Code{"reader": ok, "prod": denied, "prod-admin": denied}},
		{"suspend_a", suspend(cluster("a")), map[string]codes.Code{"reader": denied, "operate": ok, "prod": ok, "of-a": ok}},
		{"suspend_b", suspend(cluster("b")), map[string]codes.Code{"operate": ok, "prod": missing, "of-a": missing, "reader": denied}},
		{"suspend_source", suspend(source), map[string]codes.Code{"operate": ok, "prod": denied, "prod-admin": denied}},
		{"token_a", token("a"), map[string]codes.Code{"reader": denied, "operate": denied, "prod": denied, "prod-admin": ok}},
		{"token_b", token("b"), map[string]codes.Code{"admin": ok, "prod-admin": missing}},
		{"apply", apply, map[string]codes.Code{"reader": denied, "operate": denied, "prod-admin": denied, "admin": ok}},
	} {
		for name, want := range c.want {
			t.Run(c.name+"/"+name, func(t *testing.T) { wantCode(t, c.call(clients[name]), want) })
		}
	}
	// an answer does not tell whether a cluster exists
	if b, none := get(cluster("b"))(clients["prod"]), get(cluster("none"))(clients["prod"]); strings.ReplaceAll(
		fmt.Sprint(b), `"b"`, `"none"`) != fmt.Sprint(none) {
		t.Errorf("%v and %v differ", b, none)
	}
	list, err := clients["prod"].List(ctx, &adminv1.ListRequest{Kind: "Cluster"})
	must(t, err)
	if len(list.GetObjects()) != 1 || list.GetObjects()[0].GetKey().GetName() != "a" {
		t.Errorf("the list is %v", list)
	}
	if sources, err := clients["prod"].List(ctx, &adminv1.ListRequest{Kind: "GitRepository"}); err != nil ||
		len(sources.GetObjects()) > 0 {
		t.Errorf("sources: %v %v", sources, err)
	}
	page, err := r.ListAudit(ctx, &adminv1.ListAuditRequest{Denied: true, Operator: "prod"})
	must(t, err)
	if len(page.GetEntries()) == 0 {
		t.Error("what the operator tried with the cluster of others is not recorded")
	}
}

// nextOf returns the names of the next objects of a watch, each with its type, until it is in sync or ends.
func nextOf(watch adminv1.AdminService_WatchClient, n int) (all []string, err error) {
	for range n {
		m, err := watch.Recv()
		if err != nil {
			return all, err
		}
		all = append(all, fmt.Sprintf("%s %s", m.GetType(), m.GetObject().GetKey().GetName()))
	}
	return all, nil
}

// TestRevoke ends a watch when the certificate is revoked, and refuses the open connection from then on.
func TestRevoke(t *testing.T) {
	for name, end := range map[string]func(r *rig, serial string) error{
		"revoked": func(r *rig, serial string) error {
			_, err := r.RevokeCertificate(r.t.Context(), &adminv1.RevokeCertificateRequest{Serial: serial})
			return err
		},
		"removed": func(r *rig, _ string) error {
			_, err := r.SetOperator(r.t.Context(), &adminv1.SetOperatorRequest{Name: "bob", Role: "none"})
			return err
		},
		"other_clusters": func(r *rig, _ string) error {
			_, err := r.SetOperator(r.t.Context(), &adminv1.SetOperatorRequest{Name: "bob", Role: "operate", Selector: "x=y"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := enforce(t)
			r.apply(clusterYAML{}.String())
			bob, serial := r.addOperator("bob", "operate", "")
			watch, err := bob.Watch(t.Context(), &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "Cluster"}})
			must(t, err)
			if got, err := nextOf(watch, 2); err != nil {
				t.Fatalf("%v %v", got, err)
			}
			must(t, end(r, serial))
			_, err = watch.Recv()
			wantCode(t, err, codes.PermissionDenied)
			_, err = bob.Suspend(t.Context(), &adminv1.SuspendRequest{Key: &adminv1.ObjectKey{Kind: "GitRepository",
				Name: "x"}})
			wantCode(t, err, codes.PermissionDenied)
		})
	}
}

// TestWatch_scoped follows the labels of clusters.
func TestWatch_scoped(t *testing.T) {
	r := enforce(t)
	r.apply(clusterYAML{name: "a", env: "prod"}.String() + "---" + clusterYAML{name: "b", env: "test"}.String())
	prod, _ := r.addOperator("prod", "read-only", "env=prod")
	watch, err := prod.Watch(t.Context(), &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "Cluster"}})
	must(t, err)
	got, err := nextOf(watch, 2)
	must(t, err)
	r.apply(clusterYAML{name: "b", env: "prod"}.String())
	more, err := nextOf(watch, 1)
	must(t, err)
	r.apply(clusterYAML{name: "a", env: "test"}.String())
	last, err := nextOf(watch, 1)
	must(t, err)
	want := "WATCH_TYPE_CHANGED a, WATCH_TYPE_SYNCED , WATCH_TYPE_CHANGED b, WATCH_TYPE_DELETED a"
	if got := strings.Join(slices.Concat(got, more, last), ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestOperators_lastAdmin keeps an admin.
func TestOperators_lastAdmin(t *testing.T) {
	r := enforce(t)
	ctx := t.Context()
	operators, err := r.ListOperators(ctx, &adminv1.ListOperatorsRequest{})
	must(t, err)
	own := operators.GetOperators()[0]
	if own.GetName() != "admin" || own.GetRole() != "admin" || len(own.GetCertificates()) != 1 {
		t.Fatalf("the operators are %v", operators)
	}
	for _, role := range []string{"none", "read-only", "admin"} {
		_, err = r.SetOperator(ctx, &adminv1.SetOperatorRequest{Name: "admin", Role: role, Selector: "a=b"})
		wantCode(t, err, codes.FailedPrecondition, "nave-hub operator-config")
	}
	_, err = r.RevokeCertificate(ctx, &adminv1.RevokeCertificateRequest{
		Serial: strings.ToUpper(own.GetCertificates()[0].GetSerial())})
	wantCode(t, err, codes.FailedPrecondition, "nave-hub operator-config")
	_, err = r.RevokeCertificate(ctx, &adminv1.RevokeCertificateRequest{Serial: "abc"})
	wantCode(t, err, codes.NotFound)
	_, err = r.SetOperator(ctx, &adminv1.SetOperatorRequest{Name: "nobody", Role: "admin"})
	wantCode(t, err, codes.NotFound)

	// a certificate of the data folder: an admin, until the role is set
	carol := r.dial(r.credential(identity.Operator, "carol"))
	_, err = carol.SetOperator(ctx, &adminv1.SetOperatorRequest{Name: "admin", Role: "read-only"})
	must(t, err)
	_, err = r.SetOperator(ctx, &adminv1.SetOperatorRequest{Name: "carol", Role: "none"})
	wantCode(t, err, codes.PermissionDenied)
}

// TestOperators_again refuses the certificates of an operator that had the name before, and those whose row is missing.
func TestOperators_again(t *testing.T) {
	r := enforce(t)
	ctx := t.Context()
	old, _ := r.addOperator("bob", "admin", "")
	_, err := r.SetOperator(ctx, &adminv1.SetOperatorRequest{Name: "bob", Role: "none"})
	must(t, err)
	fresh, _ := r.addOperator("bob", "admin", "")
	second, _ := r.addOperator("bob", "", "")
	_, err = old.GetVersion(ctx, &adminv1.GetVersionRequest{})
	wantCode(t, err, codes.PermissionDenied)
	for _, client := range []adminv1.AdminServiceClient{fresh, second} {
		_, err = client.GetVersion(ctx, &adminv1.GetVersionRequest{})
		must(t, err)
	}
	// a backup is restored
	must(t, r.store.Update(ctx, func(tx *store.Tx) error { return store.Operators.Delete(tx, "bob") }))
	_, err = fresh.GetVersion(ctx, &adminv1.GetVersionRequest{})
	wantCode(t, err, codes.PermissionDenied)
}

// TestAddOperator_selector refuses a selector that chooses everything: the role would be for the hub, too.
func TestAddOperator_selector(t *testing.T) {
	r := enforce(t)
	for _, selector := range []string{" ", "\t", "a=b=c"} {
		_, err := r.SetOperator(t.Context(), &adminv1.SetOperatorRequest{Name: "bob", Role: "admin", Selector: selector})
		wantCode(t, err, codes.InvalidArgument)
	}
}
