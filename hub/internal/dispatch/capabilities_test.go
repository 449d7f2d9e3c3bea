package dispatch

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// capabilitiesOf returns the bytes and the digest of an API server that serves kinds.
func capabilitiesOf(kinds ...string) ([]byte, manifest.Digest) {
	data, err := proto.Marshal(&spokev1.Capabilities{KubernetesVersion: "v1.37.2",
		GroupVersions: []*spokev1.GroupVersion{{Group: "apps", Version: "v1", Kinds: kinds}}})
	if err != nil {
		panic(err)
	}
	return data, manifest.DigestOf(data)
}

func (c *call) capabilities(data []byte) {
	c.t.Helper()
	must(c.t, c.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Capabilities{Capabilities: data}}))
}

// TestCapabilities has the hub ask once for capabilities that it lacks, whichever cluster names them.
func TestCapabilities(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	data, digest := capabilitiesOf("Deployment")
	a := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, &spokev1.Hello{CapabilitiesDigest: digest[:]})
	if !a.welcome().WantsCapabilities {
		t.Fatal("the hub does not ask for what it lacks")
	}
	a.capabilities(data)
	r.awaitCapabilities("a", data)
	b := r.helloWith(r.dial(identity.Cluster, "b"), bundle.ID{}, &spokev1.Hello{CapabilitiesDigest: digest[:]})
	if b.welcome().WantsCapabilities {
		t.Error("the hub asks for what it has")
	}
	r.awaitCapabilities("b", data)

	changed, _ := capabilitiesOf("DaemonSet", "Deployment")
	b.capabilities(changed)
	r.awaitCapabilities("b", changed)
	r.awaitCapabilities("a", data)
}

// awaitCapabilities waits until a cluster has capabilities.
func (r *rig) awaitCapabilities(cluster string, want []byte) {
	r.t.Helper()
	digest := manifest.DigestOf(want)
	r.awaitSpoke(cluster, "its capabilities", func(s store.Spoke) bool { return s.Capabilities == digest })
	if data, err := r.store.Blobs().Get(r.t.Context(), digest); err != nil || string(data) != string(want) {
		r.t.Errorf("the store has %q, %v", data, err)
	}
}

// TestCapabilitiesKept has a spoke name capabilities that no row names any more: the next sweep spares them.
func TestCapabilitiesKept(t *testing.T) {
	r := newRig(t)
	blobs, nothing := r.store.Blobs(), func(manifest.Digest) bool { return false }
	data, digest := capabilitiesOf("Deployment")
	_, err := blobs.Put(t.Context(), data)
	must(t, err)
	sweep := func() int {
		n, err := blobs.Sweep(t.Context(), nothing)
		must(t, err)
		return n
	}
	r.cluster("a", false) // writes the blob, too
	sweep()
	has, lacks, err := r.server.named(t.Context(), &spokev1.Hello{CapabilitiesDigest: digest[:]})
	if err != nil || lacks || has != digest {
		t.Fatalf("has %s, lacks %v, %v", has, lacks, err)
	}
	if n := sweep(); n != 0 {
		t.Errorf("%d blobs are swept before a row names them", n)
	}
	if n := sweep(); n != 1 {
		t.Errorf("%d blobs are swept, want the one that no row names", n)
	}
}

func TestHostileCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		digest []byte
		data   []byte
		want   codes.Code
	}{
		"digest":     {digest: []byte{1}, want: codes.InvalidArgument},
		"no_message": {data: []byte{0xff}, want: codes.InvalidArgument},
		"too_large": {data: protoString(strings.Repeat("x", reporting.MaxCapabilities)),
			want: codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			call := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, &spokev1.Hello{CapabilitiesDigest: c.digest})
			if c.data != nil {
				call.welcome()
				call.capabilities(c.data)
			}
			_, err := call.Recv()
			wantCode(t, err, c.want)
		})
	}
}

// TestCapabilitiesGuessed has a spoke name blobs that are no capabilities: it hears nothing of them.
func TestCapabilitiesGuessed(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	for name, data := range map[string]string{
		"object": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"of-another-cluster"}}`,
		"large":  string(protoString(strings.Repeat("x", reporting.MaxCapabilities))),
	} {
		d, err := r.store.Blobs().Put(t.Context(), []byte(data))
		must(t, err)
		a := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, &spokev1.Hello{CapabilitiesDigest: d[:]})
		if !a.welcome().WantsCapabilities {
			t.Errorf("%s: the hub says that it has this blob", name)
		}
	}
}

// TestCapabilitiesQuota sends capabilities more often than a cluster may: the hub drops them, with few warnings, and
// the session goes on.
func TestCapabilitiesQuota(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	row := r.desire("a", 1)
	lines := r.count()
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	c.offer()
	for range servedBurst {
		c.capabilities(protoString("in the quota"))
	}
	for range servedBurst {
		c.capabilities(protoString("over the quota"))
	}
	c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_APPLIED, "")
	r.awaitSpoke("a", "the ack", func(s store.Spoke) bool { return s.Acks[bundle.Applied] == row.Bundle })
	r.awaitCapabilities("a", protoString("in the quota"))
	if n := lines.Load(); n != warningBurst {
		t.Errorf("%d warnings, want %d", n, warningBurst)
	}
}

func protoString(s string) []byte {
	data, err := proto.Marshal(&spokev1.Capabilities{KubernetesVersion: s})
	if err != nil {
		panic(err)
	}
	return data
}

// TestRetained names the blobs that reports keep in the store.
func TestRetained(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	data, served := capabilitiesOf("Deployment")
	c := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, &spokev1.Hello{CapabilitiesDigest: served[:]})
	c.welcome()
	c.capabilities(data)
	r.awaitCapabilities("a", data)
	healthy := manifest.DigestOf([]byte("healthy"))
	one, two := report("one", ""), report("two", "")
	one.HealthyDigest, one.HealthyRevision = healthy[:], "main@sha1:0123"
	_, err := r.dial(identity.Cluster, "a").Report(t.Context(),
		&spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{one, two}})
	must(t, err)
	must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
		spoke, _, err := store.Spokes.Get(tx, "a")
		var applications []manifest.Digest
		err2 := store.Reports.Scan(tx, "", func(_ string, row store.Report) error {
			applications = append(applications, row.Healthy)
			return nil
		})
		if spoke.Capabilities != served || !slices.Equal(applications, []manifest.Digest{healthy, {}}) {
			t.Errorf("kept are %v and %v", spoke.Capabilities, applications)
		}
		return errors.Join(err, err2)
	}))
}

// TestProtocol1Report has a spoke of protocol 1 report.
func TestProtocol1Report(t *testing.T) {
	a := report("app", "text")
	a.Inventory = []*bundlev1.ObjectIdentity{{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a"}}
	today := &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{a},
		Removed: []*bundlev1.ApplicationName{nameOf("Kustomization", "flux-system", "gone")}}
	now := time.Now()
	want, err := checkReport("a", proto.CloneOf(today), now)
	must(t, err)
	got, err := checkReport("a", reporting.WriteProtocol1(today), now)
	must(t, err)
	key := "a/Kustomization/flux-system/app"
	if string(got.rows[key].Value) != string(want.rows[key].Value) || len(got.rows[key].Value) == 0 ||
		!slices.Equal(got.removed, want.removed) || len(got.removed) != 1 {
		t.Errorf("got %v, want %v", got, want)
	}
}
