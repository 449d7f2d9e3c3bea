package git

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/navefleet/nave/hub/internal/source"
)

// Signer returns the armored signature of a commit.
type Signer func(commit []byte) ([]byte, error)

// ReadPGPSigner reads a Secret with Flux's keys: git.asc, an armored OpenPGP key, and the passphrase that opens it.
// field names the Secret in errors.
func ReadPGPSigner(field string, data source.Secret) (Signer, error) {
	key, err := readSigningKey(data["git.asc"], data["passphrase"])
	if err != nil {
		return nil, source.FieldSecretError(field, err)
	}
	return func(commit []byte) ([]byte, error) {
		var signature bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&signature, key, bytes.NewReader(commit), nil); err != nil {
			return nil, source.FieldSecretError(field, fmt.Errorf("git.asc does not sign: %w", err))
		}
		return signature.Bytes(), nil
	}, nil
}

// readSigningKey returns the first key that has a private part, opened.
func readSigningKey(armored, passphrase []byte) (*openpgp.Entity, error) {
	if len(armored) == 0 {
		return nil, errors.New("git.asc is missing: it must be an armored OpenPGP private key " +
			"(gpg --armor --export-secret-keys)")
	}
	keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(armored))
	if err != nil {
		return nil, fmt.Errorf("git.asc is no armored OpenPGP key: %w", err)
	}
	for _, key := range keys {
		if key.PrivateKey == nil {
			continue
		}
		if key.PrivateKey.Encrypted && len(passphrase) == 0 {
			return nil, errors.New("git.asc is encrypted and passphrase is missing")
		}
		if err := key.DecryptPrivateKeys(passphrase); err != nil {
			return nil, errors.New("passphrase does not open git.asc")
		}
		return key, nil
	}
	return nil, errors.New("git.asc has no private key: export it with gpg --armor --export-secret-keys")
}

// ReadSSHSigner reads a Secret with Flux's keys: identity, a private key, and the password that opens it. field names
// the Secret in errors.
func ReadSSHSigner(field string, data source.Secret) (Signer, error) {
	if len(data["identity"]) == 0 {
		return nil, source.FieldSecretError(field, errors.New("identity is missing: it must be an SSH private key"))
	}
	key, err := readIdentity(data["identity"], data["password"])
	if err == nil {
		err = checkSigningKey(key.PublicKey())
	}
	if err != nil {
		return nil, source.FieldSecretError(field, err)
	}
	return func(commit []byte) ([]byte, error) {
		signature, err := sshsig.Sign(bytes.NewReader(commit), key, sshsig.HashSHA512, sshNamespace)
		if err != nil {
			return nil, source.FieldSecretError(field, fmt.Errorf("identity does not sign: %w", err))
		}
		return sshsig.Armor(signature), nil
	}, nil
}

// checkSigningKey refuses keys whose signatures OpenSSH does not accept.
func checkSigningKey(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		crypto, ok := key.(ssh.CryptoPublicKey)
		if !ok {
			return errors.New("identity is an RSA key that cannot be read")
		}
		if public, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); !ok || public.N.BitLen() < 2048 {
			return errors.New("identity is an RSA key of less than 2048 bits: make one with ssh-keygen -t ed25519")
		}
		return nil
	}
	return fmt.Errorf("identity is a key of the type %s, which cannot sign commits: make one with ssh-keygen -t ed25519",
		key.Type())
}
