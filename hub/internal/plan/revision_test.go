package plan

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

const revisionKey = "c0000/HelmRelease/flux-system/web"

// revisions is a cluster with a release whose chart asks for its revision.
type revisions struct {
	*story
	tree int
}

func newRevisions(t *testing.T) *revisions {
	s := releasesOf(t, 1, `rev: "{{ .Release.Revision }} {{ .Release.IsUpgrade }}"`)
	s.connect("c0000", "v1.36.0", nil, bundle.Known)
	s.round()
	return &revisions{story: s}
}

// wants fails unless the chart was rendered with a revision and IsUpgrade. "": it is not rendered.
func (r *revisions) wants(when, want string) {
	r.t.Helper()
	r.round()
	got := ""
	for _, e := range r.plan("c0000").Applications {
		if e.Name.Kind != "HelmRelease" {
			continue
		}
		app, err := store.ReadApplication(r.t.Context(), r.store.Blobs(), e.Digest)
		r.must(err)
		o, err := manifest.Parse(r.blob(app.Objects[0].Digest))
		r.must(err)
		got = fmt.Sprint(o[0].Object["data"].(map[string]any)["rev"])
	}
	if got != want {
		r.t.Errorf("%s: the chart is rendered for %q, want %q", when, got, want)
	}
}

// reports writes the report of the spoke, with the newest revision.
func (r *revisions) reports(newest uint32, status string) {
	r.t.Helper()
	var digest manifest.Digest
	for _, e := range r.plan("c0000").Applications {
		if e.Name.Kind == "HelmRelease" {
			digest = e.Digest
		}
	}
	report := &spokev1.ApplicationReport{AppliedDigest: digest[:]}
	if newest > 0 {
		report.Release = &spokev1.ReleaseReport{History: []*spokev1.RevisionReport{{Revision: newest, Status: status}}}
	}
	data, err := proto.Marshal(report)
	r.must(err)
	r.update(func(tx *store.Tx) error { return store.Reports.Put(tx, revisionKey, store.Report{Value: data}) })
}

// changes gives the chart other values.
func (r *revisions) changes() {
	r.tree++
	for i, f := range r.archive.Files {
		if f.Name == "chart/values.yaml" {
			r.archive.Files[i].Data = fmt.Appendf(nil, "color: c%d\n", r.tree)
		}
	}
	r.fetch("web", fmt.Sprint("1.0.", r.tree), "chart")
}

// touches lets the cluster be walked again, although nothing changed.
func (r *revisions) touches() {
	r.tree++
	r.change(revisionKey, func(row *store.Resource) { row.RequestedAt = fmt.Sprint(r.tree) })
}

// TestRevision tells a chart the revision that its render becomes, and nothing new as long as nothing else changes.
func TestRevision(t *testing.T) {
	r := newRevisions(t)
	r.wants("unknown", "")
	r.answerShape("c0000", "web/web", []string{"-"})
	r.wants("no release", "1 false")
	r.touches()
	r.wants("not applied", "1 false")
	r.reports(1, "deployed")
	r.touches()
	r.wants("installed", "1 false")
	r.changes()
	r.wants("changed", "2 true")
	r.touches()
	r.wants("not upgraded", "2 true")
	r.reports(2, "deployed")
	r.touches()
	r.wants("upgraded", "2 true")
	r.changes()
	r.wants("changed again", "3 true")
	r.reports(5, "deployed") // 3 failed, 4 was the rollback, 5 the next attempt
	r.restart()
	r.touches()
	r.wants("after a restart", "3 true")
	r.changes()
	r.wants("after failures", "6 true")
	r.reports(0, "")
	r.touches()
	r.wants("of a spoke that began anew", "6 true")
	r.changes()
	r.wants("changed before it looked", "7 true")
	r.reports(9, "uninstalled")
	r.changes()
	r.wants("uninstalled", "10 false")
	r.quiet()
}

// TestRevision_adopted renders for an upgrade of what Helm or Flux installed.
func TestRevision_adopted(t *testing.T) {
	r := newRevisions(t)
	asked := r.plan("c0000").Questions
	if len(asked) != 1 || asked[0].Form != bundle.ShapeRelease || asked[0].Name != "web" {
		t.Fatal(asked)
	}
	r.answerShape("c0000", "web/web", []string{string(bundle.ReleaseAnswer(4, "deployed"))})
	r.wants("told", "5 true")
	if asked := r.plan("c0000").Questions; len(asked) > 0 {
		t.Error("it is asked again: ", asked)
	}
	r.touches()
	r.wants("not applied", "5 true")
	r.changes()
	r.wants("changed", "5 true")
	r.reports(5, "deployed")
	r.touches()
	r.wants("upgraded", "5 true")
	r.changes()
	r.wants("changed later", "6 true")
}

// TestRevision_lost_plan counts on from what the spoke reports when the hub has lost its plan.
func TestRevision_lost_plan(t *testing.T) {
	r := newRevisions(t)
	r.answerShape("c0000", "web/web", []string{"-"})
	r.wants("no release", "1 false")
	r.reports(7, "deployed")
	r.update(func(tx *store.Tx) error { return store.Plans.Delete(tx, "c0000") })
	r.restart()
	r.wants("lost", "8 true")
}

// TestRevision_older_plan keeps what a hub planned that always counted an upgrade as the second revision.
func TestRevision_older_plan(t *testing.T) {
	r := newRevisions(t)
	r.answerShape("c0000", "web/web", []string{"-"})
	r.wants("no release", "1 false")
	r.reports(1, "deployed")
	r.changes()
	r.wants("upgrade", "2 true")
	r.reports(6, "deployed")
	r.update(func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, "c0000")
		for i := range plan.Applications {
			plan.Applications[i].Chart = api.ReleaseState{}
		}
		return cmp.Or(err, store.Plans.Put(tx, "c0000", plan))
	})
	r.restart()
	r.wants("of an older hub", "2 true")
	r.changes()
	r.wants("changed", "7 true")
}

// TestRevision_unasked renders for an install if the spoke cannot be asked, and asks for no chart that does not.
func TestRevision_unasked(t *testing.T) {
	r := newRevisions(t)
	r.connect("c0000", "v1.36.0", nil, bundle.Known.Without(bundle.ReleaseQuestions))
	r.wants("unasked", "1 false")
	s := releases(t, 1)
	s.connect("c0000", "v1.36.0", nil, bundle.Known)
	s.round()
	if plan := s.plan("c0000"); len(plan.Questions) > 0 || len(plan.Applications) != 2 {
		t.Errorf("%d questions, %d applications", len(plan.Questions), len(plan.Applications))
	}
}

// TestRevision_failing tells that a chart cannot be rendered without waiting for the spoke.
func TestRevision_failing(t *testing.T) {
	s := releasesOf(t, 1, `rev: '{{ fail "it is broken" }}'`)
	s.connect("c0000", "v1.36.0", nil, bundle.Known)
	s.round()
	if o := get(s, store.Conditions, revisionKey); !strings.Contains(o.Message, "it is broken") {
		t.Error(o.Message)
	}
}
