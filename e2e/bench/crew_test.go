package main

import (
	"context"
	"crypto/ed25519"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// TestMain lets the tests start this program as a crew.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-crew") {
		if err := serveCrew(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestCrews(t *testing.T) {
	all, err := startCrews(5)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].size+all[1].size != 5 {
		t.Errorf("%d crews of %d and %d", len(all), all[0].size, all[1].size)
	}
	for _, o := range []order{{Reset: true}, {Back: true}, {Await: "nothing"}, {Count: true}, {Drop: true}} {
		if a, err := all.do(t.Context(), o); err != nil || len(a.Applied) > 0 {
			t.Errorf("%+v: %+v, %v", o, a, err)
		}
	}
	if err := all.close(); err != nil {
		t.Error(err)
	}
}

// scriptedHub welcomes spokes, offers a bundle to those that have none, and keeps what they say.
type scriptedHub struct {
	spokev1.UnimplementedSpokeServiceServer

	offer   *spokev1.Offer
	hellos  chan *spokev1.Hello
	acks    chan *spokev1.Ack
	reports chan *spokev1.ReportRequest
}

func (h *scriptedHub) Session(stream spokev1.SpokeService_SessionServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h.hellos <- first.GetHello()
	welcome := &spokev1.SessionResponse_Welcome{Welcome: &spokev1.Welcome{}}
	if err := stream.Send(&spokev1.SessionResponse{Message: welcome}); err != nil {
		return err
	}
	if first.GetHello().GetVerified().GetSequence() == 0 {
		offer := &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: h.offer}}
		if err := stream.Send(offer); err != nil {
			return err
		}
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if m.GetAck() != nil {
			h.acks <- m.GetAck()
		}
	}
}

func (h *scriptedHub) Report(_ context.Context, r *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	h.reports <- r
	return &spokev1.ReportResponse{}, nil
}

// offerOf returns an offer of a bundle with one Application, which is enclosed.
func offerOf(t *testing.T, revision string) *spokev1.Offer {
	t.Helper()
	app := bundle.Application{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}}
	data, err := app.Encode()
	if err != nil {
		t.Fatal(err)
	}
	writer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	digest := manifest.DigestOf(data)
	entry := bundle.Entry{Name: app.Name, Digest: digest, Revision: revision}
	b := bundle.Bundle{Cluster: "spiffe://nave/cluster/c", Epoch: 1, Sequence: 1, IssuedAt: time.Now(),
		ExpiresAt: time.Now().Add(time.Hour), Applications: []bundle.Entry{entry}}
	payload, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := signing.NewSigner(key).Sign(bundle.PayloadType, payload).Encode()
	if err != nil {
		t.Fatal(err)
	}
	sum := manifest.DigestOf(payload)
	return &spokev1.Offer{Bundle: &spokev1.BundleId{Epoch: 1, Sequence: 1, Digest: sum[:]}, Envelope: envelope,
		Blobs: []*spokev1.Blob{{Digest: digest[:], Size: uint64(len(data)), Frame: writer.EncodeAll(data, nil)}}}
}

// TestCrowd plays spokes against a hub: each takes the offer, acknowledges and reports it, loses its connection, and
// comes back with what it has.
func TestCrowd(t *testing.T) {
	const spokes = 5
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := issue(authority, identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Hub, Name: "hub"})
	if err != nil {
		t.Fatal(err)
	}
	credential := &identity.Credential{}
	credential.Set(pair, trusted(authority))
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(credential))))
	hub := &scriptedHub{offer: offerOf(t, "main@sha1:1"), hellos: make(chan *spokev1.Hello, 2*spokes),
		acks: make(chan *spokev1.Ack, 3*spokes), reports: make(chan *spokev1.ReportRequest, spokes)}
	spokev1.RegisterSpokeServiceServer(server, hub)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	c := newCrowd(t.Context())
	defer c.close()
	for i := range spokes {
		id := identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster, Name: spokeName(i)}
		pair, err := issue(authority, id)
		if err != nil {
			t.Fatal(err)
		}
		c.add(newScripted(id.Name, listener.Addr().String(), id.TrustDomain, pair, trusted(authority)))
	}
	for _, o := range []order{{Back: true}, {Await: "sha1:1"}, {Report: true}} {
		if _, err := c.carryOut(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for range spokes {
		if h := <-hub.hellos; h.GetVerified().GetSequence() != 0 {
			t.Errorf("a new spoke says %v", h)
		}
		if r := <-hub.reports; len(r.GetApplications()) != 1 || r.GetApplications()[0].GetRevision() != "main@sha1:1" {
			t.Errorf("report %v", r)
		}
	}
	stages := map[spokev1.AckStage]int{}
	for range 3 * spokes {
		stages[(<-hub.acks).GetStage()]++
	}
	if len(stages) != 3 || stages[spokev1.AckStage_ACK_STAGE_HEALTHY] != spokes {
		t.Errorf("stages %v", stages)
	}

	c.drop()
	a, err := c.carryOut(t.Context(), order{Back: true})
	if err != nil || len(a.Welcomed) != spokes || a.Lost != 0 || len(a.Ended) != 1 {
		t.Errorf("after all lost their connections: %+v, %v", a, err)
	}
	for range spokes {
		if h := <-hub.hellos; h.GetVerified().GetSequence() != 1 || h.GetStage() != spokev1.AckStage_ACK_STAGE_HEALTHY {
			t.Errorf("a spoke that comes back says %v", h)
		}
	}
}
