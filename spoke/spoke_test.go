package spoke_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/spoke"
	"github.com/navefleet/nave/spoke/internal/membership"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// refused is what a join token is worth that registers nobody.
const refused = "refused"

// hub is a scripted far side on real TLS. It signs for real, registers, offers, and hands out blobs.
type hub struct {
	spokev1.UnimplementedSpokeServiceServer
	registrationv1.UnimplementedRegistrationServiceServer
	authority *identity.Authority
	signer    *signing.Signer
	server    *grpc.Server
	address   string
	acks      chan string

	mu      sync.Mutex
	tokens  map[string]string // what a join token is worth: the name of a cluster; any other: prod
	spent   []string          // the tokens that were shown
	hello   *spokev1.Hello    // the latest
	events  []*spokev1.Event
	blobs   map[manifest.Digest][]byte
	fetched int
	offer   *spokev1.Offer
	changed chan struct{} // closed when offer changes
	reports map[string]*spokev1.ApplicationReport
}

func newHub(t *testing.T) *hub {
	t.Helper()
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{
		authority: authority, signer: signing.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3},
			32))), acks: make(chan string, 64), tokens: map[string]string{},
		blobs: map[manifest.Digest][]byte{}, changed: make(chan struct{}), reports: map[string]*spokev1.ApplicationReport{},
	}
	h.serve(t, "127.0.0.1:0")
	return h
}

func (h *hub) id(role, name string) identity.ID {
	return identity.ID{TrustDomain: h.authority.TrustDomain(), Role: role, Name: name}
}

func (h *hub) serve(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := h.authority.Issue(key.Public(), h.id(identity.Hub, "hub"), time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := identity.Pair(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	var c identity.Credential
	c.Set(pair, []*x509.Certificate{h.authority.Certificate()})
	h.server, h.address = grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(&c)))), listener.Addr().String()
	spokev1.RegisterSpokeServiceServer(h.server, h)
	registrationv1.RegisterRegistrationServiceServer(h.server, h)
	go func() { _ = h.server.Serve(listener) }()
	t.Cleanup(h.server.Stop)
}

func (h *hub) Register(_ context.Context, r *registrationv1.RegisterRequest) (*registrationv1.RegisterResponse, error) {
	pub, err := identity.ParseCSR(r.GetCsr())
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.spent = append(h.spent, r.GetToken())
	name := cmp.Or(h.tokens[r.GetToken()], "prod")
	h.mu.Unlock()
	if name == refused {
		return nil, status.Error(codes.Unauthenticated, "the join token is not valid")
	}
	chain, err := h.authority.Issue(pub, h.id(identity.Cluster, name), time.Hour, nil, nil)
	return &registrationv1.RegisterResponse{Certificate: &registrationv1.Certificate{Chain: chain,
		Authorities: [][]byte{h.authority.Certificate().Raw}}}, err
}

func (h *hub) Session(stream spokev1.SpokeService_SessionServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.hello = first.GetHello()
	h.mu.Unlock()
	if err := stream.Send(&spokev1.SessionResponse{
		Message: &spokev1.SessionResponse_Welcome{Welcome: &spokev1.Welcome{
			Now: timestamppb.Now(), Protocol: version.Protocol,
		}},
	}); err != nil {
		return err
	}
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			if a := m.GetAck(); a != nil {
				h.acks <- fmt.Sprintf("%d %s %s", a.GetBundle().GetSequence(),
					strings.ToLower(strings.TrimPrefix(a.GetStage().String(), "ACK_STAGE_")), a.GetReason())
			}
		}
	}()
	known := first.GetHello().GetVerified().GetSequence()
	if first.GetHello().GetStage() == spokev1.AckStage_ACK_STAGE_UNSPECIFIED {
		known = 0 // it lost the bundle
	}
	for {
		h.mu.Lock()
		offer, changed := h.offer, h.changed
		h.mu.Unlock()
		if offer != nil && offer.GetBundle().GetSequence() != known {
			known = offer.GetBundle().GetSequence()
			if err := stream.Send(&spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: offer}}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-changed:
		}
	}
}

func (h *hub) Fetch(r *spokev1.FetchRequest, stream spokev1.SpokeService_FetchServer) error {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, raw := range r.GetDigests() {
		d, err := manifest.DigestFromBytes(raw)
		if err != nil {
			return err
		}
		data := h.blobs[d]
		h.fetched++
		if err := stream.Send(&spokev1.FetchResponse{Digest: raw, Size: uint64(len(data)), Data: w.EncodeAll(data, nil),
			Last: true}); err != nil {
			return err
		}
	}
	return nil
}

func (h *hub) Report(_ context.Context, r *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.GetFull() {
		clear(h.reports)
	}
	h.events = append(h.events, r.GetEvents()...)
	for _, a := range r.GetApplications() {
		h.reports[a.GetName().GetName()] = a
	}
	return &spokev1.ReportResponse{}, nil
}

func (h *hub) put(data []byte) manifest.Digest {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := manifest.DigestOf(data)
	h.blobs[d] = data
	return d
}

// desire signs and offers a bundle of one application, made of YAML documents.
func (h *hub) desire(t *testing.T, sequence uint64, text string, files ...bundle.SealedFile) {
	t.Helper()
	objects, err := manifest.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	manifest.ApplyOrder(objects)
	app := &bundle.Application{
		Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system",
			Name: "apps"}, Prune: true, Wait: true, Interval: time.Hour,
		RetryInterval: time.Second, Timeout: time.Minute, DeletionPolicy: bundle.MirrorPrune, SealedFiles: files,
		Decryption: bundle.SecretReference{Namespace: "flux-system", Name: "sops-age"},
	}
	for _, o := range objects {
		data, err := manifest.Canonical(o)
		if err != nil {
			t.Fatal(err)
		}
		gvk := o.GroupVersionKind()
		app.Objects = append(app.Objects, bundle.ObjectReference{Digest: h.put(data), ObjectIdentity: bundle.ObjectIdentity{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName(),
		}})
	}
	h.sign(t, sequence, app)
}

func (h *hub) sign(t *testing.T, sequence uint64, app *bundle.Application) {
	t.Helper()
	h.signFor(t, "prod", sequence, app)
}

func (h *hub) signFor(t *testing.T, cluster string, sequence uint64, apps ...*bundle.Application) {
	t.Helper()
	h.signAll(t, &bundle.Bundle{Cluster: h.id(identity.Cluster, cluster).String(), Sequence: sequence}, apps...)
}

// signAll signs and offers a bundle of applications.
func (h *hub) signAll(t *testing.T, b *bundle.Bundle, apps ...*bundle.Application) {
	t.Helper()
	b.Epoch, b.IssuedAt, b.ExpiresAt = 1, time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	for _, app := range apps {
		data, err := app.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.Applications = append(b.Applications, bundle.Entry{Name: app.Name, Digest: h.put(data),
			Revision: fmt.Sprintf("main@sha1:%d", b.Sequence)})
	}
	payload, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := h.signer.Sign(bundle.PayloadType, payload).Encode()
	if err != nil {
		t.Fatal(err)
	}
	digest := manifest.DigestOf(payload)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offer = &spokev1.Offer{Bundle: &spokev1.BundleId{Epoch: 1, Sequence: b.Sequence, Digest: digest[:]},
		Envelope: envelope}
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hub) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-h.acks:
			if strings.TrimSpace(got) != w {
				t.Fatalf("the hub hears %q, want %q", got, w)
			}
		case <-time.After(time.Minute):
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Fatalf("the hub does not hear %q; reports: %v", w, h.reports)
		}
	}
}

const account = `
apiVersion: v1
kind: Namespace
metadata: {name: flux-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
`

// start starts the spoke until the test ends or the returned function is called.
func start(t *testing.T, c spoke.Config) (s *spoke.Spoke, stop func()) {
	t.Helper()
	s, err := spoke.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func cluster(t *testing.T) (admin *kubetest.Cluster, kubeconfig string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // the first build of the binary included
	defer cancel()
	admin, err := kubetest.Start(ctx, kubetest.Options{Name: "spoke"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"namespace.yaml", "rbac.yaml"} { // the rights of the manifest, and no more
		text, err := os.ReadFile(filepath.Join("../deploy/spoke", name))
		if err == nil {
			err = admin.Apply(ctx, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := admin.Apply(ctx, []byte(account)); err != nil {
		t.Fatal(err)
	}
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := admin.ServiceAccountKubeconfig(ctx, "nave-system", "nave-spoke", kubeconfig); err != nil {
		t.Fatal(err)
	}
	return admin, kubeconfig
}

// until waits for a field of a ConfigMap's or Secret's data to have a value; "-" for the object to be gone.
func until(t *testing.T, c *kubetest.Cluster, kind, name, key, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := kubetest.Until(ctx, kind+" "+name, func(ctx context.Context) error {
		o, err := c.Get(ctx, kind, "shop", name)
		if err != nil {
			if want == "-" {
				return nil
			}
			return err
		}
		data, _ := o.Object["data"].(map[string]any)
		if got, _ := data[key].(string); got != want {
			return fmt.Errorf("%s is %q, want %q", key, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func configMap(name, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: shop}\ndata: {k: %q}\n",
		name, value)
}

// wire records logs.
type wire struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func TestSpoke(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real cluster")
	}
	const canary = "c4n4ry-never-leaves-the-cluster"
	admin, kubeconfig := cluster(t)
	h := newHub(t)
	dir := t.TempDir()
	keys, token := filepath.Join(dir, "keys.pem"), filepath.Join(dir, "token")
	agekey, err := os.ReadFile("internal/agent/testdata/secret.agekey")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(keys, []byte(signing.MarshalPublicKeys(h.signer.Public())), 0o600),
		os.WriteFile(token, []byte("token\n"), 0o600),
		admin.Apply(t.Context(), []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: sops-age, namespace: "+
			"flux-system}\ndata: {a.agekey: "+base64.StdEncoding.EncodeToString(agekey)+"}\n")),
	)
	if err != nil {
		t.Fatal(err)
	}
	logs := &wire{}
	config := spoke.Config{
		Sources: membership.Sources{Hub: h.address, Cluster: "prod", TrustDomain: h.authority.TrustDomain(),
			CAPin: h.authority.Pin(), SigningKeysFile: keys},
		JoinTokenFile: token, StateDir: filepath.Join(dir, "state"), Kubeconfig: kubeconfig, HTTPListen: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logs.b.String())
		}
	})
	s, stop := start(t, config)

	// A commit goes live, its Secret decrypted.
	sops, err := os.ReadFile("internal/agent/testdata/secret.sops.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sealedToken := string(sealed.NewSalt([]byte("salt")).Placeholder("ENC[…]", []string{"stringData", "password"}))
	file := bundle.SealedFile{Path: "db.yaml", Digest: h.put(sops), Format: bundle.YAML,
		Values: []bundle.SealedValue{{Placeholder: sealedToken, Path: []string{"stringData", "password"}, Type: "str"}}}
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {password: " +
		sealedToken + "}\n"
	h.desire(t, 1, configMap("a", "one")+configMap("b", "one")+secret, file)
	h.expect(t, "1 received", "1 applied", "1 healthy")
	until(t, admin, "ConfigMap", "a", "k", "one")
	until(t, admin, "Secret", "db", "password", base64.StdEncoding.EncodeToString([]byte(canary)))

	// Drift is repaired: an edit, a deletion.
	if err := errors.Join(admin.Edit(t.Context(), "ConfigMap", "shop", "a", `{"data":{"k":"edited"}}`),
		admin.Delete(t.Context(), "ConfigMap", "shop", "b")); err != nil {
		t.Fatal(err)
	}
	until(t, admin, "ConfigMap", "a", "k", "one")
	until(t, admin, "ConfigMap", "b", "k", "one")

	// A changed line goes live, a removed file is pruned, an object that the API server refuses fails alone and heals.
	bad := "---\napiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: shop}\nspec: {ports: [{port: -1}]}\n"
	h.desire(t, 2, configMap("a", "two")+bad)
	h.expect(t, "2 received")
	until(t, admin, "ConfigMap", "a", "k", "two")
	h.desire(t, 3, configMap("a", "two"))
	h.expect(t, "3 received", "3 applied", "3 healthy")
	until(t, admin, "ConfigMap", "b", "k", "-")
	until(t, admin, "Secret", "db", "password", "-")
	metrics := get(t, s, "/metrics")
	for _, want := range []string{`nave_spoke_bundle_sequence{cluster="prod"} 3`,
		`nave_spoke_bundle_stage{cluster="prod"} 3`, `nave_spoke_drift_repaired_total{cluster="prod"} 2`,
		`nave_spoke_connected{cluster="prod"} 1`, `nave_spoke_application_ready{cluster="prod",kind="Kustomization",`,
		`nave_spoke_bundle_verified_timestamp_seconds{cluster="prod"} 1.`,
		`nave_spoke_bundle_expiration_timestamp_seconds{cluster="prod"} 1.`,
		`nave_spoke_certificate_expiration_timestamp_seconds{cluster="prod"} 1.`, `nave_build_info{goversion="go`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	if got := get(t, s, "/readyz"); got != "ok\n" {
		t.Errorf("/readyz: %q", got)
	}

	// Without a hub, a restarted spoke goes on repairing.
	h.server.Stop()
	stop()
	if err := os.Remove(token); err != nil { // it is not needed a second time
		t.Fatal(err)
	}
	if err := admin.Edit(t.Context(), "ConfigMap", "shop", "a", `{"data":{"k":"edited while away"}}`); err != nil {
		t.Fatal(err)
	}
	start(t, config)
	until(t, admin, "ConfigMap", "a", "k", "two")
	if err := admin.Delete(t.Context(), "ConfigMap", "shop", "a"); err != nil {
		t.Fatal(err)
	}
	until(t, admin, "ConfigMap", "a", "k", "two")

	// The hub is back: in sync, no blob resent.
	fetched := h.fetched
	h.serve(t, h.address)
	h.desire(t, 4, configMap("a", "two"))
	h.expect(t, "4 received", "4 applied", "4 healthy")
	if h.fetched != fetched {
		t.Errorf("%d blobs were sent again", h.fetched-fetched)
	}

	state, err := os.ReadFile(filepath.Join(config.StateDir, "spoke.db"))
	if err != nil {
		t.Fatal(err)
	}
	kept := keptInventories(t, admin)
	if !strings.Contains(kept, `"n":"a"`) {
		t.Errorf("the cluster keeps no inventory: %s", kept)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, text := range map[string]string{"state": string(state), "logs": logs.b.String(),
		"reports": fmt.Sprint(h.reports), "cluster's inventories": kept} {
		if strings.Contains(text, canary) {
			t.Errorf("the secret is in the %s", name)
		}
	}
	a := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a"}
	if !slices.ContainsFunc(h.reports["apps"].GetInventory(),
		func(o *bundlev1.ObjectIdentity) bool { return bundle.ObjectFrom(o) == a }) {
		t.Errorf("inventory: %v", h.reports["apps"].GetInventory())
	}
}

// keptInventories returns the ConfigMaps in which the spoke keeps what it owns, as one text.
func keptInventories(t *testing.T, c *kubetest.Cluster) string {
	t.Helper()
	r, err := c.Resource("ConfigMap", "nave-system")
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.List(t.Context(), metav1.ListOptions{LabelSelector: "fleet.nave.io/inventory"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, o := range list.Items {
		fmt.Fprintln(&text, o.Object)
	}
	return text.String()
}

func get(t *testing.T, s *spoke.Spoke, path string) string {
	t.Helper()
	r, err := http.Get("http://" + s.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestConfig_missing(t *testing.T) {
	dir := t.TempDir()
	whole := spoke.Config{Sources: membership.Sources{Hub: "hub:7443", Cluster: "prod",
		TrustDomain: "nave-0123456789abcdef", SigningKeysFile: filepath.Join(dir, "none")}, StateDir: dir}
	tests := map[string]struct {
		change func(*spoke.Config)
		want   string
	}{
		"no_hub":          {func(c *spoke.Config) { c.Hub = "" }, "no hub"},
		"hub_no_port":     {func(c *spoke.Config) { c.Hub = "hub" }, "host:port"},
		"hub_url":         {func(c *spoke.Config) { c.Hub = "https://hub:7443" }, "host:port"},
		"pin":             {func(c *spoke.Config) { c.CAPin = "sha256:ab" }, "ca-pin"},
		"no_cluster":      {func(c *spoke.Config) { c.Cluster = "" }, "no cluster"},
		"bad_name":        {func(c *spoke.Config) { c.Cluster = "Prod/EU" }, "Prod/EU"},
		"no_signing_keys": {func(*spoke.Config) {}, "signing keys"},
	}
	for name, tt := range tests {
		c := whole
		tt.change(&c)
		if _, err := spoke.New(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want one that says %q", name, err, tt.want)
		}
	}
}
