package e2e_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/deploy"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

const joinToken = "the-join-token"

// scriptedHub is a hub that offers what a test says, on a real gRPC server with real TLS, to a real spoke.
type scriptedHub struct {
	spokev1.UnimplementedSpokeServiceServer
	registrationv1.UnimplementedRegistrationServiceServer

	tb        testing.TB
	authority *identity.Authority
	signer    *signing.Signer
	cluster   identity.ID
	address   string

	offers chan *spokev1.Offer
	acks   chan *spokev1.Ack

	mu    sync.Mutex // guards blobs
	blobs map[manifest.Digest][]byte
}

func newScriptedHub(tb testing.TB, cluster string) *scriptedHub {
	tb.Helper()
	authority, err := identity.LoadOrCreateAuthority(tb.TempDir())
	must(tb, err)
	h := &scriptedHub{
		tb: tb, authority: authority, signer: newSigner(tb),
		cluster: identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster, Name: cluster},
		offers:  make(chan *spokev1.Offer, 16), acks: make(chan *spokev1.Ack, 256), blobs: map[manifest.Digest][]byte{},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	h.address = listener.Addr().String()
	key, err := identity.NewKey()
	must(tb, err)
	chain, err := authority.Issue(key.Public(), identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Hub,
		Name: "hub"}, time.Hour, nil, nil)
	must(tb, err)
	pair, err := identity.Pair(key, chain)
	must(tb, err)
	var c identity.Credential
	c.Set(pair, []*x509.Certificate{authority.Certificate()})
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(&c))))
	spokev1.RegisterSpokeServiceServer(server, h)
	registrationv1.RegisterRegistrationServiceServer(server, h)
	go func() { _ = server.Serve(listener) }()
	tb.Cleanup(server.Stop)
	return h
}

func newSigner(tb testing.TB) *signing.Signer {
	tb.Helper()
	s, err := signing.LoadOrCreate(filepath.Join(tb.TempDir(), "signing.key"))
	must(tb, err)
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// spoke starts a real spoke that trusts this hub and no other.
func (h *scriptedHub) spoke(ctx context.Context, cluster *kubetest.Cluster) *harness.Spoke {
	h.tb.Helper()
	for _, file := range []string{"namespace.yaml", "rbac.yaml"} {
		b, err := deploy.Spoke.ReadFile("spoke/" + file)
		must(h.tb, err)
		must(h.tb, cluster.Apply(ctx, b))
	}
	s, err := lab.NewSpoke(ctx, cluster, h.tb.TempDir(), map[string]string{
		"hub": h.address, "cluster": h.cluster.Name, "trust-domain": h.cluster.TrustDomain, "ca-pin": h.authority.Pin(),
		"token": joinToken, "signing-keys.pem": signing.MarshalPublicKeys(h.signer.Public()),
	})
	must(h.tb, err)
	h.tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			h.tb.Error(err)
		}
		if h.tb.Failed() {
			h.tb.Logf("the spoke said last:\n%s", s.Tail())
		}
		must(h.tb, clean(context.Background(), cluster))
	})
	must(h.tb, s.Start(ctx))
	return s
}

// Register implements registrationv1.RegistrationServiceServer.
func (h *scriptedHub) Register(_ context.Context, r *registrationv1.RegisterRequest) (*registrationv1.RegisterResponse,
	error) {
	if r.GetToken() != joinToken {
		return nil, status.Error(codes.Unauthenticated, "another token")
	}
	public, err := identity.ParseCSR(r.GetCsr())
	if err != nil {
		return nil, err
	}
	chain, err := h.authority.Issue(public, h.cluster, time.Hour, nil, nil)
	return &registrationv1.RegisterResponse{Certificate: &registrationv1.Certificate{
		Chain: chain, Authorities: [][]byte{h.authority.Certificate().Raw},
	}}, err
}

// Session implements spokev1.SpokeServiceServer.
func (h *scriptedHub) Session(stream spokev1.SpokeService_SessionServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	welcome := &spokev1.SessionResponse_Welcome{Welcome: &spokev1.Welcome{Now: timestamppb.Now()}}
	err := stream.Send(&spokev1.SessionResponse{Message: welcome})
	if err != nil {
		return err
	}
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			if m.GetAck() != nil {
				h.acks <- m.GetAck()
			}
		}
	}()
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case o := <-h.offers:
			if err := stream.Send(&spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: o}}); err != nil {
				return err
			}
		}
	}
}

// Fetch implements spokev1.SpokeServiceServer.
func (h *scriptedHub) Fetch(r *spokev1.FetchRequest, stream spokev1.SpokeService_FetchServer) error {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	defer encoder.Close()
	for _, d := range r.GetDigests() {
		digest, err := manifest.DigestFromBytes(d)
		if err != nil {
			return err
		}
		h.mu.Lock()
		b := h.blobs[digest]
		h.mu.Unlock()
		if b == nil {
			return status.Errorf(codes.NotFound, "no blob %s", digest)
		}
		if err := stream.Send(&spokev1.FetchResponse{Digest: d, Size: uint64(len(b)), Data: encoder.EncodeAll(b, nil),
			Last: true}); err != nil {
			return err
		}
	}
	return nil
}

// Report implements spokev1.SpokeServiceServer.
func (*scriptedHub) Report(context.Context, *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	return &spokev1.ReportResponse{}, nil
}

// put keeps a blob for Fetch.
func (h *scriptedHub) put(b []byte) manifest.Digest {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := manifest.DigestOf(b)
	h.blobs[d] = b
	return d
}

// bundle makes a bundle of one Application with these objects.
func (h *scriptedHub) bundle(sequence uint64, yaml string) *bundle.Bundle {
	h.tb.Helper()
	app := &bundle.Application{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"},
		Prune: true, Objects: h.objects(yaml, map[string]string{"kustomize.toolkit.fluxcd.io/name": "app",
			"kustomize.toolkit.fluxcd.io/namespace": "flux-system"})}
	encoded, err := app.Encode()
	must(h.tb, err)
	now := time.Now()
	return &bundle.Bundle{
		Cluster: h.cluster.String(), Epoch: 1, Sequence: sequence, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		Applications: []bundle.Entry{{Name: app.Name, Digest: h.put(encoded),
			Revision: fmt.Sprintf("main@sha1:%d", sequence)}},
	}
}

// objects keeps the objects of a text, with these labels, for Fetch.
func (h *scriptedHub) objects(yaml string, labels map[string]string) (all []bundle.ObjectReference) {
	h.tb.Helper()
	objects, err := manifest.Parse([]byte(yaml))
	must(h.tb, err)
	manifest.ApplyOrder(objects)
	for _, o := range objects {
		o.SetLabels(labels)
		b, err := manifest.Canonical(o)
		must(h.tb, err)
		gvk := o.GroupVersionKind()
		all = append(all, bundle.ObjectReference{
			ObjectIdentity: bundle.ObjectIdentity{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind,
				Namespace: o.GetNamespace(), Name: o.GetName()},
			Digest: h.put(b),
		})
	}
	return all
}

// envelope signs a bundle.
func (h *scriptedHub) envelope(by *signing.Signer, b *bundle.Bundle) (bundle.ID, []byte) {
	h.tb.Helper()
	payload, err := b.Encode()
	must(h.tb, err)
	encoded, err := by.Sign(bundle.PayloadType, payload).Encode()
	must(h.tb, err)
	return bundle.ID{Epoch: b.Epoch, Sequence: b.Sequence, Digest: manifest.DigestOf(payload)}, encoded
}

// offer offers an envelope under a name.
func (h *scriptedHub) offer(id bundle.ID, envelope []byte) {
	h.offers <- &spokev1.Offer{Bundle: &spokev1.BundleId{Epoch: id.Epoch, Sequence: id.Sequence, Digest: id.Digest[:]},
		Envelope: envelope}
}

// waitAck returns the first acknowledgement of a bundle at one of these stages.
func (h *scriptedHub) waitAck(ctx context.Context, id bundle.ID, stages ...spokev1.AckStage) *spokev1.Ack {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case a := <-h.acks:
			if a.GetBundle().GetSequence() != id.Sequence || !bytes.Equal(a.GetBundle().GetDigest(), id.Digest[:]) {
				continue
			}
			for _, stage := range stages {
				if a.GetStage() == stage {
					return a
				}
			}
		case <-ctx.Done():
			h.tb.Fatalf("no acknowledgement of bundle %d at %v", id.Sequence, stages)
		}
	}
}
