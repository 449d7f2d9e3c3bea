package trust

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

var (
	now  = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	self = identity.ID{TrustDomain: "nave-0123456789abcdef", Role: identity.Cluster, Name: "prod-eu-1"}
)

const year = 365 * 24 * time.Hour

func newSigner(t testing.TB, seed byte) *signing.Signer {
	t.Helper()
	return signing.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

func sample(change func(*bundle.Bundle)) *bundle.Bundle {
	b := &bundle.Bundle{
		Cluster: self.String(), Epoch: 3, Sequence: 8, IssuedAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour),
		Applications: []bundle.Entry{{
			Name:     bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
			Digest:   manifest.DigestOf([]byte("application")),
			Revision: "main@sha1:0123",
		}},
	}
	if change != nil {
		change(b)
	}
	return b
}

func payload(t testing.TB, b *bundle.Bundle) []byte {
	t.Helper()
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func envelope(t testing.TB, s *signing.Signer, payloadType string, data []byte) []byte {
	t.Helper()
	e, err := s.Sign(payloadType, data).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOpen(t *testing.T) {
	signer, stranger := newSigner(t, 1), newSigner(t, 2)
	sign := func(change func(*bundle.Bundle)) []byte {
		return envelope(t, signer, bundle.PayloadType, payload(t, sample(change)))
	}
	idOf := func(change func(*bundle.Bundle)) bundle.ID {
		b := sample(change)
		return bundle.ID{Epoch: b.Epoch, Sequence: b.Sequence, Digest: manifest.DigestOf(payload(t, b))}
	}
	sequence := func(epoch, n uint64) func(*bundle.Bundle) {
		return func(b *bundle.Bundle) { b.Epoch, b.Sequence = epoch, n }
	}
	cluster := func(id string) func(*bundle.Bundle) { return func(b *bundle.Bundle) { b.Cluster = id } }
	times := func(issued, expires time.Duration) func(*bundle.Bundle) {
		return func(b *bundle.Bundle) { b.IssuedAt, b.ExpiresAt = now.Add(issued), now.Add(expires) }
	}
	feature := func(b *bundle.Bundle) { b.Applications[0].Features = "hooks" }
	flipped := sign(nil)
	flipped[len(flipped)/2] ^= 1
	expired := times(-2*time.Hour, -time.Hour)
	forged, err := signer.Sign(bundle.PayloadType, payload(t, sample(nil))).Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := signing.DecodeEnvelope(forged)
	if err != nil {
		t.Fatal(err)
	}
	decoded.Payload = payload(t, sample(sequence(9, 9)))
	reused, err := decoded.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded.Payload, decoded.Signatures = payload(t, sample(nil)), nil
	unsigned, _ := decoded.Encode()

	tests := map[string]struct {
		envelope []byte
		last     bundle.ID
		want     error
	}{
		"first":                      {sign(nil), bundle.ID{}, nil},
		"newer_sequence":             {sign(nil), idOf(sequence(3, 7)), nil},
		"newer_epoch":                {sign(sequence(4, 1)), idOf(nil), nil},
		"last_again":                 {sign(nil), idOf(nil), nil},
		"last_again_expired":         {sign(expired), idOf(expired), nil},
		"older_sequence":             {sign(nil), idOf(sequence(3, 9)), ErrOlder},
		"older_epoch":                {sign(sequence(2, 100)), idOf(nil), ErrOlder},
		"same_sequence_other_digest": {sign(times(-time.Minute, time.Hour)), idOf(nil), ErrFork},
		"another_cluster": {sign(cluster("spiffe://nave-0123456789abcdef/cluster/prod-eu-2")), bundle.ID{},
			ErrCluster},
		"longer_name": {sign(cluster(self.String() + "0")), bundle.ID{}, ErrCluster},
		"another_trust_domain": {sign(cluster("spiffe://nave-fedcba9876543210/cluster/prod-eu-1")), bundle.ID{},
			ErrCluster},
		"another_role": {sign(cluster("spiffe://nave-0123456789abcdef/operator/prod-eu-1")), bundle.ID{},
			ErrCluster},
		"expired":                     {sign(expired), bundle.ID{}, ErrExpired},
		"expires_now":                 {sign(times(-time.Hour, 0)), bundle.ID{}, ErrExpired},
		"from_the_far_future":         {sign(times(time.Hour, 2*time.Hour)), bundle.ID{}, ErrFuture},
		"from_a_clock_a_year_ahead":   {sign(times(year, year+time.Hour)), bundle.ID{}, ErrFuture},
		"from_a_clock_a_year_behind":  {sign(times(-year, time.Hour-year)), bundle.ID{}, ErrExpired},
		"from_just_within_the_skew":   {sign(times(MaxSkew, time.Hour)), bundle.ID{}, nil},
		"from_just_beyond_the_skew":   {sign(times(MaxSkew+time.Second, time.Hour)), bundle.ID{}, ErrFuture},
		"from_a_clock_a_little_ahead": {sign(times(time.Minute, time.Hour)), bundle.ID{}, nil},
		"a stranger's signature": {envelope(t, stranger, bundle.PayloadType, payload(t, sample(nil))), bundle.ID{},
			ErrSignature},
		"another_payload_type": {envelope(t, signer, "application/json", payload(t, sample(nil))), bundle.ID{},
			ErrSignature},
		"another_payload_same_signature": {reused, bundle.ID{}, ErrSignature},
		"signed_but_no_bundle": {envelope(t, signer, bundle.PayloadType, []byte("bundle")), bundle.ID{},
			ErrMalformed},
		"feature_of_later":  {sign(feature), bundle.ID{}, ErrFeature},
		"last_of_a_feature": {sign(feature), idOf(feature), ErrFeature},
		"not_an_envelope":   {[]byte("envelope"), bundle.ID{}, ErrMalformed},
		"nothing":           {nil, bundle.ID{}, ErrSignature},
	}
	keyring, err := signing.NewKeyring(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, id, err := Open(tt.envelope, Inputs{Keyring: keyring, Cluster: self, Last: tt.last, Now: now})
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if errors.Is(tt.want, ErrExpired) || errors.Is(tt.want, ErrFuture) {
				for _, part := range []string{" at 20", "and it is 2026-06-01T12:00:00Z here", "set the clocks"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error %q lacks %q: it should name both times and the way out", err, part)
					}
				}
			}
			if (b == nil) != (tt.want != nil) || (id == bundle.ID{}) != (tt.want != nil) {
				t.Errorf("bundle %v and ID %v with error %v", b, id, err)
			}
		})
	}
	for name, data := range map[string][]byte{"one bit changed": flipped, "no signature": unsigned} {
		if b, _, err := Open(data, Inputs{Keyring: keyring, Cluster: self, Now: now}); err == nil || b != nil {
			t.Errorf("%s: trusted", name)
		}
	}
}

func TestPolicy(t *testing.T) {
	policy, err := ParsePolicy([]byte("namespaces: [shop, team-*]\ndeniedKinds: " +
		"[RoleBinding.rbac.authorization.k8s.io]\nclusterScoped: false\nprotected: ['Secret/shop/vault-*']\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		object bundle.ObjectIdentity
		ok     bool
	}{
		{bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a"}, true},
		{bundle.ObjectIdentity{Version: "v1", Kind: "Secret", Namespace: "team-a", Name: "vault-1"}, true},
		{bundle.ObjectIdentity{Version: "v1", Kind: "Secret", Namespace: "shop", Name: "vault-1"}, false},
		{bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "a"}, false},
		{bundle.ObjectIdentity{Version: "v1", Kind: "Namespace", Name: "shop"}, false},
		{bundle.ObjectIdentity{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding", Namespace: "shop",
			Name: "a"}, false},
	}
	for _, tt := range tests {
		err := policy.Allows(tt.object)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", tt.object.ID(), err)
		}
		if err := (Policy{}).Allows(tt.object); err != nil {
			t.Errorf("no policy: %v", err)
		}
	}
	kinds := Policy{Kinds: []string{"ConfigMap", "*.apps"}}
	if err := kinds.Allows(bundle.ObjectIdentity{Group: "apps", Kind: "Deployment", Namespace: "a",
		Name: "b"}); err != nil {
		t.Error(err)
	}
	if err := kinds.Allows(bundle.ObjectIdentity{Kind: "Secret", Namespace: "a", Name: "b"}); err == nil {
		t.Error("a kind that is not listed is allowed")
	}
}

// TestPolicy_upgrades lets a bundle change the image of the spoke, unless a policy limits bundles without allowing it.
func TestPolicy_upgrades(t *testing.T) {
	for text, allowed := range map[string]bool{
		"": true, "{}": true, "upgrades: true": true, "upgrades: false": false, "namespaces: [a]": false,
		"{namespaces: [a], upgrades: true}": true, "{namespaces: [a], upgrades: false}": false,
	} {
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.AllowsUpgrade(); (err == nil) != allowed || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	for _, text := range []string{"namespace: [a]", "namespaces: ['[']", "namespaces: ['']", "protected: [Secret]", "- a",
		"clusterScoped: maybe"} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%q is taken for a policy", text)
		}
	}
}

func FuzzOpen(f *testing.F) {
	signer := newSigner(f, 1)
	keyring, err := signing.NewKeyring(signer.Public())
	if err != nil {
		f.Fatal(err)
	}
	good := envelope(f, signer, bundle.PayloadType, payload(f, sample(nil)))
	f.Add(good)
	f.Add(envelope(f, newSigner(f, 2), bundle.PayloadType, payload(f, sample(nil))))
	want := payload(f, sample(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, id, err := Open(data, Inputs{Keyring: keyring, Cluster: self, Now: now})
		if err == nil && (b == nil || id.Digest != manifest.DigestOf(want)) {
			t.Fatal("something that the key did not sign is trusted")
		}
	})
}
