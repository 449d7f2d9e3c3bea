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

func TestSpokesAndHubKnowEachOther(t *testing.T) {
	a := newAuthority(t)
	address := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub")))
	for name, config := range map[string]*tls.Config{
		"a spoke":                      ClientTLS(credentialOf(t, a, Cluster, "a"), ID{a.TrustDomain(), Hub, "hub"}),
		"a spoke that takes any hub":   ClientTLS(credentialOf(t, a, Cluster, "a"), ID{Role: Hub}),
		"an operator":                  ClientTLS(credentialOf(t, a, Operator, "admin"), ID{}),
		"a spoke that registers":       PinnedClientTLS(a.Pin()),
		"a client without certificate": ClientTLS(trustOnly(a), ID{}),
	} {
		if err := talk(address, config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// trustOnly is a credential that trusts and shows nothing.
func trustOnly(a *Authority) *Credential {
	c := new(Credential)
	c.Set(tls.Certificate{}, authorities(a, nil))
	return c
}

func TestAClientRefusesWhoeverIsNotItsHub(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	spoke := credentialOf(t, a, Cluster, "a")
	want := ID{a.TrustDomain(), Hub, "hub"}
	for name, c := range map[string]struct {
		server *Credential
		client *tls.Config
	}{
		"another authority's hub":            {credentialOf(t, foreign, Hub, "hub"), ClientTLS(spoke, want)},
		"another authority's, any accepted":  {credentialOf(t, foreign, Hub, "hub"), ClientTLS(spoke, ID{})},
		"a spoke that serves":                {credentialOf(t, a, Cluster, "hub"), ClientTLS(spoke, ID{})},
		"an operator that serves":            {credentialOf(t, a, Operator, "hub"), ClientTLS(spoke, ID{})},
		"a spoke that serves, to a new one":  {credentialOf(t, a, Cluster, "hub"), PinnedClientTLS(a.Pin())},
		"a hub of another name":              {credentialOf(t, a, Hub, "other"), ClientTLS(spoke, want)},
		"a hub of another trust domain":      {credentialOf(t, foreign, Hub, "hub"), ClientTLS(credentialOf(t, a, Cluster, "a", a, foreign), want)},
		"another authority's, by pin":        {credentialOf(t, foreign, Hub, "hub"), PinnedClientTLS(a.Pin())},
		"no pin":                             {credentialOf(t, a, Hub, "hub"), PinnedClientTLS("")},
		"nobody trusted":                     {credentialOf(t, a, Hub, "hub"), ClientTLS(new(Credential), ID{})},
		"a hub without a certificate":        {new(Credential), ClientTLS(spoke, ID{})},
		"a leaf that shows a pinned CA":      {impostor(t, foreign, a), PinnedClientTLS(a.Pin())},
		"a hub in another's trust domain":    {smuggled(t, foreign, ID{a.TrustDomain(), Hub, "hub"}), ClientTLS(credentialOf(t, a, Cluster, "a", a, foreign), want)},
		"a certificate for clients only":     {serving(t, a, x509.ExtKeyUsageClientAuth, time.Hour), ClientTLS(spoke, ID{})},
		"a hub whose certificate has ended":  {serving(t, a, x509.ExtKeyUsageServerAuth, -time.Minute), ClientTLS(spoke, ID{})},
		"the same, to a spoke that joins":    {serving(t, a, x509.ExtKeyUsageServerAuth, -time.Minute), PinnedClientTLS(a.Pin())},
		"an authority that serves by itself": {selfServing(a), PinnedClientTLS(a.Pin())},
	} {
		if err := talk(listen(t, ServerTLS(c.server)), c.client); err == nil {
			t.Errorf("%s is let in", name)
		}
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

// serving is a hub's certificate of one use that ends after left.
func serving(t *testing.T, a *Authority, use x509.ExtKeyUsage, left time.Duration) *Credential {
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		URIs:         []*url.URL{{Scheme: "spiffe", Host: a.TrustDomain(), Path: "/hub/hub"}},
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

func TestAPinMismatchIsErrPin(t *testing.T) {
	a := newAuthority(t)
	address := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub")))
	if err := talk(address, PinnedClientTLS(newAuthority(t).Pin())); !errors.Is(err, ErrPin) {
		t.Errorf("%v, want ErrPin", err)
	}
}

func TestAHubRefusesForeignCertificates(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	address := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub")))
	ended := serving(t, a, x509.ExtKeyUsageClientAuth, -time.Minute)
	for name, client := range map[string]*Credential{
		"another authority's spoke":       credentialOf(t, foreign, Cluster, "a", a),
		"another authority's operator":    credentialOf(t, foreign, Operator, "admin", a),
		"a certificate that has ended":    ended,
		"a self-signed one of our domain": selfSigned(t, a),
	} {
		if err := talk(address, ClientTLS(client, ID{})); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
	both := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub", a, foreign)))
	intruder := smuggled(t, foreign, ID{a.TrustDomain(), Cluster, "a"})
	intruder.Set(*intruder.Certificate(), authorities(a, nil))
	if err := talk(both, ClientTLS(intruder, ID{})); err == nil {
		t.Error("an authority speaks for another one's trust domain")
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

func TestOldTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	address := listen(t, ServerTLS(credentialOf(t, a, Hub, "hub")))
	config := ClientTLS(credentialOf(t, a, Cluster, "a"), ID{})
	config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if err := talk(address, config); err == nil {
		t.Error("TLS 1.2 is let in")
	}
}

func TestCredentialsChangeWithoutARestart(t *testing.T) {
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

func TestASessionIsNotResumedPastItsAuthority(t *testing.T) {
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

func TestACredentialIsRenewedAtHalfOfItsLife(t *testing.T) {
	a := newAuthority(t)
	none := new(Credential)
	if !none.NotAfter().IsZero() || !none.RenewAt().IsZero() || none.Certificate() != nil || len(none.Authorities()) != 0 {
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
	id, err := PeerID(ctx)
	r.peers <- peerResult{id, err}
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

func TestPeerIDIsTheVerifiedCertificates(t *testing.T) {
	a := newAuthority(t)
	server := credentials.NewTLS(ServerTLS(credentialOf(t, a, Hub, "hub")))
	id, err := ask(t, server, credentials.NewTLS(ClientTLS(credentialOf(t, a, Cluster, "prod-eu-1"), ID{})))
	if want := (ID{a.TrustDomain(), Cluster, "prod-eu-1"}); err != nil || id != want {
		t.Errorf("%s, %v, want %s", id, err, want)
	}
}

func TestPeerIDIsNobodyWithoutACertificate(t *testing.T) {
	a := newAuthority(t)
	server := credentials.NewTLS(ServerTLS(credentialOf(t, a, Hub, "hub")))
	if id, err := ask(t, server, credentials.NewTLS(PinnedClientTLS(a.Pin()))); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without a client certificate: %s, %v", id, err)
	}
	if id, err := ask(t, insecure.NewCredentials(), insecure.NewCredentials()); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without TLS: %s, %v", id, err)
	}
	if id, err := PeerID(t.Context()); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without a connection: %s, %v", id, err)
	}
}
