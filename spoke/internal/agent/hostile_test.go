package agent

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/signing"
)

// TestMissingBlob offers a bundle of which the hub lacks a blob. The bundle is not accepted, no part of it is applied,
// and the spoke tries again by itself.
func TestMissingBlob(t *testing.T) {
	r := newRig(t)
	r.start(t)
	here, missing := r.hub.object(t, "ConfigMap", "here", nil), r.hub.object(t, "ConfigMap", "missing", nil)
	o := r.hub.sign(t, 1, application("apps", here, missing))
	r.hub.mu.Lock()
	content := r.hub.blobs[missing.Digest]
	delete(r.hub.blobs, missing.Digest)
	r.hub.mu.Unlock()
	r.hub.send(o)
	r.eventually(t, "tried", func() bool { return r.out.holds("no blob " + missing.Digest.String()) })
	r.hub.silent(t)
	if r.cluster.has("here") != nil {
		t.Error("a part of the bundle was applied")
	}
	r.hub.put(content)
	r.hub.expect(t, "1 received", "1 healthy")
}

// TestRevokedKey removes a key from the spoke's ring. The bundle on disk that the key signed is not applied any more,
// and no object is deleted for it. An offer that the key signed is refused; one that another key of the ring signed is
// accepted.
func TestRevokedKey(t *testing.T) {
	r := newRig(t)
	revoked := r.hub.signer
	fresh := signing.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)))
	r.keys = []ed25519.PublicKey{revoked.Public(), fresh.Public()} // in rotation
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	r.hub.expect(t, "1 received", "1 healthy")
	stop()
	r.keys = []ed25519.PublicKey{fresh.Public()}
	r.start(t)
	r.eventually(t, "told", func() bool { return r.out.holds("the bundle on disk cannot be used") })
	r.hub.silent(t)
	r.hub.send(r.hub.sign(t, 2, application("apps", r.hub.object(t, "ConfigMap", "b", nil))))
	r.hub.expect(t, "2 rejected: envelope: not signed by a trusted key")
	if r.cluster.has("a") == nil || r.cluster.has("b") != nil {
		t.Error("the cluster is not as it was")
	}
	r.hub.signer = fresh
	r.hub.send(r.hub.sign(t, 3, application("apps", r.hub.object(t, "ConfigMap", "c", nil))))
	r.hub.expect(t, "3 received", "3 healthy")
	if r.cluster.has("c") == nil {
		t.Error("the object of the new key's bundle is not in the cluster")
	}
}

// TestSwappedApplication signs an entry whose blob is the Application of another entry. The bundle is refused.
func TestSwappedApplication(t *testing.T) {
	r := newRig(t)
	r.start(t)
	one, two := application("one"), application("two", r.hub.object(t, "ConfigMap", "b", nil))
	data, err := two.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r.hub.send(r.hub.signEntries(t, 1, bundle.Entry{Name: one.Name, Digest: r.hub.put(data),
		Revision: "main@sha1:0123"}))
	r.hub.expect(t, "1 rejected: Kustomization flux-system/one: malformed")
	if r.cluster.has("b") != nil {
		t.Error("something of it was applied")
	}
}

// eventually waits until a condition holds.
func (r *rig) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-deadline:
			t.Fatal("not " + what)
		case <-time.After(time.Millisecond):
		}
	}
}
