package fluxtest

import (
	"bytes"
	"context"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/yaml"
)

// substitute puts the variables of a Kustomization into an object.
func (f *Flux) substitute(ctx context.Context, k, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if _, is, _ := unstructured.NestedMap(k.Object, "spec", "postBuild"); !is {
		return o, nil
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return nil, err
	}
	resource, err := provider.NewDefaultDepProvider().GetResourceFactory().FromBytes(text)
	if err != nil {
		return nil, err
	}
	out, err := fluxkustomize.SubstituteVariables(ctx, f.client, *k, resource, fluxkustomize.SubstituteWithStrict(true))
	if err != nil || out == nil { // nil: the object disables the substitution
		return o, err
	}
	if text, err = out.AsYAML(); err != nil {
		return nil, err
	}
	return utils.ReadObject(bytes.NewReader(text))
}
