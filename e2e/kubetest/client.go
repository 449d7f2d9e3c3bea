package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// client reads and writes a cluster as its admin.
type client struct {
	config  *rest.Config
	dynamic *dynamic.DynamicClient
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func newClient(kubeconfig string) (*client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, 0
	d, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &client{config: config, dynamic: d,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}, nil
}

// Config returns a copy of the admin's client configuration.
func (c *client) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Resource returns a client of one kind, written "Deployment.apps" or "ConfigMap"; namespace may be empty.
func (c *client) Resource(kind, namespace string) (dynamic.ResourceInterface, error) {
	gk := schema.ParseGroupKind(kind)
	mapping, err := c.mapper.RESTMapping(gk)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gk)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// Get returns one object.
func (c *client) Get(ctx context.Context, kind, namespace, name string) (*unstructured.Unstructured, error) {
	r, err := c.Resource(kind, namespace)
	if err != nil {
		return nil, err
	}
	return r.Get(ctx, name, metav1.GetOptions{})
}

// Delete deletes one object, in the background.
func (c *client) Delete(ctx context.Context, kind, namespace, name string) error {
	r, err := c.Resource(kind, namespace)
	if err != nil {
		return err
	}
	return r.Delete(ctx, name, metav1.DeleteOptions{})
}

// Edit changes one object by a JSON merge patch, as a person with kubectl edit does.
func (c *client) Edit(ctx context.Context, kind, namespace, name, patch string) error {
	return c.patch(ctx, kind, namespace, name, patch, "kubectl-edit")
}

// EditStatus changes the status of one object by a JSON merge patch, as its controller does.
func (c *client) EditStatus(ctx context.Context, kind, namespace, name, patch string) error {
	return c.patch(ctx, kind, namespace, name, patch, "controller", "status")
}

// Scale sets the replicas of one object by its scale subresource, as `kubectl scale` and the HorizontalPodAutoscaler
// do.
func (c *client) Scale(ctx context.Context, kind, namespace, name string, replicas int) error {
	return c.patch(ctx, kind, namespace, name, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas), "scaler", "scale")
}

func (c *client) patch(ctx context.Context, kind, namespace, name, patch, manager string, subresource ...string) error {
	r, err := c.Resource(kind, namespace)
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: manager}
	_, err = r.Patch(ctx, name, types.MergePatchType, []byte(patch), options, subresource...)
	return err
}

// Apply applies every document of a manifest, as kubectl apply --server-side does, and returns when the rights that it
// binds are in force.
func (c *client) Apply(ctx context.Context, manifest []byte) error {
	return c.apply(ctx, manifest, metav1.ApplyOptions{FieldManager: "kubectl", Force: true})
}

// DryRun is Apply with --dry-run=server: every document goes through admission, and nothing is stored.
func (c *client) DryRun(ctx context.Context, manifest []byte) error {
	return c.apply(ctx, manifest, metav1.ApplyOptions{FieldManager: "kubectl", Force: true,
		DryRun: []string{metav1.DryRunAll}})
}

func (c *client) apply(ctx context.Context, manifest []byte, options metav1.ApplyOptions) error {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(o.Object) == 0 {
			continue
		}
		if err := c.applyObject(ctx, o, options); err != nil {
			return fmt.Errorf("apply %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
	}
}

func (c *client) applyObject(ctx context.Context, o *unstructured.Unstructured, options metav1.ApplyOptions) error {
	r, err := c.Resource(o.GroupVersionKind().GroupKind().String(), o.GetNamespace())
	if err != nil {
		return err
	}
	if _, err = r.Apply(ctx, o.GetName(), o, options); err != nil || len(options.DryRun) > 0 {
		return err
	}
	return c.inForce(ctx, o)
}

// ServiceAccountKubeconfig writes a kubeconfig that acts as a service account of the cluster, with a token of an hour.
func (c *client) ServiceAccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	token, err := c.token(ctx, namespace, name)
	if err != nil {
		return fmt.Errorf("token of service account %s/%s: %w", namespace, name, err)
	}
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "c",
			"cluster": map[string]any{"server": c.config.Host, "certificate-authority-data": c.config.CAData}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{"token": token}}},
		"contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "c", "user": "u"}}},
	}
	b, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// tokenLife is how long a token is valid, in seconds. No kubelet renews it, and a demo may stay for days.
const tokenLife = int64(30 * 24 * 3600)

func (c *client) token(ctx context.Context, namespace, name string) (string, error) {
	r := c.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(namespace)
	request := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"expirationSeconds": tokenLife},
	}}
	answer, err := r.Create(ctx, request, metav1.CreateOptions{}, "token")
	if err != nil {
		return "", err
	}
	token, _, err := unstructured.NestedString(answer.Object, "status", "token")
	return token, err
}

// Until calls check every few milliseconds until check returns nil. When ctx ends, Until returns the last error of
// check.
func Until(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, err)
		}
	}
}

// AuditedRequests returns the requests of a user in the audit log: verb, URI and stage of each.
func (c *Cluster) AuditedRequests(user string) ([]string, error) {
	b, err := os.ReadFile(c.AuditLog)
	if err != nil {
		return nil, fmt.Errorf("cluster %s was started without Audit: %w", c.Name, err)
	}
	var requests []string
	for line := range bytes.Lines(b) {
		var event struct {
			Verb, RequestURI, Stage string
			User                    struct{ Username string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			continue // the last line may be half written
		}
		if event.User.Username == user && (event.Stage == "ResponseComplete" || event.Stage == "ResponseStarted") {
			requests = append(requests, strings.Join([]string{event.Verb, event.RequestURI, event.Stage}, " "))
		}
	}
	return requests, nil
}
