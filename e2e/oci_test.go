package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/navefleet/nave/e2e/ocitest"
)

// ociCommands are the words of stories about artifacts on registries.
var ociCommands = map[string]command{
	"ociserver": ociServer,    // ociserver [USER PASSWORD]: a registry; sets $oci_url, its docker config is file docker.json
	"push":      pushFiles,    // push REPOSITORY:TAG FOLDER [REVISION]: the files of a folder become an artifact
	"retag":     retagCommand, // retag REPOSITORY TAG FROM: a tag means what another one means
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
	digest, err := s.registry.Commit(args[0], files, strings.Join(args[2:], ""))
	s.ts.Setenv("digest", digest)
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
