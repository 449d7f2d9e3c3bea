package health

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	words "github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
)

// rule returns the health of an object that is not being deleted, and whose generation its controller has seen.
type rule func(*manifest.Object, []condition) Report

// rules are for the kinds of Kubernetes whose health is more than a Ready condition. They say what kstatus says, except
// where docs/health.md has a reason.
var rules = map[schema.GroupKind]rule{
	{Group: "apps", Kind: "DaemonSet"}:                                assessDaemonSet,
	{Group: "apps", Kind: "Deployment"}:                               assessDeployment,
	{Group: "apps", Kind: "ReplicaSet"}:                               assessReplicaSet,
	{Group: "apps", Kind: "StatefulSet"}:                              assessStatefulSet,
	{Group: "batch", Kind: "Job"}:                                     assessJob,
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: assessDefinition,
	{Group: "batch", Kind: "CronJob"}:                                 assessExisting,
	{Group: "policy", Kind: "PodDisruptionBudget"}:                    assessExisting,
	{Kind: "ConfigMap"}:                                               assessExisting,
	{Kind: "Secret"}:                                                  assessExisting,
	{Kind: "PersistentVolumeClaim"}:                                   assessClaim,
	{Kind: "Pod"}:                                                     assessPod,
	{Kind: "Service"}:                                                 assessService,
}

// ruleOf returns the rule of a kind; nil if it has none.
func ruleOf(gk schema.GroupKind) rule {
	if strings.HasSuffix(gk.Group, ".toolkit.fluxcd.io") {
		return assessFlux
	}
	return rules[gk]
}

// assessJob returns Current for a Job that is complete, while kstatus also returns Current for a running Job.
func assessJob(o *manifest.Object, conditions []condition) Report {
	for _, c := range conditions {
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
	return expires && assess(o).Status != health.InProgress
}

// assessPod returns Failed for a Pod that ended with an error, while kstatus calls the Pod Current because it ended.
func assessPod(o *manifest.Object, conditions []condition) Report {
	switch phase := text(o, "status", "phase"); phase {
	case words.Succeeded:
		return Report{Status: health.Current}
	case "Failed":
		return Report{Status: health.Failed, Reason: text(o, "status", "reason"), Message: text(o, "status", "message")}
	case "Running":
		return assessRunning(o, conditions)
	case words.Pending:
		return assessPending(o, conditions)
	case "":
		return Report{Status: health.InProgress, Reason: "PodNotObserved", Message: "Pod phase not available"}
	default:
		return unreadable(fmt.Errorf("unknown phase %s", phase))
	}
}

// assessRunning returns Failed for a running Pod of which a container ends again and again.
func assessRunning(o *manifest.Object, conditions []condition) Report {
	if slices.ContainsFunc(conditions, func(c condition) bool { return c.Type == words.Ready && c.Status == words.True }) {
		return Report{Status: health.Current}
	}
	var looping []string
	list, _, _ := unstructured.NestedFieldNoCopy(o.Object, "status", "containerStatuses")
	items, _ := list.([]any)
	for _, item := range items {
		container, _ := item.(map[string]any)
		reason, _, _ := unstructured.NestedString(container, "state", "waiting", "reason")
		if name, named := container["name"].(string); named && reason == "CrashLoopBackOff" {
			looping = append(looping, name)
		}
	}
	if len(looping) > 0 {
		return Report{Status: health.Failed, Reason: "ContainerCrashLooping",
			Message: "Containers in CrashLoop state: " + strings.Join(looping, ",")}
	}
	return Report{Status: health.InProgress, Reason: "PodRunningNotReady", Message: "Pod is running but is not Ready"}
}

// unschedulableAfter is how old a Pod is when one that fits no node counts as failed.
const unschedulableAfter = 15 * time.Second

func assessPending(o *manifest.Object, conditions []condition) Report {
	unschedulable := slices.ContainsFunc(conditions, func(c condition) bool {
		return c.Type == "PodScheduled" && c.Status == words.False && c.Reason == "Unschedulable"
	})
	switch {
	case !unschedulable:
		return Report{Status: health.InProgress, Reason: "PodPending", Message: "Pod is in the Pending phase"}
	case time.Since(o.GetCreationTimestamp().Time) < unschedulableAfter:
		return Report{Status: health.InProgress, Reason: "PodNotScheduled", Message: "Pod has not been scheduled"}
	}
	return Report{Status: health.Failed, Reason: "PodUnschedulable", Message: "Pod could not be scheduled"}
}

// assessExisting is for kinds that are healthy when they exist.
func assessExisting(*manifest.Object, []condition) Report { return Report{Status: health.Current} }

func assessClaim(o *manifest.Object, _ []condition) Report {
	phase := cmp.Or(text(o, "status", "phase"), "unknown")
	return first(when(phase != "Bound", "NotBound", "PVC is not Bound. phase: %s", phase))
}

func assessService(o *manifest.Object, _ []condition) Report {
	unassigned := text(o, "spec", "type") == "LoadBalancer" && text(o, "spec", "clusterIP") == ""
	return first(when(unassigned, "NoIPAssigned", "ClusterIP not set. Service type: LoadBalancer"))
}

func assessDefinition(_ *manifest.Object, conditions []condition) Report {
	for _, c := range conditions {
		switch {
		case c.Status == words.False && (c.Type == "NamesAccepted" || c.Type == "Established" && c.Reason != "Installing"):
			return Report{Status: health.Failed, Reason: c.Reason, Message: c.Message}
		case c.Status == words.True && c.Type == "Established":
			return Report{Status: health.Current}
		}
	}
	return Report{Status: health.InProgress, Reason: "Installing", Message: "Install in progress"}
}

// withoutConditions are Flux's kinds that no controller gives a Ready condition.
var withoutConditions = []string{"Alert", "Provider"}

// assessFlux waits for the Ready condition that Flux's controllers set, also where it is missing altogether.
func assessFlux(o *manifest.Object, conditions []condition) Report {
	ready := slices.ContainsFunc(conditions, func(c condition) bool { return c.Type == words.Ready })
	static := slices.Contains(withoutConditions, o.GetKind()) ||
		o.GetKind() == "HelmRepository" && text(o, "spec", "type") == "oci"
	if !ready && !static {
		return Report{Status: health.InProgress, Reason: "NotReconciled", Message: "it has no Ready condition yet"}
	}
	return assessReady(o, conditions)
}

// condition is one of status.conditions.
type condition struct{ Type, Status, Reason, Message string }

// conditionFields are the fields of a condition in the cluster, in the order of those here.
var conditionFields = [...]string{"type", "status", "reason", "message"}

// conditionsOf returns the conditions of an object.
func conditionsOf(o *manifest.Object) (all []condition, err error) {
	list, _, err := unstructured.NestedFieldNoCopy(o.Object, "status", "conditions")
	items, isList := list.([]any)
	if err != nil || list != nil && !isList {
		return nil, errors.New("status.conditions is not a list")
	}
	for i, item := range items {
		m, isMap := item.(map[string]any)
		if item != nil && !isMap {
			return nil, fmt.Errorf("status.conditions[%d] has no fields", i)
		}
		var c condition
		for j, to := range []*string{&c.Type, &c.Status, &c.Reason, &c.Message} {
			var isText bool
			if *to, isText = m[conditionFields[j]].(string); !isText && m[conditionFields[j]] != nil {
				return nil, fmt.Errorf("status.conditions[%d].%s is not a string", i, conditionFields[j])
			}
		}
		all = append(all, c)
	}
	return all, nil
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
