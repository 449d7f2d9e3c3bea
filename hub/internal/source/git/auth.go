package git

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	"golang.org/x/crypto/ssh"

	"github.com/navefleet/nave/hub/internal/source"
)

// readAuth reads the data of a Secret with Flux's keys: those of source.ReadHTTPAuth for http and https; identity,
// known_hosts and password for ssh, which needs them. Its errors name the key.
func readAuth(u *url.URL, data source.Secret) (auth source.Auth, err error) {
	switch {
	case u.Scheme != "ssh":
		auth, err = source.ReadHTTPAuth(data)
	case data == nil:
		return auth, fmt.Errorf("%w: an ssh URL needs a Secret with identity and known_hosts in spec.secretRef",
			source.ErrRequest)
	default:
		auth, err = readSSHAuth(data)
	}
	if err != nil {
		return auth, fmt.Errorf("%w: the Secret of spec.secretRef: %w", source.ErrAuthentication, err)
	}
	return auth, nil
}

func readSSHAuth(data source.Secret) (source.Auth, error) {
	a := source.Auth{Identity: data["identity"], IdentityPassword: data["password"], KnownHosts: data["known_hosts"]}
	if len(a.Identity) == 0 {
		return a, errors.New("identity is missing: an ssh URL needs a private key")
	}
	if len(a.KnownHosts) == 0 {
		return a, errors.New("known_hosts is missing: without it no ssh server is trusted (ssh-keyscan prints it)")
	}
	_, err := signerOf(a)
	return a, err
}

// signerOf reads the private key.
func signerOf(a source.Auth) (ssh.Signer, error) {
	var missing *ssh.PassphraseMissingError
	signer, err := ssh.ParsePrivateKey(a.Identity)
	if errors.As(err, &missing) {
		if len(a.IdentityPassword) == 0 {
			return nil, errors.New("identity is encrypted and password is missing")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(a.Identity, a.IdentityPassword)
	}
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errors.New("password does not open identity")
	}
	if err != nil {
		return nil, fmt.Errorf("identity is no private key that can be read: %w", err)
	}
	return signer, nil
}

// authOf returns the credentials in a URL, which may be nil.
func authOf(u *url.URL) (auth source.Auth) {
	if u != nil && u.User != nil {
		auth.Username = u.User.Username()
		auth.Password, _ = u.User.Password()
	}
	return auth
}
