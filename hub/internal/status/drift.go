package status

import (
	"fmt"
	"slices"
	"strings"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
)

// explainDrifts returns an explanation for each object that drifted, if drift is why an application is not ready.
func explainDrifts(f Facts) (list []*adminv1.Explanation) {
	if f.Report.Reason != condition.DriftDetected && f.Report.Reason != condition.DriftHeld {
		return nil
	}
	for _, d := range f.Report.Drifts {
		if d.Repaired && f.Report.Reason == condition.DriftDetected {
			continue
		}
		list = append(list, &adminv1.Explanation{
			Object: KeyMessage(f.Resource.Key), Since: d.Time, Reason: f.Report.Reason, Message: describeDrift(d),
			Advice: f.adviceOfDrift(d), Cause: nameOf(d.Object),
		})
	}
	return list
}

// adviceOfDrift returns what to do about an object that drifted.
func (f Facts) adviceOfDrift(d *spokev1.DriftReport) string {
	name := f.Resource.Key
	switch {
	case slices.Contains(d.By, "kustomize-controller"):
		return fmt.Sprintf("Flux applies it, too: flux suspend kustomization %s --namespace %s", name.Name, name.Namespace)
	case slices.Contains(d.By, "argocd-controller"):
		return "Argo CD applies it, too: turn off the automated sync of its Application there"
	}
	return f.advice(f.Report.Reason)
}

// describeDrift names an object that drifted, who changed it, and its fields with the value that they should have and
// the value that they got.
func describeDrift(d *spokev1.DriftReport) string {
	text := nameOf(d.Object) + " was " + d.Kind
	if len(d.By) > 0 {
		text += " by " + strings.Join(d.By, ", ")
	}
	if len(d.Changes) == 0 {
		return text
	}
	var fields []string
	for _, c := range d.Changes {
		fields = append(fields, reporting.DescribeChange(c.Path, c.Old, c.New))
	}
	return text + ": " + wording.List(fields, len(fields)+int(d.More), len(fields))
}

// driftDetails returns the drift of an application as its status shows it.
func driftDetails(drifts []*spokev1.DriftReport) (list []map[string]any) {
	for _, d := range drifts {
		one := map[string]any{"object": nameOf(d.Object), "kind": d.Kind, "repaired": d.Repaired,
			"time": wording.Time(d.Time.AsTime())}
		if len(d.By) > 0 {
			one["by"] = d.By
		}
		var changes []map[string]any
		for _, c := range d.Changes {
			change := map[string]any{"path": c.Path}
			if c.Old != "" {
				change["old"] = c.Old
			}
			if c.New != "" {
				change["new"] = c.New
			}
			changes = append(changes, change)
		}
		if changes != nil {
			one["changes"] = changes
		}
		list = append(list, one)
	}
	return list
}
