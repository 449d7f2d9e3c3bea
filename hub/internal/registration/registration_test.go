package registration

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/e2e/level"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// rig is a registration server behind real TLS.
type rig struct {
	t         *testing.T
	store     *store.Store
	authority *identity.Authority
	address   string
	server    *identity.Credential
	service   *Server

	mu  sync.Mutex
	now time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	must(t, err)
	r := &rig{t: t, store: store.OpenMemory(store.Twice), authority: authority, now: time.Now()}
	authority.Now = r.clock
	server := New(
		Config{Store: r.store, Authority: authority, TTL: time.Hour, Log: slog.New(slog.DiscardHandler), Now: r.clock},
	)
	r.service = server
	r.server = r.credential(authority, identity.Hub, "hub")
	config := identity.ServerTLS(r.server)
	config.Time = r.clock
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	registrationv1.RegisterRegistrationServiceServer(g, server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.address = listener.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(listener) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-ended; !errors.Is(err, grpc.ErrServerStopped) { // a test may end before it starts
			must(t, err)
		}
		must(t, r.store.Close())
	})
	r.cluster("a", false)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// countLines counts what is logged.
type countLines struct {
	slog.Handler
	n *atomic.Int64
}

func (countLines) Enabled(context.Context, slog.Level) bool { return true }

func (c countLines) Handle(context.Context, slog.Record) error {
	c.n.Add(1)
	return nil
}

// count makes the service's log one that is counted.
func (r *rig) count() *atomic.Int64 {
	n := &atomic.Int64{}
	r.service.log = slog.New(countLines{slog.DiscardHandler, n})
	return n
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) credential(from *identity.Authority, role, name string) *identity.Credential {
	r.t.Helper()
	key, err := identity.NewKey()
	must(r.t, err)
	chain, err := from.Issue(key.Public(), identity.ID{TrustDomain: from.TrustDomain(), Role: role, Name: name}, time.Hour,
		nil, nil)
	must(r.t, err)
	c := &identity.Credential{}
	c.Set(tls.Certificate{Certificate: chain, PrivateKey: key}, []*x509.Certificate{r.authority.Certificate()})
	return c
}

func (r *rig) dial(config *tls.Config) registrationv1.RegistrationServiceClient {
	r.t.Helper()
	config.Time = r.clock
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return registrationv1.NewRegistrationServiceClient(conn)
}

// stranger knows the hub's pin and has no certificate.
func (r *rig) stranger() registrationv1.RegistrationServiceClient {
	return r.dial(identity.PinnedClientTLS(r.authority.Pin()))
}

func (r *rig) as(role, name string) registrationv1.RegistrationServiceClient {
	r.t.Helper()
	return r.dial(identity.ClientTLS(r.credential(r.authority, role, name),
		identity.ID{TrustDomain: r.authority.TrustDomain()}))
}

func (r *rig) cluster(name string, blocked bool) {
	r.t.Helper()
	object, err := json.Marshal(api.Cluster{Spec: api.ClusterSpec{Blocked: blocked}})
	must(r.t, err)
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		key := api.ClusterKey(name)
		row := store.Resource{Key: key, Object: api.StoredObject(key, object)}
		return store.Resources.Put(tx, key.Path(), row)
	}))
}

// registered makes a cluster one that has registered.
func (r *rig) registered(cluster string) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, cluster, store.Spoke{RegisteredAt: time.Now().Truncate(time.Second)})
	}))
}

func (r *rig) token(token, cluster string) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.JoinTokens.Put(tx, store.TokenKey(token),
			store.JoinToken{Cluster: cluster, ExpiresAt: r.clock().Add(time.Hour)})
	}))
}

// events are the reasons and messages of all events about a key.
func (r *rig) events(key api.Key) (texts []string) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		texts = nil
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Object == key {
				texts = append(texts, e.Reason+": "+e.Message)
			}
			return nil
		})
	}))
	return texts
}

func (r *rig) spoke(cluster string) (row store.Spoke) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) (err error) {
		row, _, err = store.Spokes.Get(tx, cluster)
		return err
	}))
	return row
}

func newCSR(t *testing.T) (crypto.Signer, []byte) {
	t.Helper()
	key, err := identity.NewKey()
	must(t, err)
	csr, err := identity.NewCSR(key)
	must(t, err)
	return key, csr
}

// holds checks that a certificate is the cluster's, for the key, and returns its leaf.
func (r *rig) holds(c *registrationv1.Certificate, cluster string, key crypto.Signer) *x509.Certificate {
	r.t.Helper()
	leaf, err := x509.ParseCertificate(c.Chain[0])
	must(r.t, err)
	id, err := identity.FromCertificate(leaf)
	must(r.t, err)
	if want := (identity.ID{TrustDomain: r.authority.TrustDomain(), Role: identity.Cluster, Name: cluster}); id != want {
		r.t.Fatalf("certificate is for %s, want %s", id, want)
	}
	if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		r.t.Fatal("certificate is for another key")
	}
	if !leaf.NotAfter.Equal(c.ExpiresAt.AsTime()) || time.Until(leaf.NotAfter) > time.Hour+time.Minute {
		r.t.Fatalf("expires at %s, says %s", leaf.NotAfter, c.ExpiresAt.AsTime())
	}
	return leaf
}

func refused(t *testing.T, err error) {
	t.Helper()
	if status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != status.Convert(errToken).Message() {
		t.Fatalf("got %v", err)
	}
}

func TestRegister(t *testing.T) {
	r := newRig(t)
	r.token("secret", "a")
	key, csr := newCSR(t)
	answer, err := r.stranger().Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
	must(t, err)
	r.holds(answer.Certificate, "a", key)
	if row := r.spoke("a"); row.RegisteredAt.IsZero() || !row.Since.Equal(row.RegisteredAt) ||
		!row.CertificateExpiry.Equal(answer.Certificate.ExpiresAt.AsTime()) {
		t.Fatalf("spoke is %+v", row)
	}
	if len(answer.Certificate.Authorities) != 1 {
		t.Fatal("no authorities to trust")
	}
}

func TestRegister_once(t *testing.T) {
	r := newRig(t)
	r.token("secret", "a")
	client := r.stranger()
	key, csr := newCSR(t)
	for range 2 {
		answer, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
		must(t, err)
		r.holds(answer.Certificate, "a", key)
	}
	_, other := newCSR(t)
	_, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: other})
	refused(t, err)
	if got := strings.Join(r.events(api.ClusterKey("a")), "\n"); !strings.Contains(got, "already used with another key") {
		t.Fatalf("events: %s", got)
	}
}

func TestRegister_concurrent(t *testing.T) {
	r := newRig(t)
	r.token("secret", "a")
	client := r.stranger()
	const callers = issueBurst // one more may be told to come back, if all of them ask before the first has the token
	results := make(chan error, callers)
	for range callers {
		_, csr := newCSR(t)
		go func() {
			_, err := client.Register(context.Background(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
			results <- err
		}()
	}
	admitted := 0
	for range callers {
		if err := <-results; err == nil {
			admitted++
		} else {
			refused(t, err)
		}
	}
	if admitted != 1 {
		t.Fatalf("%d got in", admitted)
	}
}

func TestRegister_refused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(r *rig)
		token   string
		object  api.Key
		cause   string
	}{
		"unknown": {func(*rig) {}, "guess", unknownTokens, shorten(store.TokenKey("guess")) + " was refused: unknown"},
		"empty":   {func(*rig) {}, "", unknownTokens, "malformed was refused: unknown"},
		"long":    {func(*rig) {}, strings.Repeat("x", maxToken+1), unknownTokens, "malformed was refused: unknown"},
		"expired": {func(r *rig) { r.set(time.Hour) }, "secret", api.ClusterKey("a"), "expired"},
		"blocked": {func(r *rig) { r.cluster("a", true) }, "secret", api.ClusterKey("a"), "blocked or deleted"},
		"deleted": {func(r *rig) {
			must(r.t, r.store.Update(t.Context(), func(tx *store.Tx) error {
				return store.Resources.Delete(tx, api.ClusterKey("a").Path())
			}))
		}, "secret", api.ClusterKey("a"), "blocked or deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.token("secret", "a")
			c.prepare(r)
			_, csr := newCSR(t)
			_, err := r.stranger().Register(t.Context(), &registrationv1.RegisterRequest{Token: c.token, Csr: csr})
			refused(t, err)
			if got := strings.Join(r.events(c.object), "\n"); !strings.Contains(got, c.cause) {
				t.Fatalf("events: %q", got)
			}
			if got := r.spoke("a").Refused; strings.Contains(got, c.cause) != (name == "expired" || name == "blocked") {
				t.Fatalf("the cluster's row says: %q", got)
			}
		})
	}
}

// TestFloods has one caller ask more often than a caller should. It is heard at a bounded rate, nothing is left of it,
// and what concerns others is recorded all the same.
func TestFloods(t *testing.T) {
	for name, tt := range map[string]struct {
		call  func(r *rig) func() error
		about api.Key
		lines int // of the log
	}{
		"guesses": {func(r *rig) func() error {
			client, n := r.stranger(), 0
			return func() error {
				n++
				_, csr := newCSR(t)
				_, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: fmt.Sprint("guess-", n), Csr: csr})
				return err
			}
		}, unknownTokens, recordBurst},
		"expired_token": {func(r *rig) func() error {
			must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
				return store.JoinTokens.Put(tx, store.TokenKey("secret"), store.JoinToken{Cluster: "a", ExpiresAt: r.clock()})
			}))
			client := r.stranger()
			_, csr := newCSR(t)
			return func() error {
				_, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
				return err
			}
		}, api.ClusterKey("a"), recordBurst},
		"the_same_registration": {func(r *rig) func() error {
			r.token("secret", "a")
			client := r.stranger()
			_, csr := newCSR(t)
			return func() error {
				_, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
				return err
			}
		}, api.ClusterKey("a"), issueBurst},
		"renewals": {func(r *rig) func() error {
			r.registered("a")
			client := r.as(identity.Cluster, "a")
			_, csr := newCSR(t)
			return func() error {
				_, err := client.Renew(t.Context(), &registrationv1.RenewRequest{Csr: csr})
				return err
			}
		}, api.ClusterKey("a"), issueBurst},
		"renewals_of_a_blocked_cluster": {func(r *rig) func() error {
			r.registered("a")
			r.cluster("a", true)
			client := r.as(identity.Cluster, "a")
			_, csr := newCSR(t)
			return func() error {
				_, err := client.Renew(t.Context(), &registrationv1.RenewRequest{Csr: csr})
				return err
			}
		}, api.ClusterKey("a"), issueBurst},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			lines := r.count()
			call := tt.call(r)
			_ = call()
			before := level.Take()
			for range 3 * recordBurst {
				if err := call(); status.Code(err) == codes.Unavailable || status.Code(err) == codes.Internal {
					t.Fatal(err)
				}
			}
			must(t, before.Return(20*time.Second))
			if n := len(r.events(tt.about)); n > tt.lines+2 {
				t.Errorf("%d events", n)
			}
			if n := int(lines.Load()); n < 1 || n > tt.lines+2 {
				t.Errorf("%d lines in the log", n)
			}
			r.cluster("b", false)
			r.token("of b", "b")
			r.cluster("b", true)
			_, csr := newCSR(t)
			_, err := r.stranger().Register(t.Context(), &registrationv1.RegisterRequest{Token: "of b", Csr: csr})
			refused(t, err)
			if n := len(r.events(api.ClusterKey("b"))); n != 1 {
				t.Errorf("%d events about another cluster", n)
			}
		})
	}
}

func TestRenew(t *testing.T) {
	r := newRig(t)
	r.cluster("ab", false)
	r.registered("a")
	key, csr := newCSR(t)
	answer, err := r.as(identity.Cluster, "a").Renew(t.Context(), &registrationv1.RenewRequest{Csr: csr})
	must(t, err)
	r.holds(answer.Certificate, "a", key)
	if row := r.spoke("a"); !row.CertificateExpiry.Equal(answer.Certificate.ExpiresAt.AsTime()) {
		t.Fatalf("spoke is %+v", row)
	}
	if row := r.spoke("ab"); !row.CertificateExpiry.IsZero() {
		t.Fatalf("another cluster's spoke is %+v", row)
	}
}

func TestRenew_refused(t *testing.T) {
	r := newRig(t)
	_, csr := newCSR(t)
	request := &registrationv1.RenewRequest{Csr: csr}
	_, err := r.stranger().Renew(t.Context(), request)
	wantCode(t, err, codes.Unauthenticated)
	for role, name := range map[string]string{identity.Operator: "admin", identity.Hub: "hub",
		identity.Cluster: "unknown"} {
		_, err = r.as(role, name).Renew(t.Context(), request)
		wantCode(t, err, codes.PermissionDenied)
	}
	r.registered("a")
	client := r.as(identity.Cluster, "a")
	r.cluster("a", true) // its certificate is still valid
	_, err = client.Renew(t.Context(), request)
	wantCode(t, err, codes.PermissionDenied)
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

func TestRegister_bad_request(t *testing.T) {
	r := newRig(t)
	r.token("secret", "a")
	client := r.stranger()
	for _, csr := range [][]byte{nil, []byte("x"), make([]byte, 1<<19)} {
		_, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
		wantCode(t, err, codes.InvalidArgument)
	}
	key, csr := newCSR(t)
	answer, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: "secret", Csr: csr})
	must(t, err)
	r.holds(answer.Certificate, "a", key)
}

func TestRegister_stores_no_token(t *testing.T) {
	if key := store.TokenKey(
		"secret",
	); key != manifest.DigestOf([]byte("secret")).String() ||
		strings.Contains(key, "secret") {
		t.Fatalf("key is %s", key)
	}
}
