package helm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
)

// The annotations of hooks.
const (
	hookAnnotation         = "helm.sh/hook"
	hookWeightAnnotation   = "helm.sh/hook-weight"
	deletePolicyAnnotation = "helm.sh/hook-delete-policy"
	outputLogAnnotation    = "helm.sh/hook-output-log-policy"
)

// The policies that hooks may name.
var (
	deletePolicies    = []string{bundle.BeforeCreation, bundle.HookSucceeded, bundle.HookFailed}
	outputLogPolicies = []string{bundle.HookSucceeded, bundle.HookFailed}
)

// events are the events that hooks may name, with the event that each means.
var events = map[string]string{
	"pre-install": bundle.PreInstall, "post-install": bundle.PostInstall,
	"pre-upgrade": bundle.PreUpgrade, "post-upgrade": bundle.PostUpgrade,
	"pre-rollback": bundle.PreRollback, "post-rollback": bundle.PostRollback,
	"pre-delete": bundle.PreDelete, "post-delete": bundle.PostDelete,
	"test": bundle.TestHook, "test-success": bundle.TestHook, // of Helm 2
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
	h := render.Hook{Object: d.object, Path: d.path}
	for _, name := range words(named) {
		event, known := events[name]
		if !known {
			return h, false
		}
		if !slices.Contains(h.Events, event) {
			h.Events = append(h.Events, event)
		}
	}
	h.Weight, _ = strconv.Atoi(annotations[hookWeightAnnotation]) // 0 if it is no number, as in Helm
	h.DeletePolicies = policiesIn(annotations[deletePolicyAnnotation], deletePolicies)
	if len(h.DeletePolicies) == 0 {
		h.DeletePolicies = []string{bundle.BeforeCreation}
	}
	h.OutputLogPolicies = policiesIn(annotations[outputLogAnnotation], outputLogPolicies)
	return h, true
}

// policiesIn returns the known policies in a list, each once. Helm never carries out others.
func policiesIn(list string, known []string) (policies []string) {
	for _, word := range words(list) {
		if slices.Contains(known, word) && !slices.Contains(policies, word) {
			policies = append(policies, word)
		}
	}
	return policies
}

// words returns the parts of a list with commas, in lower case.
func words(list string) []string {
	parts := strings.Split(list, ",")
	for i, part := range parts {
		parts[i] = strings.ToLower(strings.TrimSpace(part))
	}
	return parts
}
