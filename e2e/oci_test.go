package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/navefleet/nave/e2e/ocitest"
)

// ociCommands are the words of stories about artifacts on registries.
var ociCommands = map[string]command{
	"ociserver": ociServer,    // ociserver [USER PASSWORD]: a registry at $oci_url; writes docker.json
	"push":      pushFiles,    // push REPOSITORY:TAG FOLDER [REVISION]: the files of a folder become an artifact
	"cosign":    cosign,       // cosign KEY REPOSITORY: signs the last push; makes KEY and KEY.pub if missing
	"secret":    secretOfFile, // secret NAME KEY FILE: the hub gets a Secret whose key has the content of a file
	"retag":     retagCommand, // retag REPOSITORY TAG FROM: a tag means what another one means
	"registry":  registry,     // registry break | heal | password WORD | delete REPOSITORY TAG
}

// hasRegistry reports whether this machine can serve an OCI registry. Where CI=true it must.
func hasRegistry() bool {
	_, err := exec.LookPath("docker-registry")
	return err == nil || os.Getenv("CI") == "true"
}

func ociServer(_ context.Context, s *story, args []string) error {
	o := ocitest.Options{}
	if len(args) == 2 {
		o.Username, o.Password = args[0], args[1]
	}
	server, err := ocitest.Start(o)
	if err != nil {
		return err
	}
	s.registry = server
	s.cleanups = append(s.cleanups, server.Close)
	s.ts.Setenv("oci_url", "oci://"+server.Host())
	s.ts.Setenv("oci_host", server.Host())
	return os.WriteFile(s.path("docker.json"), []byte(server.DockerConfig()), 0o600)
}

var errNoRegistry = errors.New(`there is no registry yet: "ociserver" comes first`)

func pushFiles(_ context.Context, s *story, args []string) error {
	if s.registry == nil {
		return errNoRegistry
	}
	if len(args) < 2 {
		return errors.New("push REPOSITORY:TAG FOLDER [REVISION]")
	}
	files, err := filesBelow(s.path(args[1]))
	if err != nil {
		return err
	}
	s.pushed, err = s.registry.Commit(args[0], files, strings.Join(args[2:], ""))
	return err
}

func retagCommand(_ context.Context, s *story, args []string) error {
	if s.registry == nil {
		return errNoRegistry
	}
	if len(args) != 3 {
		return errors.New("retag REPOSITORY TAG FROM")
	}
	return s.registry.Tag(args[0], args[1], args[2])
}

func registry(_ context.Context, s *story, args []string) error {
	switch {
	case s.registry == nil:
		return errNoRegistry
	case len(args) == 1 && args[0] == "break":
		s.registry.Break()
	case len(args) == 1 && args[0] == "heal":
		s.registry.Heal()
	case len(args) == 2 && args[0] == "password":
		return s.registry.SetPassword(args[1])
	case len(args) == 3 && args[0] == "delete":
		return s.registry.Delete(args[1], args[2])
	default:
		return errors.New("registry break | heal | password WORD | delete REPOSITORY TAG")
	}
	return nil
}

// cosign signs what was pushed last as cosign sign --key does.
func cosign(_ context.Context, s *story, args []string) error {
	if s.registry == nil {
		return errNoRegistry
	}
	if len(args) != 2 {
		return errors.New("cosign KEY REPOSITORY")
	}
	private := s.path(args[0] + ".key")
	text, err := os.ReadFile(private)
	if errors.Is(err, os.ErrNotExist) {
		text, err = newCosignKey(private, s.path(args[0]+".pub"))
	}
	if err != nil {
		return err
	}
	key, err := x509.ParseECPrivateKey(text)
	if err != nil {
		return err
	}
	return s.registry.Sign(args[1], s.pushed, s.pushed, key)
}

// newCosignKey writes both halves of a key and returns the private one.
func newCosignKey(private, public string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return text, errors.Join(os.WriteFile(private, text, 0o600),
		os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
}

// secretOfFile gives the hub a Secret.
func secretOfFile(ctx context.Context, s *story, args []string) error {
	if len(args) != 3 {
		return errors.New("secret NAME KEY FILE")
	}
	content, err := os.ReadFile(s.path(args[2]))
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": args[0], "namespace": "flux-system"},
		"data": map[string][]byte{args[1]: content},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("secret-of-file.yaml"), text, 0o600); err != nil {
		return err
	}
	return naveCommand(ctx, s, []string{"apply", "-f", "secret-of-file.yaml"})
}
