package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ErrPin says that the other end is not the hub whose pin a join manifest carries.
var ErrPin = errors.New("the server's authority does not have the pinned key")

// The Time of each Config here may be set; nil: time.Now.

// ServerTLS is the hub's end: TLS 1.3. A client may come without a certificate (it has none before it registers); one
// that shows a certificate must have it from an authority of c, for an identity of the authority's own trust domain.
// What a client without one may do is not decided here but by PeerID.
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
	// Each handshake sees the authorities of its moment. Session tickets stay those of base.
	inner := base.Clone()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		config := inner.Clone()
		config.ClientCAs, config.Time = c.load().roots, base.Time
		return config, nil
	}
	return base
}

// verifyClient runs at every handshake, also at one that resumes a session.
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

// identityOf returns the identity that verified chains are for, which must be of its authority's trust domain.
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

// ClientTLS is the end of a spoke or an operator: TLS 1.3, showing the certificate of c if there is one. The server
// must have its certificate from an authority of c and be a hub. An empty TrustDomain or Name of hub accepts any; its
// Role does not matter. Host names play no part: a hub is known by its identity, wherever it is reached.
func ClientTLS(c *Credential, hub ID) *tls.Config {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, // VerifyConnection verifies, without a host name and against the authorities of the moment
	}
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
	config.VerifyConnection = func(state tls.ConnectionState) error {
		id, err := verifyHub(state, c.load().roots, clock(config))
		if err != nil {
			return fmt.Errorf("verify the hub: %w", err)
		}
		if hub.TrustDomain != "" && id.TrustDomain != hub.TrustDomain || hub.Name != "" && id.Name != hub.Name {
			return fmt.Errorf("verify the hub: it is %s, want %s", id, ID{hub.TrustDomain, Hub, hub.Name})
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

// PinnedClientTLS is the end of a spoke that registers, and knows no more of the hub than the pin of its authority (see
// Authority.Pin): the server must show the certificate of an authority with this key, and a hub's certificate from it.
// A mismatch wraps ErrPin.
func PinnedClientTLS(pin string) *tls.Config {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, // VerifyConnection verifies, against the pinned authority
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		roots := x509.NewCertPool()
		pinned := false
		for _, certificate := range state.PeerCertificates {
			if certificate.IsCA && pin != "" && PinOf(certificate) == pin {
				roots.AddCert(certificate)
				pinned = true
			}
		}
		if !pinned {
			return fmt.Errorf("verify the hub: %w: want %s", ErrPin, pin)
		}
		if _, err := verifyHub(state, roots, clock(config)); err != nil {
			return fmt.Errorf("verify the hub: %w", err)
		}
		return nil
	}
	return config
}

// verifyHub verifies a server's certificate up to one of roots and returns the hub that it is.
func verifyHub(state tls.ConnectionState, roots *x509.CertPool, now time.Time) (ID, error) {
	if len(state.PeerCertificates) == 0 {
		return ID{}, errors.New("it shows no certificate")
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
		return ID{}, fmt.Errorf("%s is no hub", id)
	}
	return id, nil
}
