package agent

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// echoHub answers every Fetch with the blobs of the offer, also if others were requested.
type echoHub struct {
	*farHub
	blobs []session.Blob
}

func (h *echoHub) Fetch(_ context.Context, digests []manifest.Digest,
	store func(manifest.Digest, uint64, []byte) error) error {
	for i, d := range digests {
		if i >= len(h.blobs) {
			return session.ErrDisconnected
		}
		if err := store(d, h.blobs[i].Size, h.blobs[i].Frame); err != nil {
			return err
		}
	}
	return nil
}

// offerOf reads an offer as the session does.
func offerOf(data []byte) (*session.Offer, bool) {
	var m spokev1.Offer
	if proto.Unmarshal(data, &m) != nil {
		return nil, false
	}
	digest, err := manifest.DigestFromBytes(m.GetBundle().GetDigest())
	if err != nil {
		return nil, false
	}
	o := &session.Offer{ID: bundle.ID{Epoch: m.Bundle.Epoch, Sequence: m.Bundle.Sequence, Digest: digest},
		Envelope: m.Envelope}
	for _, b := range m.Blobs {
		if d, err := manifest.DigestFromBytes(b.GetDigest()); err == nil {
			o.Blobs = append(o.Blobs, session.Blob{Digest: d, Size: b.GetSize(), Frame: b.GetFrame()})
		}
	}
	return o, true
}

// FuzzReceive takes an offer with its blobs from the wire to the disk. Only a bundle that the hub signed is accepted,
// with all blobs that it reaches, and no blob of another bundle is kept.
func FuzzReceive(f *testing.F) {
	hub := newFarHub()
	hub.now = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC) // each process of the fuzzer must sign the same
	object, err := manifest.Canonical(&manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": "shop", "name": "a"}}})
	if err != nil {
		f.Fatal(err)
	}
	ref := bundle.ObjectReference{ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap",
		Namespace: "shop", Name: "a"}, Digest: hub.put(object)}
	app, err := application("apps", ref).Encode()
	if err != nil {
		f.Fatal(err)
	}
	good := hub.sign(f, 1, application("apps", ref))
	wire := &spokev1.Offer{Bundle: &spokev1.BundleId{Epoch: good.ID.Epoch, Sequence: good.ID.Sequence,
		Digest: good.ID.Digest[:]}, Envelope: good.Envelope}
	for _, data := range [][]byte{app, object} {
		d := manifest.DigestOf(data)
		wire.Blobs = append(wire.Blobs, &spokev1.Blob{Digest: d[:], Size: uint64(len(data)), Frame: compress(f, data)})
	}
	add := func(change func(o *spokev1.Offer)) {
		o := proto.CloneOf(wire)
		change(o)
		data, err := proto.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add(func(*spokev1.Offer) {})
	add(func(o *spokev1.Offer) { o.Blobs = o.Blobs[:1] })
	add(func(o *spokev1.Offer) { o.Blobs[1].Size++ })
	add(func(o *spokev1.Offer) { o.Blobs[0].Frame = o.Blobs[1].Frame })
	add(func(o *spokev1.Offer) { o.Envelope[len(o.Envelope)-1] ^= 1 })
	add(func(o *spokev1.Offer) { o.Bundle.Sequence = 2 })
	add(func(o *spokev1.Offer) { o.Envelope = nil })
	keyring, err := signing.NewKeyring(hub.signer.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, ok := offerOf(data)
		if !ok {
			return
		}
		store, err := state.Open(filepath.Join(t.TempDir(), "spoke.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		a := New(Config{Cluster: self, Keyring: keyring, Store: store, Hub: &echoHub{hub, o.Blobs},
			Now: func() time.Time { return hub.now }, Jitter: func() float64 { return 0 }})
		in := a.receive(t.Context(), *o, bundle.ID{})
		missing, err := store.Missing([]manifest.Digest{manifest.DigestOf(app), manifest.DigestOf(object)})
		if err != nil {
			t.Fatal(err)
		}
		if in.err == nil && (in.id != good.ID || in.bundle == nil || len(missing) > 0) {
			t.Errorf("accepted %v, with %d blobs missing", in.id, len(missing))
		}
		if in.err != nil && in.bundle != nil {
			t.Errorf("refused with %v, and handed on", in.err)
		}
		for _, b := range o.Blobs {
			if b.Digest == manifest.DigestOf(app) || b.Digest == manifest.DigestOf(object) {
				continue
			}
			if missing, err := store.Missing([]manifest.Digest{b.Digest}); err != nil || len(missing) != 1 {
				t.Errorf("blob %s is kept, %v", b.Digest, err)
			}
		}
	})
}
