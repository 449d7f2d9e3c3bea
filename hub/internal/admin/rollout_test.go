package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// pacedYAML is the Fleet of the tests with a rollout: east is the canary, and an approval comes before the rest.
const pacedYAML = `
  rollout:
    stages:
    - {name: canary, clusterSelector: {matchLabels: {env: prod, ring: canary}}, afterStage: [{type: Approval}]}
`

var began = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// clusterOf is the manifest of a cluster in a ring.
func clusterOf(name, ring string) string {
	return strings.Replace(clusterYAML{name: name}.String(), "{env: prod}", "{env: prod, ring: "+ring+"}", 1)
}

// newRolloutRig returns a rig with the Fleet prod and the clusters east (of the stage canary), north and west.
// Rollout 3 is under way: east is done and west has failed.
func newRolloutRig(t *testing.T) *rig {
	r := newRig(t)
	r.apply(strings.Join([]string{source, fleet + pacedYAML, clusterOf("east", "canary"), clusterOf("north", "late"),
		clusterOf("west", "late")}, "---"))
	for n, phase := range []rollout.Phase{rollout.Succeeded, rollout.Superseded, rollout.Waiting} {
		row := store.Rollout{Revision: "main@sha1:1", Rollout: rollout.Rollout{Number: uint64(n + 1), Phase: phase,
			Began: began, Since: began, Stages: []rollout.Stage{
				{Name: "canary", Begun: began, Settled: began, Counts: rollout.Counts{Clusters: 1, Done: 1}},
				{Name: "rest", Counts: rollout.Counts{Clusters: 2, Waiting: 1, Failed: 1}}}}}
		r.putRollout(row)
	}
	r.putTurn("east", rollout.Progress{State: rollout.ClusterDone, Offered: began, Previous: manifest.DigestOf(nil)})
	r.putTurn("north", rollout.Progress{State: rollout.ClusterWaiting})
	r.putTurn("west", rollout.Progress{State: rollout.ClusterFailed, Message: "it is ill", Offered: began})
	return r
}

func (r *rig) putRollout(row store.Rollout) {
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Rollouts.Put(tx, store.RolloutKey("prod", row.Number), row)
	}))
}

func (r *rig) putTurn(cluster string, p rollout.Progress) {
	p.Rollout = 3
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Turns.Put(tx, store.TurnKey(cluster, "prod"), store.Turn{Progress: p})
	}))
}

// rollout returns the newest rollout of the Fleet, and the states of its clusters by name.
func (r *rig) rollout() (latest store.Rollout, states map[string]rollout.State) {
	states = map[string]rollout.State{}
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) (err error) {
		if latest, _, err = store.LatestRollout(tx, "prod"); err != nil {
			return err
		}
		turns, err := turnsOf(tx, "prod")
		for cluster, turn := range turns {
			states[cluster] = turn.State
		}
		return err
	}))
	return latest, states
}

// TestListRollouts lists the rollouts of a Fleet, or of all, the newest first.
func TestListRollouts(t *testing.T) {
	r := newRolloutRig(t)
	for _, name := range []string{"", "prod"} {
		answer, err := r.ListRollouts(t.Context(), &adminv1.ListRolloutsRequest{Fleet: name})
		must(t, err)
		var got []string
		for _, one := range answer.Rollouts {
			got = append(got, fmt.Sprint(one.Fleet, one.Number, one.Phase))
		}
		if want := []string{"prod3Waiting", "prod2Superseded", "prod1Succeeded"}; !slices.Equal(got, want) {
			t.Errorf("of %q: %v", name, got)
		}
	}
	_, err := r.ListRollouts(t.Context(), &adminv1.ListRolloutsRequest{Fleet: "other"})
	wantCode(t, err, codes.NotFound, "other")
}

// TestGetRollout returns the newest rollout with its clusters, those that need a look first, and one before without.
func TestGetRollout(t *testing.T) {
	r := newRolloutRig(t)
	answer, err := r.GetRollout(t.Context(), &adminv1.GetRolloutRequest{Fleet: "prod"})
	must(t, err)
	var got []string
	for _, c := range answer.Clusters {
		got = append(got, c.Cluster+" "+c.Stage+" "+c.State+" "+c.Message)
	}
	want := []string{"west rest Failed it is ill", "north rest Waiting ", "east canary Done "}
	if !slices.Equal(got, want) || answer.Restorable != 1 || answer.More != 0 {
		t.Errorf("clusters %q, %d restorable, %d more", got, answer.Restorable, answer.More)
	}
	stages := answer.Rollout.Stages
	if len(stages) != 2 || stages[0].State != "Settled" || stages[0].AwaitsApproval != "after" || stages[1].State !=
		"Waiting" || stages[1].AwaitsApproval != "" || stages[1].Failed != 1 {
		t.Errorf("stages %v", stages)
	}
	answer, err = r.GetRollout(t.Context(), &adminv1.GetRolloutRequest{Fleet: "prod", Limit: 1})
	if must(t, err); len(answer.Clusters) != 1 || answer.Clusters[0].Cluster != "west" || answer.More != 2 {
		t.Errorf("limited: %v", answer)
	}
	answer, err = r.GetRollout(t.Context(), &adminv1.GetRolloutRequest{Fleet: "prod", Number: 2})
	if must(t, err); answer.Rollout.Phase != "Superseded" || len(answer.Clusters) > 0 {
		t.Errorf("rollout 2: %v", answer)
	}
	_, err = r.GetRollout(t.Context(), &adminv1.GetRolloutRequest{Fleet: "prod", Number: 9})
	wantCode(t, err, codes.NotFound, "no rollout 9", "nave rollout list prod")
}

// TestControlRollout carries out each verb once: the second one changes nothing, and says why.
func TestControlRollout(t *testing.T) {
	verb := func(name string) adminv1.RolloutVerb {
		return adminv1.RolloutVerb(adminv1.RolloutVerb_value["ROLLOUT_VERB_"+name])
	}
	for name, tt := range map[string]struct {
		before  []string // verbs
		verb    string
		request *adminv1.ControlRolloutRequest
		event   string
		again   string // why the second one changes nothing
		is      func(r store.Rollout, states map[string]rollout.State) bool
	}{
		"approve": {nil, "APPROVE", &adminv1.ControlRolloutRequest{Stage: "canary"},
			"RolloutApproved: approved rollout 3 after stage canary by admin", "does not wait for an approval of stage canary",
			func(r store.Rollout, _ map[string]rollout.State) bool { return r.Stages[0].After.By == "admin" }},
		"approve_any": {nil, "APPROVE", &adminv1.ControlRolloutRequest{},
			"RolloutApproved: approved rollout 3 after stage canary by admin", "waits for no approval",
			func(r store.Rollout, _ map[string]rollout.State) bool { return !r.Stages[0].After.At.IsZero() }},
		"suspend": {nil, "SUSPEND", &adminv1.ControlRolloutRequest{}, "RolloutControlled: suspended the rollouts by admin",
			"are suspended already",
			func(r store.Rollout, _ map[string]rollout.State) bool { return r.Suspended }},
		"resume": {[]string{"SUSPEND"}, "RESUME", &adminv1.ControlRolloutRequest{},
			"RolloutControlled: resumed the rollouts by admin", "no operator has suspended",
			func(r store.Rollout, _ map[string]rollout.State) bool { return !r.Suspended }},
		"roll_back": {nil, "ROLL_BACK", &adminv1.ControlRolloutRequest{},
			"RolloutControlled: ordered to roll back rollout 3 by admin", "rollout 3 is Waiting",
			func(r store.Rollout, _ map[string]rollout.State) bool { return r.Order == rollout.Rollback }},
		"release": {[]string{"ROLL_BACK"}, "RELEASE", &adminv1.ControlRolloutRequest{},
			"RolloutControlled: released rollout 3 by admin", "is not held",
			func(r store.Rollout, _ map[string]rollout.State) bool { return r.Order == rollout.Restart }},
		"retry": {nil, "RETRY", &adminv1.ControlRolloutRequest{}, "RolloutControlled: retried west of rollout 3 by admin",
			"no cluster has failed",
			func(_ store.Rollout, s map[string]rollout.State) bool { return s["west"] == rollout.ClusterUnderWay }},
		"retry_named": {nil, "RETRY", &adminv1.ControlRolloutRequest{Clusters: []string{"west", "east"}},
			"RolloutControlled: retried west of rollout 3 by admin", "the cluster is Done (east)",
			func(_ store.Rollout, s map[string]rollout.State) bool {
				return s["west"] == rollout.ClusterUnderWay && s["east"] == rollout.ClusterDone
			}},
		"skip": {nil, "SKIP", &adminv1.ControlRolloutRequest{Clusters: []string{"west", "north", "west"}},
			"RolloutControlled: left north, west out of rollout 3 by admin", "the cluster is LeftOut (north)",
			func(_ store.Rollout, s map[string]rollout.State) bool {
				return s["west"] == rollout.ClusterLeftOut && s["north"] == rollout.ClusterLeftOut
			}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRolloutRig(t)
			for _, name := range tt.before {
				_, err := r.ControlRollout(t.Context(), &adminv1.ControlRolloutRequest{Fleet: "prod", Verb: verb(name)})
				must(t, err)
			}
			request := tt.request
			request.Fleet, request.Verb, request.Number = "prod", verb(tt.verb), 3
			answer, err := r.ControlRollout(t.Context(), request)
			must(t, err)
			latest, states := r.rollout()
			if !answer.Changed || answer.Number != 3 || !tt.is(latest, states) {
				t.Errorf("answered %v: %+v, %v", answer, latest, states)
			}
			events, err := r.ListEvents(t.Context(), &adminv1.ListEventsRequest{Key: &adminv1.ObjectKey{Kind: api.FleetKind,
				Name: "prod"}})
			must(t, err)
			if last := events.Events[len(events.Events)-1]; last.Reason+": "+last.Message != tt.event {
				t.Errorf("the event is %s: %s", last.Reason, last.Message)
			}
			answer, err = r.ControlRollout(t.Context(), request)
			if must(t, err); answer.Changed || !strings.Contains(answer.Message, tt.again) {
				t.Errorf("again: %v", answer)
			}
		})
	}
}

// TestControlRollout_abort aborts a rollout that has not ended.
func TestControlRollout_abort(t *testing.T) {
	r := newRolloutRig(t)
	request := &adminv1.ControlRolloutRequest{Fleet: "prod", Verb: adminv1.RolloutVerb_ROLLOUT_VERB_ABORT}
	answer, err := r.ControlRollout(t.Context(), request)
	must(t, err)
	latest, _ := r.rollout()
	if !answer.Changed || latest.Order != rollout.Abort {
		t.Errorf("answered %v: %+v", answer, latest)
	}
	latest.Phase = rollout.Aborted // as package stages makes of the order
	r.putRollout(latest)
	if answer, err = r.ControlRollout(t.Context(), request); err != nil || answer.Changed ||
		answer.Message != "rollout 3 has ended: it is Aborted" {
		t.Errorf("again: %v, %v", answer, err)
	}
}

// TestControlRollout_refused refuses what is no decision about this rollout, and changes nothing.
func TestControlRollout_refused(t *testing.T) {
	const approve, skip = adminv1.RolloutVerb_ROLLOUT_VERB_APPROVE, adminv1.RolloutVerb_ROLLOUT_VERB_SKIP
	for name, tt := range map[string]struct {
		request *adminv1.ControlRolloutRequest
		code    codes.Code
		words   string
	}{
		"no_fleet":     {&adminv1.ControlRolloutRequest{Fleet: "other", Verb: approve}, codes.NotFound, "other"},
		"no_name":      {&adminv1.ControlRolloutRequest{Verb: approve}, codes.InvalidArgument, "missing"},
		"no_rollout":   {&adminv1.ControlRolloutRequest{Fleet: "plain", Verb: approve}, codes.FailedPrecondition, "has no spec.rollout"},
		"no_verb":      {&adminv1.ControlRolloutRequest{Fleet: "prod"}, codes.InvalidArgument, "does not know the verb 0"},
		"new_verb":     {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: 99}, codes.InvalidArgument, "upgrade the hub"},
		"no_stage":     {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: approve, Stage: "canry"}, codes.InvalidArgument, "it has canary, rest"},
		"other_stage":  {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: skip, Stage: "canary", Clusters: []string{"west"}}, codes.InvalidArgument, "leave out the stage"},
		"no_clusters":  {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: skip}, codes.InvalidArgument, "name the clusters"},
		"clusters":     {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: approve, Clusters: []string{"west"}}, codes.InvalidArgument, "leave out the clusters"},
		"no_cluster":   {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: skip, Clusters: []string{"north", "wets"}}, codes.NotFound, "wets"},
		"not_of_fleet": {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: skip, Clusters: []string{"north", "lone"}}, codes.FailedPrecondition, "lone is not part of the rollout"},
		"other_number": {&adminv1.ControlRolloutRequest{Fleet: "prod", Verb: approve, Number: 2}, codes.Aborted, "rollout 3 of Fleet prod has begun"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRolloutRig(t)
			r.apply(clusterYAML{name: "lone", env: "dev"}.String() + "---" +
				strings.Replace(fleetYAML{root: "plain"}.String(), "name: prod", "name: plain", 1))
			was, statesBefore := r.rollout()
			_, err := r.ControlRollout(t.Context(), tt.request)
			wantCode(t, err, tt.code, tt.words)
			if is, states := r.rollout(); fmt.Sprint(was, statesBefore) != fmt.Sprint(is, states) {
				t.Errorf("the rollout became %+v, %v", is, states)
			}
		})
	}
}

// TestControlRollout_held says what keeps a rollout from going on after a decision.
func TestControlRollout_held(t *testing.T) {
	r := newRolloutRig(t)
	control := func(verb adminv1.RolloutVerb) *adminv1.ControlRolloutResponse {
		answer, err := r.ControlRollout(t.Context(), &adminv1.ControlRolloutRequest{Fleet: "prod", Verb: verb})
		must(t, err)
		return answer
	}
	if held := control(adminv1.RolloutVerb_ROLLOUT_VERB_SUSPEND).Held; held != "" {
		t.Errorf("suspended: %s", held)
	}
	held := control(adminv1.RolloutVerb_ROLLOUT_VERB_APPROVE).Held
	if !strings.Contains(held, "nave rollout resume prod") {
		t.Errorf("approved: %q", held)
	}
	r.apply(fleet + pacedYAML + "    suspend: true\n")
	if held := control(adminv1.RolloutVerb_ROLLOUT_VERB_RESUME).Held; !strings.Contains(held, "spec.rollout.suspend") {
		t.Errorf("resumed: %q", held)
	}
	_, err := r.Suspend(t.Context(), &adminv1.SuspendRequest{Key: &adminv1.ObjectKey{Kind: api.FleetKind, Name: "prod"}})
	must(t, err)
	if held := control(adminv1.RolloutVerb_ROLLOUT_VERB_RETRY).Held; !strings.Contains(held, "nave resume fleet prod") {
		t.Errorf("retried: %q", held)
	}
}
