package dispatch

import (
	"strings"
	"testing"
	"unicode"

	"google.golang.org/protobuf/proto"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/reporting"
)

// TestReportRelease cuts what a spoke says about a release of Helm, and refuses longer lists.
func TestReportRelease(t *testing.T) {
	long := "\x1b" + strings.Repeat("x", 10_000)
	a := report("app", "")
	a.Release = &spokev1.ReleaseReport{Name: long, Step: long, HandledTest: long,
		Conditions: []*spokev1.ReleaseCondition{{Type: long, Status: "True", Message: long}},
		History:    []*spokev1.RevisionReport{{Revision: 1, Status: long, ChartVersion: long}}}
	_, value, err := checkApplication("east", a)
	must(t, err)
	got, err := reporting.ReadApplication(value)
	must(t, err)
	if proto.Size(got) > 8*reporting.MaxWord+reporting.MaxMessage ||
		strings.ContainsFunc(got.String(), unicode.IsControl) {
		t.Errorf("%d bytes", proto.Size(got))
	}
	for want, change := range map[string]func(*spokev1.ReleaseReport){
		"conditions": func(r *spokev1.ReleaseReport) { r.Conditions = make([]*spokev1.ReleaseCondition, 1) },
		"revisions":  func(r *spokev1.ReleaseReport) { r.History = make([]*spokev1.RevisionReport, reporting.MaxRevisions+1) },
		"want True":  func(r *spokev1.ReleaseReport) { r.Conditions[0].Status = "yes" },
	} {
		again := proto.CloneOf(a)
		change(again.Release)
		if _, _, err := checkApplication("east", again); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
