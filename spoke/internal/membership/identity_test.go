package membership

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
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

// TestRejoin registers with another key after the hub refused the certificate. The identity in use and the next key
// survive a lost answer.
func TestRejoin(t *testing.T) {
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id := identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster, Name: "prod"}
	kept := issue(t, authority, id)
	first := maps.Clone(kept)
	hub := &registrar{authority: authority, id: id, lose: true}
	dial := hub.serve(t)
	i := NewIdentity(IdentityConfig{Cluster: id, Keeper: kept,
		JoinToken: func() (string, error) { return "token", nil }, Log: slog.New(slog.DiscardHandler)})
	establish := func(refused bool) {
		t.Helper()
		if err := i.Establish(t.Context(), dial, refused); err != nil {
			t.Fatal(err)
		}
	}
	establish(false)
	establish(true)
	next := kept[nextKeyEntry]
	if len(next) == 0 || !bytes.Equal(kept[certEntry], first[certEntry]) || !bytes.Equal(kept[keyEntry], first[keyEntry]) {
		t.Fatal("the identity in use or the next key is not kept while the hub has not answered")
	}
	hub.lose = false
	establish(true)
	if !bytes.Equal(kept[keyEntry], next) || bytes.Equal(kept[certEntry], first[certEntry]) || kept[nextKeyEntry] != nil {
		t.Error("the new certificate is not for the next key")
	}
	if len(hub.keys) != 2 || !bytes.Equal(hub.keys[0], hub.keys[1]) {
		t.Errorf("the hub saw %d requests, which differ", len(hub.keys))
	}
}

// TestRejoin_expired uses the next key after a lost answer also if the spoke starts again when the certificate in use
// has expired. The hub takes the token with no other key.
func TestRejoin_expired(t *testing.T) {
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id := identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster, Name: "prod"}
	hub := &registrar{authority: authority, id: id, lose: true}
	dial := hub.serve(t)
	c := IdentityConfig{Cluster: id, Keeper: issue(t, authority, id),
		JoinToken: func() (string, error) { return "token", nil }, Log: slog.New(slog.DiscardHandler)}
	i := NewIdentity(c)
	for _, refused := range []bool{false, true} {
		if err := i.Establish(t.Context(), dial, refused); err != nil {
			t.Fatal(err)
		}
	}
	hub.lose = false
	c.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_ = NewIdentity(c).Establish(t.Context(), dial, false) // what the hub issues has expired by the clock of the spoke
	if len(hub.keys) != 2 || !bytes.Equal(hub.keys[0], hub.keys[1]) {
		t.Errorf("the hub saw %d requests, which differ", len(hub.keys))
	}
}

// registrar is a hub that registers one cluster.
type registrar struct {
	registrationv1.UnimplementedRegistrationServiceServer
	authority *identity.Authority
	id        identity.ID
	lose      bool     // the answer
	keys      [][]byte // that it was asked for, PKIX
}

// Register implements registrationv1.RegistrationServiceServer.
func (r *registrar) Register(_ context.Context, in *registrationv1.RegisterRequest) (*registrationv1.RegisterResponse,
	error) {
	key, err := identity.ParseCSR(in.Csr)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if r.keys = append(r.keys, der); err != nil || r.lose {
		return nil, status.Error(codes.Unavailable, "lost")
	}
	chain, err := r.authority.Issue(key, r.id, time.Hour, nil, nil)
	return &registrationv1.RegisterResponse{Certificate: &registrationv1.Certificate{Chain: chain,
		Authorities: [][]byte{r.authority.Certificate().Raw}}}, err
}

// serve returns a function that dials the registrar, without TLS.
func (r *registrar) serve(t *testing.T) func(*tls.Config) (*grpc.ClientConn, error) {
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	registrationv1.RegisterRegistrationServiceServer(server, r)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return func(*tls.Config) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///hub", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	}
}
