// Package harness runs Nave as its users do: the built binaries as processes, spokes with the service account of the
// deploy manifest, a real git server, real clusters. The stories, the demo and the benchmarks use it.
//
//	lab, err := harness.NewLab(ctx, harness.Options{Clusters: []string{"east", "west"}})
//	fleet, err := lab.NewFleet(ctx)                       // a hub and a git server
//	spoke, err := fleet.Join(ctx, lab.Clusters[0], "--label=env=test")
//	out, err := fleet.Nave(ctx, "get", "kustomizations", "-A")
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/navefleet/nave/e2e/kubetest"
)

// Options are the settings of a Lab.
type Options struct {
	Clusters []string  // names; each is a Kubernetes of its own
	Audit    bool      // clusters write audit logs
	Binaries string    // the folder with nave, nave-hub and nave-spoke; empty: they are built
	Progress io.Writer // nil: standard error
}

// Lab has the built binaries and running clusters that fleets use.
type Lab struct {
	Dir      string
	Clusters []*kubetest.Cluster
	HubFlags []string // of every hub
	Binaries string   // the folder with nave, nave-hub and nave-spoke
}

// NewLab builds the binaries and starts the clusters, all at once.
func NewLab(ctx context.Context, o Options) (*Lab, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	dir, err := os.MkdirTemp("", "nave-lab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{
		Dir: dir, Binaries: o.Binaries, Clusters: make([]*kubetest.Cluster, len(o.Clusters)),
		// the addresses of the tests' Git servers
		HubFlags: []string{"--allow-source-address=127.0.0.0/8", "--allow-source-address=::1"},
	}
	errs := make([]error, len(o.Clusters)+1)
	var wg sync.WaitGroup
	if l.Binaries == "" {
		l.Binaries = filepath.Join(dir, "bin")
		wg.Go(func() { errs[len(o.Clusters)] = l.build(ctx) })
	}
	for i, name := range o.Clusters {
		wg.Go(func() {
			l.Clusters[i], errs[i] = kubetest.Start(ctx, kubetest.Options{Name: name, Audit: o.Audit, Progress: o.Progress})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Binary returns the path of nave, nave-hub or nave-spoke.
func (l *Lab) Binary(name string) string { return filepath.Join(l.Binaries, name) }

// build builds the binaries of a release, as make build does, without the race detector or coverage of the caller.
func (l *Lab) build(ctx context.Context) error {
	root, err := kubetest.Root()
	if err != nil {
		return err
	}
	if err := lookAtSources(root); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o",
		l.Binaries+"/",
		"./hub/cmd/nave", "./hub/cmd/nave-hub", "./spoke/cmd/nave-spoke")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build nave: %w\n%s", err, out)
	}
	return nil
}

// lookAtSources reads the file information of every source of the programs. The go command notes these files, so that
// it does not use a cached test result after the programs changed.
func lookAtSources(root string) error {
	for _, dir := range []string{"hub", "spoke", "shared", "proto", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close stops the clusters and removes the files of the lab.
func (l *Lab) Close() error {
	var errs []error
	for _, c := range l.Clusters {
		if c != nil {
			errs = append(errs, c.Stop())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}
