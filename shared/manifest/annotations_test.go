package manifest

import "testing"

func TestIsPruneDisabled(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        bool
	}{
		"none":      {nil, false},
		"prune":     {map[string]string{PruneAnnotation: "Disabled"}, true},
		"reconcile": {map[string]string{ReconcileAnnotation: "disabled"}, true},
		"ignore":    {map[string]string{SSAAnnotation: "ignore"}, true},
		"merge":     {map[string]string{SSAAnnotation: "merge"}, false},
		"enabled":   {map[string]string{PruneAnnotation: "enabled"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsPruneDisabled(c.annotations); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestDiffersInCluster(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        bool
	}{
		"none":           {nil, false},
		"prune":          {map[string]string{PruneAnnotation: "disabled"}, false},
		"reconcile":      {map[string]string{ReconcileAnnotation: "disabled"}, true},
		"override":       {map[string]string{SSAAnnotation: "override"}, false},
		"merge":          {map[string]string{SSAAnnotation: "Merge"}, true},
		"if_not_present": {map[string]string{SSAAnnotation: "IfNotPresent"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := DiffersInCluster(c.annotations); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
