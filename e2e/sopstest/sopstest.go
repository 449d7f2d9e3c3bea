// Package sopstest encrypts documents with the real SOPS library, for keys that it makes.
//
//	key, err := sopstest.NewAge()
//	file, err := key.Encrypt(document)    // as sops --encrypt --encrypted-regex '^(data|stringData)$' does
//	secret[key.Entry()] = key.Private()   // what Flux's decryption.secretRef holds
package sopstest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"time"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	sopsjson "github.com/getsops/sops/v3/stores/json"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
)

// encryptedRegex matches the fields that Encrypt encrypts, as Flux's guide advises.
const encryptedRegex = "^(data|stringData)$"

// sopsVersion is the version of SOPS in the metadata of files.
const sopsVersion = "3.13.3"

// Key is a key pair for SOPS files.
type Key struct {
	entry     string
	private   []byte
	recipient string
	wrap      func(dataKey []byte) (keys.MasterKey, error)
}

// Entry returns the name of the key's entry in a decryption Secret.
func (k *Key) Entry() string { return k.entry }

// Private returns the private key as text.
func (k *Key) Private() []byte { return k.private }

// Recipient returns the public name of the key: an age recipient or an OpenPGP fingerprint.
func (k *Key) Recipient() string { return k.recipient }

// NewAge returns a new age key.
func NewAge() (*Key, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	recipient := id.Recipient().String()
	return &Key{entry: "identity.agekey", private: []byte(id.String()), recipient: recipient,
		wrap: func(dataKey []byte) (keys.MasterKey, error) {
			m, err := sopsage.MasterKeyFromRecipient(recipient)
			if err != nil {
				return nil, err
			}
			return m, m.Encrypt(dataKey)
		}}, nil
}

// NewPGP returns a new OpenPGP key without a passphrase. The gpg command is not needed.
func NewPGP() (*Key, error) {
	entity, err := openpgp.NewEntity("spoke", "", "spoke@example.com", nil)
	if err != nil {
		return nil, err
	}
	var private bytes.Buffer
	w, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(entity.SerializePrivate(w, nil), w.Close()); err != nil {
		return nil, err
	}
	fingerprint := fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)
	return &Key{entry: "private.asc", private: private.Bytes(), recipient: fingerprint,
		wrap: func(dataKey []byte) (keys.MasterKey, error) {
			m := pgp.NewMasterKeyFromFingerprint(fingerprint)
			m.EncryptedKey, err = encryptPGP(entity, dataKey)
			return m, err
		}}, nil
}

func encryptPGP(to *openpgp.Entity, plain []byte) (string, error) {
	var b bytes.Buffer
	armored, err := armor.Encode(&b, "PGP MESSAGE", nil)
	if err != nil {
		return "", err
	}
	w, err := openpgp.Encrypt(armored, []*openpgp.Entity{to}, nil, nil, nil)
	if err != nil {
		return "", err
	}
	_, err = w.Write(plain)
	err = errors.Join(err, w.Close(), armored.Close()) // only now the text is whole
	return b.String(), err
}

// Encrypt returns a YAML file, of one document or several, with its data and stringData encrypted for the key.
func (k *Key) Encrypt(plain []byte) ([]byte, error) {
	return k.encrypt(sopsyaml.NewStore(&config.YAMLStoreConfig{}), plain, sops.Metadata{EncryptedRegex: encryptedRegex})
}

// EncryptFile returns a file in the format that its name says, encrypted for the key: of objects of Kubernetes data and
// stringData, of others everything.
func (k *Key) EncryptFile(name string, plain []byte) ([]byte, error) {
	rule := sops.Metadata{UnencryptedSuffix: sops.DefaultUnencryptedSuffix}
	if bytes.Contains(plain, []byte("apiVersion")) {
		rule = sops.Metadata{EncryptedRegex: encryptedRegex}
	}
	c := config.NewStoresConfig()
	switch path.Ext(name) {
	case ".yaml":
		return k.encrypt(sopsyaml.NewStore(&c.YAML), plain, rule)
	case ".json":
		return k.encrypt(sopsjson.NewStore(&c.JSON), plain, rule)
	case ".env":
		return k.encrypt(dotenv.NewStore(&c.Dotenv), plain, rule)
	case ".ini":
		return k.encrypt(ini.NewStore(&c.INI), plain, rule)
	}
	return k.encrypt(sopsjson.NewBinaryStore(&c.JSONBinary), plain, rule)
}

// store is one of the stores of SOPS.
type store interface {
	LoadPlainFile([]byte) (sops.TreeBranches, error)
	EmitEncryptedFile(sops.Tree) ([]byte, error)
}

func (k *Key) encrypt(store store, plain []byte, metadata sops.Metadata) ([]byte, error) {
	branches, err := store.LoadPlainFile(plain)
	if err != nil {
		return nil, err
	}
	dataKey := make([]byte, 32)
	if _, err := rand.Read(dataKey); err != nil {
		return nil, err
	}
	master, err := k.wrap(dataKey)
	if err != nil {
		return nil, err
	}
	metadata.KeyGroups, metadata.Version = []sops.KeyGroup{{master}}, sopsVersion
	metadata.LastModified = time.Now().UTC()
	tree := sops.Tree{Branches: branches, Metadata: metadata}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		return nil, err
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey,
		tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	return store.EmitEncryptedFile(tree)
}
