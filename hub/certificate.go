package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/operatorconfig"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
)

// Lifetimes of the certificates that the hub issues for itself and for its first operator.
const (
	serverTTL  = 7 * 24 * time.Hour // renewed at half-life, and at every start
	renewRetry = time.Minute
	clockLook  = 5 * time.Second // pause between two checks of the certificate, because the clock may be set

	// DefaultOperatorTTL is the lifetime of an operator's certificate.
	DefaultOperatorTTL = 365 * 24 * time.Hour
)

// The names in these certificates.
const (
	hubName      = "hub"
	operatorName = "admin"
	contextName  = "nave"
)

// renewCertificate makes a new key of the server, which never leaves memory, and issues a certificate for it.
func (h *Hub) renewCertificate() error {
	key, err := identity.NewKey()
	if err != nil {
		return fmt.Errorf("make the server's key: %w", err)
	}
	names, ips := h.serverNames()
	id := identity.ID{TrustDomain: h.authority.TrustDomain(), Role: identity.Hub, Name: hubName}
	chain, err := h.authority.Issue(key.Public(), id, serverTTL, names, ips)
	if err != nil {
		return fmt.Errorf("issue the server's certificate: %w", err)
	}
	h.credential.Set(tls.Certificate{Certificate: chain, PrivateKey: key}, []*x509.Certificate{h.authority.Certificate()})
	return nil
}

// keepCertificate renews the server's certificate at half-life until ctx ends, and soon after the clock was set if the
// certificate is not valid at the new time. It also renews the first operator's configuration then.
func (h *Hub) keepCertificate(ctx context.Context) error {
	pause := clockLook
	for wait.For(ctx, pause) == nil {
		pause = clockLook
		if !h.credential.Due(h.config.Now()) {
			continue
		}
		if err := errors.Join(h.renewCertificate(), h.writeOperatorConfig()); err != nil {
			h.config.Log.Error("the server's certificate is not renewed", telemetry.Err(err))
			pause = renewRetry
		}
	}
	return nil
}

// serverNames returns the names and addresses of this hub for its certificate: the advertised ones and the machine's.
func (h *Hub) serverNames() (names []string, ips []net.IP) {
	names, ips = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	seen := map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	for _, address := range append(h.config.Advertise, h.advertised()) {
		host, _, err := net.SplitHostPort(address)
		if err != nil || seen[host] {
			continue
		}
		seen[host] = true
		if ip := net.ParseIP(host); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, host)
		}
	}
	return names, ips
}

// advertised returns the address at which spokes reach this hub: the first address that the operator configured, or the
// address of the listener, with the name of this machine if the hub listens on all addresses.
func (h *Hub) advertised() string {
	machine, err := os.Hostname()
	if err != nil {
		machine = "localhost"
	}
	return h.addressFrom(machine)
}

// operatorAddress returns the address at which the first operator, who has access to this machine, reaches the hub.
func (h *Hub) operatorAddress() string { return h.addressFrom("127.0.0.1") }

// addressFrom returns the first address that the operator configured, or the address of the listener, with the name
// machine if the hub listens on all addresses.
func (h *Hub) addressFrom(machine string) string {
	if len(h.config.Advertise) > 0 {
		return h.config.Advertise[0]
	}
	host, port, err := net.SplitHostPort(h.Addr().String())
	if ip := net.ParseIP(host); err != nil || !ip.IsUnspecified() {
		return h.Addr().String()
	}
	return net.JoinHostPort(machine, port)
}

// writeOperatorConfig writes the first operator's context if there is none, or if its certificate is not valid now: it
// has expired, or was issued while the clock was wrong. If the file is deleted, the next start writes a new one.
func (h *Hub) writeOperatorConfig() error {
	path := h.OperatorConfig()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !h.isUseless(path) {
		return err
	}
	c, err := issueOperator(h.authority, operatorName, h.operatorAddress(), DefaultOperatorTTL)
	if err != nil {
		return err
	}
	return c.Save(path)
}

// isUseless reports whether the hub wrote the file of contexts and its certificate is not valid now.
func (h *Hub) isUseless(path string) bool {
	c, err := operatorconfig.Load(path)
	if err != nil || len(c.Contexts) != 1 {
		return false // operators have changed it
	}
	chain, err := identity.ParseCertificates(c.Contexts[0].ClientCertificateData)
	return err == nil && chain[0].CheckSignatureFrom(h.authority.Certificate()) == nil &&
		identity.CheckTime(chain[0], h.config.Now()) != nil
}

// IssueOperator returns a context for one more operator, or for the first one again, from the authority in a hub's data
// folder. Access to this folder is access to the whole hub, so that IssueOperator needs no permission. The hub may be
// running. The name is a DNS label or subdomain; address is the host:port of the hub.
func IssueOperator(dataDir, name, address string, ttl time.Duration) (*operatorconfig.Config, error) {
	if err := identity.CheckAddress(address); err != nil {
		return nil, fmt.Errorf("the hub's %w", err)
	}
	dir := filepath.Join(dataDir, authorityDir)
	missing, err := missingFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s is missing; is %s the data folder of a hub that was started?",
			strings.Join(missing, " and "), dataDir)
	}
	authority, err := identity.LoadOrCreateAuthority(dir)
	if err != nil {
		return nil, err
	}
	return issueOperator(authority, name, address, ttl)
}

func issueOperator(authority *identity.Authority, name, address string, ttl time.Duration) (*operatorconfig.Config,
	error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, fmt.Errorf("make the operator's key: %w", err)
	}
	id := identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Operator, Name: name}
	chain, err := authority.Issue(key.Public(), id, ttl, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("issue the operator's certificate: %w", err)
	}
	keyPEM, err := identity.MarshalKey(key)
	if err != nil {
		return nil, fmt.Errorf("write the operator's key: %w", err)
	}
	return &operatorconfig.Config{CurrentContext: contextName, Contexts: []operatorconfig.Context{{
		Name: contextName, Hub: address,
		CertificateAuthorityData: identity.MarshalCertificates(authority.Certificate().Raw),
		ClientCertificateData:    identity.MarshalCertificates(chain...),
		ClientKeyData:            keyPEM,
	}}}, nil
}
