package health

import (
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Report is the health of one object. Message may quote the object's status, and a controller may quote its spec there.
// Reason is a single identifier, of kstatus or of the controller; it may be empty.
type Report struct {
	Status          health.Status
	Reason, Message string
}

// assess returns the health of a whole object: by the rule of its kind if there is one, else by kstatus.
func assess(o *manifest.Object) Report {
	if rule := ruleOf(o.GroupVersionKind().GroupKind()); rule != nil {
		return rule(o)
	}
	return byKstatus(o)
}

func byKstatus(o *manifest.Object) Report {
	r, err := status.Compute(o)
	if err != nil {
		return Report{Status: health.Unknown, Message: fmt.Sprintf("status that cannot be read: %v", err)}
	}
	if r.Status == status.CurrentStatus {
		return Report{Status: health.Current} // without the library's message
	}
	report := Report{Status: health.Parse(string(r.Status)), Message: r.Message}
	if len(r.Conditions) > 0 {
		report.Reason = r.Conditions[0].Reason
	}
	return report
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
