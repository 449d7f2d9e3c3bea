package decrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/wait"
)

// sidecar returns the command of the key service's container in deploy/key-service, and the address that it gives the
// spoke, both with another path of the socket.
func sidecar(t *testing.T, socket string) (command []string, address string) {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/key-service/patch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type container struct {
		Name    string
		Command []string
		Env     []struct{ Name, Value string }
	}
	var patch struct {
		Spec struct {
			Template struct {
				Spec struct{ InitContainers, Containers []container }
			}
		}
	}
	if err := yaml.Unmarshal(text, &patch); err != nil {
		t.Fatal(err)
	}
	const deployed = "/run/nave/keys.sock"
	pod := patch.Spec.Template.Spec
	for _, part := range pod.InitContainers[0].Command {
		command = append(command, strings.ReplaceAll(part, deployed, socket))
	}
	for _, e := range pod.Containers[0].Env {
		if e.Name == "KEY_SERVICE" {
			address = strings.ReplaceAll(e.Value, deployed, socket)
		}
	}
	return command, address
}

// startSidecar runs the command of the container with the machine's sops until the test ends. It returns when the
// service listens. A socket of a killed process is in its way at first.
func startSidecar(t *testing.T, env ...string) *Service {
	t.Helper()
	if _, err := exec.LookPath("sops"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("no sops on this machine")
	}
	dir, err := os.MkdirTemp("", "keys-") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	command, address := sidecar(t, socket)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it says that it was killed
	})
	for retry := (wait.Backoff{First: 1e6, Most: 1e8}); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			break
		}
		if retry.Pause(t.Context()) != nil {
			t.Fatal(err)
		}
	}
	service, err := NewService(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })
	return service
}

// TestSidecar has the key service as it is deployed, sops's own program, use keys that this process does not have: age
// and OpenPGP keys, a Vault, and AWS's KMS, of which there are stand-ins.
func TestSidecar(t *testing.T) {
	vault := httptest.NewServer(http.HandlerFunc(transit))
	defer vault.Close()
	aws := httptest.NewServer(http.HandlerFunc(decryptAsKMS))
	defer aws.Close()
	private, public := newAge(t)
	entity := newPGP(t)
	home := t.TempDir()
	var ring bytes.Buffer
	err := entity.SerializePrivate(&ring, nil)
	if err := errors.Join(err, os.WriteFile(filepath.Join(home, "secring.gpg"), ring.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VAULT_TOKEN", vaultToken)
	t.Setenv("SOPS_HC_VAULT_ALLOWLIST", vault.URL)
	inVault := hcvault.NewMasterKey(vault.URL, "transit", "k")
	if err := inVault.Encrypt(dataKey); err != nil {
		t.Fatal(err)
	}
	service := startSidecar(t, "SOPS_AGE_KEY="+private, "GNUPGHOME="+home, "VAULT_TOKEN="+vaultToken,
		"SOPS_HC_VAULT_ALLOWLIST="+vault.URL, "AWS_ENDPOINT_URL="+aws.URL, "AWS_ACCESS_KEY_ID=id",
		"AWS_SECRET_ACCESS_KEY=secret")
	mine := (&Keys{}).With(service)
	arn := func(key string) keys.MasterKey {
		return &kms.MasterKey{Arn: "arn:aws:kms:eu-west-1:123456789012:key/" + key,
			EncryptedKey: base64.StdEncoding.EncodeToString(append([]byte(key), dataKey...))}
	}
	stranger := func() *openpgp.Entity { return newPGP(t) }
	for name, tt := range map[string]struct {
		master keys.MasterKey
		want   error
		word   string
	}{
		"age":           {ageMaster(t, public, dataKey), nil, ""},
		"OpenPGP":       {pgpMaster(t, entity, dataKey), nil, ""},
		"Vault":         {inVault, nil, ""},
		"KMS":           {arn("mine"), nil, ""},
		"other_age":     {ageMaster(t, second(newAge(t)), dataKey), ErrNoKey, "the key service: "},
		"other_OpenPGP": {pgpMaster(t, stranger(), dataKey), ErrNoKey, "the key service: "},
		"other_Vault":   {hcvault.NewMasterKey("http://127.0.0.1:1", "transit", "k"), ErrNoKey, "the key service: "},
		"KMS_refuses":   {arn("theirs"), ErrNoKey, "AccessDeniedException"},
	} {
		t.Run(name, func(t *testing.T) {
			file := encrypt(t, "a: "+canary, sops.Metadata{KeyGroups: []sops.KeyGroup{{tt.master}}})
			p, err := Open(t.Context(), file, bundle.YAML, mine)
			if !errors.Is(err, tt.want) || tt.want != nil && !strings.Contains(err.Error(), tt.word) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			if v, ok := p.Value(0, []string{"a"}); !ok || v.Size() != len(canary) {
				t.Error("not the value that was encrypted")
			}
		})
	}
}

// decryptAsKMS is the call Decrypt of AWS's KMS, whose ciphertext is the name of the key and the plaintext.
func decryptAsKMS(w http.ResponseWriter, r *http.Request) {
	var in struct {
		CiphertextBlob []byte
		KeyID          string `json:"KeyId"`
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	plain, mine := []byte(nil), false
	if r.Header.Get("X-Amz-Target") == "TrentService.Decrypt" && json.NewDecoder(r.Body).Decode(&in) == nil {
		plain, mine = bytes.CutPrefix(in.CiphertextBlob, []byte("mine"))
	}
	if !mine || !strings.HasSuffix(in.KeyID, ":key/mine") {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "AccessDeniedException", "message": "not this key"})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": in.KeyID, "Plaintext": plain})
}
