package git

import (
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/navefleet/nave/hub/internal/source"
)

// sshAuth is the credentials for ssh in a Secret with Flux's keys.
type sshAuth struct {
	signer     ssh.Signer
	knownHosts []byte // lines of a known_hosts file
}

// readSSHAuth reads identity, password and known_hosts. A nil Secret is source.ErrRequest; other errors name the key.
func readSSHAuth(data source.Secret) (a sshAuth, err error) {
	switch {
	case data == nil:
		return a, fmt.Errorf("%w: an ssh URL needs a Secret with identity and known_hosts in spec.secretRef",
			source.ErrRequest)
	case len(data["identity"]) == 0:
		err = errors.New("identity is missing: an ssh URL needs a private key")
	case len(data["known_hosts"]) == 0:
		err = errors.New("known_hosts is missing: without it no ssh server is trusted (ssh-keyscan prints it)")
	default:
		a.knownHosts = data["known_hosts"]
		a.signer, err = readIdentity(data["identity"], data["password"])
	}
	if err != nil {
		return a, source.SecretError(err)
	}
	return a, nil
}

// readIdentity reads a private key, PEM or OpenSSH, and opens it with its passphrase.
func readIdentity(identity, password []byte) (ssh.Signer, error) {
	var missing *ssh.PassphraseMissingError
	signer, err := ssh.ParsePrivateKey(identity)
	if errors.As(err, &missing) {
		if len(password) == 0 {
			return nil, errors.New("identity is encrypted and password is missing")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(identity, password)
	}
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errors.New("password does not open identity")
	}
	if err != nil {
		return nil, fmt.Errorf("identity is no private key that can be read: %w", err)
	}
	return signer, nil
}
