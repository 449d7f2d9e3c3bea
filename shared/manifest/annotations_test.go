package manifest

import "testing"

// TestMarks has each mark as an annotation and as a label.
func TestMarks(t *testing.T) {
	for name, c := range map[string]struct {
		mark, value              string
		pruned, differs, skipped bool
	}{
		"none":            {"", "", true, false, false},
		"prune":           {PruneAnnotation, "Disabled", false, false, false},
		"prune_enabled":   {PruneAnnotation, "enabled", true, false, false},
		"reconcile":       {ReconcileAnnotation, "disabled", false, true, true},
		"ignore":          {SSAAnnotation, "ignore", false, true, true},
		"override":        {SSAAnnotation, "override", true, false, false},
		"merge":           {SSAAnnotation, "merge", true, true, false},
		"if_not_present":  {SSAAnnotation, "IfNotPresent", true, true, false},
		"another's_prune": {"example.com/prune", "disabled", true, false, false},
	} {
		for kind, m := range map[string]Marks{
			"annotation": {Annotations: map[string]string{c.mark: c.value}}, "label": {Labels: map[string]string{c.mark: c.value}},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				if m.IsPruneDisabled() == c.pruned || m.DiffersInCluster() != c.differs || m.IsSkipped() != c.skipped {
					t.Errorf("prune disabled %t, differs %t, skipped %t", m.IsPruneDisabled(), m.DiffersInCluster(), m.IsSkipped())
				}
			})
		}
	}
}
