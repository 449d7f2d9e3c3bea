package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/kubetest"
)

// Fleet is one hub, its git server, and the spokes that joined it.
type Fleet struct {
	Dir    string
	Git    *gittest.Server
	Repo   *gittest.Repository // "fleet": the hub's root and the state of all clusters
	Hub    *Process
	Spokes []*Spoke
	Listen string // host:port of the hub

	Lab *Lab // with the binaries and clusters of the fleet
}

// Spoke is the agent of one cluster.
type Spoke struct {
	*Process
	Cluster *kubetest.Cluster
	Dir     string
}

// NewFleet starts a git server and a hub.
func (l *Lab) NewFleet(ctx context.Context, hubFlags ...string) (*Fleet, error) {
	dir, err := os.MkdirTemp(l.Dir, "fleet-")
	if err != nil {
		return nil, err
	}
	return l.NewFleetIn(ctx, dir, hubFlags...)
}

// NewFleetIn is NewFleet with a folder of the caller's. It makes git/, hub/ with hub.log beside it, and
// spoke-<cluster>/ there.
func (l *Lab) NewFleetIn(ctx context.Context, dir string, hubFlags ...string) (*Fleet, error) {
	f := &Fleet{Dir: dir, Lab: l}
	if err := f.start(ctx, hubFlags); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context, hubFlags []string) (err error) {
	if f.Git, err = gittest.Start(gittest.Options{Dir: filepath.Join(f.Dir, "git")}); err != nil {
		return err
	}
	if f.Repo, err = f.Git.NewRepository("fleet"); err != nil {
		return err
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	http, err := freeAddress()
	if err != nil {
		return err
	}
	f.Hub = &Process{
		Name: "nave-hub", binary: f.Lab.Binary("nave-hub"), HTTP: http, Log: filepath.Join(f.Dir, "hub.log"),
		Args: slices.Concat([]string{"--data-dir=" + filepath.Join(f.Dir, "hub"), "--listen=" + listen,
			"--http-listen=" + http, "--log-level=debug"}, f.Lab.HubFlags, hubFlags,
			// The first address counts, so that hubFlags may name another one.
			[]string{"--advertise=" + listen}),
	}
	f.Listen = listen
	return f.Hub.Start(ctx)
}

// Config is the path of the first operator's configuration.
func (f *Fleet) Config() string { return filepath.Join(f.Dir, "hub", "operator.yaml") }

// Nave runs the CLI as the first operator and returns its standard output; the error holds its standard error.
func (f *Fleet) Nave(ctx context.Context, args ...string) (string, error) {
	return f.NaveWith(ctx, nil, args...)
}

// NaveWith is Nave with stdin as standard input.
func (f *Fleet) NaveWith(ctx context.Context, stdin []byte, args ...string) (string, error) {
	stdout, _, err := f.RunNave(ctx, stdin, args...)
	return stdout, err
}

// RunNave is NaveWith that also returns the standard error of a command that succeeds.
func (f *Fleet) RunNave(ctx context.Context, stdin []byte, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, f.Lab.Binary("nave"), args...)
	cmd.Env = append(os.Environ(), "NAVE_CONFIG="+f.Config())
	cmd.Stdin = bytes.NewReader(stdin)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("nave %s: %w\n%s", strings.Join(args, " "), err, messages.String())
	}
	return out.String(), messages.String(), err
}

// Join adds a cluster with the CLI, applies the manifest that the CLI prints, and starts the spoke with the manifest's
// service account and the configuration that the manifest holds.
func (f *Fleet) Join(ctx context.Context, cluster *kubetest.Cluster, flags ...string) (*Spoke, error) {
	manifest, err := f.Nave(ctx, append([]string{"cluster", "add", cluster.Name}, flags...)...)
	if err != nil {
		return nil, err
	}
	if err := cluster.Apply(ctx, []byte(manifest)); err != nil {
		return nil, fmt.Errorf("apply the join manifest of %s: %w", cluster.Name, err)
	}
	s, err := f.newSpoke(ctx, cluster, manifest)
	if err != nil {
		return nil, err
	}
	f.Spokes = append(f.Spokes, s)
	return s, s.Start(ctx)
}

// Rejoin adds the cluster of a spoke again, for a new join token, and gives the settings of the new manifest to the
// spoke. It neither starts nor stops the spoke.
func (f *Fleet) Rejoin(ctx context.Context, s *Spoke, flags ...string) error {
	return f.RejoinAs(ctx, s, s.Cluster.Name, flags...)
}

// RejoinAs is Rejoin with the manifest of a cluster of another name.
func (f *Fleet) RejoinAs(ctx context.Context, s *Spoke, name string, flags ...string) error {
	manifest, err := f.Nave(ctx, append([]string{"cluster", "add", name}, flags...)...)
	if err != nil {
		return err
	}
	if err := s.Cluster.Apply(ctx, []byte(manifest)); err != nil {
		return fmt.Errorf("apply the join manifest of %s: %w", s.Cluster.Name, err)
	}
	settings, err := JoinSettings(manifest)
	if err != nil {
		return err
	}
	return s.mount(settings)
}

// mount writes the files of the join manifest where the kubelet would show them to the spoke: the keys of the ConfigMap
// in the folder config, the token of the Secret beside it.
func (s *Spoke) mount(settings map[string]string) error {
	config := filepath.Join(s.Dir, "config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	for key, value := range settings {
		path := filepath.Join(config, key)
		if key == "token" {
			path = filepath.Join(s.Dir, key)
		}
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// newSpoke returns a spoke with the files and flags that the Deployment of a join manifest would give its container.
func (f *Fleet) newSpoke(ctx context.Context, cluster *kubetest.Cluster, manifest string) (*Spoke, error) {
	settings, err := JoinSettings(manifest)
	if err != nil {
		return nil, err
	}
	return f.Lab.NewSpoke(ctx, cluster, filepath.Join(f.Dir, "spoke-"+cluster.Name), settings)
}

// NewSpoke returns a spoke that is not started, with its files in dir and with the data of a join manifest's ConfigMap
// and Secret: hub, cluster, trust-domain, ca-pin, token, signing-keys.pem. The service account of the manifest must be
// in the cluster.
func (l *Lab) NewSpoke(ctx context.Context, cluster *kubetest.Cluster, dir string, settings map[string]string) (*Spoke,
	error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := (&Spoke{Dir: dir}).mount(settings); err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := cluster.ServiceAccountKubeconfig(ctx, "nave-system", "nave-spoke", kubeconfig); err != nil {
		return nil, err
	}
	http, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return &Spoke{Cluster: cluster, Dir: dir, Process: &Process{
		Name: "nave-spoke of " + cluster.Name, binary: l.Binary("nave-spoke"), HTTP: http, Log: filepath.Join(dir,
			"spoke.log"),
		Args: []string{
			"--config-dir=" + filepath.Join(dir, "config"), "--join-token-file=" + filepath.Join(dir, "token"),
			"--state-dir=" + filepath.Join(dir, "state"), "--kubeconfig=" +
				kubeconfig, "--namespace=nave-system", "--http-listen=" + http, "--log-level=debug",
		},
	}}, nil
}

// JoinSettings collects the data of a join manifest's ConfigMap and Secret, for NewSpoke.
func JoinSettings(manifest string) (map[string]string, error) {
	settings := map[string]string{}
	for _, document := range strings.Split(manifest, "\n---\n") {
		var o struct {
			Kind             string
			Data, StringData map[string]string
		}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("read the join manifest: %w", err)
		}
		for _, m := range []map[string]string{o.Data, o.StringData} {
			for k, v := range m {
				settings[k] = v
			}
		}
	}
	if settings["token"] == "" || settings["hub"] == "" {
		return nil, errors.New("the join manifest has no token or no hub address")
	}
	return settings, nil
}

// Bootstrap commits files and gives the hub its root in the repository's folder "hub".
func (f *Fleet) Bootstrap(ctx context.Context, files map[string]string) error {
	if _, err := f.Repo.Commit(files, "the fleet begins"); err != nil {
		return err
	}
	_, err := f.Nave(ctx, "bootstrap", "--url="+f.Repo.URL(), "--branch=main", "--path=hub", "--interval=1h")
	return err
}

// Sync makes the hub fetch the repository now.
func (f *Fleet) Sync(ctx context.Context) error {
	_, err := f.Nave(ctx, "reconcile", "source", "git", "hub")
	return err
}

// Close stops the spokes, the hub and the git server. Clusters keep their objects.
func (f *Fleet) Close() error {
	var errs []error
	for _, s := range f.Spokes {
		errs = append(errs, s.Stop())
	}
	if f.Hub != nil {
		errs = append(errs, f.Hub.Stop())
	}
	if f.Git != nil {
		errs = append(errs, f.Git.Close())
	}
	return errors.Join(errs...)
}
