package membership

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/navefleet/nave/shared/identity"
)

// drawer is a Keeper in memory.
type drawer map[string][]byte

func (d drawer) Load(context.Context) (map[string][]byte, error) { return maps.Clone(d), nil }

func (d drawer) Save(_ context.Context, entries map[string][]byte) error {
	clear(d)
	maps.Copy(d, entries)
	return nil
}

// issue returns the entries of an identity that an authority issued.
func issue(t *testing.T, a *identity.Authority, id identity.ID) drawer {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.Issue(key.Public(), id, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return drawer{keyEntry: text, certEntry: identity.MarshalCertificates(chain...),
		authorityEntry: identity.MarshalCertificates(a.Certificate().Raw)}
}

// TestEstablish establishes an identity of what is kept, and registers only as who the spoke is.
func TestEstablish(t *testing.T) {
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id := func(name string) identity.ID {
		return identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster, Name: name}
	}
	prod, dev := issue(t, authority, id("prod")), issue(t, authority, id("dev"))
	damaged := maps.Clone(prod)
	damaged[keyEntry] = dev[keyEntry]
	dialled := errors.New("dialled")
	for name, test := range map[string]struct {
		kept     drawer
		replaces string
		token    string
		want     error // dialled: it registers
	}{
		"kept":             {prod, "", "", nil},
		"new":              {drawer{}, "", "token", dialled},
		"new_no_token":     {drawer{}, "", "", identity.ErrNone},
		"other":            {dev, "", "token", ErrCluster},
		"replaces":         {dev, "dev", "token", dialled},
		"damaged":          {damaged, "", "token", dialled},
		"damaged_no_token": {damaged, "", "", identity.ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			kept := maps.Clone(test.kept)
			i := NewIdentity(IdentityConfig{Cluster: id("prod"), Replaces: test.replaces, Keeper: kept,
				JoinToken: func() (string, error) { return test.token, nil }, Log: slog.New(slog.DiscardHandler)})
			err := i.Establish(t.Context(), func(*tls.Config) (*grpc.ClientConn, error) { return nil, dialled }, false)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if holds := i.Credential().Certificate() != nil; holds != (test.want == nil) {
				t.Errorf("it has a certificate: %t", holds)
			}
			if errors.Is(test.want, ErrCluster) && len(kept) != len(test.kept) {
				t.Error("what is kept was changed")
			}
		})
	}
}
