package git

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	maxSignature = 64 << 10 // bytes of one signature
	maxKeys      = 1 << 20  // bytes of all public keys of a Secret
	sshNamespace = "git"    // that Git signs for
)

// Beginnings of signatures.
const (
	pgpSignature = "-----BEGIN PGP SIGNATURE-----"
	sshSignature = "-----BEGIN SSH SIGNATURE-----"
	smime        = "-----BEGIN SIGNED MESSAGE-----"
)

// signedObject is a commit or tag without its signature, and the signature, which may be empty.
type signedObject struct{ payload, signature []byte }

// splitCommit takes the signature out of a commit. The signed text is the commit without the headers gpgsig and
// gpgsig-sha256. Two signatures are refused: two readers could disagree about which of them counts.
func splitCommit(content []byte) (signedObject, error) {
	var o signedObject
	header, rest := "", content
	for len(rest) > 0 && rest[0] != '\n' {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		line := rest[:end]
		rest = rest[end:]
		name, text, _ := bytes.Cut(line, []byte(" "))
		if len(name) > 0 {
			header = string(name)
		}
		switch {
		case header != "gpgsig" && header != "gpgsig-sha256":
			o.payload = append(o.payload, line...)
		case header == "gpgsig" && len(name) > 0 && len(o.signature) > 0:
			return o, fmt.Errorf("%w: the commit has two signatures", ErrCommitSignature)
		case header == "gpgsig":
			o.signature = append(o.signature, text...)
		}
	}
	o.payload = append(o.payload, rest...)
	return o, nil
}

// splitTag takes the signature, which is the end of its message, off a tag object.
func splitTag(content []byte) signedObject {
	at := -1
	for _, begin := range []string{pgpSignature, sshSignature, smime} {
		at = max(at, bytes.LastIndex(content, []byte("\n"+begin)))
	}
	if at < 0 {
		return signedObject{payload: content}
	}
	return signedObject{content[:at+1], content[at+1:]}
}

// publicKeys are the keys of a Secret with Flux's keys: *.asc and *.sshpub.
type publicKeys struct {
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
}

// readPublicKeys reads the keys of a Secret. Errors are source.ErrVerification and name the key of the Secret.
func readPublicKeys(data source.Secret) (keys publicKeys, err error) {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if size += len(data[name]); size > maxKeys {
			return keys, keyError(name, fmt.Errorf("over the limit of %s of keys", artifact.FormatSize(maxKeys)))
		}
		switch {
		case strings.HasSuffix(name, ".asc"):
			err = keys.readPGP(data[name])
		case strings.HasSuffix(name, ".sshpub"):
			err = keys.readSSH(data[name])
		}
		if err != nil {
			return keys, keyError(name, err)
		}
	}
	if len(keys.pgp)+len(keys.ssh) == 0 {
		return keys, fmt.Errorf("%w: the Secret of spec.verify.secretRef has no public key: OpenPGP keys are named *.asc, "+
			"SSH keys *.sshpub", source.ErrVerification)
	}
	return keys, nil
}

func keyError(name string, err error) error {
	return fmt.Errorf("%w: %q in the Secret of spec.verify.secretRef: %w", source.ErrVerification, name, err)
}

// readPGP adds the keys of an armored key ring.
func (k *publicKeys) readPGP(text []byte) error {
	found, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(text))
	if err == nil && len(found) == 0 {
		err = errors.New("no OpenPGP key in it")
	}
	k.pgp = append(k.pgp, found...)
	return err
}

// readSSH adds the keys of lines as in authorized_keys.
func (k *publicKeys) readSSH(text []byte) error {
	for len(bytes.TrimSpace(text)) > 0 {
		key, _, _, rest, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			return err
		}
		k.ssh, text = append(k.ssh, key), rest
	}
	return nil
}

// check returns the name of the key that signed an object. If none of the keys did, the error names the key that the
// signature claims.
func (k publicKeys) check(o signedObject) (signer string, err error) {
	defer func() { // a parser of signatures may panic on what no honest tool writes
		if p := recover(); p != nil {
			signer, err = "", fmt.Errorf("has a signature that cannot be read: %v", p)
		}
	}()
	switch text := strings.TrimSpace(string(o.signature[:min(len(o.signature), maxSignature)])); {
	case len(o.signature) == 0:
		return "", errors.New("is not signed")
	case len(o.signature) > maxSignature:
		return "", fmt.Errorf("has a signature of more than %s", artifact.FormatSize(maxSignature))
	case strings.HasPrefix(text, pgpSignature):
		return k.checkPGP(o)
	case strings.HasPrefix(text, sshSignature):
		return k.checkSSH(o)
	case strings.HasPrefix(text, smime):
		return "", errors.New("is signed with an X.509 certificate, which is not supported: sign with OpenPGP or SSH")
	}
	return "", errors.New("has a signature that is neither OpenPGP nor SSH: sign it with one of these")
}

func (k publicKeys) checkPGP(o signedObject) (string, error) {
	signer, err := openpgp.CheckArmoredDetachedSignature(k.pgp, bytes.NewReader(o.payload), bytes.NewReader(o.signature),
		nil)
	switch {
	case err == nil && signer != nil:
		return signer.PrimaryKey.KeyIdString(), nil
	case err == nil:
		return "", errors.New("has an OpenPGP signature without a signer: sign it again with a key of the Secret of " +
			"spec.verify.secretRef")
	}
	claimed, readable := pgpIssuer(o.signature)
	switch {
	case !readable:
		return "", fmt.Errorf("has an OpenPGP signature that cannot be read: %w", err)
	case len(k.pgp.KeysById(claimed)) == 0:
		return "", fmt.Errorf("is signed with the OpenPGP key %016X, which is not in the Secret of spec.verify.secretRef",
			claimed)
	}
	return "", fmt.Errorf("is signed with the OpenPGP key %016X, but the signature is not valid: %w", claimed, err)
}

// pgpIssuer returns the ID of the key that a signature claims to be made with.
func pgpIssuer(signature []byte) (uint64, bool) {
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil {
		return 0, false
	}
	p, err := packet.Read(block.Body)
	if err != nil {
		return 0, false
	}
	s, ok := p.(*packet.Signature)
	if !ok || s.IssuerKeyId == nil {
		return 0, false
	}
	return *s.IssuerKeyId, true
}

func (k publicKeys) checkSSH(o signedObject) (string, error) {
	s, err := sshsig.Unarmor(o.signature)
	if err != nil {
		return "", fmt.Errorf("has an SSH signature that cannot be read: %w", err)
	}
	claimed := ssh.FingerprintSHA256(s.PublicKey)
	for _, key := range k.ssh {
		if !bytes.Equal(key.Marshal(), s.PublicKey.Marshal()) {
			continue
		}
		err := checkStrength(s)
		if err == nil {
			err = sshsig.Verify(bytes.NewReader(o.payload), s, key, s.HashAlgorithm, sshNamespace)
		}
		if err != nil {
			return "", fmt.Errorf("is signed with the SSH key %s, but the signature is not valid: %w", claimed, err)
		}
		return claimed, nil
	}
	return "", fmt.Errorf("is signed with the SSH key %s, which is not in the Secret of spec.verify.secretRef", claimed)
}

// checkStrength refuses signatures with SHA-1, and those of a security key that was not touched, as OpenSSH does.
func checkStrength(s *sshsig.Signature) error {
	switch {
	case s.Signature.Format == ssh.KeyAlgoRSA || s.Signature.Format == "ssh-dss":
		return errors.New("it is made with SHA-1")
	case strings.HasPrefix(s.PublicKey.Type(), "sk-") && (len(s.Signature.Rest) == 0 || s.Signature.Rest[0]&1 == 0):
		return errors.New("the security key was not touched for it: sign without no-touch-required")
	}
	return nil
}
