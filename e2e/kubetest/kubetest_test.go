package kubetest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/navefleet/nave/e2e/kubetest"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.com/web:1}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: default}
`

func TestTwoClusters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // the first build of the binary included
	defer cancel()
	clusters := make([]*kubetest.Cluster, 2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range clusters {
		wg.Go(func() { clusters[i], errs[i] = kubetest.Start(ctx, kubetest.Options{Name: fmt.Sprint("c", i)}) })
	}
	wg.Wait()
	for i, c := range clusters {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		t.Cleanup(func() {
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	if clusters[0].Server == clusters[1].Server {
		t.Fatalf("both clusters are served at %s", clusters[0].Server)
	}
	for _, c := range clusters {
		if err := c.Apply(ctx, []byte(deployment)); err != nil {
			t.Fatal(err)
		}
		if err := kubetest.Until(ctx, "two ready replicas on "+c.Name, twoReady(c)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("rbac", func(t *testing.T) { refusesAServiceAccountWithoutRoles(t, clusters[0]) })
}

func twoReady(c *kubetest.Cluster) func(context.Context) error {
	return func(ctx context.Context) error {
		o, err := c.Get(ctx, "Deployment.apps", "default", "web")
		if err != nil {
			return err
		}
		if n, _, _ := unstructured.NestedInt64(o.Object, "status", "readyReplicas"); n != 2 {
			return fmt.Errorf("%d replicas ready", n)
		}
		return nil
	}
}

func refusesAServiceAccountWithoutRoles(t *testing.T, c *kubetest.Cluster) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.ServiceAccountKubeconfig(t.Context(), "default", "nobody", path); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).List(t.Context(),
		metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Fatalf("list secrets as a service account without roles: %v, want forbidden", err)
	}
}
