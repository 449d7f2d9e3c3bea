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

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	helperPrefix = "docker-credential-" // of the program of a credential helper
	helperTime   = 30 * time.Second     // that one may take
	tokenUser    = "<token>"            // the user name of an identity token
	notFound     = "credentials not found in native keychain"
)

// DockerHelpers are the credential helpers of Docker that a hub runs: the programs docker-credential-NAME of a folder.
// No other program is run, whatever a Secret names.
type DockerHelpers struct {
	dir  string
	time time.Duration
}

// LoadDockerHelpers returns the credential helpers of a folder.
func LoadDockerHelpers(dir string) (*DockerHelpers, error) {
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("credential helpers of Docker: %w", err)
	}
	return &DockerHelpers{dir: dir, time: helperTime}, nil
}

// Credentials returns the credentials for a server that a credential helper gives. Errors are source.ErrAuthentication.
// They quote nothing that the program prints, because that may be a password.
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

// ask runs a program, with the environment of the hub.
func (h *DockerHelpers) ask(ctx context.Context, program, server string) (found authn.AuthConfig, err error) {
	inTime, cancel := context.WithTimeout(ctx, h.time)
	defer cancel()
	said, err := h.run(inTime, program, server)
	switch {
	case ctx.Err() == nil && inTime.Err() != nil:
		return found, fmt.Errorf("no answer in %s", h.time)
	case err != nil && strings.TrimSpace(string(said)) == notFound:
		return found, errors.New("it has no credentials for this server")
	case errors.Is(err, artifact.ErrLimit):
		return found, err
	case err != nil:
		return found, fmt.Errorf("%w; to see what it says, run where the hub runs: echo %s | %s get", err, server, program)
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

// run returns what a program prints.
func (h *DockerHelpers) run(ctx context.Context, program, server string) ([]byte, error) {
	cmd := command(ctx, filepath.Join(h.dir, program), "get")
	var said limited
	cmd.Stdin, cmd.Stdout = strings.NewReader(server), &said
	err := cmd.Run()
	if said.full {
		err = fmt.Errorf("%w: it prints more than %s", artifact.ErrLimit, artifact.FormatSize(maxOutput))
	}
	return said.text.Bytes(), err
}
