package api

import (
	"slices"

	"github.com/navefleet/nave/shared/manifest"
)

// helmReleaseOlder are the versions of HelmReleases that are converted.
var helmReleaseOlder = []string{"v2beta1", "v2beta2"}

// convertHelmRelease converts older versions into v2. The kinds of patches of a post-renderer become one, in the order
// in which kustomize applies them, and valuesFile becomes the first of valuesFiles.
func convertHelmRelease(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	o.SetAPIVersion(groupHelm + "/v2")
	if chart, ok := spec["chart"].(map[string]any); ok {
		if template, ok := chart["spec"].(map[string]any); ok {
			joinValuesFiles(template)
		}
	}
	renderers, _ := list(spec["postRenderers"])
	for _, r := range renderers {
		renderer, _ := r.(map[string]any)
		if k, ok := renderer["kustomize"].(map[string]any); ok {
			joinPatches(k)
		}
	}
}

// joinValuesFiles puts valuesFile in front of valuesFiles. An empty one is removed.
func joinValuesFiles(template map[string]any) {
	first, isText := template["valuesFile"].(string)
	files, isList := list(template["valuesFiles"])
	if !isText || !isList {
		return // a value of another type is refused as an unknown field
	}
	delete(template, "valuesFile")
	if first != "" {
		template["valuesFiles"] = slices.Concat([]any{first}, files)
	}
}
