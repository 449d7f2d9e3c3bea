package kustomize

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// errNotPlain: the resources need kustomize after all.
var errNotPlain = errors.New("not a plain list of manifests")

// plainKinds are kinds that kustomize does not change without a transformer: it rewrites no reference in them if no
// name changes. (In a RoleBinding's subjects, for example, it sets the namespace.) Other kinds are built by kustomize,
// which only costs time.
var plainKinds = map[string]bool{
	"ConfigMap": true, "Secret": true, "Namespace": true, "ServiceAccount": true, "Service": true,
	"Deployment": true, "StatefulSet": true, "DaemonSet": true, "Job": true, "CronJob": true,
	"PersistentVolumeClaim": true, "PodDisruptionBudget": true, "NetworkPolicy": true, "LimitRange": true,
	"ResourceQuota": true,
}

// plainBuild returns the same objects as kustomize for a list of manifest files. It parses them with kustomize's own
// parser, and skips the steps of kustomize that would not change them. kustomize compares every resource with every
// other as it adds them, which makes 1,000 files slow. plainBuild also parses a file once for all builds of the
// process. If an object needs kustomize itself, plainBuild returns errNotPlain. Objects that an earlier build finished
// are finished: fsys.memory has them.
func plainBuild(fsys *fileSystem, dir string, k *types.Kustomization, spec *Spec) ([]*manifest.Object, error) {
	var all []*manifest.Object
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	m, err := newMemory(spec, k.Namespace)
	if err != nil {
		return nil, err
	}
	for _, r := range k.Resources {
		p := tree.Clean(path.Join(dir, r))
		if isRemote(r) || path.IsAbs(r) || isKustomizationFile(p) || !fsys.is(p, render.Regular) {
			return nil, errNotPlain
		}
		fsys.resources = append(fsys.resources, p)
	}
	for _, p := range fsys.resources[len(fsys.resources)-len(k.Resources):] {
		objects, err := plainObjects(fsys, m, factory, p, k.Namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	if err := checkUnique(all); err != nil {
		return nil, fsys.locate(err)
	}
	fsys.memory = m
	return all, nil
}

// plainObjects returns the objects of one file, with a namespace.
func plainObjects(fsys *fileSystem, m *memory, factory *resource.Factory, p, namespace string) ([]*manifest.Object,
	error) {
	data, err := fsys.ReadFile(p)
	if err != nil {
		return nil, err
	}
	_, isSealed := fsys.sealed[p]
	if isSealed {
		objects, err := parseManifest(fsys, factory, p, data)
		return objects, cmp.Or(err, makePlain(objects, namespace))
	}
	content := manifest.DigestOf(data)
	if objects, ok := m.recall(content); ok {
		return objects, nil
	}
	if objects, ok := parsed.Get(content); ok {
		objects = copies(objects)
		return objects, makePlain(objects, namespace)
	}
	objects, err := parseManifest(fsys, factory, p, data)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(objects, func(o *manifest.Object) bool { return !dependsOnContent(o) }) {
		parsed.Put(content, copies(objects), len(data))
	} else {
		m.fresh = append(m.fresh, freshFile{content, objects})
	}
	return objects, makePlain(objects, namespace)
}

// makePlain sets the namespace of objects; empty: it stays. If an object needs kustomize itself, makePlain returns
// errNotPlain.
func makePlain(objects []*manifest.Object, namespace string) error {
	for _, o := range objects {
		if !isPlainObject(o, namespace) {
			return errNotPlain
		}
		if namespace != "" {
			o.SetNamespace(namespace)
		}
	}
	return nil
}

// isPlainObject reports whether kustomize would change no field of an object but its namespace. (It would rename a
// Namespace.)
func isPlainObject(o *manifest.Object, namespace string) bool {
	return (plainKinds[o.GetKind()] || api.Known(o)) && !hasBuildAnnotation(o) &&
		(namespace == "" || o.GetKind() != "Namespace")
}

// hasBuildAnnotation reports whether an object has an annotation that kustomize takes for its own.
func hasBuildAnnotation(o *manifest.Object) bool {
	for key := range o.GetAnnotations() {
		if prefix, _, _ := strings.Cut(key, "/"); strings.HasSuffix(prefix, "config.kubernetes.io") ||
			prefix == "config.k8s.io" {
			return true
		}
	}
	return false
}

// parseManifest returns the objects of one file with a content.
func parseManifest(fsys *fileSystem, factory *resource.Factory, p string, data []byte) ([]*manifest.Object, error) {
	objects, err := parse(factory, data)
	if err != nil {
		return nil, explain(fsys, fmt.Errorf("%s: %w", tree.Local(p), err))
	}
	return objects, nil
}

// parse returns the objects of manifests as kustomize parses them. It flattens lists and leaves out local
// configuration.
func parse(factory *resource.Factory, data []byte) (objects []*manifest.Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kustomize panicked: %v", r)
		}
	}()
	found, err := factory.SliceFromBytes(data)
	if err != nil {
		return nil, err
	}
	nodes := make([]*yaml.RNode, len(found))
	for i, r := range found {
		nodes[i] = &r.RNode
	}
	kept, err := factory.DropLocalNodes(nodes)
	if err != nil {
		return nil, err
	}
	for _, r := range kept { // as at the end of a build: numbers become text, and empty annotations go
		if err := r.SetAnnotations(r.GetAnnotations()); err != nil {
			return nil, err
		}
	}
	return toObjects(kept)
}
