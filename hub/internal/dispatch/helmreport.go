package dispatch

import (
	"fmt"
	"slices"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
)

// checkRelease returns an error if a field of a release of Helm is malformed, or a list is over its limit.
func checkRelease(r *spokev1.ReleaseReport) error {
	if n := len(r.GetConditions()); n > reporting.MaxConditions || slices.Contains(r.GetConditions(), nil) {
		return fmt.Errorf("%d conditions of a release: at most %d", n, reporting.MaxConditions)
	}
	if n := len(r.GetHistory()); n > reporting.MaxRevisions || slices.Contains(r.GetHistory(), nil) {
		return fmt.Errorf("%d revisions of a release: at most %d", n, reporting.MaxRevisions)
	}
	for _, c := range r.GetConditions() {
		if !slices.Contains([]string{condition.True, condition.False, condition.Unknown}, c.Status) {
			return fmt.Errorf("condition %s is %q: want True, False or Unknown", clean(c.Type, reporting.MaxWord),
				clean(c.Status, reporting.MaxWord))
		}
	}
	return nil
}

// cleanRelease cuts the texts about a release of Helm.
func cleanRelease(r *spokev1.ReleaseReport) {
	if r == nil {
		return
	}
	r.ProtoReflect().SetUnknown(nil)
	words := []*string{&r.Name, &r.Namespace, &r.StorageNamespace, &r.Action, &r.Step, &r.Attempted, &r.HandledForce,
		&r.HandledReset, &r.HandledTest}
	for _, c := range r.Conditions {
		c.ProtoReflect().SetUnknown(nil)
		words = append(words, &c.Type, &c.Reason)
		c.Message = clean(c.Message, reporting.MaxMessage)
	}
	for _, v := range r.History {
		v.ProtoReflect().SetUnknown(nil)
		v.Description = clean(v.Description, reporting.MaxMessage)
		words = append(words, &v.Status, &v.Chart, &v.ChartVersion, &v.AppVersion, &v.Tests)
	}
	for _, word := range words {
		*word = clean(*word, reporting.MaxWord)
	}
}
