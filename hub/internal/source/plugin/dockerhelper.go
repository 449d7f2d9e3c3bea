package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/navefleet/nave/hub/internal/source"
)

const (
	helperPrefix = "docker-credential-" // of the program of a credential helper
	tokenUser    = "<token>"            // the user name of an identity token
	notFound     = "credentials not found in native keychain"
)

// DockerHelpers are the credential helpers of Docker that a hub runs: the programs docker-credential-NAME of a folder.
// No other program is run, whatever a Secret names.
type DockerHelpers struct {
	dir  string
	time time.Duration // zero: timeLimit
}

// LoadDockerHelpers returns the credential helpers of a folder.
func LoadDockerHelpers(dir string) (*DockerHelpers, error) {
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("credential helpers of Docker: %w", err)
	}
	return &DockerHelpers{dir: dir}, nil
}

// Credentials returns the credentials for a server that a credential helper gives. Errors are source.ErrAuthentication.
func (h *DockerHelpers) Credentials(ctx context.Context, name, server string) (source.DockerConfig, error) {
	program := helperPrefix + name
	if name != filepath.Base(name) || strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("%w: %s is not the name of a credential helper", source.ErrAuthentication,
			source.Quote(name))
	}
	if _, err := os.Stat(filepath.Join(h.dir, program)); err != nil {
		return nil, fmt.Errorf("%w: this hub has no credential helper %s: put the program into the folder "+
			"of --docker-credential-helper-dir, or give the Secret auths for the registry", source.ErrAuthentication,
			source.Quote(program))
	}
	found, err := h.ask(ctx, program, server)
	if err != nil {
		return nil, fmt.Errorf("%w: credential helper %s for %s: %w", source.ErrAuthentication, source.Quote(program),
			server, err)
	}
	return source.DockerConfig{server: found}, nil
}

// ask asks a program for the credentials for a server.
func (h *DockerHelpers) ask(ctx context.Context, name, server string) (found authn.AuthConfig, err error) {
	said, err := program{path: filepath.Join(h.dir, name), args: []string{"get"}, time: h.time,
		byHand: fmt.Sprintf("echo %s | %s get", server, name)}.ask(ctx, server)
	switch {
	case err != nil && strings.TrimSpace(string(said)) == notFound:
		return found, errors.New("it has no credentials for this server")
	case err != nil:
		return found, err
	}
	var answer struct{ Username, Secret string }
	if json.Unmarshal(said, &answer) != nil {
		return found, errors.New("its answer is not JSON")
	}
	if answer.Username == "" || answer.Secret == "" {
		return found, errors.New("its answer has no Username and Secret")
	}
	if answer.Username == tokenUser {
		return authn.AuthConfig{IdentityToken: answer.Secret}, nil
	}
	return authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}
