package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
)

// ClusterNameVariable is the variable that every cluster has.
const ClusterNameVariable = "cluster_name"

// ExpandTemplate returns the root Kustomization that the Fleet gives to the cluster, admitted, with the patches of the
// overrides that select the cluster. ${cluster_name}, the cluster's spec.vars and the vars of those overrides are
// replaced in every string, with Flux's syntax: ${name}, ${name:-default}, and $$ for a plain $. A variable that is not
// set and has no default is an error that names it.
func ExpandTemplate(f *Fleet, c *Cluster) (*Object, error) {
	vars, overrides := maps.Clone(c.Spec.Vars), f.overridesOf(c)
	for _, at := range slices.Backward(overrides) {
		vars = withDefaults(vars, f.Spec.Overrides[at].Vars)
	}
	o, err := expandTemplate(f, overrides, func(path, text string) (any, error) {
		expanded, err := expandText(text, c.Name, vars)
		return typed(path, expanded), err
	})
	if err != nil {
		return nil, fmt.Errorf("%s on cluster %s: spec.%w", f.key(), c.Name, err)
	}
	return o, nil
}

// overridesOf returns the indexes of the overrides that select a cluster.
func (f *Fleet) overridesOf(c *Cluster) (at []int) {
	for i, o := range f.Spec.Overrides {
		if selectorOf(o.ClusterSelector).Matches(ClusterLabels(c.Name, c.Labels)) {
			at = append(at, i)
		}
	}
	return at
}

// withDefaults returns vars, and the defaults that vars does not have.
func withDefaults(vars, defaults map[string]string) map[string]string {
	all := maps.Clone(defaults)
	if all == nil {
		return vars
	}
	maps.Copy(all, vars)
	return all
}

// expandTemplate returns the root Kustomization, admitted, with the patches of some overrides. Each string with a $ is
// replaced by the result of expand. Errors begin with the field in spec.
func expandTemplate(f *Fleet, overrides []int, expand func(path, text string) (any, error)) (*Object, error) {
	var spec map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(f.Spec.Template.Spec, &spec); err != nil {
		return nil, fmt.Errorf("template: spec: want a map: %w", err)
	}
	if spec != nil && f.Spec.Suspend {
		spec["suspend"] = true
	}
	m := f.Spec.Template.Metadata
	m.Name, m.Namespace = cmp.Or(m.Name, FluxRoot), cmp.Or(m.Namespace, DefaultNamespace)
	tree, err := expandValue("", map[string]any{"metadata": m.tree(), "spec": spec}, expand)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	o := &manifest.Object{Object: tree.(map[string]any)}
	if err := addPatches(o.Object, f, overrides, expand); err != nil {
		return nil, err
	}
	o.SetAPIVersion(GroupKustomize + "/v1")
	o.SetKind(KustomizationKind)
	admitted, err := Admit(o, ClusterGraph)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return admitted, nil
}

// addPatches adds the patches of overrides to a root.
func addPatches(root map[string]any, f *Fleet, overrides []int, expand func(path, text string) (any, error)) error {
	for _, at := range overrides {
		for i := range f.Spec.Overrides[at].Patches {
			patch, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&f.Spec.Overrides[at].Patches[i])
			if err != nil {
				return fmt.Errorf("overrides[%d].patches[%d]: %w", at, i, err)
			}
			expanded, err := expandValue(fmt.Sprintf("overrides[%d].patches[%d]", at, i), patch, expand)
			if err != nil {
				return err
			}
			spec, _ := root["spec"].(map[string]any)
			patches, ok := spec["patches"].([]any)
			if spec == nil || !ok && spec["patches"] != nil {
				return fmt.Errorf("overrides[%d].patches: the template has no spec, or no list in spec.patches", at)
			}
			spec["patches"] = append(patches, expanded)
		}
	}
	return nil
}

// expandValue copies a tree of JSON values and replaces the strings with a $. Keys stay as they are.
func expandValue(path string, v any, expand func(path, text string) (any, error)) (_ any, err error) {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) { // in order, so that the first error is always the same one
			if c[key], err = expandValue(strings.TrimPrefix(path+"."+key, "."), v[key], expand); err != nil {
				return nil, err
			}
		}
		return c, nil
	case []any:
		c := make([]any, len(v))
		for i, value := range v {
			if c[i], err = expandValue(path+"["+strconv.Itoa(i)+"]", value, expand); err != nil {
				return nil, err
			}
		}
		return c, nil
	case string:
		if !strings.Contains(v, "$") {
			return v, nil
		}
		expanded, err := expand(path, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return expanded, nil
	}
	return v, nil
}

// expandText replaces the variables of one cluster in a text.
func expandText(text, cluster string, vars map[string]string) (string, error) {
	expanded, err := substitution.Evaluate(text, func(name string) (string, bool) {
		if name == ClusterNameVariable {
			return cluster, true
		}
		value, ok := vars[name]
		return value, ok
	})
	if unset, ok := errors.AsType[*substitution.UnsetError](err); ok {
		return "", fmt.Errorf("variable %q is not set: set it in spec.vars of Cluster %s, or write ${%s:-default}",
			unset.Name, cluster, unset.Name)
	}
	if err != nil {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	return expanded, nil
}

// typed converts an expanded text to a boolean if the field of a Kustomization is one. All other fields are text.
func typed(path, text string) any {
	if _, ok := samples[path].(bool); ok {
		if b, err := strconv.ParseBool(text); err == nil && (text == "true" || text == "false") {
			return b
		}
	}
	return text
}

// samples are values for the fields that allow only certain values. With them a template is checked before the values
// of its variables are known.
var samples = map[string]any{
	"spec.prune": true, "spec.force": true, "spec.wait": true, "spec.suspend": true, "spec.ignoreMissingComponents": true,
	"spec.interval": "1m", "spec.retryInterval": "1m", "spec.timeout": "1m", "spec.deletionPolicy": "Delete",
	"spec.sourceRef.kind": GitRepositoryKind, "spec.sourceRef.apiVersion": GroupSource + "/v1",
	"spec.postBuild.substituteStrategy": "Always", "spec.decryption.provider": "sops",
}

// checkTemplate admits the template with all overrides, and with a sample for each field that has variables.
func checkTemplate(f *Fleet) error {
	all := make([]int, len(f.Spec.Overrides))
	for i := range all {
		all[i] = i
	}
	_, err := expandTemplate(f, all, func(path, text string) (any, error) {
		expanded, err := substitution.Evaluate(text, func(string) (string, bool) { return "x", true })
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if sample, ok := samples[path]; ok && expanded != text {
			return sample, nil
		}
		return expanded, nil
	})
	return err
}
