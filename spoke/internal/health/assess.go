package health

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/shared/bundle"
	words "github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Report is the health of one object. Message may quote the object's status, and a controller may quote its spec there.
// Reason is a single identifier, one of kstatus or of the controller; it may be empty.
type Report struct {
	Status          health.Status
	Reason, Message string
}

// assess returns the health of a whole object that is not being deleted: by what is the same for all kinds, then by the
// rule of its kind if there is one, else by its Ready condition.
func assess(o *manifest.Object) Report {
	if r := assessGeneration(o); r != nil {
		return *r
	}
	conditions, err := conditionsOf(o)
	if err != nil {
		return unreadable(err)
	}
	for _, c := range conditions {
		switch {
		case c.Status != words.True:
		case c.Type == words.Reconciling:
			return Report{Status: health.InProgress, Reason: c.Reason, Message: c.Message}
		case c.Type == words.Stalled:
			return Report{Status: health.Failed, Reason: c.Reason, Message: c.Message}
		}
	}
	if rule := ruleOf(o.GroupVersionKind().GroupKind()); rule != nil {
		return rule(o, conditions)
	}
	return assessReady(o, conditions)
}

// assessGeneration returns InProgress if the controller of an object has not seen its generation yet; nil if it has, or
// if the object lacks one of the two.
func assessGeneration(o *manifest.Object) *Report {
	wanted, found, err := unstructured.NestedInt64(o.Object, "metadata", "generation")
	seen := wanted
	if err == nil && found {
		seen, found, err = unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	}
	if err != nil {
		r := unreadable(err)
		return &r
	}
	return when(found && seen != wanted, "LatestGenerationNotObserved",
		"%s generation is %d, but latest observed generation is %d", o.GetKind(), wanted, seen)
}

// assessReady judges an object by its Ready condition. Without one it counts as healthy, because many kinds never get
// one.
func assessReady(_ *manifest.Object, conditions []condition) Report {
	for _, c := range conditions {
		if c.Type != words.Ready {
			continue
		}
		switch c.Status {
		case words.True:
			return Report{Status: health.Current}
		case words.False, words.Unknown:
			return Report{Status: health.InProgress, Reason: c.Reason, Message: c.Message}
		}
	}
	return Report{Status: health.Current}
}

func unreadable(err error) Report {
	return Report{Status: health.Unknown, Message: fmt.Sprintf("status that cannot be read: %v", err)}
}

// Judge returns the health of an object: of the whole object if live holds it, else by its metadata.
func Judge(l kube.Live) Report {
	switch {
	case l.Deleting && !expired(l.Object):
		return Report{Status: health.Terminating, Message: waitsFor(l.Finalizers)}
	case l.Object != nil:
		return assess(l.Object)
	}
	return Report{Status: health.Current}
}

func waitsFor(finalizers []string) string {
	if len(finalizers) == 0 {
		return "being deleted"
	}
	return fmt.Sprintf("being deleted; waits for finalizers %v", finalizers)
}

// Check asks the API server for the health of an object that no watch covers, such as one of spec.healthChecks. If the
// object or its kind does not exist, Check returns NotFound and no error.
func (a *Assessor) Check(ctx context.Context, client *kube.Client, app bundle.ApplicationName,
	id bundle.ObjectIdentity) (Report, error) {
	live, err := client.Look(ctx, id, !health.MetadataOnly(id.ID().GroupKind()))
	switch kube.ReasonOf(err) {
	case "":
		return a.Judge(app, live), nil
	case kube.NotFound, kube.NoMatch:
		return Report{Status: health.NotFound, Message: "not in the cluster"}, nil
	}
	return Report{Status: health.Unknown, Message: "cannot be read"}, err
}
