package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// stand is where a benchmark takes place: a hub, a cluster of its own, and its spoke with the rights of the deploy
// manifest.
type stand struct {
	*workshop
	cluster *kubetest.Cluster
	fleet   *harness.Fleet
	spoke   *harness.Spoke
	hub     *operator
}

// setting is what a stand begins with.
type setting struct {
	audit    bool
	orphan   bool              // no pruning: what leaves Git stays in the cluster
	selector string            // of the Fleet; empty: every cluster
	spaces   []string          // namespaces to make
	files    map[string]string // below apps/, what the cluster runs
}

func (w *workshop) newStand(ctx context.Context, s setting) (*stand, error) {
	st := &stand{workshop: w}
	if err := st.start(ctx, s); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

func (st *stand) start(ctx context.Context, s setting) (err error) {
	st.cluster, err = kubetest.Start(ctx, kubetest.Options{Name: "bench", Audit: s.audit, Progress: st.progress})
	if err != nil {
		return err
	}
	for _, name := range s.spaces {
		if err := st.cluster.Apply(ctx, namespaceOf(name)); err != nil {
			return err
		}
	}
	if st.fleet, err = st.lab.NewFleet(ctx, "--log-level=info"); err != nil {
		return err
	}
	files := map[string]string{"hub/fleet.yaml": fleetManifest(s.selector, !s.orphan)}
	for path, content := range s.files {
		files["apps/"+path] = content
	}
	if err := st.fleet.Bootstrap(ctx, files); err != nil {
		return err
	}
	if st.hub, err = newOperator(st.fleet.Config()); err != nil {
		return err
	}
	st.spoke, err = st.fleet.Join(ctx, st.cluster, "--label=bench=yes")
	return err
}

// namespaceOf is the manifest of a namespace.
func namespaceOf(name string) []byte {
	return []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n")
}

func (st *stand) close() error {
	var errs []error
	if st.hub != nil {
		errs = append(errs, st.hub.conn.Close())
	}
	if st.fleet != nil {
		errs = append(errs, st.fleet.Close())
	}
	if st.cluster != nil {
		errs = append(errs, st.cluster.Stop())
	}
	return errors.Join(errs...)
}

func fleetManifest(selector string, prune bool) string {
	return fleetManifestAt("./apps", selector, prune)
}

func fleetManifestAt(path, selector string, prune bool) string {
	if selector == "" {
		selector = "{}"
	}
	return fmt.Sprintf(`apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: bench}
spec:
  clusterSelector: %s
  template:
    metadata: {name: apps, namespace: flux-system}
    spec:
      interval: 1h
      prune: %t
      path: %s
      sourceRef: {kind: GitRepository, name: hub}
`, selector, prune, path)
}

// operator speaks to the hub as the first operator. The connection stays open, so that a request costs what the hub
// makes it cost, and not the start of a process.
type operator struct {
	adminv1.AdminServiceClient

	conn *grpc.ClientConn
}

func newOperator(config string) (*operator, error) {
	c, err := operatorconfig.Load(config)
	if err != nil {
		return nil, err
	}
	x, err := c.Context("")
	if err != nil {
		return nil, err
	}
	tls, err := x.TLS()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+x.Hub, grpc.WithTransportCredentials(credentials.NewTLS(tls)))
	if err != nil {
		return nil, err
	}
	return &operator{AdminServiceClient: adminv1.NewAdminServiceClient(conn), conn: conn}, nil
}

// fetch asks the hub to look at the repository now; it returns when the hub has taken the request in.
func (o *operator) fetch(ctx context.Context) error { return o.reconcile(ctx, "GitRepository", "hub") }

// reconcile requests the reconciliation of an object of the hub; it returns when the hub has taken the request in.
func (o *operator) reconcile(ctx context.Context, kind, name string) error {
	_, err := o.Reconcile(ctx, &adminv1.ReconcileRequest{Key: &adminv1.ObjectKey{Kind: kind, Namespace: "flux-system",
		Name: name}})
	if err != nil {
		return fmt.Errorf("request a reconciliation: %w", err)
	}
	return nil
}

// push commits, pushes, and asks the hub to look; it returns when the push was done and the request was about to be
// sent.
func (st *stand) push(ctx context.Context, c gittest.Change) (time.Time, error) {
	if _, err := st.fleet.Repo.Apply(c); err != nil {
		return time.Time{}, err
	}
	asked := time.Now()
	return asked, st.hub.fetch(ctx)
}

// healthy waits until the spoke has carried out a bundle newer than a sequence, and returns its sequence.
func (st *stand) healthy(ctx context.Context, after float64) (sequence float64, err error) {
	const done = 3 // healthy, as the metric counts
	err = kubetest.Until(ctx, "a healthy bundle", func(ctx context.Context) error {
		stage, err := st.spoke.Metric(ctx, "nave_spoke_bundle_stage")
		if err != nil {
			return err
		}
		if sequence, err = st.spoke.Metric(ctx, "nave_spoke_bundle_sequence"); err != nil {
			return err
		}
		if sequence <= after || stage != done {
			return fmt.Errorf("the spoke has bundle %v at stage %v\n%s", sequence, stage, st.spoke.Tail())
		}
		return nil
	})
	return sequence, err
}

// rest lets a moment pass whose length is chance, so that what is measured does not keep step with the timers of what
// is being measured.
func rest(ctx context.Context) error {
	select {
	case <-time.After(100*time.Millisecond + rand.N(200*time.Millisecond)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// objectPrefix tells the objects of a benchmark from those that Kubernetes makes itself.
const objectPrefix = "object-"

// objectName is the i-th object's.
func objectName(i int) string { return fmt.Sprintf("%s%04d", objectPrefix, i) }

// payload makes a ConfigMap about as long as an ordinary one.
var payload = strings.Repeat("0123456789abcdef", 16)

// configMap is the i-th object of a tree with the value that makes it differ.
func configMap(namespace string, i int, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  value: %q\n  "+
		"payload: %s\n",
		objectName(i), namespace, value, payload)
}

// objectPath is the file of the i-th object, below apps/: one file an object, fifty a folder.
func objectPath(i int) string { return fmt.Sprintf("part-%02d/%s.yaml", i/50, objectName(i)) }

// tree is n objects.
func tree(namespace string, n int, value string) map[string]string {
	files := make(map[string]string, n)
	for i := range n {
		files[objectPath(i)] = configMap(namespace, i, value)
	}
	return files
}

// clear deletes every ConfigMap of a namespace that is ours.
func (st *stand) clear(ctx context.Context, namespace string) error {
	r, err := st.cluster.Resource("ConfigMap", namespace)
	if err != nil {
		return err
	}
	ours := metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"}
	if err := r.DeleteCollection(ctx, metav1.DeleteOptions{}, ours); err != nil {
		return fmt.Errorf("delete the ConfigMaps of %s: %w", namespace, err)
	}
	return nil
}

// parsed is configMap as an object.
func parsed(namespace string, i int, value string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"data": map[string]any{"value": value, "payload": payload}}}
	o.SetName(objectName(i))
	o.SetNamespace(namespace)
	return o
}
