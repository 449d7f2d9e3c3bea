// Package fluxtest does to a real cluster what Flux does, with Flux's own libraries: it bootstraps, and it builds and
// applies Kustomizations under Flux's field managers, with owner labels, finalizers, inventories and pruning.
//
//	flux, err := fluxtest.New(cluster.Config())
//	err = flux.Bootstrap(ctx, checkout, "clusters/prod") // as the CLI: what the repository has in flux-system
//	err = flux.Reconcile(ctx, checkout, revision)        // as the controllers: every Kustomization, once
package fluxtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	applier   = "kustomize-controller"
	group     = "kustomize.toolkit.fluxcd.io"
	finalizer = "finalizers.fluxcd.io"
)

// Flux is the Flux of one cluster.
type Flux struct {
	// Components is a gotk-components.yaml as `flux bootstrap` writes it: the definitions of Flux's kinds, and the
	// Deployments of its controllers, which do nothing here.
	Components string
	// Decrypt returns an object that SOPS encrypted in plain; nil: there are none.
	Decrypt func(*unstructured.Unstructured) (*unstructured.Unstructured, error)

	client client.Client
}

// New returns the Flux of a cluster, which is not installed yet.
func New(config *rest.Config) (*Flux, error) {
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	components, err := components()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	return &Flux{client: c, Components: components}, err
}

// Bootstrap applies the folder flux-system below a path of a checkout, as the CLI does.
func (f *Flux) Bootstrap(ctx context.Context, checkout, path string) error {
	objects, err := build(checkout, &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"path": filepath.Join(path, "flux-system")}}})
	if err != nil {
		return err
	}
	_, err = f.manager("flux").ApplyAllStaged(ctx, objects, applyOptions())
	return err
}

func (f *Flux) manager(field string) *ssa.ResourceManager {
	poller := polling.NewStatusPoller(f.client, f.client.RESTMapper(), polling.Options{})
	return ssa.NewResourceManager(f.client, poller, ssa.Owner{Field: field, Group: group})
}

// applyOptions are those of kustomize-controller.
func applyOptions() ssa.ApplyOptions {
	o := ssa.DefaultApplyOptions()
	o.WaitInterval = 50 * time.Millisecond
	o.IfNotPresentSelector = map[string]string{group + "/ssa": "IfNotPresent"}
	o.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{"kubectl.kubernetes.io/last-applied-configuration"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{group + "/ssa": "Merge"},
	}
	return o
}

// Reconcile builds and applies all Kustomizations of the cluster that are not suspended, each once, until none comes
// that was not there before.
func (f *Flux) Reconcile(ctx context.Context, checkout, revision string) error {
	done := map[client.ObjectKey]bool{}
	for again := true; again; {
		again = false
		list, err := f.list(ctx, "Kustomization", "")
		if err != nil {
			return err
		}
		for i := range list {
			k := &list[i]
			key := client.ObjectKeyFromObject(k)
			if suspended, _, _ := unstructured.NestedBool(k.Object, "spec", "suspend"); suspended || done[key] {
				continue
			}
			done[key], again = true, true
			if err := f.reconcile(ctx, k, checkout, revision); err != nil {
				return fmt.Errorf("the Kustomization %s of Flux: %w", key, err)
			}
		}
	}
	return nil
}

func (f *Flux) list(ctx context.Context, kind, namespace string) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(group + "/v1")
	list.SetKind(kind + "List")
	err := f.client.List(ctx, list, client.InNamespace(namespace))
	return list.Items, err
}

func (f *Flux) reconcile(ctx context.Context, k *unstructured.Unstructured, checkout, revision string) error {
	if err := f.finalize(ctx, k, finalizer); err != nil {
		return err
	}
	objects, err := f.objects(ctx, k, checkout)
	if err != nil {
		return err
	}
	m := f.manager(applier)
	m.SetOwnerLabels(objects, k.GetName(), k.GetNamespace())
	if err := normalize.UnstructuredList(objects); err != nil {
		return err
	}
	set, err := m.ApplyAllStaged(ctx, objects, applyOptions())
	if err != nil {
		return err
	}
	if err := f.prune(ctx, m, k, set); err != nil {
		return err
	}
	return f.report(ctx, k, set, revision)
}

// finalize sets the finalizer of a Kustomization, or takes it away if it is empty.
func (f *Flux) finalize(ctx context.Context, k *unstructured.Unstructured, name string) error {
	var names []string
	if name != "" {
		names = []string{name}
	}
	before := k.DeepCopy()
	k.SetFinalizers(names)
	return f.client.Patch(ctx, k, client.MergeFrom(before), client.FieldOwner(applier))
}

// objects builds a Kustomization, and decrypts and substitutes what it gives.
func (f *Flux) objects(ctx context.Context, k *unstructured.Unstructured,
	checkout string) ([]*unstructured.Unstructured, error) {
	objects, err := build(checkout, k)
	if err != nil {
		return nil, err
	}
	for i, o := range objects {
		if o.Object["sops"] != nil && f.Decrypt != nil {
			if objects[i], err = f.Decrypt(o); err != nil {
				return nil, err
			}
		}
		if objects[i], err = f.substitute(ctx, k, objects[i]); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// prune deletes what the inventory of before has and the set has not.
func (f *Flux) prune(ctx context.Context, m *ssa.ResourceManager, k *unstructured.Unstructured,
	set *ssa.ChangeSet) error {
	if prune, _, _ := unstructured.NestedBool(k.Object, "spec", "prune"); !prune {
		return nil
	}
	kept := map[string]bool{}
	for _, e := range set.Entries {
		kept[e.ObjMetadata.String()] = true
	}
	entries, _, _ := unstructured.NestedSlice(k.Object, "status", "inventory", "entries")
	var stale []*unstructured.Unstructured
	for _, e := range entries {
		entry := e.(map[string]any)
		id, version := entry["id"].(string), entry["v"].(string)
		meta, err := object.ParseObjMetadata(id)
		if err != nil {
			return err
		}
		if kept[id] {
			continue
		}
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(meta.GroupKind.WithVersion(version))
		o.SetName(meta.Name)
		o.SetNamespace(meta.Namespace)
		stale = append(stale, o)
	}
	_, err := m.DeleteAll(ctx, stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        m.GetOwnerLabels(k.GetName(), k.GetNamespace()),
		Exclusions:        map[string]string{group + "/prune": "disabled", group + "/reconcile": "disabled"},
	})
	return err
}

// report writes the status of a Kustomization that was applied.
func (f *Flux) report(ctx context.Context, k *unstructured.Unstructured, set *ssa.ChangeSet, revision string) error {
	entries := []any{}
	for _, e := range set.Entries {
		version := e.GroupVersion[strings.LastIndex(e.GroupVersion, "/")+1:]
		entries = append(entries, map[string]any{"id": e.ObjMetadata.String(), "v": version})
	}
	before := k.DeepCopy()
	k.Object["status"] = map[string]any{
		"observedGeneration": k.GetGeneration(), "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
		"inventory": map[string]any{"entries": entries},
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded",
			"message": "Applied revision: " + revision, "observedGeneration": k.GetGeneration(),
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}},
	}
	return f.client.Status().Patch(ctx, k, client.MergeFrom(before), client.FieldOwner("gotk-"+applier))
}

// Suspend suspends all Kustomizations of a namespace, as `flux suspend kustomization --all` does.
func (f *Flux) Suspend(ctx context.Context, namespace string) error {
	list, err := f.list(ctx, "Kustomization", namespace)
	if err != nil {
		return err
	}
	for i := range list {
		before := list[i].DeepCopy()
		if err := unstructured.SetNestedField(list[i].Object, true, "spec", "suspend"); err != nil {
			return err
		}
		if err := f.client.Patch(ctx, &list[i], client.MergeFrom(before), client.FieldOwner("flux")); err != nil {
			return err
		}
	}
	return nil
}

// Uninstall removes Flux as `flux uninstall --keep-namespace` does: its controllers, then the finalizers of its
// objects, then its definitions, and with them its objects.
func (f *Flux) Uninstall(ctx context.Context) error {
	components, err := utils.ReadObjects(bytes.NewReader([]byte(f.Components)))
	if err != nil {
		return err
	}
	list, err := f.list(ctx, "Kustomization", "")
	if err != nil {
		return err
	}
	for i := range list {
		if err := f.finalize(ctx, &list[i], ""); err != nil {
			return err
		}
	}
	for _, o := range components {
		if utils.IsNamespace(o) {
			continue
		}
		if err := client.IgnoreNotFound(f.client.Delete(ctx, o)); err != nil {
			return err
		}
	}
	return nil
}

// build builds a Kustomization in a copy of the checkout.
func build(checkout string, k *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	dir, err := os.MkdirTemp("", "nave-flux-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	if err := os.CopyFS(filepath.Join(dir, "tree"), os.DirFS(checkout)); err != nil {
		return nil, err
	}
	path, _, _ := unstructured.NestedString(k.Object, "spec", "path")
	at := filepath.Join(dir, "tree", path)
	if _, err := fluxkustomize.NewGenerator(dir, *k).WriteFile(at); err != nil {
		return nil, err
	}
	built, err := fluxkustomize.SecureBuild(dir, at, false)
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return utils.ReadObjects(bytes.NewReader(text))
}
