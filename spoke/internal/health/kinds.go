package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	words "github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
)

// rule returns the health of an object that is not being deleted.
type rule func(*manifest.Object) Report

// rules are for the built-in kinds whose status by kstatus is not useful to people. docs/health.md has the reasons.
var rules = map[schema.GroupKind]rule{
	{Group: "batch", Kind: "Job"}:        assessJob,
	{Group: "apps", Kind: "DaemonSet"}:   assessDaemonSet,
	{Group: "apps", Kind: "StatefulSet"}: assessStatefulSet,
	{Kind: "Pod"}:                        assessPod,
}

// ruleOf returns the rule of a kind; nil if kstatus judges the kind.
func ruleOf(gk schema.GroupKind) rule {
	if strings.HasSuffix(gk.Group, ".toolkit.fluxcd.io") {
		return assessFlux
	}
	return rules[gk]
}

// assessJob returns Current for a Job that is complete, while kstatus also returns Current for a running Job.
func assessJob(o *manifest.Object) Report {
	for _, c := range conditionsOf(o) {
		switch {
		case c.Status != words.True:
		case c.Type == "Complete":
			return Report{Status: health.Current}
		case c.Type == "Failed":
			return Report{Status: health.Failed, Reason: c.Reason, Message: c.Message}
		}
	}
	if suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend"); suspended {
		return Report{Status: health.InProgress, Reason: "JobSuspended", Message: "spec.suspend is true"}
	}
	return Report{Status: health.InProgress, Reason: "JobNotComplete", Message: fmt.Sprintf(
		"not complete yet: %d active, %d succeeded, %d failed",
		number(o, "status", "active"), number(o, "status", "succeeded"), number(o, "status", "failed"))}
}

// expired reports whether an object that is being deleted is a Job that is done and deletes itself.
func expired(o *manifest.Object) bool {
	if o == nil || o.GroupVersionKind().GroupKind() != (schema.GroupKind{Group: "batch", Kind: "Job"}) {
		return false
	}
	_, expires, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "ttlSecondsAfterFinished")
	return expires && assessJob(o).Status != health.InProgress
}

// assessDaemonSet judges a DaemonSet with updateStrategy OnDelete by its ready Pods of any revision,
// because it does not replace them itself.
func assessDaemonSet(o *manifest.Object) Report {
	if text(o, "spec", "updateStrategy", "type") == "OnDelete" {
		o = with(o, number(o, "status", "desiredNumberScheduled"), "status", "updatedNumberScheduled")
	}
	return byKstatus(o)
}

// assessStatefulSet judges a StatefulSet with updateStrategy OnDelete as one whose partition covers all its Pods: they
// must be ready, with any revision. kstatus calls such a set Current before it has any Pod.
func assessStatefulSet(o *manifest.Object) Report {
	if text(o, "spec", "updateStrategy", "type") == "OnDelete" {
		replicas, set := whole(o, "spec", "replicas")
		if !set {
			replicas = 1
		}
		o = with(o, map[string]any{"rollingUpdate": map[string]any{"partition": replicas}}, "spec", "updateStrategy")
	}
	return byKstatus(o)
}

// assessPod returns Failed for a Pod that ended with an error. kstatus calls the Pod Current because it ended.
func assessPod(o *manifest.Object) Report {
	if text(o, "status", "phase") == "Failed" {
		return Report{Status: health.Failed, Reason: text(o, "status", "reason"), Message: text(o, "status", "message")}
	}
	return byKstatus(o)
}

// withoutConditions are Flux's kinds that no controller gives a Ready condition.
var withoutConditions = []string{"Alert", "Provider"}

// assessFlux waits for the Ready condition that Flux's controllers set, also where it is missing altogether.
func assessFlux(o *manifest.Object) Report {
	ready := slices.ContainsFunc(conditionsOf(o), func(c condition) bool { return c.Type == words.Ready })
	static := slices.Contains(withoutConditions, o.GetKind()) ||
		o.GetKind() == "HelmRepository" && text(o, "spec", "type") == "oci"
	report := byKstatus(o)
	if report.Status == health.Current && !ready && !static {
		return Report{Status: health.InProgress, Reason: "NotReconciled", Message: "it has no Ready condition yet"}
	}
	return report
}

// condition is one of status.conditions.
type condition struct{ Type, Status, Reason, Message string }

// conditionsOf returns the conditions of an object that can be read.
func conditionsOf(o *manifest.Object) (all []condition) {
	list, _, _ := unstructured.NestedFieldNoCopy(o.Object, "status", "conditions")
	items, _ := list.([]any)
	for _, item := range items {
		m, _ := item.(map[string]any)
		var c condition
		c.Type, _ = m["type"].(string)
		c.Status, _ = m["status"].(string)
		c.Reason, _ = m["reason"].(string)
		c.Message, _ = m["message"].(string)
		all = append(all, c)
	}
	return all
}

// text returns a string of an object; empty if there is none.
func text(o *manifest.Object, path ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, path...)
	return s
}

// number returns a whole number of an object; 0 if there is none.
func number(o *manifest.Object, path ...string) int64 {
	n, _ := whole(o, path...)
	return n
}

// whole returns a whole number of an object, and whether there is one.
func whole(o *manifest.Object, path ...string) (n int64, found bool) {
	n, found, _ = unstructured.NestedInt64(o.Object, path...)
	return n, found
}

// with returns an object like o with another value for one field of a section (spec or status).
func with(o *manifest.Object, value any, section, field string) *manifest.Object {
	old, _ := o.Object[section].(map[string]any)
	changed := map[string]any{}
	maps.Copy(changed, old)
	changed[field] = value
	all := maps.Clone(o.Object)
	all[section] = changed
	return &manifest.Object{Object: all}
}
