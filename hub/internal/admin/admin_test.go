package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/signer"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// rig is an admin server behind real TLS, and an operator's client.
type rig struct {
	adminv1.AdminServiceClient

	t         *testing.T
	store     *store.Store
	vault     *store.Vault
	authority *identity.Authority
	server    *Server
	address   string
	unary     grpc.UnaryServerInterceptor  // in place of identifyCall
	stream    grpc.StreamServerInterceptor // in place of identifyStream
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	authority, err := identity.LoadOrCreateAuthority(filepath.Join(dir, "ca"))
	must(t, err)
	vault, err := store.NewVault(filepath.Join(dir, "vault.key"))
	must(t, err)
	r := &rig{t: t, store: store.OpenMemory(store.Twice), vault: vault, authority: authority}
	r.unary, r.stream = identifyCall, identifyStream
	keys, err := signer.Open(t.Context(), signer.Config{Store: r.store, Dir: dir, TrustDomain: authority.TrustDomain(),
		Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	r.server = New(Config{Store: r.store, Vault: vault, Issuer: authority, Log: slog.New(slog.DiscardHandler), Join: Join{
		TrustDomain: authority.TrustDomain(), CAPin: authority.Pin(), Address: "hub.example.com:7443",
		SpokeImage: "image",
	}, Keys: keys})
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(r.credential(identity.Hub, "hub")))),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (
			any, error) {
			return r.unary(ctx, request, info, handle)
		}), grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo,
			handle grpc.StreamHandler) error {
			return r.stream(server, stream, info, handle)
		}))
	adminv1.RegisterAdminServiceServer(g, r.server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.address = listener.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(listener) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-ended; !errors.Is(err, grpc.ErrServerStopped) { // a test may end before it starts
			must(t, err)
		}
		must(t, r.store.Close())
	})
	r.AdminServiceClient = r.dial(r.credential(identity.Operator, "admin"))
	return r
}

// identify returns the context with the caller that the certificate names, as the interceptors of the hub do.
func identify(ctx context.Context) context.Context {
	caller, err := identity.Peer(ctx)
	if err != nil {
		return ctx
	}
	return identity.WithCaller(ctx, caller)
}

func identifyCall(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(identify(ctx), request)
}

func identifyStream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(server, identified{stream, identify(stream.Context())})
}

// identified is a stream with another context.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (i identified) Context() context.Context { return i.ctx }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want codes.Code, words ...string) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("%q does not name %q", err, w)
		}
	}
}

func (r *rig) credential(role, name string) *identity.Credential {
	r.t.Helper()
	key, err := identity.NewKey()
	must(r.t, err)
	chain, err := r.authority.Issue(key.Public(),
		identity.ID{TrustDomain: r.authority.TrustDomain(), Role: role, Name: name}, time.Hour, nil, nil)
	must(r.t, err)
	c := &identity.Credential{}
	c.Set(tls.Certificate{Certificate: chain, PrivateKey: key}, []*x509.Certificate{r.authority.Certificate()})
	return c
}

func (r *rig) dial(c *identity.Credential) adminv1.AdminServiceClient {
	r.t.Helper()
	config := identity.ClientTLS(c, identity.ID{TrustDomain: r.authority.TrustDomain()})
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return adminv1.NewAdminServiceClient(conn)
}

// apply returns what was done with each object.
func (r *rig) apply(text string) (actions []string) {
	r.t.Helper()
	answer, err := r.Apply(r.t.Context(), &adminv1.ApplyRequest{Manifest: []byte(text)})
	must(r.t, err)
	for _, o := range answer.Objects {
		actions = append(actions, o.Key.Kind+"/"+o.Key.Name+" "+o.Action)
	}
	return actions
}

func (r *rig) resource(key api.Key) (row store.Resource, there bool) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) (err error) {
		row, there, err = store.Resources.Get(tx, key.Path())
		return err
	}))
	return row, there
}

func (r *rig) put(row store.Resource, object string) {
	r.t.Helper()
	row.Object = api.StoredObject(row.Key, json.RawMessage(object))
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Resources.Put(tx, row.Key.Path(), row)
	}))
}

// clusterYAML, fleetYAML, sourceYAML, rootYAML and secretYAML are objects as text. An empty field has the value of
// clusterA, fleet, source, root or credentialsYAML.
type (
	clusterYAML struct {
		name, env, domain string
		blocked           bool
	}
	fleetYAML  struct{ env, root, path string }
	sourceYAML struct{ name, url, secret string }
	rootYAML   struct {
		path    string
		suspend bool
	}
	secretYAML struct{ password, annotations string }
)

func (c clusterYAML) String() string {
	return fmt.Sprintf(`
apiVersion: fleet.nave.io/v1alpha1
kind: Cluster
metadata: {name: %s, labels: {env: %s}}
spec: {vars: {domain: %s}, blocked: %t}
`, cmp.Or(c.name, "a"), cmp.Or(c.env, "prod"), cmp.Or(c.domain, "a.example.com"), c.blocked)
}

func (f fleetYAML) String() string {
	return fmt.Sprintf(`
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: prod}
spec:
  clusterSelector: {matchLabels: {env: %s}}
  template:
    metadata: {name: %s}
    spec: {interval: 10m, prune: true, path: "./%s/${cluster_name}", sourceRef: {kind: GitRepository, name: fleet}}
`, cmp.Or(f.env, "prod"), cmp.Or(f.root, "root"), cmp.Or(f.path, "clusters"))
}

func (s sourceYAML) String() string {
	secret := ""
	if s.secret != "" {
		secret = ", secretRef: {name: " + s.secret + "}"
	}
	return fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: %s, namespace: flux-system}
spec: {interval: 1m, url: %q, ref: {branch: main}%s}
`, cmp.Or(s.name, "fleet"), cmp.Or(s.url, "https://git.example.com/fleet.git"), secret)
}

func (r rootYAML) String() string {
	return fmt.Sprintf(`
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: root, namespace: flux-system}
spec: {interval: 10m, prune: true, path: %q, suspend: %t, sourceRef: {kind: GitRepository, name: fleet}}
`, cmp.Or(r.path, "./hub"), r.suspend)
}

func (s secretYAML) String() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: flux-system, annotations: {%s}}
stringData: {username: git, password: %s}
`, s.annotations, cmp.Or(s.password, "canary-4711"))
}

var (
	clusterA        = clusterYAML{}.String()
	source          = sourceYAML{}.String()
	root            = rootYAML{}.String()
	fleet           = fleetYAML{}.String()
	credentialsYAML = secretYAML{}.String()
)

func TestApply(t *testing.T) {
	r := newRig(t)
	all := strings.Join([]string{clusterA, source, root, fleet}, "---")
	want := []string{"Cluster/a created", "GitRepository/fleet created", "Kustomization/root created",
		"Fleet/prod created"}
	if got := r.apply(all); !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
	key := api.Key{Kind: "Cluster", Name: "a"}
	first, _ := r.resource(key)
	if first.UID == "" || first.Generation != 1 || first.Created.IsZero() || first.Owner != nil {
		t.Fatalf("row is %+v", first)
	}
	if got := r.apply(clusterA); got[0] != "Cluster/a unchanged" {
		t.Fatalf("got %v", got)
	}
	if got := r.apply(clusterYAML{env: "dev"}.String()); got[0] != "Cluster/a configured" {
		t.Fatalf("got %v", got)
	}
	if row, _ := r.resource(key); row.Generation != 1 || row.UID != first.UID {
		t.Fatalf("labels changed the generation: %+v", row)
	}
	r.apply(clusterYAML{domain: "b.example.com"}.String())
	if row, _ := r.resource(key); row.Generation != 2 || row.UID != first.UID || !row.Created.Equal(first.Created) {
		t.Fatalf("row is %+v", row)
	}
}

func TestApply_refused(t *testing.T) {
	const wrong = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet}
spec: {intervall: 1m, url: "https://git.example.com/fleet.git"}
`
	for name, text := range map[string]string{
		"unknown_field": clusterA + "---" + wrong,
		"twice":         clusterA + "---" + clusterA,
		"unknown_kind":  clusterA + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
		"unsupported_kind": clusterA + "---\napiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\nmetadata: " +
			"{name: x}\n",
		"broken_yaml": clusterA + "---\nkind: [",
		"empty":       "",
		"encrypted": clusterA + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: " +
			"\"ENC[AES256_GCM,data:x,type:str]\"}\nsops: {version: 3.9.0}\n",
		"secret_without_data": clusterA + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\n",
		"secret_not_base64": clusterA + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: " +
			"\"canary-4711!\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(text)})
			wantCode(t, err, codes.InvalidArgument)
			if name == "unknown_kind" && !strings.Contains(err.Error(), "goes into Git, below a Kustomization") {
				t.Errorf("%v says no way out", err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Fatalf("%v quotes a secret", err)
			}
			if _, there := r.resource(api.Key{Kind: "Cluster", Name: "a"}); there {
				t.Fatal("one object was written")
			}
		})
	}
}

// TestApply_files checks that errors name the places of faults in the files that a manifest was made of.
func TestApply_files(t *testing.T) {
	r := newRig(t)
	first := "apiVersion: v1\nkind: [\n---\n" + clusterA + "\n---\n"
	second := "# second\n" + strings.Replace(clusterA, "kind: Cluster", "kind: Clutser", 1) + "\n---\n"
	_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(first + second + clusterA), DryRun: true,
		Files: []*adminv1.ManifestFile{{Name: "a.yaml", Size: uint64(len(first))}, {Name: "b.yaml", Size: uint64(len(second))}}})
	wantCode(t, err, codes.InvalidArgument, "a.yaml:2: did not find expected node content\n")
	wantCode(t, err, codes.InvalidArgument, "\nb.yaml:")
	wantCode(t, err, codes.InvalidArgument, "\ndocument 1, line ")
	_, err = r.Apply(t.Context(), &adminv1.ApplyRequest{Files: []*adminv1.ManifestFile{{Size: 1 << 63}}})
	wantCode(t, err, codes.InvalidArgument, "the manifest has no objects")
}

// TestApply_utf16 reads a file in UTF-16, as PowerShell writes it, beside one in UTF-8.
func TestApply_utf16(t *testing.T) {
	r := newRig(t)
	wide := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(clusterYAML{name: "é"}.String())) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	wide = append(wide, "\n---\n"...)
	_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: append(wide, clusterA...),
		Files: []*adminv1.ManifestFile{{Name: "wide.yaml", Size: uint64(len(wide))}}})
	wantCode(t, err, codes.InvalidArgument, `wide.yaml:4: Cluster é: metadata.name: Invalid value: "é"`)
}

func TestApply_dry_run(t *testing.T) {
	r := newRig(t)
	answer, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(clusterA), DryRun: true})
	must(t, err)
	if answer.Objects[0].Action != actionCreated {
		t.Fatalf("got %v", answer)
	}
	if _, there := r.resource(api.Key{Kind: "Cluster", Name: "a"}); there {
		t.Fatal("it was written")
	}
}

func TestApply_owned(t *testing.T) {
	r := newRig(t)
	owner := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	key := api.Key{Kind: "Cluster", Name: "a"}
	r.put(store.Resource{Key: key, Owner: &owner}, `{}`)
	_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(clusterA)})
	wantCode(t, err, codes.FailedPrecondition, "Kustomization flux-system/root")
	_, err = r.Delete(t.Context(), &adminv1.DeleteRequest{Key: fold.KeyMessage(key)})
	wantCode(t, err, codes.FailedPrecondition, "Kustomization flux-system/root")
	_, err = r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: fold.KeyMessage(key)})
	must(t, err) // an operator may hold it all the same
}

func TestApply_orphaned(t *testing.T) {
	owner := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	key := api.Key{Kind: "Cluster", Name: "a"}
	t.Run("taken_over", func(t *testing.T) {
		r := newRig(t)
		r.apply(clusterA)
		row, _ := r.resource(key)
		row.Owner, row.Orphaned = &owner, true
		r.put(row, string(row.Object.JSON))
		if got := r.apply(clusterA); got[0] != "Cluster/a configured" {
			t.Fatalf("got %v", got)
		}
		if row, _ := r.resource(key); row.Owner != nil || row.Orphaned {
			t.Fatalf("it is not the operator's: %+v", row)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		r := newRig(t)
		left := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
		owner := owner
		owner.Cluster = "a"
		r.put(store.Resource{Key: left, Owner: &owner, Orphaned: true}, `{}`)
		_, err := r.Delete(t.Context(), &adminv1.DeleteRequest{Key: fold.KeyMessage(left)})
		must(t, err)
		if _, there := r.resource(left); there {
			t.Fatal("it is still there")
		}
	})
}

func TestSecret(t *testing.T) {
	r := newRig(t)
	if got := r.apply(credentialsYAML); got[0] != "Secret/git created" {
		t.Fatalf("got %v", got)
	}
	if got := r.apply(credentialsYAML); got[0] != "Secret/git unchanged" {
		t.Fatalf("got %v", got)
	}
	if got := r.apply(secretYAML{password: "canary-4712"}.String()); got[0] != "Secret/git configured" {
		t.Fatalf("got %v", got)
	}
	key := &adminv1.ObjectKey{Kind: "secret", Namespace: "flux-system", Name: "git"}
	one, err := r.Get(t.Context(), &adminv1.GetRequest{Key: key})
	must(t, err)
	list, err := r.List(t.Context(), &adminv1.ListRequest{Kind: "secrets"})
	must(t, err)
	for _, o := range append(list.Objects, one.Object) {
		if bytes.Contains(o.Json, []byte("canary")) || !bytes.Contains(o.Json, []byte("password,username")) {
			t.Fatalf("shows %s", o.Json)
		}
	}
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Secrets.Get(tx, "flux-system/git")
		must(t, err)
		data, err := r.vault.Open("flux-system/git", row.Sealed)
		if string(data["password"]) != "canary-4712" || bytes.Contains(row.Sealed, []byte("canary")) {
			t.Errorf("vault holds %d keys", len(data))
		}
		return err
	}))
	_, err = r.Delete(t.Context(), &adminv1.DeleteRequest{Key: key})
	must(t, err)
	_, err = r.Get(t.Context(), &adminv1.GetRequest{Key: key})
	wantCode(t, err, codes.NotFound)
}

func TestDelete_cluster(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	r.apply(clusterYAML{name: "ab"}.String())
	fill := func(tx *store.Tx, cluster string) error {
		key := api.Key{Cluster: cluster, Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
		for _, err := range []error{
			store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Object: api.StoredObject(key, json.RawMessage("{}"))}),
			store.Conditions.Put(tx, key.Path(), store.Condition{Ready: "True"}),
			store.Reports.Put(tx, key.Path(), store.Report{}),
			store.Plans.Put(tx, cluster, store.Plan{}),
			store.SignedBundles.Put(tx, cluster, store.SignedBundle{Bundle: bundle.ID{Sequence: 1}}),
			store.Spokes.Put(tx, cluster, store.Spoke{Connected: true}),
			store.JoinTokens.Put(tx, "token of "+cluster, store.JoinToken{Cluster: cluster}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	}
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		if err := fill(tx, "a"); err != nil {
			return err
		}
		return fill(tx, "ab")
	}))
	_, err := r.Delete(t.Context(), &adminv1.DeleteRequest{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}})
	must(t, err)
	a, ab := r.rows("a"), r.rows("ab")
	if len(a) != 0 || len(ab) != 8 {
		t.Fatalf("of a: %v; of ab: %v", a, ab)
	}
	_, err = r.Delete(t.Context(), &adminv1.DeleteRequest{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}})
	wantCode(t, err, codes.NotFound)
}

// rows are the rows that belong to a cluster.
func (r *rig) rows(cluster string) (rows []string) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		rows = slices.Concat(
			keys(r.t, tx, store.Resources, cluster+"/"), keys(r.t, tx, store.Conditions, cluster+"/"), keys(r.t, tx,
				store.Reports,
				cluster+"/"),
			equal(keys(r.t, tx, store.Plans, cluster), cluster), equal(keys(r.t, tx, store.SignedBundles, cluster), cluster),
			equal(keys(r.t, tx, store.Spokes, cluster), cluster), equal(keys(r.t, tx, store.JoinTokens, "token of "),
				"token of "+cluster),
			equal(keys(r.t, tx, store.Resources, "/Cluster/"), "/Cluster//"+cluster),
		)
		return nil
	}))
	return rows
}

func keys[T any](t *testing.T, tx *store.Tx, table store.Table[T], prefix string) (found []string) {
	t.Helper()
	must(t, table.Scan(tx, prefix, func(key string, _ T) error {
		found = append(found, key)
		return nil
	}))
	return found
}

func equal(list []string, want string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s != want })
}

func TestSuspend(t *testing.T) {
	r := newRig(t)
	r.apply(source + "---" + root)
	key := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	p := &adminv1.ObjectKey{Kind: "ks", Name: "root"}
	_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: p})
	must(t, err)
	if row, _ := r.resource(key); !row.Suspended {
		t.Fatal("not suspended")
	}
	_, err = r.Reconcile(t.Context(), &adminv1.ReconcileRequest{Key: p})
	wantCode(t, err, codes.FailedPrecondition, "suspended")
	_, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: p})
	must(t, err)
	if row, _ := r.resource(key); row.Suspended || row.RequestedAt == "" {
		t.Fatalf("row is %+v", row)
	}
	r.apply(rootYAML{suspend: true}.String())
	_, err = r.Resume(t.Context(), &adminv1.ResumeRequest{Key: p})
	wantCode(t, err, codes.FailedPrecondition, "spec.suspend")
}

func TestCreateJoinToken(t *testing.T) {
	r := newRig(t)
	_, err := r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "a"})
	wantCode(t, err, codes.NotFound)
	r.apply(clusterA)
	answer, err := r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "a", TtlSeconds: 60})
	must(t, err)
	if answer.CaPin != r.authority.Pin() || answer.HubAddress != "hub.example.com:7443" ||
		answer.TrustDomain != r.authority.TrustDomain() {
		t.Fatalf("got %v", answer)
	}
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		row, there, err := store.JoinTokens.Get(tx, manifest.DigestOf([]byte(answer.Token)).String())
		if !there || row.Cluster != "a" || time.Until(row.ExpiresAt) > time.Minute || len(answer.Token) < 60 {
			t.Errorf("row is %+v", row)
		}
		return err
	}))
	for _, seconds := range []int64{-1, 1 << 40} {
		_, err = r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "a", TtlSeconds: seconds})
		wantCode(t, err, codes.InvalidArgument)
	}
	r.apply(clusterYAML{blocked: true}.String())
	_, err = r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "a"})
	wantCode(t, err, codes.FailedPrecondition, "blocked")
}

// TestCreateJoinToken_deletes_old puts join tokens that expired long ago into the store. The first new token deletes
// them; those after it do not look, so that a thousand tokens are not read a thousand times.
func TestCreateJoinToken_deletes_old(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	for _, key := range []string{"old", "later"} {
		must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
			return store.JoinTokens.Put(tx, key, store.JoinToken{Cluster: "a", ExpiresAt: time.Unix(1, 0)})
		}))
		_, err := r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "a"})
		must(t, err)
	}
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		keys, _, err := store.JoinTokens.PageKeys(tx, "", "", 10)
		if slices.Contains(keys, "old") || !slices.Contains(keys, "later") {
			t.Errorf("tokens %v", keys)
		}
		return err
	}))
}

func TestListEvents(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	app := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "web"}
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 10 {
			for _, key := range []api.Key{app, {Kind: "Cluster", Name: "a"}, {Kind: "Cluster", Name: "b"}} {
				e := store.Event{Time: time.Unix(int64(i), 0), Object: key, Type: "Normal", Reason: "Test", Message: fmt.Sprint(i)}
				if err := store.Record(tx, e); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	for name, c := range map[string]struct {
		request *adminv1.ListEventsRequest
		count   int
		last    string
	}{
		"all":              {&adminv1.ListEventsRequest{AllClusters: true}, 30, "9"},
		"cluster":          {&adminv1.ListEventsRequest{Cluster: "a"}, 20, "9"},
		"hub":              {&adminv1.ListEventsRequest{}, 20, "9"},
		"limited":          {&adminv1.ListEventsRequest{AllClusters: true, Limit: 4}, 4, "9"},
		"namespace":        {&adminv1.ListEventsRequest{AllClusters: true, Namespace: "apps", Limit: 4}, 4, "9"},
		"namespace_of_hub": {&adminv1.ListEventsRequest{Namespace: "apps"}, 0, ""},
		"object": {&adminv1.ListEventsRequest{Key: &adminv1.ObjectKey{Cluster: "a", Kind: "ks", Namespace: "apps",
			Name: "web"}}, 10, "9"},
		"payload": {&adminv1.ListEventsRequest{Key: &adminv1.ObjectKey{Cluster: "a", Kind: "Pod", Namespace: "apps",
			Name: "web"}}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := r.ListEvents(t.Context(), c.request)
			must(t, err)
			if len(answer.Events) != c.count || c.count > 0 && answer.Events[c.count-1].Message != c.last {
				t.Fatalf("%d events: %v", len(answer.Events), answer.Events)
			}
		})
	}
}

// TestListEvents_chosen chooses events by type, by time, and by what was seen before, whatever their times.
func TestListEvents_chosen(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	key := api.Key{Kind: "Cluster", Name: "a"}
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		for i, e := range []store.Event{{Type: "Normal"}, {Type: "Warning"}, {Type: "Normal"}, {Type: "Warning"}} {
			e.Object, e.Time, e.Message = key, time.Unix(int64(100-10*i), 0), fmt.Sprint(i) // the later, the older
			if err := store.Record(tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	for name, c := range map[string]struct {
		request *adminv1.ListEventsRequest
		want    string
	}{
		"all":           {&adminv1.ListEventsRequest{}, "3210"},
		"warnings":      {&adminv1.ListEventsRequest{Types: []string{"Warning"}}, "31"},
		"newest_normal": {&adminv1.ListEventsRequest{Types: []string{"Normal"}, Limit: 1}, "0"},
		"both_types":    {&adminv1.ListEventsRequest{Types: []string{"Warning", "Normal"}}, "3210"},
		"since":         {&adminv1.ListEventsRequest{Since: timestamppb.New(time.Unix(80, 0))}, "210"},
		"after":         {&adminv1.ListEventsRequest{After: 2}, "32"},
		"after_all":     {&adminv1.ListEventsRequest{After: 4}, ""},
		"together": {&adminv1.ListEventsRequest{After: 1, Types: []string{"Normal"},
			Since: timestamppb.New(time.Unix(75, 0))}, "2"},
		"after_of_no_object": {&adminv1.ListEventsRequest{After: 1, Key: &adminv1.ObjectKey{Kind: "cluster", Name: "b"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := r.ListEvents(t.Context(), c.request)
			must(t, err)
			got := ""
			for _, e := range answer.Events {
				got += e.Message
			}
			if got != c.want || answer.Last != 4 {
				t.Errorf("events %q, the last is %d; want %q and 4", got, answer.Last, c.want)
			}
		})
	}
}

// TestUnknownCluster asks for what a cluster has that does not exist.
func TestUnknownCluster(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	list := &adminv1.ListRequest{Kind: "ks", Cluster: "none"}
	for name, ask := range map[string]func() error{
		"list": func() error {
			_, err := r.List(t.Context(), list)
			return err
		},
		"watch": func() error {
			stream, err := r.Watch(t.Context(), &adminv1.WatchRequest{List: list})
			must(t, err)
			_, err = stream.Recv()
			return err
		},
		"events": func() error {
			_, err := r.ListEvents(t.Context(), &adminv1.ListEventsRequest{Cluster: "none"})
			return err
		},
		"explain": func() error {
			_, err := r.Explain(t.Context(), &adminv1.ExplainRequest{Key: &adminv1.ObjectKey{Cluster: "none"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, ask(), codes.NotFound, `cluster "none" does not exist`) })
	}
	answer, err := r.List(t.Context(), &adminv1.ListRequest{Kind: "ks", Cluster: "a"})
	if err != nil || len(answer.Objects) > 0 {
		t.Errorf("of a cluster without any: %v, %v", answer, err)
	}
	_, err = r.List(t.Context(), &adminv1.ListRequest{Kind: "clusters", Cluster: "a"})
	wantCode(t, err, codes.InvalidArgument, "a Cluster is an object of the hub")
	_, err = r.Get(t.Context(), &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: "fleet", Cluster: "a", Name: "x"}})
	wantCode(t, err, codes.InvalidArgument, "a Fleet is an object of the hub")
	for _, limit := range []int32{-1, -500} {
		_, err = r.ListEvents(t.Context(), &adminv1.ListEventsRequest{AllClusters: true, Limit: limit})
		wantCode(t, err, codes.InvalidArgument, fmt.Sprintf("limit %d: want 0 or more", limit))
	}
}

// TestUnknownObject asks for the explanations and the events of objects that do not exist.
func TestUnknownObject(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA + "---" + source + "---" + root)
	web := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "web"}
	r.put(store.Resource{Key: web},
		`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"web","namespace":"apps"},"spec":{}}`)
	for name, c := range map[string]struct {
		key             *adminv1.ObjectKey
		explain, events bool // whether it is found
	}{
		"known":         {fold.KeyMessage(web), true, true},
		"cluster":       {&adminv1.ObjectKey{Kind: "Cluster", Name: "a"}, true, true},
		"any_cluster":   {&adminv1.ObjectKey{Kind: "ks", Namespace: "apps", Name: "web"}, true, false},
		"name":          {&adminv1.ObjectKey{Cluster: "a", Kind: "ks", Namespace: "apps", Name: "nope"}, false, false},
		"namespace":     {&adminv1.ObjectKey{Cluster: "a", Kind: "ks", Namespace: "wrong", Name: "web"}, false, false},
		"fleet":         {&adminv1.ObjectKey{Kind: "fleet", Name: "nope"}, false, false},
		"source":        {&adminv1.ObjectKey{Kind: "source git", Namespace: "flux-system", Name: "nope"}, false, false},
		"whole_cluster": {&adminv1.ObjectKey{Kind: "Cluster", Name: "nope"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Explain(t.Context(), &adminv1.ExplainRequest{Key: c.key})
			if (err == nil) != c.explain {
				t.Errorf("explain: %v", err)
			}
			_, err = r.ListEvents(t.Context(), &adminv1.ListEventsRequest{Key: c.key, Cluster: c.key.Cluster,
				AllClusters: c.key.Cluster == ""})
			if (err == nil) != c.events {
				t.Errorf("events: %v", err)
			}
			if !c.events && status.Code(err) != codes.NotFound {
				t.Errorf("events: %v", err)
			}
		})
	}
}

// TestExplain_namespace asks for the explanations of namespaces: one without objects is no all-clear.
func TestExplain_namespace(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA + "---" + source + "---" + root)
	r.put(store.Resource{Key: api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "web"}},
		`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"web","namespace":"apps"},"spec":{}}`)
	for _, c := range []struct {
		cluster, namespace string
		want               codes.Code
	}{
		{"", "apps", codes.OK}, {"a", "apps", codes.OK}, {"", "flux-system", codes.OK},
		{"", "wrong", codes.NotFound}, {"a", "flux-system", codes.NotFound},
	} {
		_, err := r.Explain(t.Context(), &adminv1.ExplainRequest{
			Key: &adminv1.ObjectKey{Cluster: c.cluster, Namespace: c.namespace}})
		if status.Code(err) != c.want {
			t.Errorf("namespace %s of cluster %q: %v, want %s", c.namespace, c.cluster, err, c.want)
		}
	}
}

func TestList(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA + "---" + source + "---" + root)
	r.apply(clusterYAML{name: "b", env: "dev"}.String())
	r.put(store.Resource{Key: api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "apps", Name: "web"}},
		`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"web","namespace":"apps"},"spec":{}}`)
	for name, c := range map[string]struct {
		request *adminv1.ListRequest
		want    []string
	}{
		"clusters":     {&adminv1.ListRequest{Kind: "clusters"}, []string{"a", "b"}},
		"by_label":     {&adminv1.ListRequest{Kind: "cluster", LabelSelector: "env in (prod)"}, []string{"a"}},
		"hub":          {&adminv1.ListRequest{Kind: "ks"}, []string{"root"}},
		"one_cluster":  {&adminv1.ListRequest{Kind: "ks", Cluster: "a"}, []string{"web"}},
		"everywhere":   {&adminv1.ListRequest{Kind: "ks", AllClusters: true}, []string{"root", "web"}},
		"by_namespace": {&adminv1.ListRequest{Kind: "ks", AllClusters: true, Namespace: "apps"}, []string{"web"}},
		"by_name":      {&adminv1.ListRequest{Kind: "ks", AllClusters: true, Name: "web"}, []string{"web"}},
		"no_such_name": {&adminv1.ListRequest{Kind: "clusters", Name: "c"}, nil},
		"none":         {&adminv1.ListRequest{Kind: "fleets"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := r.List(t.Context(), c.request)
			must(t, err)
			var names []string
			for _, o := range answer.Objects {
				names = append(names, o.Key.Name)
			}
			if !slices.Equal(names, c.want) {
				t.Fatalf("got %v", names)
			}
		})
	}
	_, err := r.List(t.Context(), &adminv1.ListRequest{Kind: "pods"})
	wantCode(t, err, codes.InvalidArgument, `"pods"`)
	_, err = r.List(t.Context(), &adminv1.ListRequest{Kind: "ks", LabelSelector: "a in ("})
	wantCode(t, err, codes.InvalidArgument, "label selector")
}

func TestWatch(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	watch, err := r.Watch(ctx, &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "clusters"}})
	must(t, err)
	expect := func(kind adminv1.WatchType, name string) {
		t.Helper()
		m, err := watch.Recv()
		if err != nil || m.Type != kind || m.Object.GetKey().GetName() != name {
			t.Fatalf("got %v, %v; want %v %s", m, err, kind, name)
		}
	}
	expect(adminv1.WatchType_WATCH_TYPE_CHANGED, "a")
	expect(adminv1.WatchType_WATCH_TYPE_SYNCED, "")
	r.apply(clusterYAML{name: "b"}.String())
	expect(adminv1.WatchType_WATCH_TYPE_CHANGED, "b")
	_, err = r.Delete(ctx, &adminv1.DeleteRequest{Key: &adminv1.ObjectKey{Kind: "cluster", Name: "a"}})
	must(t, err)
	expect(adminv1.WatchType_WATCH_TYPE_DELETED, "a")
	r.server.Drain()
	_, err = watch.Recv()
	wantCode(t, err, codes.Unavailable)
}

// TestOperator_every_method calls each method of the client, whatever methods there are.
func TestOperator_every_method(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	for role, name := range map[string]string{identity.Cluster: "a", identity.Hub: "hub"} {
		client := reflect.ValueOf(r.dial(r.credential(role, name)))
		for i := range client.NumMethod() {
			method := client.Type().Method(i)
			arguments := []reflect.Value{reflect.ValueOf(t.Context())}
			if method.Type.NumIn() == 4 { // else the requests are a stream
				arguments = append(arguments, reflect.New(method.Type.In(2).Elem()))
			}
			out := client.Method(i).Call(arguments)
			err, _ := out[1].Interface().(error)
			if stream, ok := out[0].Interface().(grpc.ClientStream); ok && err == nil {
				err = stream.RecvMsg(&adminv1.WatchResponse{})
			}
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s as %s: %v", method.Name, role, err)
			}
		}
	}
}

func TestGet_missing(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		key  *adminv1.ObjectKey
		code codes.Code
		word string
	}{
		{&adminv1.ObjectKey{Kind: "cluster", Name: "none"}, codes.NotFound, "Cluster none"},
		{&adminv1.ObjectKey{Kind: "ks", Cluster: "a", Namespace: "x", Name: "none"}, codes.NotFound,
			"Kustomization x/none on a"},
		{&adminv1.ObjectKey{Kind: "ks"}, codes.InvalidArgument, "the name is missing"},
		{&adminv1.ObjectKey{Kind: "pod", Name: "x"}, codes.InvalidArgument, "kustomizations"},
		{nil, codes.InvalidArgument, "unknown"},
	} {
		_, err := r.Get(t.Context(), &adminv1.GetRequest{Key: c.key})
		wantCode(t, err, c.code, c.word)
		details := status.Convert(err).Details()
		named := len(details) == 1 && details[0].(*adminv1.ObjectKey).GetName() == "none"
		if named != (c.code == codes.NotFound) {
			t.Errorf("the details of %v are %v, want the key of a missing object and no other", err, details)
		}
	}
	_, err := r.Tree(t.Context(), &adminv1.TreeRequest{Key: &adminv1.ObjectKey{Kind: "cluster", Name: "none"}})
	wantCode(t, err, codes.NotFound)
	answer, err := r.GetVersion(t.Context(), &adminv1.GetVersionRequest{})
	if err != nil || answer.Protocol == 0 || answer.Version == "" {
		t.Fatalf("version %v, %v", answer, err)
	}
}
