package sopstest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"

	"github.com/navefleet/nave/shared/wait"
)

// ErrNoSOPS: this machine has no sops. CI installs it by go install github.com/getsops/sops/v3/cmd/sops.
var ErrNoSOPS = errors.New("there is no sops on this machine")

// KeyService is sops's own key service, a process at a Unix socket.
type KeyService struct {
	dir     string
	command *exec.Cmd
}

// NewKeyService returns a key service that is not started.
func NewKeyService() (*KeyService, error) {
	dir, err := os.MkdirTemp("", "keys-") // the path of a socket is short
	return &KeyService{dir: dir}, err
}

func (s *KeyService) socket() string { return filepath.Join(s.dir, "s") }

// Address returns the address for --key-service.
func (s *KeyService) Address() string { return "unix://" + s.socket() }

// Start starts the service with further environment variables and returns when it listens.
func (s *KeyService) Start(ctx context.Context, env ...string) error {
	program, err := exec.LookPath("sops")
	if err != nil {
		return ErrNoSOPS
	}
	s.command = exec.Command(program, "keyservice", "--network", "unix", "--address", s.socket())
	s.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, env...)
	if err := s.command.Start(); err != nil {
		return err
	}
	for retry := (wait.Backoff{First: 1e6, Most: 1e8}); ; {
		conn, err := net.Dial("unix", s.socket())
		if err == nil {
			return conn.Close()
		}
		if retry.Pause(ctx) != nil {
			return err
		}
	}
}

// Stop kills the service, and takes its socket away as the container's command does.
func (s *KeyService) Stop() error {
	if s.command == nil {
		return nil
	}
	err := s.command.Process.Kill()
	_ = s.command.Wait() // it says that it was killed
	s.command = nil
	return errors.Join(err, os.RemoveAll(s.socket()))
}

// Close stops the service and takes its folder away.
func (s *KeyService) Close() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// Vault is the transit engine of a Vault, as far as sops asks it, on loopback.
type Vault struct {
	server *httptest.Server
	token  string
	cipher cipher.AEAD
}

// StartVault starts a Vault with one key, and a token of its own.
func StartVault() (*Vault, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	v := &Vault{token: "token-" + rand.Text()}
	if v.cipher, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	v.server = httptest.NewServer(v)
	return v, nil
}

// Close stops the server.
func (v *Vault) Close() error { v.server.Close(); return nil }

// Env returns the variables with which sops may ask the Vault, and no other.
func (v *Vault) Env() []string {
	return []string{"VAULT_TOKEN=" + v.token, "SOPS_HC_VAULT_ALLOWLIST=" + v.server.URL}
}

// Key returns the key of the Vault. It has no private part.
func (v *Vault) Key() *Key {
	return &Key{recipient: v.server.URL + "/v1/transit/keys/k", wrap: func(dataKey []byte) (keys.MasterKey, error) {
		m := hcvault.NewMasterKey(v.server.URL, "transit", "k")
		hcvault.Token(v.token).ApplyToMasterKey(m)
		return m, m.Encrypt(dataKey)
	}}
}

const vaultPrefix = "vault:v1:"

// ServeHTTP encrypts and decrypts texts in base64 for whoever has the token.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in, out map[string]string
	err := json.NewDecoder(r.Body).Decode(&in)
	switch {
	case r.Header.Get("X-Vault-Token") != v.token:
		err = errors.New("permission denied")
	case err != nil:
	case r.URL.Path == "/v1/transit/encrypt/k":
		out, err = v.encrypt(in["plaintext"])
	case r.URL.Path == "/v1/transit/decrypt/k":
		out, err = v.decrypt(in["ciphertext"])
	default:
		err = fmt.Errorf("no handler for route %q", r.URL.Path)
	}
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{err.Error()}})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
}

func (v *Vault) encrypt(text string) (map[string]string, error) {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	sealed := v.cipher.Seal(nil, nil, plain, nil)
	return map[string]string{"ciphertext": vaultPrefix + base64.StdEncoding.EncodeToString(sealed)}, nil
}

func (v *Vault) decrypt(text string) (map[string]string, error) {
	sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, vaultPrefix))
	if err != nil {
		return nil, err
	}
	plain, err := v.cipher.Open(nil, nil, sealed, nil)
	return map[string]string{"plaintext": base64.StdEncoding.EncodeToString(plain)}, err
}
