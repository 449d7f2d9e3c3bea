package identity

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// credentialOf is a credential of an identity of an authority, trusting the given ones (by default the same).
func credentialOf(t testing.TB, a *Authority, role, name string, trusted ...*Authority) *Credential {
	t.Helper()
	c := new(Credential)
	c.Set(certificateOf(t, a, role, name), authorities(a, trusted))
	return c
}

func authorities(own *Authority, trusted []*Authority) []*x509.Certificate {
	if len(trusted) == 0 {
		trusted = []*Authority{own}
	}
	var certificates []*x509.Certificate
	for _, a := range trusted {
		certificates = append(certificates, a.Certificate())
	}
	return certificates
}

func certificateOf(t testing.TB, a *Authority, role, name string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	chain, err := a.Issue(key.Public(), ID{a.TrustDomain(), role, name}, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := Pair(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// listen serves one line ("hello") to each connection whose handshake succeeds.
func listen(t *testing.T, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Write([]byte("hello\n"))
			}()
		}
	}()
	return listener.Addr().String()
}

// talk connects and reads the line: in TLS 1.3 a client learns only then that the server refused it.
func talk(address string, config *tls.Config) error {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: config}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = bufio.NewReader(conn).ReadString('\n')
	return err
}

func TestMutualTLS(t *testing.T) {
	a := newAuthority(t)
	address := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub")))
	for name, config := range map[string]*tls.Config{
		"spoke":                      ClientTLS(credentialOf(t, a, Cluster, "a"), ID{a.TrustDomain(), Hub, "hub"}),
		"spoke_that_takes_any_hub":   ClientTLS(credentialOf(t, a, Cluster, "a"), ID{Role: Hub}),
		"operator":                   ClientTLS(credentialOf(t, a, Operator, "admin"), ID{}),
		"spoke_that_registers":       PinnedClientTLS(a.Pin()),
		"client_without_certificate": ClientTLS(trustOnly(a), ID{}),
	} {
		if err := talk(address, config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// trustOnly is a credential that trusts and shows nothing.
func trustOnly(trusted ...*Authority) *Credential {
	c := new(Credential)
	c.Set(tls.Certificate{}, authorities(nil, trusted))
	return c
}

// TestClientRefuses has a client that shows no certificate, so that only its own checks can fail.
func TestClientRefuses(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	want := ID{a.TrustDomain(), Hub, "hub"}
	anyHub, ourHub, ofBoth := ClientTLS(trustOnly(a), ID{}), ClientTLS(trustOnly(a),
		want), ClientTLS(trustOnly(a, foreign), want)
	pinned := PinnedClientTLS(a.Pin())
	server, ended := x509.ExtKeyUsageServerAuth, -time.Minute
	for name, c := range map[string]struct {
		server *Credential
		client *tls.Config
	}{
		"another_authority":                {credentialOf(t, foreign, Hub, "hub"), ourHub},
		"another_authority_any_accepted":   {credentialOf(t, foreign, Hub, "hub"), anyHub},
		"another_authority_pinned":         {credentialOf(t, foreign, Hub, "hub"), pinned},
		"spoke":                            {credentialOf(t, a, Cluster, "hub"), anyHub},
		"spoke_pinned":                     {credentialOf(t, a, Cluster, "hub"), pinned},
		"operator":                         {credentialOf(t, a, Operator, "hub"), anyHub},
		"spoke_that_may_serve":             {serving(t, a, "/cluster/hub", server, time.Hour), anyHub},
		"spoke_that_may_serve_pinned":      {serving(t, a, "/cluster/hub", server, time.Hour), pinned},
		"operator_that_may_serve":          {serving(t, a, "/operator/hub", server, time.Hour), anyHub},
		"operator_that_may_serve_pinned":   {serving(t, a, "/operator/hub", server, time.Hour), pinned},
		"role_that_nobody_has":             {serving(t, a, "/hubs/hub", server, time.Hour), anyHub},
		"hub_of_another_name":              {credentialOf(t, a, Hub, "other"), ourHub},
		"hub_of_another_trust_domain":      {credentialOf(t, foreign, Hub, "hub"), ofBoth},
		"hub_in_anothers_trust_domain":     {smuggled(t, foreign, want), ofBoth},
		"hub_in_anothers_trust_domain_any": {smuggled(t, foreign, want), ClientTLS(trustOnly(a, foreign), ID{})},
		"no_pin":                           {credentialOf(t, a, Hub, "hub"), PinnedClientTLS("")},
		"nobody_trusted":                   {credentialOf(t, a, Hub, "hub"), ClientTLS(new(Credential), ID{})},
		"leaf_that_shows_a_pinned_CA":      {impostor(t, foreign, a), pinned},
		"for_clients_only":                 {serving(t, a, "/hub/hub", x509.ExtKeyUsageClientAuth, time.Hour), anyHub},
		"for_clients_only_pinned":          {serving(t, a, "/hub/hub", x509.ExtKeyUsageClientAuth, time.Hour), pinned},
		"ended":                            {serving(t, a, "/hub/hub", server, ended), anyHub},
		"ended_pinned":                     {serving(t, a, "/hub/hub", server, ended), pinned},
		"authority_that_serves":            {selfServing(a), anyHub},
		"authority_that_serves_pinned":     {selfServing(a), pinned},
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, ServerTLS(c.server))
			if err := talk(address, c.client); err == nil {
				t.Error("is let in")
			}
			whoever := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, InsecureSkipVerify: true}
			if err := talk(address, whoever); err != nil {
				t.Errorf("the server itself does not serve: %v", err)
			}
		})
	}
	if err := talk(listen(t, ServerTLS(new(Credential))), anyHub); err == nil {
		t.Error("a hub without a certificate is let in")
	}
}

// TestTLS12 has a server and a client that speak nothing newer.
func TestTLS12(t *testing.T) {
	a := newAuthority(t)
	old := func(c *tls.Config) *tls.Config {
		c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		return c
	}
	hub := credentialOf(t, a, Hub, "hub")
	server := listen(t, old(&tls.Config{Certificates: []tls.Certificate{*hub.Certificate()}, NextProtos: []string{"h2"}}))
	for name, config := range map[string]*tls.Config{"known": ClientTLS(trustOnly(a), ID{}),
		"pinned": PinnedClientTLS(a.Pin())} {
		if err := talk(server, config); err == nil {
			t.Errorf("%s: an old hub is let in", name)
		}
		if err := talk(server, old(config)); err != nil { // it is the version alone
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := talk(listen(t, ServerTLS(hub)), old(ClientTLS(credentialOf(t, a, Cluster, "a"), ID{}))); err == nil {
		t.Error("an old client is let in")
	}
}

// TestWithoutHandshake holds the checks to what the configurations of TLS leave them nothing of.
func TestWithoutHandshake(t *testing.T) {
	a := newAuthority(t)
	leaf := certificateOf(t, a, Cluster, "a").Leaf
	if err := verifyClient(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); err == nil {
		t.Error("a client certificate that was not verified is let in")
	}
	if err := verifyClient(tls.ConnectionState{}); err != nil {
		t.Errorf("a client without a certificate: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	if id, err := verifyHub(tls.ConnectionState{}, roots, time.Now()); err == nil {
		t.Errorf("a server without a certificate is %s", id)
	}
}

// impostor shows a hub's certificate of one authority and the certificate of another one behind it.
func impostor(t *testing.T, own, shown *Authority) *Credential {
	certificate := certificateOf(t, own, Hub, "hub")
	certificate.Certificate = [][]byte{certificate.Certificate[0], shown.Certificate().Raw}
	c := new(Credential)
	c.Set(certificate, nil)
	return c
}

// selfServing uses the authority's own certificate and key to serve.
func selfServing(a *Authority) *Credential {
	c := new(Credential)
	c.Set(tls.Certificate{Certificate: [][]byte{a.Certificate().Raw}, PrivateKey: a.key}, nil)
	return c
}

// smuggled is an identity of a trust domain that the authority does not speak for.
func smuggled(t *testing.T, a *Authority, id ID) *Credential {
	liar := &Authority{trustDomain: id.TrustDomain, certificate: a.certificate, key: a.key}
	key := newKey(t)
	chain, err := liar.Issue(key.Public(), id, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return credentialFor(t, key, chain, a)
}

// serving is a certificate of a role and name, and of one use, that ends after left.
func serving(t *testing.T, a *Authority, path string, use x509.ExtKeyUsage, left time.Duration) *Credential {
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		URIs:         []*url.URL{{Scheme: "spiffe", Host: a.TrustDomain(), Path: path}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(left),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return credentialFor(t, key, [][]byte{der, a.certificate.Raw}, a)
}

func credentialFor(t *testing.T, key crypto.Signer, chain [][]byte, a *Authority) *Credential {
	t.Helper()
	certificate, err := Pair(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	c := new(Credential)
	c.Set(certificate, authorities(a, nil))
	return c
}

func TestPinMismatch(t *testing.T) {
	hub := credentialOf(t, newAuthority(t), Hub, "hub")
	address := listen(t, ServerTLS(hub))
	if err := talk(address, PinnedClientTLS(newAuthority(t).Pin())); !errors.Is(err, ErrPin) {
		t.Errorf("%v, want ErrPin", err)
	}
	if err := talk(address, PinnedClientTLS(PinOf(hub.Certificate().Leaf))); !errors.Is(err, ErrPin) {
		t.Errorf("the pin of a key that is no authority's: %v, want ErrPin", err)
	}
}

func TestHubRefuses(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	ours := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub")))
	both := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub", a, foreign)))
	client := x509.ExtKeyUsageClientAuth
	for name, c := range map[string]struct {
		address string
		client  *Credential
	}{
		"another_authoritys_spoke":    {ours, credentialOf(t, foreign, Cluster, "a")},
		"another_authoritys_operator": {ours, credentialOf(t, foreign, Operator, "admin")},
		"ended":                       {ours, serving(t, a, "/cluster/a", client, -time.Minute)},
		"for_servers_only":            {ours, serving(t, a, "/cluster/a", x509.ExtKeyUsageServerAuth, time.Hour)},
		"role_that_nobody_has":        {ours, serving(t, a, "/clusters/a", client, time.Hour)},
		"name_of_two_parts":           {ours, serving(t, a, "/cluster/a/b", client, time.Hour)},
		"authority":                   {ours, selfServing(a)},
		"self_signed":                 {ours, selfSigned(t, a)},
		"anothers_trust_domain":       {both, smuggled(t, foreign, ID{a.TrustDomain(), Cluster, "a"})},
	} {
		t.Run(name, func(t *testing.T) {
			config := ClientTLS(trustOnly(a), ID{})
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return c.client.Certificate(), nil // whatever our own clients would say to it
			}
			if err := talk(c.address, config); err == nil || !strings.Contains(err.Error(), "remote error") {
				t.Errorf("want the hub to refuse, got %v", err)
			}
		})
	}
	if err := talk(both, ClientTLS(credentialOf(t, foreign, Cluster, "a", a), ID{})); err != nil {
		t.Errorf("a spoke of an authority that is trusted: %v", err)
	}
}

// selfSigned is a spoke of our trust domain that nobody vouches for.
func selfSigned(t *testing.T, a *Authority) *Credential {
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "a"},
		URIs:         []*url.URL{{Scheme: "spiffe", Host: a.TrustDomain(), Path: "/cluster/a"}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return credentialFor(t, key, [][]byte{der}, a)
}

func TestCredentialChange(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	server, client := credentialOf(t, before, Hub, "hub"), credentialOf(t, before, Cluster, "a")
	address, config := listen(t, ServerTLS(server)), ClientTLS(client, ID{})
	if err := talk(address, config); err != nil {
		t.Fatal(err)
	}
	server.Set(certificateOf(t, after, Hub, "hub"), authorities(after, nil))
	if err := talk(address, config); err == nil {
		t.Error("the client still trusts a hub that has another authority now")
	}
	client.Set(certificateOf(t, before, Cluster, "a"), authorities(after, nil))
	if err := talk(address, config); err == nil {
		t.Error("the hub still trusts the authority that it gave up")
	}
	client.Set(certificateOf(t, after, Cluster, "a"), authorities(after, nil))
	if err := talk(address, config); err != nil {
		t.Errorf("after both ends changed: %v", err)
	}
}

func TestResumption(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	server := credentialOf(t, before, Hub, "hub")
	address := listen(t, ServerTLS(server))
	config := ClientTLS(credentialOf(t, before, Cluster, "a", before, after), ID{})
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if err := talk(address, config); err != nil {
		t.Fatal(err)
	}
	server.Set(certificateOf(t, after, Hub, "hub"), authorities(after, nil))
	if err := talk(address, config); err == nil {
		t.Error("a session outlives the authority that vouched for it")
	}
}

func TestRenewalDue(t *testing.T) {
	a := newAuthority(t)
	none := new(Credential)
	if !none.NotAfter().IsZero() || !none.RenewAt().IsZero() || none.Certificate() != nil {
		t.Error("the zero credential has something")
	}
	for _, ttl := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
		key := newKey(t)
		chain, err := a.Issue(key.Public(), ID{a.TrustDomain(), Cluster, "a"}, ttl, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := new(Credential)
		c.Set(tls.Certificate{Certificate: chain, PrivateKey: key}, nil) // without Leaf
		if left := time.Until(c.NotAfter()); left > ttl || left < ttl-5*time.Second {
			t.Errorf("%s: %s left", ttl, left)
		}
		if in := time.Until(c.RenewAt()); in > ttl/2 || in < ttl*2/5 {
			t.Errorf("%s: renewed in %s", ttl, in)
		}
	}
}

// reporter answers health checks and passes on who asked.
type reporter struct {
	healthv1.UnimplementedHealthServer
	peers chan peerResult
}

type peerResult struct {
	id  ID
	err error
}

func (r *reporter) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	caller, err := Peer(ctx)
	r.peers <- peerResult{caller.ID, err}
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

// ask makes one call and returns who the server took the client for.
func ask(t *testing.T, server, client credentials.TransportCredentials) (ID, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &reporter{peers: make(chan peerResult, 1)}
	s := grpc.NewServer(grpc.Creds(server))
	healthv1.RegisterHealthServer(s, r)
	go func() { _ = s.Serve(listener) }()
	defer s.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(client))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	result := <-r.peers
	return result.id, result.err
}

func TestPeer(t *testing.T) {
	a := newAuthority(t)
	server := credentials.NewTLS(ServerTLS(credentialOf(t, a, Hub, "hub")))
	id, err := ask(t, server, credentials.NewTLS(ClientTLS(credentialOf(t, a, Cluster, "prod-eu-1"), ID{})))
	if want := (ID{a.TrustDomain(), Cluster, "prod-eu-1"}); err != nil || id != want {
		t.Errorf("%s, %v, want %s", id, err, want)
	}
}

func TestPeerMissing(t *testing.T) {
	a := newAuthority(t)
	server := credentials.NewTLS(ServerTLS(credentialOf(t, a, Hub, "hub")))
	if id, err := ask(t, server, credentials.NewTLS(PinnedClientTLS(a.Pin()))); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without a client certificate: %s, %v", id, err)
	}
	if id, err := ask(t, insecure.NewCredentials(), insecure.NewCredentials()); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without TLS: %s, %v", id, err)
	}
	if id, err := Peer(t.Context()); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without a connection: %s, %v", id, err)
	}
}
