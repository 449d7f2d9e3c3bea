package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// planned gives a cluster a plan and a release with content of the Fleet prod; empty: none.
func (r *rig) planned(cluster, plan, released string) {
	entries := func(content string) []store.Entry {
		if content == "" {
			return nil
		}
		name := bundle.ApplicationName{Kind: api.KustomizationKind, Namespace: "flux-system", Name: "root"}
		return []store.Entry{{Content: store.Content{Fleet: "prod", Name: name, Digest: manifest.DigestOf([]byte(content))}}}
	}
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		if err := store.Plans.Put(tx, cluster, store.Plan{Applications: entries(plan)}); err != nil {
			return err
		}
		return store.Releases.Put(tx, cluster, store.Release{Applications: entries(released)})
	}))
}

// TestPlanRollout says in which order clusters get their turn, and which of them would change.
func TestPlanRollout(t *testing.T) {
	r := newRolloutRig(t)
	r.apply(clusterOf("ash", "late") + "---" + clusterYAML{name: "gone", env: "dev"}.String() + "---" +
		clusterYAML{name: "other", env: "dev"}.String())
	r.planned("east", "new", "old")
	r.planned("north", "new", "new")
	r.planned("west", "new", "")
	r.planned("gone", "", "old")
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, "west", store.Spoke{Connected: true})
	}))
	plan := func(manifest string) (got []string) {
		answer, err := r.PlanRollout(t.Context(), &adminv1.PlanRolloutRequest{Fleet: "prod", Manifest: []byte(manifest)})
		must(t, err)
		for _, c := range answer.Clusters {
			got = append(got, strings.TrimRight(fmt.Sprintf("%s %s %s %d %s; %s", c.Stage, c.Cluster,
				strings.TrimPrefix(c.Change.String(), "PLANNED_CHANGE_"), c.Concurrency, c.Excluded, c.Unhealthy), "; "))
		}
		return got
	}
	const never = "it has never been connected"
	const waits = "Kustomization flux-system/root is not applied yet"
	if got, want := plan(""), []string{"canary east CHANGES 1 " + never + "; " + waits,
		"rest ash UNSPECIFIED 4 " + never, "rest west CHANGES 4", "rest gone LEAVES 4 " + never + "; " + waits,
		"rest north NONE 4 " + never + "; " + waits}; !slices.Equal(got, want) {
		t.Errorf("got %s", strings.Join(got, "\n"))
	}
	for _, cluster := range []string{"ash", "east", "north", "west"} {
		r.rooted(cluster)
	}
	all := fleet + "  rollout: {stages: [{name: all, maxConcurrency: 2}]}\n"
	if got := plan(all); len(got) != 5 || got[0] != "all ash UNSPECIFIED 2 "+never || got[1] != "all west CHANGES 2" {
		t.Errorf("of the manifest: %s", strings.Join(got, "\n"))
	}
}

// TestPlanRollout_canceled plans for no further cluster when the operator has gone.
func TestPlanRollout_canceled(t *testing.T) {
	r := newRolloutRig(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	err := r.store.View(t.Context(), func(tx *store.Tx) error {
		row, err := resource(tx, api.FleetKey("prod"))
		must(t, err)
		f, err := row.Object.Fleet()
		must(t, err)
		_, err = planRollout(ctx, tx, f, true)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// rooted gives a cluster the root of the Fleet prod, as the planner does.
func (r *rig) rooted(name string) {
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		row, err := resource(tx, api.FleetKey("prod"))
		clusterRow, err2 := resource(tx, api.ClusterKey(name))
		must(r.t, errors.Join(err, err2))
		f, err := row.Object.Fleet()
		c, err2 := clusterRow.Object.Cluster()
		must(r.t, errors.Join(err, err2))
		root, err := api.ExpandTemplate(f, c)
		must(r.t, err)
		key := root.Key.In(name)
		return store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Object: root})
	}))
}

// TestPlanRollout_content says what each cluster would get: applications of the hub's Fleet, roots of a manifest.
func TestPlanRollout_content(t *testing.T) {
	r := newRolloutRig(t)
	r.planned("east", "new", "old")
	r.planned("north", "new", "")
	r.planned("west", "", "old")
	r.rooted("east")
	r.rooted("north")
	r.apply(strings.Replace(clusterOf("west", "late"), "{vars: {", "{vars: {size: big, ", 1))
	plan := func(manifest string) (got []string) {
		answer, err := r.PlanRollout(t.Context(), &adminv1.PlanRolloutRequest{Fleet: "prod", Manifest: []byte(manifest)})
		must(t, err)
		for _, c := range answer.Clusters {
			line := c.Cluster + " " + c.Root + c.Problem
			for _, a := range c.Applications {
				line += fmt.Sprintf(" %s/%s: %t %t", a.Namespace, a.Name, a.Released != nil, a.Planned != nil)
			}
			got = append(got, line)
		}
		return got
	}
	if got, want := plan(""), []string{"east  flux-system/root: true true", "north  flux-system/root: false true",
		"west  flux-system/root: true false"}; !slices.Equal(got, want) {
		t.Errorf("got %s", strings.Join(got, "\n"))
	}
	changed := strings.Replace(fleet, "{interval: ", "{force: true, interval: ", 1) + `
  overrides: [{clusterSelector: {matchLabels: {ring: canary}}, patches: [{patch: "a: ${size}"}]}]
`
	if got, want := plan(changed), []string{
		"north Kustomization flux-system/root: other spec.force flux-system/root: false true",
		`east Fleet prod on cluster east: spec.overrides[0].patches[0].patch: variable "size" is not set: set it in ` +
			`spec.vars of Cluster east, or write ${size:-default} flux-system/root: true true`,
		"west Kustomization flux-system/root is new flux-system/root: true false"}; !slices.Equal(got, want) {
		t.Errorf("got %s", strings.Join(got, "\n"))
	}
}

// TestPlanRollout_refused refuses a manifest that is not that of the Fleet.
func TestPlanRollout_refused(t *testing.T) {
	r := newRolloutRig(t)
	for name, tt := range map[string]struct{ manifest, words string }{
		"cluster":  {clusterA, "is of no Fleet"},
		"two":      {clusterA + "---" + fleet, "it has 2 objects"},
		"other":    {strings.Replace(fleet+pacedYAML, "name: prod", "name: dev", 1), "is of Fleet dev, not of prod"},
		"no_stage": {fleet + "  rollout: {stages: [{name: Canary}]}\n", "spec.rollout.stages[0].name"},
		"no_yaml":  {"{", "want the manifest of one Fleet"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.PlanRollout(t.Context(), &adminv1.PlanRolloutRequest{Fleet: "prod", Manifest: []byte(tt.manifest)})
			wantCode(t, err, codes.InvalidArgument, tt.words)
		})
	}
}
