package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/navefleet/nave/shared/durable"
)

// keyLength is the length of the vault's key in bytes: AES-256.
const keyLength = 32

// ErrVaultKey: a credential was sealed with another key, under another name, or was changed.
var ErrVaultKey = errors.New("the vault's key does not open it: restore the key file that was made with this store, " +
	"or give the credential again")

// Vault encrypts the credentials that the hub itself needs, so that a copy of the store alone gives none away. It is
// safe for concurrent use.
type Vault struct{ aead cipher.AEAD }

// NewVault returns the vault with the key in keyFile. If there is no such file, NewVault makes one, readable by its
// owner only. Only the process that has the store open may call NewVault.
func NewVault(keyFile string) (*Vault, error) {
	key, err := readKey(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("vault key %s: %w", keyFile, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("vault key %s: %w", keyFile, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("vault key %s: %w", keyFile, err)
	}
	return &Vault{aead: aead}, nil
}

// readKey reads the key. readKey refuses a file that everyone may read, because others may know the key. The
// permissions of the group do not count: Kubernetes sets them on every file of a volume with an fsGroup.
func readKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("everyone may read it (mode %04o): chmod 600 it", info.Mode().Perm())
	}
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(key) != keyLength {
		return nil, fmt.Errorf("%d bytes, want %d: restore it from a backup", len(key), keyLength)
	}
	return key, nil
}

func makeKey(file string) ([]byte, error) {
	key := make([]byte, keyLength)
	rand.Read(key) // never fails
	return key, durable.WriteFile(file, key, 0o600)
}

// Seal encrypts the data of the Secret with the name (namespace/name, the key of its row). It opens under this name
// only.
func (v *Vault) Seal(name string, data map[string][]byte) ([]byte, error) {
	plain, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("seal credential %s: %w", name, err)
	}
	return v.aead.Seal(nil, nil, plain, []byte(name)), nil
}

// Open returns what Seal was given. Errors: ErrVaultKey.
func (v *Vault) Open(name string, sealed []byte) (map[string][]byte, error) {
	plain, err := v.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("open credential %s: %w", name, ErrVaultKey)
	}
	var data map[string][]byte
	if err := json.Unmarshal(plain, &data); err != nil {
		return nil, fmt.Errorf("open credential %s: %w", name, err)
	}
	return data, nil
}
