package hub_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/klauspost/compress/zstd"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/version"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is one running hub and its operator's configuration.
type rig struct {
	*hub.Hub

	t        *testing.T
	operator *operatorconfig.Context
	stop     func() error
}

// start runs a hub on the folder, with a configuration for tests that the changes may override.
func start(t *testing.T, dir string, changes ...func(*hub.Config)) *rig {
	t.Helper()
	config := hub.Config{
		DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", SpokeImage: "spoke:test",
		AllowSourceAddresses: []string{"127.0.0.0/8"}, Log: slog.New(slog.DiscardHandler),
	}
	for _, change := range changes {
		change(&config)
	}
	h, err := hub.New(t.Context(), config)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stopped := false
	r := &rig{Hub: h, t: t, stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}}
	t.Cleanup(func() { must(t, r.stop()) })
	c, err := operatorconfig.Load(h.OperatorConfig())
	must(t, err)
	r.operator, err = c.Context("")
	must(t, err)
	return r
}

func (r *rig) dial(config *tls.Config) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// admin connects as the first operator.
func (r *rig) admin() adminv1.AdminServiceClient {
	return adminv1.NewAdminServiceClient(r.asOperator())
}

func (r *rig) asOperator() *grpc.ClientConn {
	r.t.Helper()
	config, err := r.operator.TLS()
	must(r.t, err)
	return r.dial(config)
}

// join registers a cluster's spoke with a token, as a spoke does, and returns its connection and the data of its join.
func (r *rig) join(cluster string) (*grpc.ClientConn, *adminv1.CreateJoinTokenResponse) {
	r.t.Helper()
	token, err := r.admin().CreateJoinToken(r.t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: cluster})
	must(r.t, err)
	key, err := identity.NewKey()
	must(r.t, err)
	csr, err := identity.NewCSR(key)
	must(r.t, err)
	stranger := registrationv1.NewRegistrationServiceClient(r.dial(identity.PinnedClientTLS(token.CaPin)))
	answer, err := stranger.Register(r.t.Context(), &registrationv1.RegisterRequest{Token: token.Token, Csr: csr})
	must(r.t, err)
	authority, err := x509.ParseCertificate(answer.Certificate.Authorities[0])
	must(r.t, err)
	c := &identity.Credential{}
	c.Set(tls.Certificate{Certificate: answer.Certificate.Chain, PrivateKey: key}, []*x509.Certificate{authority})
	return r.dial(identity.ClientTLS(c, identity.ID{TrustDomain: token.TrustDomain})), token
}

const cluster = `
apiVersion: fleet.nave.io/v1alpha1
kind: Cluster
metadata: {name: a, labels: {env: test}}
`

func (r *rig) apply(text string) {
	r.t.Helper()
	_, err := r.admin().Apply(r.t.Context(), &adminv1.ApplyRequest{Manifest: []byte(text)})
	must(r.t, err)
}

// applyRoot applies the GitRepository fleet of a repository, and the Kustomization root of a path in it.
func (r *rig) applyRoot(repository *gittest.Repository, path string) {
	r.t.Helper()
	r.apply(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "` + repository.URL() + `", ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: root, namespace: flux-system}
spec: {interval: 1h, prune: true, path: ` + path + `, sourceRef: {kind: GitRepository, name: fleet}}
`)
}

func TestCommit(t *testing.T) {
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	commit := func(value string) {
		t.Helper()
		_, err := repository.Commit(map[string]string{
			"clusters/a/kustomization.yaml": "resources: [config.yaml]\n",
			"clusters/a/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\ndata: " +
				"{key: " + value + "}\n",
		}, "set "+value)
		must(t, err)
	}
	commit("one")
	r := start(t, t.TempDir())
	r.apply(cluster + `
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "` + repository.URL() + `", ref: {branch: main}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: root}
    spec: {interval: 1h, prune: true, path: "./clusters/${cluster_name}", sourceRef: {kind: GitRepository, name: fleet}}
`)
	conn, token := r.join("a")
	spoke := newSpoke(t, conn, token)
	if got := spoke.await("one"); got.Sequence == 0 {
		t.Fatalf("bundle is %+v", got)
	}
	commit("two")
	_, err = r.admin().Reconcile(t.Context(), &adminv1.ReconcileRequest{
		Key: &adminv1.ObjectKey{Kind: "Kustomization", Cluster: "a", Namespace: "flux-system",
			Name: "root"}, WithSource: true,
	})
	must(t, err)
	last := spoke.await("two")

	must(t, r.stop()) // all data survives a restart
	metrics := start(t, filepath.Dir(r.OperatorConfig()))
	answer, err := metrics.admin().Get(t.Context(),
		&adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: "cluster", Name: "a"}})
	must(t, err)
	if !bytes.Contains(answer.Object.Json, []byte(`"kind":"Cluster"`)) || last.Sequence < 2 {
		t.Fatalf("cluster is %s", answer.Object.Json)
	}
}

// spoke is a scripted spoke: it verifies each offer, fetches all blobs and acknowledges the bundle.
type spoke struct {
	t       *testing.T
	client  spokev1.SpokeServiceClient
	session spokev1.SpokeService_SessionClient
	keyring *signing.Keyring
	last    *bundle.Bundle // that was taken
}

func newSpoke(t *testing.T, conn *grpc.ClientConn, token *adminv1.CreateJoinTokenResponse) *spoke {
	t.Helper()
	keys, err := signing.ParsePublicKeys(token.SigningKeys)
	must(t, err)
	keyring, err := signing.NewKeyring(keys...)
	must(t, err)
	s := &spoke{t: t, client: spokev1.NewSpokeServiceClient(conn), keyring: keyring}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s.session, err = s.client.Session(ctx)
	must(t, err)
	hello := &spokev1.SessionRequest_Hello{Hello: &spokev1.Hello{Protocol: version.Protocol}}
	must(t, s.session.Send(&spokev1.SessionRequest{Message: hello}))
	m, err := s.session.Recv()
	if err != nil || m.GetWelcome() == nil {
		t.Fatalf("got %v, %v", m, err)
	}
	return s
}

// take takes the next offer, and acknowledges it as received and applied.
func (s *spoke) take() *bundle.Bundle {
	s.t.Helper()
	m, err := s.session.Recv()
	must(s.t, err)
	text := m.GetOffer().GetEnvelope()
	if len(text) == 0 { // too large for an offer
		text = s.fetch(manifest.Digest(m.GetOffer().GetEnvelopeDigest()))
	}
	envelope, err := signing.DecodeEnvelope(text)
	must(s.t, err)
	payload, err := s.keyring.Verify(envelope, bundle.PayloadType)
	must(s.t, err)
	b, err := bundle.DecodeBundle(payload)
	must(s.t, err)
	for _, stage := range []spokev1.AckStage{spokev1.AckStage_ACK_STAGE_RECEIVED, spokev1.AckStage_ACK_STAGE_APPLIED} {
		ack := &spokev1.Ack{Bundle: m.GetOffer().Bundle, Stage: stage}
		must(s.t, s.session.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{Ack: ack}}))
	}
	return b
}

// awaitBundle takes offers until the last bundle is wanted.
func (s *spoke) awaitBundle(wanted func(*bundle.Bundle) bool) *bundle.Bundle {
	s.t.Helper()
	for s.last == nil || !wanted(s.last) {
		s.last = s.take()
	}
	return s.last
}

// await takes offers until the last bundle has an object that contains the word.
func (s *spoke) await(word string) *bundle.Bundle {
	s.t.Helper()
	return s.awaitBundle(func(b *bundle.Bundle) bool {
		for _, e := range b.Applications {
			data, ok := s.tryFetch(e.Digest)
			if !ok {
				return false // a newer bundle is on its way
			}
			a, err := bundle.DecodeApplication(data)
			must(s.t, err)
			for _, o := range a.Objects {
				if data, ok := s.tryFetch(o.Digest); ok && bytes.Contains(data, []byte(word)) {
					return true
				}
			}
		}
		return false
	})
}

// fetch fetches a blob of the last bundle.
func (s *spoke) fetch(d manifest.Digest) []byte {
	s.t.Helper()
	data, ok := s.tryFetch(d)
	if !ok {
		s.t.Fatalf("%s is not in the bundle", d)
	}
	return data
}

// tryFetch fetches a blob. It returns false if the newest bundle of the hub does not have the blob.
func (s *spoke) tryFetch(d manifest.Digest) ([]byte, bool) {
	s.t.Helper()
	stream, err := s.client.Fetch(s.t.Context(), &spokev1.FetchRequest{Digests: [][]byte{d[:]}})
	must(s.t, err)
	var frame []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if status.Code(err) == codes.NotFound {
			return nil, false
		}
		must(s.t, err)
		frame = append(frame, m.Data...)
	}
	decoder, err := zstd.NewReader(nil)
	must(s.t, err)
	defer decoder.Close()
	data, err := decoder.DecodeAll(frame, nil)
	must(s.t, err)
	return data, true
}

func TestNew_keys(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	names := []string{"hub.db", "ca/ca.key", "signing.key", "vault.key", "operator.yaml"}
	before := map[string][]byte{}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		before[name], err = os.ReadFile(filepath.Join(dir, name))
		must(t, err)
	}
	must(t, r.stop())
	start(t, dir)
	for _, name := range names[1:] {
		after, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if !bytes.Equal(before[name], after) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestNew_locked(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	_, err := hub.New(t.Context(),
		hub.Config{DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)},
	)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("got %v", err)
	}
}

func TestNew_ended(t *testing.T) {
	dir := t.TempDir()
	_, err := hub.New(ended(), hub.Config{DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0"})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	start(t, dir) // the folder is not in use any more
}

func TestNew_cannot_listen(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = taken.Close() }()
	for _, c := range []hub.Config{
		{DataDir: dir, Listen: taken.Addr().String(), HTTPListen: "127.0.0.1:0"},
		{DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: taken.Addr().String()},
		{DataDir: dir, Listen: "nowhere", HTTPListen: "127.0.0.1:0"},
		{},
	} {
		if _, err := hub.New(t.Context(), c); err == nil {
			t.Fatalf("%+v started", c)
		}
	}
	start(t, dir)
}

func TestDrain(t *testing.T) {
	r := start(t, t.TempDir())
	r.apply(cluster)
	conn, token := r.join("a")
	s := newSpoke(t, conn, token)
	watch, err := r.admin().Watch(t.Context(), &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "fleets"}})
	must(t, err)
	_, err = watch.Recv()
	must(t, err)
	began := time.Now()
	must(t, r.stop())
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("drained in %s", took)
	}
	for {
		m, err := s.session.Recv()
		if err == nil {
			continue // an offer that was on its way: m
		}
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("session ended with %v, %v", m, err)
		}
		break
	}
	if _, err = watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Fatalf("watch ended with %v", err)
	}
	if _, err := http.Get("http://" + r.HTTPAddr().String() + "/healthz"); err == nil {
		t.Fatal("HTTP is still served")
	}
}

func TestMetricsAndHealth(t *testing.T) {
	r := start(t, t.TempDir())
	r.apply(cluster)
	for path, want := range map[string]string{
		"/healthz": "ok",
		"/readyz":  "ok",
		"/metrics": `nave_grpc_requests_total{code="OK",method="/nave.admin.v1.AdminService/Apply"} 1`,
	} {
		answer, err := http.Get("http://" + r.HTTPAddr().String() + path)
		must(t, err)
		body, err := io.ReadAll(answer.Body)
		must(t, errors.Join(err, answer.Body.Close()))
		if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s: %.2000s", path, answer.Status, body)
		}
	}
	for _, name := range []string{"nave_connected_spokes", "nave_commit_to_live_seconds", "nave_fetch_bytes_total"} {
		answer, err := http.Get("http://" + r.HTTPAddr().String() + "/metrics")
		must(t, err)
		body, err := io.ReadAll(answer.Body)
		must(t, errors.Join(err, answer.Body.Close()))
		if !strings.Contains(string(body), name) {
			t.Errorf("no %s", name)
		}
	}
}

func TestHealthAndReflection(t *testing.T) {
	r := start(t, t.TempDir())
	conn := r.asOperator()
	answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || answer.Status != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("got %v, %v", answer, err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	must(t, err)
	must(t, stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}))
	services, err := stream.Recv()
	must(t, err)
	if n := len(services.GetListServicesResponse().GetService()); n < 5 {
		t.Fatalf("%d services", n)
	}
}
