package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/e2e/kubetest"
)

// play tells the story of a commit. Each step is seen on the API servers, or play fails.
func (d *demo) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for _, step := range []func(context.Context) error{
		d.commitIsLive, d.changedLineIsLive, d.releaseIsTested, d.secretIsInTheClustersOnly, d.editIsRepaired,
		d.deletedComesBack, d.removedIsPruned, d.hubStoppedDriftIsRepaired, d.hubBackInSync,
	} {
		if err := step(ctx); err != nil {
			return errors.Join(err, d.explain(ctx))
		}
	}
	d.say("every step was seen on the API servers")
	return nil
}

// explain adds what the hub knows about a failure.
func (d *demo) explain(ctx context.Context) error {
	out, err := d.fleet.Nave(context.WithoutCancel(ctx), "explain")
	if out == "" {
		return err
	}
	return errors.New("nave explain says:\n" + out)
}

// everywhere waits until check holds on every cluster.
func (d *demo) everywhere(ctx context.Context, what string,
	check func(context.Context, *kubetest.Cluster) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	begin := time.Now()
	for _, c := range d.lab.Clusters {
		err := kubetest.Until(ctx, what+" on "+c.Name, func(ctx context.Context) error { return check(ctx, c) })
		if err != nil {
			return err
		}
	}
	d.say("✔ %s (%d ms)", what, time.Since(begin).Milliseconds())
	return nil
}

func ready(ctx context.Context, c *kubetest.Cluster) error {
	o, err := c.Get(ctx, "Deployment.apps", "app", "web")
	if err != nil {
		return err
	}
	want, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if got, _, _ := unstructured.NestedInt64(o.Object, "status", "readyReplicas"); got != want {
		return fmt.Errorf("%d of %d replicas are ready", got, want)
	}
	return nil
}

// greets checks the ConfigMap's greeting, which holds the cluster's name by substitution.
func greets(word string) func(context.Context, *kubetest.Cluster) error {
	return func(ctx context.Context, c *kubetest.Cluster) error {
		return hasData(ctx, c, "ConfigMap", "web", "greeting", word+" to "+c.Name)
	}
}

func hasData(ctx context.Context, c *kubetest.Cluster, kind, name, key, want string) error {
	o, err := c.Get(ctx, kind, "app", name)
	if err != nil {
		return err
	}
	got, _, err := unstructured.NestedString(o.Object, "data", key)
	if err != nil || got != want {
		return fmt.Errorf("%s %s has %s=%q, want %q", kind, name, key, got, want)
	}
	return nil
}

func (d *demo) commitIsLive(ctx context.Context) error {
	return d.everywhere(ctx, "a commit is live on both clusters, with its variables", greets("welcome"))
}

func (d *demo) changedLineIsLive(ctx context.Context) error {
	if _, err := d.fleet.Repo.Commit(map[string]string{"apps/base/config.yaml": configYAML("hello")},
		"say hello"); err != nil {
		return err
	}
	if err := d.fleet.Sync(ctx); err != nil {
		return err
	}
	return d.everywhere(ctx, "a changed line is live", greets("hello"))
}

func (d *demo) secretIsInTheClustersOnly(ctx context.Context) error {
	encoded := base64.StdEncoding.EncodeToString([]byte(plaintext))
	err := d.everywhere(ctx, "the secret is decrypted in the clusters",
		func(ctx context.Context, c *kubetest.Cluster) error {
			return hasData(ctx, c, "Secret", "app", "password", encoded)
		})
	if err != nil {
		return err
	}
	// Everything that the hub and the spokes keep or wrote, and the repository, is below the fleet's folder.
	if err := nowhere(d.fleet.Dir, plaintext, encoded); err != nil {
		return err
	}
	d.say("✔ and nowhere else: not in git, not with the hub, not on the spokes' disks, not in a log")
	return nil
}

// nowhere fails if a file below dir holds one of the texts.
func nowhere(dir string, texts ...string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if bytes.Contains(b, []byte(text)) {
				return fmt.Errorf("the plaintext of the secret is in %s", path)
			}
		}
		return nil
	})
}

func (d *demo) editIsRepaired(ctx context.Context) error {
	if err := d.editAll(ctx); err != nil {
		return err
	}
	return d.everywhere(ctx, "an object edited by hand is repaired", greets("hello"))
}

func (d *demo) editAll(ctx context.Context) error {
	for _, c := range d.lab.Clusters {
		if err := c.Edit(ctx, "ConfigMap", "app", "web", `{"data":{"greeting":"changed by hand"}}`); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) deletedComesBack(ctx context.Context) error {
	for _, c := range d.lab.Clusters {
		if err := c.Delete(ctx, "ConfigMap", "app", "web"); err != nil {
			return err
		}
	}
	return d.everywhere(ctx, "an object deleted by hand is back", greets("hello"))
}

func (d *demo) removedIsPruned(ctx context.Context) error {
	if _, err := d.fleet.Repo.Commit(map[string]string{
		"apps/base/kustomization.yaml": "resources: [namespace.yaml, config.yaml, deployment.yaml, secret.yaml]\n",
	}, "drop the extra ConfigMap"); err != nil {
		return err
	}
	if _, err := d.fleet.Repo.Remove("remove its file", "apps/base/extra.yaml"); err != nil {
		return err
	}
	if err := d.fleet.Sync(ctx); err != nil {
		return err
	}
	return d.everywhere(ctx, "a file removed from git is pruned", func(ctx context.Context, c *kubetest.Cluster) error {
		_, err := c.Get(ctx, "ConfigMap", "app", "extra")
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is still there"), err)
	})
}

func (d *demo) hubStoppedDriftIsRepaired(ctx context.Context) error {
	// What is to be 0 after the restart must have counted before it, or it would say nothing.
	if sent, err := d.bytesSent(ctx); err != nil || sent == "0" {
		return errors.Join(errors.New("the hub did not count the blobs that it sent"), err)
	}
	if err := d.fleet.Hub.Stop(); err != nil {
		return err
	}
	d.say("the hub is stopped")
	if err := d.editAll(ctx); err != nil {
		return err
	}
	if err := d.everywhere(ctx, "without a hub, drift is still repaired", greets("hello")); err != nil {
		return err
	}
	for _, s := range d.fleet.Spokes {
		if err := s.Kill(); err != nil {
			return err
		}
	}
	if err := d.editAll(ctx); err != nil {
		return err
	}
	for _, s := range d.fleet.Spokes {
		if err := s.Start(ctx); err != nil {
			return err
		}
	}
	return d.everywhere(ctx, "also by a spoke that was killed and started again, from its disk", greets("hello"))
}

func (d *demo) hubBackInSync(ctx context.Context) error {
	if err := d.fleet.Hub.Start(ctx); err != nil {
		return err
	}
	err := d.everywhere(ctx, "the hub is back and the clusters are in sync",
		func(ctx context.Context, c *kubetest.Cluster) error {
			out, err := d.fleet.Nave(ctx, "get", "cluster", c.Name)
			if err != nil {
				return err
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if f := strings.Fields(lines[len(lines)-1]); len(f) < 3 || f[1] != "True" || f[2] != "True" {
				return fmt.Errorf("nave get cluster says: %s", lines[len(lines)-1])
			}
			return nil
		})
	if err != nil {
		return err
	}
	return d.noBlobWasSent(ctx)
}

// noBlobWasSent reads the restarted hub's own count.
func (d *demo) noBlobWasSent(ctx context.Context) error {
	sent, err := d.bytesSent(ctx)
	if err != nil {
		return err
	}
	if sent != "0" {
		return fmt.Errorf("the restarted hub sent %s bytes of blobs to spokes that had them", sent)
	}
	d.say("✔ and no blob was sent again")
	return nil
}

// bytesSent is how many bytes of blobs the hub says that it sent to spokes since its start.
func (d *demo) bytesSent(ctx context.Context) (string, error) {
	text, err := d.fleet.Hub.Get(ctx, "/metrics")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == "nave_fetch_bytes_total" {
			return value, nil
		}
	}
	return "", errors.New("the hub has no metric nave_fetch_bytes_total")
}
