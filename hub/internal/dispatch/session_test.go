package dispatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/version"
)

func wantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

func TestSession(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	row := r.desire("a", 1, r.application("app", `{"x":1}`))

	o := c.offer()
	if !proto.Equal(o.Bundle, row.Bundle.Message()) || !bytes.Equal(o.Envelope, row.Envelope) || o.EnvelopeDigest != nil {
		t.Fatalf("offer is %v", o)
	}
	for _, stage := range []spokev1.AckStage{1, 2, 3} {
		c.ack(row.Bundle, stage, "")
	}
	r.awaitSpoke("a", "healthy ack", func(s store.Spoke) bool {
		return s.Connected && s.Version == "v1.0.0" && s.KubernetesVersion == "v1.37.2" && s.Image == "r/spoke:v1" &&
			s.Acks[bundle.Received] == row.Bundle && s.Acks[bundle.Applied] == row.Bundle && s.Acks[bundle.Healthy] == row.Bundle
	})
	if n := testutil.CollectAndCount(r.server.metrics.commitToLive); n != 1 {
		t.Fatalf("%d histograms", n)
	}
	if got := testutil.ToFloat64(r.server.metrics.acks.WithLabelValues("applied")); got != 1 {
		t.Fatalf("%v applied acks counted", got)
	}
}

func TestNewestOffer(t *testing.T) {
	m := newMailbox()
	for n := range uint64(10) {
		m.post(&offer{id: bundle.ID{Epoch: 1, Sequence: n + 1}})
	}
	m.post(&offer{id: bundle.ID{Epoch: 1, Sequence: 3}}) // a reader that was late
	if o := m.collect(); o == nil || o.id.Sequence != 10 {
		t.Fatalf("took %v", o)
	}
	if m.collect() != nil {
		t.Fatal("took twice")
	}
}

func TestUnchangedReconnect(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	row := r.desire("a", 7, r.application("app", `{"x":1}`))
	r.spoke("a", func(row *store.Spoke) { row.Rejected = "long ago" })
	client := r.dial(identity.Cluster, "a")
	c := r.hello(client, row.Bundle, spokev1.AckStage_ACK_STAGE_HEALTHY)
	m, err := c.Recv()
	if err != nil || m.GetWelcome() == nil || proto.Size(m) > 512 {
		t.Fatalf("got %v, %v", m, err)
	}
	r.awaitSpoke("a", "acks taken from hello", func(s store.Spoke) bool {
		return s.Acks[bundle.Healthy] == row.Bundle &&
			s.Rejected == ""
	})
	next := r.desire("a", 8, r.application("app", `{"x":2}`)) // the first offer is this, not 7
	if o := c.offer(); !proto.Equal(o.Bundle, next.Bundle.Message()) {
		t.Fatalf("got %v", o)
	}
}

// A spoke that lost its disk says what it verified last, and no stage: it is sent that bundle again, and none before
// it.
func TestLostDisk(t *testing.T) {
	for name, tt := range map[string]struct {
		seen  uint64
		offer uint64 // the first one; 7 is what the hub has, 8 what it has next
	}{"older": {6, 7}, "same": {7, 7}, "newer": {8, 9}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			row := r.desire("a", 7, r.application("app", `{"x":1}`))
			seen := bundle.ID{Epoch: row.Bundle.Epoch, Sequence: tt.seen, Digest: manifest.DigestOf([]byte("lost"))}
			if tt.seen == row.Bundle.Sequence {
				seen = row.Bundle
			}
			c := r.hello(r.dial(identity.Cluster, "a"), seen, spokev1.AckStage_ACK_STAGE_UNSPECIFIED)
			if m, err := c.Recv(); err != nil || m.GetWelcome() == nil {
				t.Fatalf("got %v, %v", m, err)
			}
			r.awaitSpoke("a", "what the publisher signs beyond",
				func(s store.Spoke) bool { return s.Acks[bundle.Received] == seen })
			if tt.offer > 7 {
				r.desire("a", tt.offer, r.application("app", `{"x":2}`))
			}
			if o := c.offer(); o.Bundle.Sequence != tt.offer {
				t.Errorf("offered %d, want %d", o.Bundle.Sequence, tt.offer)
			}
		})
	}
}

func TestLargeEnvelope(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	entry := r.application("app", `{"x":1}`)
	var entries []bundle.Entry
	for i := range 600 {
		e := entry
		e.Name.Name = fmt.Sprintf("app-%04d", i)
		entries = append(entries, e)
	}
	row := r.desire("a", 1, entries...)
	client := r.dial(identity.Cluster, "a")
	o := r.open(client, bundle.ID{}, 0).offer()
	digest := manifest.DigestOf(row.Envelope)
	if len(o.Envelope) != 0 || !bytes.Equal(o.EnvelopeDigest, digest[:]) {
		t.Fatalf("offer has %d bytes and digest %x", len(o.Envelope), o.EnvelopeDigest)
	}
	if got := r.fetch(client, digest)[digest]; !bytes.Equal(got, row.Envelope) {
		t.Fatalf("fetched %d bytes of %d", len(got), len(row.Envelope))
	}
}

func TestHubBehind(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.desire("a", 5, r.application("app", `{"x":1}`))
	newer := bundle.ID{Epoch: 1, Sequence: 9, Digest: manifest.DigestOf([]byte("from before the backup"))}
	c := r.open(r.dial(identity.Cluster, "a"), newer, spokev1.AckStage_ACK_STAGE_APPLIED)
	r.awaitSpoke("a", "rejection", func(s store.Spoke) bool {
		return strings.Contains(s.Rejected, "1.9") && s.Acks[bundle.Received] == newer
	})
	if e := r.awaitEvent("HubBehind"); e.Type != "Warning" || e.Object != api.ClusterKey("a") {
		t.Fatalf("event is %v", e)
	}
	r.desire("a", 6, r.application("app", `{"x":2}`)) // still older than what the spoke has: not offered
	row := r.desire("a", 10, r.application("app", `{"x":3}`))
	if o := c.offer(); !proto.Equal(o.Bundle, row.Bundle.Message()) {
		t.Fatalf("got %v", o)
	}
	c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_RECEIVED, "")
	r.awaitSpoke("a", "rejection taken back", func(s store.Spoke) bool { return s.Rejected == "" })
}

func TestFork(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.desire("a", 5, r.application("app", `{"x":1}`))
	other := bundle.ID{Epoch: 1, Sequence: 5, Digest: manifest.DigestOf([]byte("another hub's"))}
	r.open(r.dial(identity.Cluster, "a"), other, spokev1.AckStage_ACK_STAGE_APPLIED)
	r.awaitEvent("BundleFork")
}

func TestRejectedBundle(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	row := r.desire("a", 1)
	c.offer()
	c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_REJECTED, "signature by an \x1b[31munknown key")
	r.awaitSpoke("a", "rejection", func(s store.Spoke) bool { return strings.Contains(s.Rejected, "unknown key") })
	if e := r.awaitEvent("BundleRejected"); strings.ContainsRune(e.Message, '\x1b') {
		t.Fatalf("control characters in %q", e.Message)
	}
}

// TestRejectionStays: news of the bundle that runs does not take back that a newer one was refused; its own does.
func TestRejectionStays(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	first := r.desire("a", 1)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	c.offer()
	c.ack(first.Bundle, spokev1.AckStage_ACK_STAGE_APPLIED, "")
	second := r.desire("a", 2)
	c.offer()
	c.ack(second.Bundle, spokev1.AckStage_ACK_STAGE_REJECTED, "the disk is full")
	c.ack(first.Bundle, spokev1.AckStage_ACK_STAGE_HEALTHY, "")
	r.awaitSpoke("a", "the older bundle's health", func(s store.Spoke) bool {
		if s.Acks[bundle.Healthy] == first.Bundle && s.Rejected == "" {
			t.Fatal("the rejection is taken back")
		}
		return s.Acks[bundle.Healthy] == first.Bundle
	})
	c.ack(second.Bundle, spokev1.AckStage_ACK_STAGE_RECEIVED, "")
	r.awaitSpoke("a", "the rejection taken back", func(s store.Spoke) bool { return s.Rejected == "" })
}

func TestUnofferedAckDropped(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	row := r.desire("a", 1)
	c.offer()
	c.ack(bundle.ID{Epoch: 9, Sequence: 99, Digest: row.Bundle.Digest}, spokev1.AckStage_ACK_STAGE_HEALTHY, "")
	c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_RECEIVED, "")
	r.awaitSpoke("a", "the true ack", func(s store.Spoke) bool {
		_, healthy := s.Acks[bundle.Healthy]
		return s.Acks[bundle.Received] == row.Bundle && !healthy
	})
}

func TestLostState(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	row := r.desire("a", 3)
	r.spoke("a", func(s *store.Spoke) {
		s.Acks = map[bundle.Stage]bundle.ID{bundle.Received: row.Bundle, bundle.Healthy: row.Bundle}
	})
	r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	r.awaitSpoke("a", "acks gone", func(s store.Spoke) bool { return s.Connected && len(s.Acks) == 0 })
}

func TestTakeOver(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	first := r.open(client, bundle.ID{}, 0)
	second := r.open(client, bundle.ID{}, 0)
	_, err := first.Recv()
	wantCode(t, err, codes.Aborted)
	row := r.desire("a", 1)
	if o := second.offer(); !proto.Equal(o.Bundle, row.Bundle.Message()) {
		t.Fatalf("got %v", o)
	}
	r.awaitSpoke("a", "still connected", func(s store.Spoke) bool { return s.Connected })
}

// TestDuplicateSpoke has sessions of one cluster replace one another. Two agents raise an alarm, one that reconnects
// does not.
func TestDuplicateSpoke(t *testing.T) {
	for name, tt := range map[string]struct {
		one, two string // instances
		alarm    bool
	}{
		"two_instances": {"x", "y", true},
		"older_spokes":  {"", "", true},
		"one_is_older":  {"x", "", true},
		"reconnects":    {"x", "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			one, two := r.dial(identity.Cluster, "a"), r.dial(identity.Cluster, "a")
			for range takeoverBurst + 1 {
				r.openAs(one, tt.one)
				r.openAs(two, tt.two)
			}
			if tt.alarm {
				r.awaitEvent(condition.DuplicateSpoke)
				return
			}
			r.written()
			if n := r.eventsOf("a"); n != 1 { // the marker
				t.Errorf("%d events", n)
			}
		})
	}
}

// openAs says hello as an instance of the spoke, and returns after the welcome.
func (r *rig) openAs(client spokev1.SpokeServiceClient, instance string) {
	r.t.Helper()
	stream, err := client.Session(r.t.(*testing.T).Context())
	must(r.t, err)
	hello := &spokev1.Hello{Protocol: version.Protocol, Instance: instance}
	must(r.t, stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: hello}}))
	if m, err := stream.Recv(); err != nil || m.GetWelcome() == nil {
		r.t.Fatalf("want welcome, got %v, %v", m, err)
	}
}

// TestClaims has a spoke claim what is not a spoke's to say: nothing that decides what runs where changes.
func TestClaims(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	before := r.resources()
	client := r.dial(identity.Cluster, "a")
	c := r.open(client, bundle.ID{}, 0)
	must(t, c.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Heartbeat{Heartbeat: &spokev1.Heartbeat{}}}))
	labels := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "labels: {env: prod}")
	var all []*spokev1.ApplicationReport
	for _, key := range []api.Key{
		{Kind: "Cluster", Name: "a"}, {Kind: "Cluster", Name: "b"}, {Kind: "Fleet", Name: "all"}, {Kind: "Kustomization",
			Namespace: "flux-system", Name: "root"},
	} {
		a := &spokev1.ApplicationReport{Name: nameOf(key.Kind, key.Namespace, key.Name), Message: "labels: {env: prod}"}
		a.ProtoReflect().SetUnknown(labels)
		all = append(all, a)
	}
	_, err := client.Report(t.Context(), &spokev1.ReportRequest{Applications: all,
		Removed: []*bundlev1.ApplicationName{nameOf("Cluster", "x", "b")}})
	must(t, err)
	if after := r.resources(); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Errorf("objects were %s, are %s", before, after)
	}
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		return store.Reports.Scan(tx, "", func(key string, row store.Report) error {
			if !strings.HasPrefix(key, "a/") || bytes.Contains(row.Value, labels) {
				t.Errorf("report %s: %q", key, row.Value)
			}
			return nil
		})
	}))
}

// resources are the objects of the store by key.
func (r *rig) resources() map[string][]byte {
	r.t.Helper()
	all := map[string][]byte{}
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		return store.Resources.Scan(tx, "", func(key string, row store.Resource) (err error) {
			all[key], err = json.Marshal(row)
			return err
		})
	}))
	return all
}

func TestShutOut(t *testing.T) {
	for name, shut := range map[string]func(r *rig){
		"blocked": func(r *rig) { r.cluster("a", true) },
		"deleted": func(r *rig) {
			r.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, api.ClusterKey("a").Path()) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			client := r.dial(identity.Cluster, "a")
			c := r.open(client, bundle.ID{}, 0)
			shut(r)
			_, err := c.Recv()
			wantCode(t, err, codes.PermissionDenied)
			_, err = r.hello(client, bundle.ID{}, 0).Recv()
			wantCode(t, err, codes.PermissionDenied)
			_, err = client.Report(t.Context(), &spokev1.ReportRequest{})
			wantCode(t, err, codes.PermissionDenied)
			stream, err := client.Fetch(t.Context(), &spokev1.FetchRequest{})
			must(t, err)
			_, err = stream.Recv()
			wantCode(t, err, codes.PermissionDenied)
		})
	}
}

func TestCallers(t *testing.T) {
	r := newRig(t)
	r.cluster("hub", false)
	r.cluster("admin", false)
	for role, name := range map[string]string{identity.Hub: "hub", identity.Operator: "admin"} {
		client := r.dial(role, name)
		_, err := r.hello(client, bundle.ID{}, 0).Recv()
		wantCode(t, err, codes.PermissionDenied)
		_, err = client.Report(t.Context(), &spokev1.ReportRequest{})
		wantCode(t, err, codes.PermissionDenied)
	}
}

func TestHello(t *testing.T) {
	big := strings.Repeat("x", maxSessionMessage)
	for name, c := range map[string]struct {
		first *spokev1.SessionRequest
		want  codes.Code
	}{
		"nothing": {&spokev1.SessionRequest{}, codes.InvalidArgument},
		"heartbeat": {&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Heartbeat{Heartbeat: &spokev1.Heartbeat{}}},
			codes.InvalidArgument},
		"no_protocol": {&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: &spokev1.Hello{}}},
			codes.FailedPrecondition},
		"later_protocol": {&spokev1.SessionRequest{
			Message: &spokev1.SessionRequest_Hello{Hello: &spokev1.Hello{Protocol: 1 << 30}},
		}, codes.FailedPrecondition},
		"too_long": {&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: &spokev1.Hello{Protocol: 1,
			Version: big}}}, codes.InvalidArgument},
		"short_digest": {&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{
			Hello: &spokev1.Hello{Protocol: 1, Verified: &spokev1.BundleId{Sequence: 1, Digest: []byte{1}}},
		}}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			stream, err := r.dial(identity.Cluster, "a").Session(t.Context())
			must(t, err)
			must(t, stream.Send(c.first))
			_, err = stream.Recv()
			wantCode(t, err, c.want)
		})
	}
}

func TestMessages(t *testing.T) {
	hello := &spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: &spokev1.Hello{Protocol: 1}}}
	for name, m := range map[string]*spokev1.SessionRequest{
		"second_hello":  hello,
		"nothing":       {},
		"unknown_stage": {Message: &spokev1.SessionRequest_Ack{Ack: &spokev1.Ack{Stage: 77}}},
		"short_digest": {Message: &spokev1.SessionRequest_Ack{Ack: &spokev1.Ack{Stage: 1,
			Bundle: &spokev1.BundleId{Digest: []byte{1}}}}},
		"too_long": {Message: &spokev1.SessionRequest_Ack{Ack: &spokev1.Ack{Stage: 4,
			Reason: strings.Repeat("x", maxSessionMessage)}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
			must(t, c.Send(m))
			_, err := c.Recv()
			wantCode(t, err, codes.InvalidArgument)
			r.awaitSpoke("a", "disconnected", func(s store.Spoke) bool { return !s.Connected })
		})
	}
}

func TestStartDisconnects(t *testing.T) {
	s := store.OpenMemory(store.Twice)
	must(t, s.Update(t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, "a", store.Spoke{Connected: true})
	}))
	must(t, New(Config{Store: s}).disconnectAll(t.Context()))
	must(t, s.View(t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, "a")
		if row.Connected || row.Since.IsZero() {
			t.Errorf("row is %+v", row)
		}
		return err
	}))
}

func TestDrain(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	row := r.desire("a", 1)
	c.offer()
	c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_RECEIVED, "")
	r.awaitSpoke("a", "ack", func(s store.Spoke) bool { return s.Acks[bundle.Received] == row.Bundle })
	r.server.Drain()
	_, err := c.Recv()
	wantCode(t, err, codes.Unavailable)
	r.awaitSpoke("a", "disconnected", func(s store.Spoke) bool { return !s.Connected })
}
