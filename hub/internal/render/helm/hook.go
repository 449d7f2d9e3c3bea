package helm

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
)

// The annotations of hooks.
const (
	hookAnnotation         = "helm.sh/hook"
	hookWeightAnnotation   = "helm.sh/hook-weight"
	deletePolicyAnnotation = "helm.sh/hook-delete-policy"
	outputLogAnnotation    = "helm.sh/hook-output-log-policy"
)

// defaultDeletePolicy is the delete policy of a hook that names none.
const defaultDeletePolicy = "before-hook-creation"

// events are the events that hooks may name, with the event that each means.
var events = map[string]string{
	"pre-install": "pre-install", "post-install": "post-install", "pre-upgrade": "pre-upgrade",
	"post-upgrade": "post-upgrade", "pre-rollback": "pre-rollback", "post-rollback": "post-rollback",
	"pre-delete": "pre-delete", "post-delete": "post-delete", "test": "test",
	"test-success": "test", // of Helm 2
}

// separate returns the documents that are no hooks, and the hooks. An object with an unknown event is neither, as in
// Helm. The order stays.
func separate(all []document) (documents []document, hooks []render.Hook, err error) {
	for _, d := range all {
		metadata, _ := d.object.Object["metadata"].(map[string]any)
		annotations, err := textsOf(metadata, "annotations")
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %s: %w", d.path, d.object.GetKind(), err)
		}
		named, isHook := annotations[hookAnnotation]
		if !isHook {
			documents = append(documents, d)
			continue
		}
		hook, known := hookOf(d, named, annotations)
		if !known {
			continue
		}
		if err := checkObject(d.object); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", d.path, err)
		}
		hooks = append(hooks, hook)
	}
	return documents, hooks, nil
}

// hookOf returns the hook of an object that names events. If an event is unknown, hookOf returns false.
func hookOf(d document, named string, annotations map[string]string) (render.Hook, bool) {
	h := render.Hook{Object: d.object, Path: d.path, OutputLogPolicies: words(annotations[outputLogAnnotation])}
	for _, name := range strings.Split(named, ",") {
		event, known := events[strings.ToLower(strings.TrimSpace(name))]
		if !known {
			return h, false
		}
		h.Events = append(h.Events, event)
	}
	h.Weight, _ = strconv.Atoi(annotations[hookWeightAnnotation]) // 0 if it is no number, as in Helm
	h.DeletePolicies = words(cmp.Or(annotations[deletePolicyAnnotation], defaultDeletePolicy))
	return h, true
}

// words returns the parts of a list with commas, in lower case.
func words(list string) (parts []string) {
	if list == "" {
		return nil
	}
	for _, part := range strings.Split(list, ",") {
		parts = append(parts, strings.ToLower(strings.TrimSpace(part)))
	}
	return parts
}
