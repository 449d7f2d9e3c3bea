package main

import (
	"bytes"
	"errors"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestExplain_exit_code(t *testing.T) {
	wrong := &adminv1.Explanation{Object: &adminv1.ObjectKey{Kind: "Fleet", Name: "prod"}, Reason: "PathNotFound",
		Message: "no such path", Advice: "Push it"}
	paused := &adminv1.Explanation{Object: &adminv1.ObjectKey{Kind: "Cluster", Name: "east"}, Reason: "Suspended",
		Message: "Suspended by an operator"}
	for _, c := range []struct {
		name     string
		list     []*adminv1.Explanation
		reported bool
		want     string
	}{
		{"none", nil, false, "✔ everything is as it should be\n"},
		{"wrong", []*adminv1.Explanation{wrong}, true,
			"✗ Fleet prod, for -: PathNotFound\n    no such path\n    → Push it\n"},
		{"suspended", []*adminv1.Explanation{paused}, false,
			"‖ Cluster east, for -: Suspended\n    Suspended by an operator\n✔ everything else is as it should be\n"},
		{"suspended_and_wrong", []*adminv1.Explanation{wrong, paused}, true,
			"✗ Fleet prod, for -: PathNotFound\n    no such path\n    → Push it\n‖ Cluster east, for -: Suspended\n    " +
				"Suspended by an operator\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := printExplanations(&out, c.list); errors.Is(err, errReported) != c.reported || out.String() != c.want {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}
