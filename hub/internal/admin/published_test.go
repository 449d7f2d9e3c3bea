package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// released puts a release of cluster a with so many applications into the store, of which the first has a large object.
func (r *rig) released(count int) (app api.Key, digest, object manifest.Digest) {
	r.t.Helper()
	r.apply(clusterA)
	app = kustomizationKey("a", "app-0")
	object, err := r.store.Blobs().Put(r.t.Context(), []byte(strings.Repeat("x", 3*maxPart+1)))
	must(r.t, err)
	data, err := (&bundle.Application{Name: app.Application(), Objects: []bundle.ObjectReference{{Digest: object,
		ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: "x"}}}}).Encode()
	must(r.t, err)
	digest, err = r.store.Blobs().Put(r.t.Context(), data)
	must(r.t, err)
	release := store.Release{}
	for i := range count {
		name := kustomizationKey("a", fmt.Sprintf("app-%d", i)).Application()
		release.Applications = append(release.Applications, store.EntryOf("all", bundle.Entry{Name: name, Digest: digest}))
	}
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error { return store.Releases.Put(tx, "a", release) }))
	return app, digest, object
}

// TestPublished reads a release that is too large for one message.
func TestPublished(t *testing.T) {
	r := newRig(t)
	r.released(2*maxApplications + 1)
	owner, parents := api.FleetKey("all"), 0
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		key := kustomizationKey("a", "app-0")
		return store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Owner: &owner})
	}))
	stream, err := r.Published(t.Context(), &adminv1.PublishedRequest{})
	must(t, err)
	parts, applications, hub, told := 0, 0, 0, 0
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if size := proto.Size(m); size > 2*maxPart {
			t.Errorf("a message has %d bytes", size)
		}
		parts++
		hub += len(m.GetHub().GetObjects())
		applications += len(m.GetCluster().GetApplications())
		for _, a := range m.GetCluster().GetApplications() {
			if a.GetParent() != nil && fold.KeyOf(a.GetParent()) == owner {
				parents++
			}
			if a.GetTold() != nil { // else the client takes the hub for an older one
				told++
			}
		}
	}
	if parts != 4 || hub != 1 || applications != 2*maxApplications+1 || parents != 1 || told != applications {
		t.Errorf("%d parts, %d objects of the hub, %d applications, %d parents", parts, hub, applications, parents)
	}
	stream, err = r.Published(t.Context(), &adminv1.PublishedRequest{Clusters: []string{"nobody"}})
	must(t, err)
	for err == nil {
		_, err = stream.Recv()
	}
	wantCode(t, err, codes.NotFound, "nobody")
}

// TestPublished_held reads the pin of a cluster, and what operators suspended in its graph.
func TestPublished_held(t *testing.T) {
	r := newRig(t)
	app, _, _ := r.released(maxApplications + 1)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		for _, key := range []api.Key{app, kustomizationKey("a", "app-1")} {
			row := store.Resource{Key: key, Suspended: key == app,
				Object: api.StoredObject(key, []byte(`{"metadata":{"name":"`+key.Name+`"},"spec":{"suspend":true}}`))}
			if err := store.Resources.Put(tx, key.Path(), row); err != nil {
				return err
			}
		}
		return store.Pins.Put(tx, "a", store.Pin{Past: store.Past{Bundle: bundle.ID{Epoch: 1, Sequence: 7}}, By: "op"})
	}))
	stream, err := r.Published(t.Context(), &adminv1.PublishedRequest{Clusters: []string{"a"}})
	must(t, err)
	var pins []*adminv1.Pin
	var suspended []*adminv1.ObjectKey
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if pin := m.GetCluster().GetPin(); pin != nil {
			pins = append(pins, pin)
		}
		suspended = append(suspended, m.GetCluster().GetSuspended()...)
	}
	if len(pins) != 1 || pins[0].GetSequence() != 7 || pins[0].GetBy() != "op" || len(suspended) != 1 ||
		fold.KeyOf(suspended[0]) != app {
		t.Errorf("pins %v, suspended %v", pins, suspended)
	}
}

// TestPublished_graphs reads the objects of a graph, with the limits of tenants, but neither the operators' own nor
// those that only the hub makes.
func TestPublished_graphs(t *testing.T) {
	r := newRig(t)
	r.released(1)
	owner := api.FleetKey("all")
	place := func(key api.Key, owner *api.Key, confined *api.Confinement) {
		must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
			return store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Owner: owner, Confined: confined,
				Object: api.StoredObject(key, []byte(`{"metadata":{"name":"`+key.Name+`"}}`))})
		}))
	}
	put := func(name string, owner *api.Key, confined *api.Confinement) {
		place(kustomizationKey("a", name), owner, confined)
	}
	for i := range pageRows + 1 {
		put(fmt.Sprintf("app-%d", i), &owner, nil)
	}
	put("tenant", &owner, &api.Confinement{Account: "team"})
	put("by-hand", nil, nil)
	place(api.Key{Cluster: "a", Kind: api.RemoteBaseKind, Namespace: "flux-system", Name: "derived"}, &owner, nil)
	for _, graphs := range []bool{true, false} {
		stream, err := r.Published(t.Context(), &adminv1.PublishedRequest{Clusters: []string{"a"}, Graphs: graphs})
		must(t, err)
		found, confined := map[string]bool{}, ""
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			for _, o := range m.GetCluster().GetObjects() {
				found[string(o.GetJson())] = fold.KeyOf(o.GetOwner()) == owner
				confined += string(o.GetConfined())
			}
		}
		if want := (pageRows + 2) * map[bool]int{true: 1}[graphs]; len(found) != want ||
			found[`{"metadata":{"name":"by-hand"}}`] || found[`{"metadata":{"name":"derived"}}`] ||
			strings.Contains(confined, `"account":"team"`) != graphs {
			t.Errorf("with graphs %v: %d objects, want %d; confined: %s", graphs, len(found), want, confined)
		}
	}
}

// content returns all bytes of an answer.
func (r *rig) content(ctx context.Context, request *adminv1.PublishedContentRequest) (data []byte, err error) {
	stream, err := r.PublishedContent(ctx, request)
	must(r.t, err)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		data = append(data, m.GetData()...)
	}
}

// TestPublishedContent reads what a release reaches, and nothing else.
func TestPublishedContent(t *testing.T) {
	r := newRig(t)
	app, digest, object := r.released(1)
	other, err := r.store.Blobs().Put(t.Context(), []byte("not of this release"))
	must(t, err)
	request := func(key api.Key, digest manifest.Digest, objects ...string) *adminv1.PublishedContentRequest {
		return &adminv1.PublishedContentRequest{Key: fold.KeyMessage(key), Digest: digest.String(), Objects: objects}
	}
	data, err := r.content(t.Context(), request(app, digest))
	if must(t, err); manifest.DigestOf(data) != digest {
		t.Error("the application has other bytes")
	}
	data, err = r.content(t.Context(), request(app, digest, object.String()))
	if must(t, err); manifest.DigestOf(data) != object {
		t.Error("the object has other bytes")
	}
	for name, q := range map[string]*adminv1.PublishedContentRequest{
		"other_object":      request(app, digest, other.String()),
		"other_digest":      request(app, other),
		"other_application": request(kustomizationKey("a", "nobody"), digest),
		"other_cluster":     request(app.In("b"), digest),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.content(t.Context(), q)
			wantCode(t, err, codes.NotFound)
		})
	}
	_, err = r.content(t.Context(), &adminv1.PublishedContentRequest{Key: fold.KeyMessage(app), Digest: "x"})
	wantCode(t, err, codes.InvalidArgument)
}
