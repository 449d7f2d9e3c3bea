package dispatch

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/version"
)

// rig is a dispatch server behind real TLS, on a store that the test fills.
type rig struct {
	t         testing.TB
	store     *store.Store
	authority *identity.Authority
	server    *Server
	metrics   *prometheus.Registry
	address   string
	grpc      *grpc.Server
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigAt(t, nil)
}

// newRigAt returns a rig whose server has a clock of its own.
func newRigAt(t testing.TB, now func() time.Time) *rig {
	t.Helper()
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	must(t, err)
	r := &rig{t: t, store: onDisk(t), authority: authority, metrics: prometheus.NewRegistry()}
	r.server = New(Config{Store: r.store, TrustDomain: authority.TrustDomain(), Log: slog.New(slog.DiscardHandler),
		Metrics: r.metrics, Now: now})
	r.grpc = grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(r.credential(identity.Hub, "hub")))),
		grpc.MaxRecvMsgSize(1<<20))
	spokev1.RegisterSpokeServiceServer(r.grpc, r.server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.grpc.Serve(listener) }()
	go func() { ended <- r.server.Run(ctx) }()
	t.Cleanup(func() {
		r.grpc.Stop()
		cancel()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // a test may end before it starts
				t.Errorf("server ended with %v", err)
			}
		}
		must(t, r.store.Close())
	})
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// credential issues a certificate of the rig's authority.
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

// dial connects as somebody.
func (r *rig) dial(role, name string) spokev1.SpokeServiceClient {
	r.t.Helper()
	return spokev1.NewSpokeServiceClient(r.connect(role, name))
}

func (r *rig) connect(role, name string) *grpc.ClientConn {
	r.t.Helper()
	config := identity.ClientTLS(r.credential(role, name), identity.ID{TrustDomain: r.authority.TrustDomain()})
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (r *rig) update(fn func(tx *store.Tx) error) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), fn))
}

// cluster adds a Cluster, or changes it, and registers its spoke, unless it has registered.
func (r *rig) cluster(name string, blocked bool) {
	r.t.Helper()
	r.add(name, blocked)
	r.spoke(name, func(row *store.Spoke) {
		if row.RegisteredAt.IsZero() {
			row.RegisteredAt = time.Now().Truncate(time.Second)
		}
	})
}

// spoke changes a cluster's Spoke row.
func (r *rig) spoke(name string, change func(*store.Spoke)) {
	r.t.Helper()
	r.update(func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, name)
		change(&row)
		return errors.Join(err, store.Spokes.Put(tx, name, row))
	})
}

// add adds a Cluster, or changes it.
func (r *rig) add(name string, blocked bool) {
	r.t.Helper()
	object, err := json.Marshal(api.Cluster{Spec: api.ClusterSpec{Blocked: blocked}})
	must(r.t, err)
	key := api.ClusterKey(name)
	r.update(func(tx *store.Tx) error {
		return store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Object: api.StoredObject(key, object)})
	})
}

// application stores one with its objects, and returns its entry.
func (r *rig) application(name string, objects ...string) bundle.Entry {
	r.t.Helper()
	a := &bundle.Application{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: name}}
	for i, o := range objects {
		d, err := r.store.Blobs().Put(r.t.Context(), []byte(o))
		must(r.t, err)
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default",
			Name: fmt.Sprintf("%s-%d", name, i)}
		a.Objects = append(a.Objects, bundle.ObjectReference{ObjectIdentity: id, Digest: d})
	}
	data, err := a.Encode()
	must(r.t, err)
	d, err := r.store.Blobs().Put(r.t.Context(), data)
	must(r.t, err)
	return bundle.Entry{Name: a.Name, Digest: d, Revision: "main@sha1:0123"}
}

var signer = signing.NewSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))

// desire makes the signed bundle of a cluster the newest one.
func (r *rig) desire(cluster string, sequence uint64, entries ...bundle.Entry) store.SignedBundle {
	r.t.Helper()
	row := r.sign(cluster, sequence, entries...)
	r.update(func(tx *store.Tx) error { return store.SignedBundles.Put(tx, cluster, row) })
	return row
}

// sign makes a bundle as publish would.
func (r *rig) sign(cluster string, sequence uint64, entries ...bundle.Entry) store.SignedBundle {
	r.t.Helper()
	id := identity.ID{TrustDomain: r.authority.TrustDomain(), Role: identity.Cluster, Name: cluster}
	now := time.Now().UTC()
	b := &bundle.Bundle{
		Cluster: id.String(), Epoch: 1, Sequence: sequence, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		Applications: entries,
	}
	payload, err := b.Encode()
	must(r.t, err)
	envelope, err := signer.Sign(bundle.PayloadType, payload).Encode()
	must(r.t, err)
	return store.SignedBundle{
		Bundle:   bundle.ID{Epoch: 1, Sequence: sequence, Digest: manifest.DigestOf(payload)},
		Envelope: envelope, ExpiresAt: b.ExpiresAt, ChangedAt: now, Features: b.Features(),
	}
}

// await returns when the condition holds in the store; it looks again after each change.
func (r *rig) await(what string, holds func(tx *store.Tx) (bool, error)) {
	r.t.Helper()
	w := r.store.Watch(r.t.Context())
	defer w.Close()
	deadline := time.After(10 * time.Second)
	for {
		done := false
		must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) (err error) {
			done, err = holds(tx)
			return err
		}))
		if done {
			return
		}
		select {
		case <-w.C():
			w.Take()
		case <-deadline:
			r.t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// awaitSpoke waits for a state of a cluster's Spoke row.
func (r *rig) awaitSpoke(cluster, what string, holds func(store.Spoke) bool) {
	r.t.Helper()
	r.await(what, func(tx *store.Tx) (bool, error) {
		row, ok, err := store.Spokes.Get(tx, cluster)
		return ok && holds(row), err
	})
}

// awaitEvent waits for an event with the reason.
func (r *rig) awaitEvent(reason string) (found store.Event) {
	r.t.Helper()
	r.await("event "+reason, func(tx *store.Tx) (ok bool, err error) {
		err = store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Reason == reason {
				found, ok = e, true
			}
			return nil
		})
		return ok, err
	})
	return found
}

// call is one session, seen from the spoke.
type call struct {
	spokev1.SpokeService_SessionClient
	t testing.TB
}

// open says hello and returns after the welcome.
func (r *rig) open(client spokev1.SpokeServiceClient, verified bundle.ID, stage spokev1.AckStage) *call {
	r.t.Helper()
	c := r.hello(client, verified, stage)
	c.welcome()
	return c
}

// welcome returns the welcome.
func (c *call) welcome() *spokev1.Welcome {
	c.t.Helper()
	m, err := c.Recv()
	if err != nil || m.GetWelcome() == nil {
		c.t.Fatalf("want welcome, got %v, %v", m, err)
	}
	return m.GetWelcome()
}

func (r *rig) hello(client spokev1.SpokeServiceClient, verified bundle.ID, stage spokev1.AckStage) *call {
	r.t.Helper()
	return r.helloWith(client, verified, &spokev1.Hello{Stage: stage})
}

// helloWith says a hello with everything that it lacks.
func (r *rig) helloWith(client spokev1.SpokeServiceClient, verified bundle.ID, hello *spokev1.Hello) *call {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r.t.Cleanup(cancel)
	stream, err := client.Session(ctx)
	must(r.t, err)
	hello.Protocol, hello.Version, hello.KubernetesVersion = version.Protocol, "v1.0.0", "v1.37.2"
	hello.Image = "r/spoke:v1"
	if verified != (bundle.ID{}) {
		hello.Verified = verified.Message()
	}
	err = stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: hello}})
	if !errors.Is(err, io.EOF) { // refused already; Recv says why
		must(r.t, err)
	}
	return &call{stream, r.t}
}

// offer returns the next offer.
func (c *call) offer() *spokev1.Offer {
	c.t.Helper()
	m, err := c.Recv()
	if err != nil || m.GetOffer() == nil {
		c.t.Fatalf("want an offer, got %v, %v", m, err)
	}
	return m.GetOffer()
}

func (c *call) ack(id bundle.ID, stage spokev1.AckStage, reason string) {
	c.t.Helper()
	must(c.t, c.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{
		Ack: &spokev1.Ack{Bundle: id.Message(), Stage: stage, Reason: reason},
	}}))
}
