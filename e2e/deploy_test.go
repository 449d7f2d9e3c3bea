package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/navefleet/nave/e2e/kubetest"
)

// volume is what a storage class would provide.
const volume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: nave-hub-data}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Delete
  claimRef: {namespace: nave-hub, name: data-nave-hub-0}
  hostPath: {path: /tmp}
`

// What README tells to apply is taken by an API server, whole, and the Pods that it makes run under the restricted
// pod-security level that their namespaces ask for.
func TestDeploy(t *testing.T) {
	needsLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cluster := lab.Clusters[0]
	t.Cleanup(func() { withdraw(t, cluster) })

	t.Run("hub", func(t *testing.T) {
		applyAll(ctx, t, cluster, build(t, "deploy/hub")+"---"+volume)
		o := runs(ctx, t, cluster, "StatefulSet.apps", "nave-hub", "nave-hub")
		knowsItsFlags(t, "nave-hub", o)
		leadsToAPod(ctx, t, cluster, "nave-hub", "nave-hub", 7443)
		refusesAnyPod(ctx, t, cluster, "nave-hub")
	})
	t.Run("credential_helper", func(t *testing.T) {
		applyAll(ctx, t, cluster, build(t, "deploy/credential-helper"))
		o := runs(ctx, t, cluster, "StatefulSet.apps", "nave-hub", "nave-hub")
		knowsItsFlags(t, "nave-hub", o)
		filled, _ := field(o, ".spec.template.spec.initContainers[0].command[3]")
		mounted, _ := field(o, `.spec.template.spec.containers[0].volumeMounts[?(@.name=="helpers")].mountPath`)
		args, _ := field(o, ".spec.template.spec.containers[0].args")
		if filled == "" || filled != mounted || !strings.Contains(args, "--docker-credential-helper-dir="+mounted) {
			t.Errorf("filled is %q, mounted is %q, the hub has %s", filled, mounted, args)
		}
	})
	t.Run("spoke", func(t *testing.T) {
		applyAll(ctx, t, cluster, build(t, "deploy/spoke"))
		o := runs(ctx, t, cluster, "Deployment.apps", "nave-system", "nave-spoke")
		knowsItsFlags(t, "nave-spoke", o)
		refusesAnyPod(ctx, t, cluster, "nave-system")
	})
	t.Run("key_service", func(t *testing.T) {
		applyAll(ctx, t, cluster, build(t, "deploy/key-service"))
		o := runs(ctx, t, cluster, "Deployment.apps", "nave-system", "nave-spoke")
		knowsItsFlags(t, "nave-spoke", o)
		service, _ := field(o, ".spec.template.spec.initContainers[0].command[2]")
		address, _ := field(o, `.spec.template.spec.containers[0].env[?(@.name=="KEY_SERVICE")].value`)
		if socket, isSocket := strings.CutPrefix(address, "unix://"); !isSocket || !strings.HasSuffix(service, socket) {
			t.Errorf("the spoke asks %q, and the key service runs %q", address, service)
		}
	})
	t.Run("cluster_add", func(t *testing.T) {
		fleet, err := lab.NewFleet(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer fleet.Close()
		manifest, err := fleet.Nave(ctx, "cluster", "add", "east", "--image=example.com/mirror/spoke:1")
		if err != nil {
			t.Fatal(err)
		}
		applyAll(ctx, t, cluster, manifest)
		o := runs(ctx, t, cluster, "Deployment.apps", "nave-system", "nave-spoke")
		if image, _ := field(o, ".spec.template.spec.containers[*].image"); image != "example.com/mirror/spoke:1" {
			t.Errorf("the spoke runs %q, not the image that was asked for", image)
		}
		refersToWhatIsThere(ctx, t, cluster, o)
	})
}

// build is kubectl kustomize.
func build(t *testing.T, dir string) string {
	t.Helper()
	root, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(),
		filepath.Join(root, dir))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return string(manifest)
}

// applyAll applies a manifest as kubectl apply --server-side does: a field that the API server does not know is an
// error.
func applyAll(ctx context.Context, t *testing.T, c *kubetest.Cluster, manifest string) {
	t.Helper()
	if err := c.Apply(ctx, []byte(manifest)); err != nil {
		t.Fatal(err)
	}
}

// runs waits until the one Pod of a workload's newest template is ready, and returns the workload.
func runs(ctx context.Context, t *testing.T, c *kubetest.Cluster, kind, namespace,
	name string) (o *unstructured.Unstructured) {
	t.Helper()
	err := kubetest.Until(ctx, kind+" "+name+" ready", func(ctx context.Context) (err error) {
		if o, err = c.Get(ctx, kind, namespace, name); err != nil {
			return err
		}
		generation, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		ready, _, _ := unstructured.NestedInt64(o.Object, "status", "readyReplicas")
		updated, _, _ := unstructured.NestedInt64(o.Object, "status", "updatedReplicas")
		if generation != o.GetGeneration() || ready != 1 || updated != 1 {
			return fmt.Errorf("%d ready, %d of the newest template:\n%s", ready, updated, warnings(ctx, c, namespace))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// refusesAnyPod wants the namespace to enforce its level: a Pod that asks for nothing does not meet it.
func refusesAnyPod(ctx context.Context, t *testing.T, c *kubetest.Cluster, namespace string) {
	t.Helper()
	pods, err := c.Resource("Pod", namespace)
	if err != nil {
		t.Fatal(err)
	}
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "any"},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "any", "image": "registry.k8s.io/pause:3.10"}}},
	}}
	if _, err := pods.Create(ctx, pod,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsForbidden(err) {
		t.Errorf("a Pod without a security context in %s: %v, want forbidden", namespace, err)
	}
}

// knowsItsFlags wants the program to have every flag that its container is given.
func knowsItsFlags(t *testing.T, program string, o *unstructured.Unstructured) {
	t.Helper()
	help, err := exec.Command(lab.Binary(program), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%s --help: %v\n%s", program, err, help)
	}
	args, err := field(o, ".spec.template.spec.containers[0].args[*]")
	if err != nil || args == "" {
		t.Fatalf("the container has no arguments: %v", err)
	}
	for _, arg := range strings.Fields(args) {
		name, _, _ := strings.Cut(arg, "=")
		if !regexp.MustCompile(`(?m)^\s+` + regexp.QuoteMeta(name) + `\s`).Match(help) {
			t.Errorf("%s has no flag %s", program, name)
		}
	}
}

// leadsToAPod wants a Service to have an address that is ready at a port.
func leadsToAPod(ctx context.Context, t *testing.T, c *kubetest.Cluster, namespace, service string, port int64) {
	t.Helper()
	slices, err := c.Resource("EndpointSlice.discovery.k8s.io", namespace)
	if err != nil {
		t.Fatal(err)
	}
	err = kubetest.Until(ctx, "Service "+service, func(ctx context.Context) error {
		list, err := slices.List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
		if err != nil {
			return err
		}
		for _, o := range list.Items {
			ports, err := field(&o, ".ports[*].port")
			if err != nil {
				return err
			}
			if ready, _ := field(&o, ".endpoints[*].conditions.ready"); ready == "true" && ports == fmt.Sprint(port) {
				return nil
			}
		}
		return fmt.Errorf("no address of it is ready at port %d", port)
	})
	if err != nil {
		t.Error(err)
	}
}

// warnings are the events that say why a Pod does not come.
func warnings(ctx context.Context, c *kubetest.Cluster, namespace string) string {
	events, err := c.Resource("Event", namespace)
	if err != nil {
		return err.Error()
	}
	list, err := events.List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, o := range list.Items {
		message, _, _ := unstructured.NestedString(o.Object, "message")
		lines = append(lines, message)
	}
	return strings.Join(lines, "\n")
}

// refersToWhatIsThere wants every ConfigMap and Secret that a Pod template names to exist, with the keys it names.
func refersToWhatIsThere(ctx context.Context, t *testing.T, c *kubetest.Cluster, o *unstructured.Unstructured) {
	t.Helper()
	for kind, paths := range map[string][2]string{
		"ConfigMap": {".spec.template.spec.volumes[*].configMap.name",
			".spec.template.spec.containers[*].env[*].valueFrom.configMapKeyRef.key"},
		"Secret": {".spec.template.spec.volumes[*].secret.secretName",
			".spec.template.spec.containers[*].env[*].valueFrom.secretKeyRef.key"},
	} {
		name, err := field(o, paths[0])
		if err != nil || name == "" {
			t.Fatalf("the Deployment mounts no %s: %v", kind, err)
		}
		there, err := c.Get(ctx, kind, o.GetNamespace(), name)
		if err != nil {
			t.Fatal(err)
		}
		data, _, _ := unstructured.NestedStringMap(there.Object, "data")
		keys, err := field(o, paths[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(keys) {
			if data[key] == "" {
				t.Errorf("%s %s has no %s", kind, name, key)
			}
		}
	}
}

// withdraw takes away what the manifests made.
func withdraw(t *testing.T, c *kubetest.Cluster) {
	ctx := context.Background()
	if err := clean(ctx, c); err != nil {
		t.Error(err)
	}
	for _, o := range [][3]string{{"PersistentVolume", "", "nave-hub-data"}, {"ConfigMap", ours, "nave-spoke"}} {
		if err := ignoreMissing(c.Delete(ctx, o[0], o[1], o[2])); err != nil {
			t.Error(err)
		}
	}
}
