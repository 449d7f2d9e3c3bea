package kustomize

import (
	"errors"
	"fmt"
	"path"
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

// plainKinds are kinds that kustomize leaves alone when nothing transforms them: it rewrites no reference in them as
// long as no name changes. (In a RoleBinding's subjects, for one, it fills in the namespace.) A kind that is not here
// only costs time.
var plainKinds = map[string]bool{
	"ConfigMap": true, "Secret": true, "Namespace": true, "ServiceAccount": true, "Service": true,
	"Deployment": true, "StatefulSet": true, "DaemonSet": true, "Job": true, "CronJob": true,
	"PersistentVolumeClaim": true, "PodDisruptionBudget": true, "NetworkPolicy": true, "LimitRange": true,
	"ResourceQuota": true,
}

// plainBuild does what kustomize does with a list of manifest files: it parses them with kustomize's own parser, and
// leaves out what accumulating, transforming and fixing references would not change. kustomize compares every resource
// with every other as it adds them, which makes 1,000 files slow; and this way a file is parsed once for all builds of
// the process.
func plainBuild(fsys *fileSystem, dir string, k *types.Kustomization) ([]*manifest.Object, error) {
	var all []*manifest.Object
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	for _, r := range k.Resources {
		p := tree.Clean(path.Join(dir, r))
		if isRemote(r) || path.IsAbs(r) || isKustomizationFile(p) || !fsys.is(p, render.Regular) {
			return nil, errNotPlain
		}
		fsys.resources = append(fsys.resources, p)
		objects, err := parseManifest(fsys, factory, p)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if !isPlainObject(o, k.Namespace) {
				return nil, errNotPlain
			}
			if k.Namespace != "" {
				o.SetNamespace(k.Namespace)
			}
		}
		all = append(all, objects...)
	}
	if err := checkUnique(all); err != nil {
		return nil, fsys.locate(err)
	}
	return all, nil
}

// isPlainObject reports whether kustomize would change nothing in an object but its namespace. (A Namespace it
// renames.)
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

// parseManifest returns the objects of one file, from memory if the same content was parsed before. The caller may
// change the objects.
func parseManifest(fsys *fileSystem, factory *resource.Factory, p string) ([]*manifest.Object, error) {
	data, err := fsys.ReadFile(p)
	if err != nil {
		return nil, err
	}
	_, isSealed := fsys.sealed[p]
	digest := manifest.DigestOf(data)
	if !isSealed {
		if objects, ok := parsed.Get(digest); ok {
			return copies(objects), nil
		}
	}
	objects, err := parse(factory, data)
	if err != nil {
		return nil, explain(fsys, fmt.Errorf("%s: %w", tree.Local(p), err))
	}
	if !isSealed {
		parsed.Put(digest, copies(objects), len(data))
	}
	return objects, nil
}

// parse reads manifests as kustomize does: lists flattened, local configuration left out.
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
