package decrypt

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hckms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/shamir"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
)

// scripted is a key service whose answers a test gives. It counts what it is asked for.
type scripted struct {
	keyservice.UnimplementedKeyServiceServer
	answer func(context.Context, *keyservice.DecryptRequest) ([]byte, error)

	mu    sync.Mutex
	asked []*keyservice.DecryptRequest
}

func (s *scripted) Decrypt(ctx context.Context, r *keyservice.DecryptRequest) (*keyservice.DecryptResponse, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	plain, err := s.answer(ctx, r)
	if err != nil {
		return nil, err
	}
	return &keyservice.DecryptResponse{Plaintext: plain}, nil
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// serve runs a key service at a socket until the test ends.
func serve(t *testing.T, socket string, server keyservice.KeyServiceServer) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	keyservice.RegisterKeyServiceServer(g, server)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
}

// dial returns the service at a socket.
func dial(t *testing.T, socket string) *Service {
	t.Helper()
	service, err := NewService("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })
	return service
}

// served returns the service that a server at a new socket gives.
func served(t *testing.T, server keyservice.KeyServiceServer) *Service {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	serve(t, socket, server)
	return dial(t, socket)
}

func always(part []byte) *scripted {
	return &scripted{answer: func(context.Context, *keyservice.DecryptRequest) ([]byte, error) { return part, nil }}
}

// masters has a master key of each kind that only a key service can use.
func masters() map[string]keys.MasterKey {
	value := "b"
	return map[string]keys.MasterKey{
		"aws": &kms.MasterKey{Arn: "arn:aws:kms:eu-west-1:1:key/k", Role: "arn:aws:iam::1:role/r", AwsProfile: "p",
			EncryptionContext: map[string]*string{"a": &value}, EncryptedKey: "enc"},
		"gcp":    &gcpkms.MasterKey{ResourceID: "projects/p/locations/l/keyRings/r/cryptoKeys/k", EncryptedKey: "enc"},
		"azure":  &azkv.MasterKey{VaultURL: "https://v.vault.azure.net", Name: "k", Version: "1", EncryptedKey: "enc"},
		"vault":  &hcvault.MasterKey{VaultAddress: "https://v", EnginePath: "t", KeyName: "k", EncryptedKey: "enc"},
		"huawei": &hckms.MasterKey{KeyID: "eu:k", EncryptedKey: "enc"},
	}
}

// TestService_kinds asks for each kind of key as sops itself asks.
func TestService_kinds(t *testing.T) {
	for name, master := range masters() {
		t.Run(name, func(t *testing.T) {
			file := encrypt(t, "a: "+canary, sops.Metadata{KeyGroups: []sops.KeyGroup{{master}}})
			server := always(dataKey)
			keys := (&Keys{}).With(served(t, server))
			p, err := Open(t.Context(), file, bundle.YAML, keys)
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := p.Value(0, []string{"a"}); !ok || v.Size() != len(canary) {
				t.Error("not the value that was encrypted")
			}
			key := keyservice.KeyFromMasterKey(master)
			if got := server.asked[0]; !proto.Equal(got.Key, &key) || string(got.Ciphertext) != "enc" {
				t.Errorf("asked for %v", got)
			}
			id, _, _ := strings.Cut(master.ToString(), "=") // of AWS a role follows
			if got := Recipients(file, bundle.YAML); !strings.Contains(got, strings.SplitN(id, "+", 2)[0]) {
				t.Errorf("recipients are %s, want %s among them", got, id)
			}
			_, err = Open(t.Context(), file, bundle.YAML, &Keys{})
			if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "no key service to ask") {
				t.Errorf("without a key service: %v", err)
			}
		})
	}
}

// TestService_sops has sops's own key service use an age key that this process does not have, and a Vault.
func TestService_sops(t *testing.T) {
	vault := httptest.NewServer(http.HandlerFunc(transit))
	defer vault.Close()
	private, public := newAge(t)
	t.Setenv("SOPS_AGE_KEY", private)
	t.Setenv("VAULT_TOKEN", vaultToken)
	t.Setenv("SOPS_HC_VAULT_ALLOWLIST", vault.URL)
	inVault := hcvault.NewMasterKey(vault.URL, "transit", "k")
	if err := inVault.Encrypt(dataKey); err != nil {
		t.Fatal(err)
	}
	mine := (&Keys{}).With(served(t, keyservice.Server{}))
	for name, tt := range map[string]struct {
		master keys.MasterKey
		want   error
	}{
		"age":             {ageMaster(t, public, dataKey), nil},
		"vault":           {inVault, nil},
		"other_age":       {ageMaster(t, second(newAge(t)), dataKey), ErrNoKey},
		"vault_elsewhere": {hcvault.NewMasterKey("http://127.0.0.1:1", "transit", "k"), ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			file := encrypt(t, "a: "+canary, sops.Metadata{KeyGroups: []sops.KeyGroup{{tt.master}}})
			_, err := Open(t.Context(), file, bundle.YAML, mine)
			if !errors.Is(err, tt.want) || tt.want != nil && !strings.Contains(err.Error(), "the key service: ") {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), private) {
				t.Error("the error tells a private key")
			}
		})
	}
}

func second(_, b string) string { return b }

const vaultToken = "a token of the test"

// transit is the transit engine of a Vault, as far as sops asks it. Its cipher is base64.
func transit(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	if r.Header.Get("X-Vault-Token") != vaultToken || json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	const prefix = "vault:v1:"
	out := map[string]string{}
	switch r.URL.Path {
	case "/v1/transit/encrypt/k":
		out["ciphertext"] = prefix + base64.StdEncoding.EncodeToString([]byte(in["plaintext"]))
	case "/v1/transit/decrypt/k":
		plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in["ciphertext"], prefix))
		out["plaintext"] = string(plain)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
}

// TestService_quorum asks the service for as many parts as are needed beside those that the spoke can open.
func TestService_quorum(t *testing.T) {
	parts, err := shamir.Split(dataKey, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	private, public := newAge(t)
	cloud := func(id string) sops.KeyGroup {
		return sops.KeyGroup{&gcpkms.MasterKey{ResourceID: id, EncryptedKey: id}}
	}
	file := encrypt(t, everything, sops.Metadata{ShamirThreshold: 2, KeyGroups: []sops.KeyGroup{cloud("refused"),
		cloud("second"), cloud("third"), {ageMaster(t, public, parts[3])}}})
	server := &scripted{answer: func(_ context.Context, r *keyservice.DecryptRequest) ([]byte, error) {
		switch string(r.Ciphertext) {
		case "second":
			return parts[1], nil
		case "third":
			return parts[2], nil
		}
		return nil, status.Error(codes.Unknown, "AccessDenied: "+r.Key.GetGcpKmsKey().GetResourceId())
	}}
	own, err := ParseKeys(map[string][]byte{"k.agekey": []byte(private)})
	if err != nil {
		t.Fatal(err)
	}
	service := served(t, server)
	if _, err := Open(t.Context(), file, bundle.YAML, own.With(service)); err != nil || server.count() != 2 {
		t.Errorf("%d keys asked for, %v; want two", server.count(), err)
	}
	if _, err := Open(t.Context(), file, bundle.YAML, (&Keys{}).With(service)); err != nil {
		t.Errorf("by the service alone: %v", err)
	}
	server.answer = func(context.Context, *keyservice.DecryptRequest) ([]byte, error) {
		return nil, status.Error(codes.Unknown, "AccessDenied\n"+strings.Repeat("x", 1<<10))
	}
	_, err = Open(t.Context(), file, bundle.YAML, own.With(service))
	if !errors.Is(err, ErrNoKey) || len(err.Error()) > 2<<10 || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "1 of the 2 key groups needed") || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("refused: %v", err)
	}
}

// TestService_absent opens the file as soon as the service is there.
func TestService_absent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	file := encrypt(t, "a: x", sops.Metadata{KeyGroups: []sops.KeyGroup{{masters()["azure"]}}})
	service := dial(t, socket)
	open := func() error {
		_, err := Open(t.Context(), file, bundle.YAML, (&Keys{}).With(service))
		return err
	}
	if err := open(); !errors.Is(err, ErrService) || !strings.Contains(err.Error(), socket) {
		t.Fatalf("got %v, want ErrService", err)
	}
	serve(t, socket, always(dataKey))
	for err := open(); err != nil; err = open() {
		if !errors.Is(err, ErrService) || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestService_silent waits once for a key, however many documents need it.
func TestService_silent(t *testing.T) {
	server := &scripted{answer: func(ctx context.Context, _ *keyservice.DecryptRequest) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	file := encrypt(t, "a: x", sops.Metadata{KeyGroups: []sops.KeyGroup{{masters()["azure"]}}})
	keys := (&Keys{}).With(served(t, server))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for range 3 {
		if _, err := Open(ctx, file, bundle.YAML, keys); !errors.Is(err, ErrService) {
			t.Errorf("got %v, want ErrService", err)
		}
	}
	if server.count() != 1 {
		t.Errorf("asked %d times", server.count())
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Open(stopped, file, bundle.YAML, (&Keys{}).With(keys.service)); errors.Is(err, ErrService) {
		t.Errorf("a run that was stopped: %v", err)
	}
}

// TestService_hostile: no answer is a plaintext beside its MAC, and none is kept that is larger than a key.
func TestService_hostile(t *testing.T) {
	file := encrypt(t, "a: x", sops.Metadata{KeyGroups: []sops.KeyGroup{{masters()["gcp"]}}})
	for name, answer := range map[string][]byte{
		"empty": nil, "short": dataKey[:31], "other_key": []byte(strings.Repeat("k", keySize)),
		"large": make([]byte, maxDataKey+1), "larger_than_a_message": make([]byte, maxAnswer+1),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Open(t.Context(), file, bundle.YAML, (&Keys{}).With(served(t, always(answer))))
			if err == nil || p != nil || errors.Is(err, ErrService) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	for _, address := range []string{"", "/run/s", "unix:s", "unix://s", "tcp://127.0.0.1:1", "dns:///example.com"} {
		if _, err := NewService(address); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}
