package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
)

// ClusterNameVariable is the variable that every cluster has.
const ClusterNameVariable = "cluster_name"

// ExpandTemplate returns the root Kustomization that the Fleet gives to the cluster, admitted. ${cluster_name} and the
// cluster's spec.vars are replaced in every string of the template, with Flux's syntax: ${name}, ${name:-default}, and
// $$ for a plain $. A variable that is not set and has no default is an error that names it.
func ExpandTemplate(f *Fleet, c *Cluster) (*Object, error) {
	o, err := expandTemplate(f, func(path, text string) (any, error) {
		expanded, err := expandText(text, c)
		return typed(path, expanded), err
	})
	if err != nil {
		return nil, fmt.Errorf("%s on cluster %s: spec.template: %w", f.key(), c.Name, err)
	}
	return o, nil
}

// expandTemplate returns the root Kustomization, admitted. Each string with a $ is replaced by the result of expand.
func expandTemplate(f *Fleet, expand func(path, text string) (any, error)) (*Object, error) {
	var spec map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(f.Spec.Template.Spec, &spec); err != nil {
		return nil, fmt.Errorf("spec: want a map: %w", err)
	}
	if spec != nil && f.Spec.Suspend {
		spec["suspend"] = true
	}
	m := f.Spec.Template.Metadata
	m.Name, m.Namespace = cmp.Or(m.Name, FluxRoot), cmp.Or(m.Namespace, DefaultNamespace)
	tree, err := expandValue("", map[string]any{"metadata": m.tree(), "spec": spec}, expand)
	if err != nil {
		return nil, err
	}
	o := &manifest.Object{Object: tree.(map[string]any)}
	o.SetAPIVersion(GroupKustomize + "/v1")
	o.SetKind(KustomizationKind)
	return Admit(o, ClusterGraph)
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
func expandText(text string, c *Cluster) (string, error) {
	expanded, err := substitution.Evaluate(text, func(name string) (string, bool) {
		if name == ClusterNameVariable {
			return c.Name, true
		}
		value, ok := c.Spec.Vars[name]
		return value, ok
	})
	if unset, ok := errors.AsType[*substitution.UnsetError](err); ok {
		return "", fmt.Errorf("variable %q is not set: set it in spec.vars of Cluster %s, or write ${%s:-default}",
			unset.Name, c.Name, unset.Name)
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

// checkTemplate admits the template with a sample for each field that has variables.
func checkTemplate(f *Fleet) error {
	_, err := expandTemplate(f, func(path, text string) (any, error) {
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
