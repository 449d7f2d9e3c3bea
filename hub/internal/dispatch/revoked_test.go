package dispatch

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

// spokeOf returns a spoke with a certificate of now, and when that was issued.
func (r *rig) spokeOf(cluster string) (spokev1.SpokeServiceClient, time.Time) {
	r.t.Helper()
	credential := r.credential(identity.Cluster, cluster)
	leaf, err := x509.ParseCertificate(credential.Certificate().Certificate[0])
	must(r.t, err)
	config := identity.ClientTLS(credential, identity.ID{TrustDomain: r.authority.TrustDomain()})
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return spokev1.NewSpokeServiceClient(conn), identity.IssuedAt(leaf)
}

// register does what a used join token does.
func (r *rig) register(cluster string, at time.Time) {
	r.t.Helper()
	r.update(func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, cluster)
		must(r.t, err)
		row.RegisteredAt = at
		must(r.t, store.Spokes.Put(tx, cluster, row))
		return store.JoinTokens.Put(tx, at.String(), store.JoinToken{Cluster: cluster, UsedAt: at})
	})
}

// written returns when all that was said so far is in the store.
func (r *rig) written() {
	r.t.Helper()
	r.server.batch.event(r.server.warning("a", "Marker", "the last word"))
	r.awaitEvent("Marker")
}

// calls makes every call that a spoke makes.
func (r *rig) calls(client spokev1.SpokeServiceClient) (errs []error) {
	r.t.Helper()
	_, hello := r.hello(client, bundle.ID{}, 0).Recv()
	_, report := client.Report(context.Background(), &spokev1.ReportRequest{})
	stream, err := client.Fetch(context.Background(), &spokev1.FetchRequest{})
	must(r.t, err)
	_, fetch := stream.Recv()
	if status.Code(fetch) == codes.Unknown { // io.EOF: nothing was asked for, and nothing refused
		fetch = nil
	}
	return []error{hello, report, fetch}
}

func TestRevokedCertificate(t *testing.T) {
	second := time.Second
	for name, tt := range map[string]struct {
		registered time.Duration // after the certificate was issued
		want       codes.Code
	}{
		"issued_long_after":                  {-48 * time.Hour, codes.OK},
		"issued_with_it":                     {0, codes.OK},
		"issued_with_it_in_parts_of_seconds": {second - 1, codes.OK},
		"issued_just_before":                 {second, codes.PermissionDenied},
		"issued_before_and_valid_before":     {4 * time.Minute, codes.PermissionDenied},
		"issued_long_before":                 {24 * time.Hour, codes.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.add("a", false)
			client, issued := r.spokeOf("a")
			r.register("a", issued.Add(tt.registered))
			for _, err := range r.calls(client) {
				wantCode(t, err, tt.want)
				if err != nil && !strings.Contains(err.Error(), "is no longer accepted") {
					t.Errorf("it says %v", err)
				}
			}
		})
	}
}

func TestClusterAddedAgain(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client, issued := r.spokeOf("a")
	c := r.open(client, bundle.ID{}, 0)
	r.update(func(tx *store.Tx) error { // what an operator's delete and apply do, before anybody looks
		must(t, store.Spokes.Delete(tx, "a"))
		return store.Resources.Delete(tx, api.ClusterKey("a").Path())
	})
	r.add("a", false)
	_, err := c.Recv()
	wantCode(t, err, codes.PermissionDenied)
	for _, err := range r.calls(client) {
		wantCode(t, err, codes.PermissionDenied)
		if !strings.Contains(err.Error(), "nave cluster add a") {
			t.Errorf("it says %v", err)
		}
	}
	r.written()
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		row, there, err := store.Spokes.Get(tx, "a")
		if there {
			t.Errorf("the old spoke left %+v to the new cluster", row)
		}
		return err
	}))
	r.register("a", issued)
	for _, err := range r.calls(client) {
		wantCode(t, err, codes.OK)
	}
}

func TestClusterBackInGit(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client, _ := r.spokeOf("a")
	r.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, api.ClusterKey("a").Path()) })
	for _, err := range r.calls(client) {
		wantCode(t, err, codes.PermissionDenied)
	}
	r.add("a", false)
	for _, err := range r.calls(client) {
		wantCode(t, err, codes.OK)
	}
}

func TestSecondRegistration(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	old, issued := r.spokeOf("a")
	c := r.open(old, bundle.ID{}, 0)
	r.register("a", issued.Add(time.Minute))
	_, err := c.Recv()
	wantCode(t, err, codes.PermissionDenied)
	for range 3 {
		for _, err := range r.calls(old) {
			wantCode(t, err, codes.PermissionDenied)
		}
	}
	if e := r.awaitEvent("CertificateRevoked"); e.Type != "Warning" || e.Object != api.ClusterKey("a") ||
		!strings.Contains(e.Message, "127.0.0.1") {
		t.Errorf("event is %v", e)
	}
	r.written()
	n := 0
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		n = 0
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Reason == "CertificateRevoked" {
				n++
			}
			return nil
		})
	}))
	if n != 1 {
		t.Errorf("%d events", n)
	}
}

// registered puts a Cluster that has registered into a store.
func registered(t testing.TB, s *store.Store, cluster string) {
	t.Helper()
	must(t, s.Update(t.Context(), func(tx *store.Tx) error {
		must(t, store.Spokes.Put(tx, cluster, store.Spoke{RegisteredAt: time.Now()}))
		return store.Resources.Put(tx, api.ClusterKey(cluster).Path(),
			store.Resource{Key: api.ClusterKey(cluster), Object: api.StoredObject(api.ClusterKey(cluster), []byte("{}"))})
	}))
}
