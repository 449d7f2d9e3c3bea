package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
)

// fleetFiles are a hub's root and one ConfigMap for every cluster.
func fleetFiles(value string) map[string]string {
	return map[string]string{
		"hub/fleet.yaml": `
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: root, namespace: flux-system}
    spec: {interval: 10m, prune: true, path: ./app, sourceRef: {kind: GitRepository, name: hub}}
`,
		"app/app.yaml": `
apiVersion: v1
kind: Namespace
metadata: {name: moved}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: app, namespace: moved}
data: {value: "` + value + `"}
`,
	}
}

// TestMovedHub moves a cluster from one hub to another and back, by nothing but the manifests that the hubs print.
func TestMovedHub(t *testing.T) {
	needsLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	east := lab.Clusters[0]
	first, second := hubWith(ctx, t, "first"), hubWith(ctx, t, "second")
	spoke, err := first.Join(ctx, east, "--label=env=test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the clusters are used again
		if err := errors.Join(spoke.Stop(), clean(context.Background(), east)); err != nil {
			t.Error(err)
		}
	})
	awaitValue(ctx, t, east, "first")
	if err := second.Rejoin(ctx, spoke, "--label=env=test"); err != nil {
		t.Fatal(err)
	}
	awaitValue(ctx, t, east, "second")
	if err := first.Rejoin(ctx, spoke); err != nil {
		t.Fatal(err)
	}
	awaitValue(ctx, t, east, "first")
	if _, err := first.Repo.Commit(fleetFiles("first again"), "a change"); err != nil {
		t.Fatal(err)
	}
	if err := first.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	awaitValue(ctx, t, east, "first again")
}

// hubWith starts a hub with a repository whose ConfigMap has a value.
func hubWith(ctx context.Context, t *testing.T, value string) *harness.Fleet {
	t.Helper()
	f, err := lab.NewFleetIn(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the hub of %s said last:\n%s", value, f.Hub.Tail())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := f.Bootstrap(ctx, fleetFiles(value)); err != nil {
		t.Fatal(err)
	}
	return f
}

func awaitValue(ctx context.Context, t *testing.T, c *kubetest.Cluster, want string) {
	t.Helper()
	err := kubetest.Until(ctx, "ConfigMap moved/app is of "+want, func(ctx context.Context) error {
		o, err := c.Get(ctx, "ConfigMap", "moved", "app")
		if err != nil {
			return err
		}
		if got, _ := field(o, ".data.value"); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
