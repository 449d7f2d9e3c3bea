package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ErrPin means that the authority of a server does not have the pin of the join manifest.
var ErrPin = errors.New("the server's authority does not have the pinned key")

// ServerTLS returns the configuration of the hub's end: TLS 1.3. A client without a certificate is let in, because a
// spoke has none before it registers; Peer returns an error for such a client. The certificate of another client must
// be issued by an authority of c, for an identity of the authority's trust domain. The caller may set Time; nil is
// time.Now.
func ServerTLS(c *Credential) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if certificate := c.Certificate(); certificate != nil {
				return certificate, nil
			}
			return nil, errors.New("the hub has no certificate yet")
		},
		ClientAuth:       tls.VerifyClientCertIfGiven,
		ClientCAs:        x509.NewCertPool(),
		VerifyConnection: verifyClient,
	}
	// Each handshake uses the current authorities. Session tickets stay those of base.
	inner := base.Clone()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		config := inner.Clone()
		config.ClientCAs, config.Time = c.load().roots, base.Time
		return config, nil
	}
	return base
}

// verifyClient checks the client of a handshake, also of one that resumes a session.
func verifyClient(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	if len(state.VerifiedChains) == 0 {
		return errors.New("client certificate: not verified")
	}
	if _, err := identityOf(state.VerifiedChains); err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	return nil
}

// identityOf returns the identity of verified chains. If it is not of its authority's trust domain, identityOf returns
// an error.
func identityOf(chains [][]*x509.Certificate) (ID, error) {
	chain := chains[0]
	id, err := FromCertificate(chain[0])
	if err != nil {
		return ID{}, err
	}
	domain, err := trustDomainOf(chain[len(chain)-1])
	if err != nil {
		return ID{}, err
	}
	if id.TrustDomain != domain {
		return ID{}, fmt.Errorf("%s is from the authority of %s", id, domain)
	}
	return id, nil
}

// ClientTLS returns the configuration of a spoke or an operator: TLS 1.3, with the certificate of c if there is one.
// The server must be a hub whose certificate was issued by an authority of c. If hub has a TrustDomain or a Name, the
// server must have the same; the Role of hub is ignored. Host names are ignored: the identity tells which hub it is, at
// any address. The caller may set Time; nil is time.Now.
func ClientTLS(c *Credential, hub ID) *tls.Config {
	config := clientTLS(func(state tls.ConnectionState, now time.Time) error {
		id, err := verifyHub(state, c.load().roots, now)
		if err != nil {
			return err
		}
		if hub.TrustDomain != "" && id.TrustDomain != hub.TrustDomain || hub.Name != "" && id.Name != hub.Name {
			return fmt.Errorf("the server is %s, want %s", id, ID{hub.TrustDomain, Hub, hub.Name})
		}
		return nil
	})
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate := c.Certificate()
		if certificate == nil {
			return new(tls.Certificate), nil
		}
		if certificate.Leaf != nil {
			return certificate, checkOwn(certificate.Leaf, clock(config))
		}
		return certificate, nil
	}
	return config
}

// clientTLS returns a configuration whose handshake calls verify for the server.
func clientTLS(verify func(state tls.ConnectionState, now time.Time) error) *tls.Config {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, // VerifyConnection verifies, without a host name and against the current authorities
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state, clock(config)); err != nil {
			return fmt.Errorf("verify the hub: %w", err)
		}
		return nil
	}
	return config
}

// clock returns the time by a configuration's clock.
func clock(c *tls.Config) time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return time.Now()
}

// PinnedClientTLS returns the configuration of a spoke that registers and knows the pin of the hub's authority only
// (see Authority.Pin). The server must show the certificate of an authority with this pin, and a hub's certificate from
// that authority. If no authority has the pin, the error of the handshake wraps ErrPin. The caller may set Time; nil is
// time.Now.
func PinnedClientTLS(pin string) *tls.Config {
	return clientTLS(func(state tls.ConnectionState, now time.Time) error {
		roots := x509.NewCertPool()
		pinned := false
		for _, certificate := range state.PeerCertificates {
			if certificate.IsCA && pin != "" && PinOf(certificate) == pin {
				roots.AddCert(certificate)
				pinned = true
			}
		}
		if !pinned {
			return fmt.Errorf("%w: want %s", ErrPin, pin)
		}
		_, err := verifyHub(state, roots, now)
		return err
	})
}

// verifyHub verifies a server's certificate up to one of roots and returns the hub that it is.
func verifyHub(state tls.ConnectionState, roots *x509.CertPool, now time.Time) (ID, error) {
	if len(state.PeerCertificates) == 0 {
		return ID{}, errors.New("the server shows no certificate")
	}
	chains, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{ // an authority signs leaves only
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return ID{}, explain(err, now)
	}
	id, err := identityOf(chains)
	if err != nil {
		return ID{}, err
	}
	if id.Role != Hub {
		return ID{}, fmt.Errorf("%s is not a hub", id)
	}
	return id, nil
}
