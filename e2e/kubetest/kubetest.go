// Package kubetest starts real Kubernetes clusters for tests and the demo, and reads and writes them.
//
// By default a cluster is a process of the binary of e2e/controlplane, on loopback: etcd, API server, controller
// manager, scheduler, and nodes simulated by kwok, with RBAC, and with ports, data folder and CA of its own. The binary
// is built once and kept in the user's cache folder; the process ends when its starter does. With E2E_PROVIDER=kind,
// clusters are made by kind instead.
package kubetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// Options say what kind of cluster to start.
type Options struct {
	Name     string    // for messages and kind's name
	Dir      string    // for data, certificates and logs; empty: a temporary folder that Stop removes
	Nodes    int       // 0: one
	Audit    bool      // write a line per API request to Cluster.AuditLog
	Progress io.Writer // progress of steps that take long; nil: standard error
}

// Cluster is one running Kubernetes.
type Cluster struct {
	Name       string
	Server     string // https://127.0.0.1:port
	Kubeconfig string // path of a cluster admin's
	AuditLog   string // path; empty without Options.Audit

	stop func() error
	*client
}

// Start starts a cluster and returns when it can be used: nodes ready, service accounts made.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	start := startEmbedded
	if os.Getenv("E2E_PROVIDER") == "kind" {
		start = startKind
	}
	c, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start cluster %s: %w", o.Name, err)
	}
	if c.client, err = newClient(c.Kubeconfig); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Stop ends the cluster, and removes its folder if Start made it.
func (c *Cluster) Stop() error { return c.stop() }

// startEmbedded runs "controlplane up", which ends when the pipe to its standard input is closed.
func startEmbedded(ctx context.Context, o Options) (*Cluster, error) {
	binary, err := Binary(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	dir, cleanup, err := folder(o.Dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "up", "--dir", dir, fmt.Sprintf("--nodes=%d", max(o.Nodes, 1)),
		fmt.Sprintf("--audit=%t", o.Audit))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at the terminal is its starter's to handle
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		stdin.Close()
		return errors.Join(waitOrKill(cmd), cleanup())
	}
	c := &Cluster{Name: o.Name, stop: stop}
	if err := c.readReady(ctx, stdout); err != nil {
		return nil, errors.Join(err, stop(), errors.New(stderr.String()))
	}
	return c, nil
}

func folder(dir string) (string, func() error, error) {
	if dir != "" {
		return dir, func() error { return nil }, os.MkdirAll(dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "nave-kube-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

func waitOrKill(cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(cmd.Process.Kill(), <-ended)
	}
}

// readReady reads the line with the cluster's address and files.
func (c *Cluster) readReady(ctx context.Context, r io.Reader) error {
	var line struct{ Server, Kubeconfig, AuditLog string }
	read := make(chan error, 1)
	go func() {
		text, err := bufio.NewReader(r).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(text, &line)
		}
		read <- err
	}()
	select {
	case err := <-read:
		c.Server, c.Kubeconfig, c.AuditLog = line.Server, line.Kubeconfig, line.AuditLog
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startKind makes a cluster with the kind CLI, which needs Docker.
func startKind(ctx context.Context, o Options) (*Cluster, error) {
	dir, cleanup, err := folder(o.Dir)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("nave-%s-%d", o.Name, os.Getpid()) // no cluster of somebody else has this name
	kubeconfig := filepath.Join(dir, "kind.kubeconfig")
	kind := func(ctx context.Context, args ...string) error {
		cmd := exec.CommandContext(ctx, "kind", append(args, "--name", name, "--kubeconfig", kubeconfig)...)
		cmd.Stdout, cmd.Stderr = o.Progress, o.Progress
		return cmd.Run()
	}
	stop := func() error { return errors.Join(kind(context.Background(), "delete", "cluster"), cleanup()) }
	if err := kind(ctx, "create", "cluster", "--wait", "120s"); err != nil {
		return nil, errors.Join(fmt.Errorf("kind create cluster %s (is Docker running?): %w", name, err), stop())
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &Cluster{Name: o.Name, Server: config.Host, Kubeconfig: kubeconfig, stop: stop}, nil
}
