package identity

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestIssuedAt(t *testing.T) {
	a, err := LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, ttl := range []time.Duration{
		time.Second, 9 * time.Second, 10 * time.Second, 1999 * time.Millisecond, 119 * time.Second, 10 * time.Minute,
		50*time.Minute - 1, 50 * time.Minute, 54*time.Minute +
			59*time.Second, 55 * time.Minute, time.Hour, 24 * time.Hour, 90 * 24 * time.Hour,
	} {
		before := time.Now().Truncate(time.Second)
		chain, err := a.Issue(key.Public(), ID{TrustDomain: a.TrustDomain(), Role: Cluster, Name: "a"}, ttl, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		if at := IssuedAt(leaf); at.Before(before) || at.After(time.Now()) {
			t.Errorf("for %s: issued at %s, says %s", ttl, before, at)
		}
	}
}
