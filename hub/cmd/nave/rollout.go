package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// newRolloutCommand returns "nave rollout".
func newRolloutCommand(s *session) *cobra.Command {
	cmd := group("rollout", "See, plan and control how changes move through the clusters of a Fleet",
		append(rolloutVerbs(s), newRolloutListCommand(s), newRolloutStatusCommand(s), newRolloutPlanCommand(s),
			newRolloutSimulateCommand(s))...)
	for _, below := range cmd.Commands() {
		if below.ValidArgsFunction == nil {
			below.ValidArgsFunction = then(s.names(api.FleetKind), false)
		}
	}
	return cmd
}

// printedRollout is a rollout as it is printed as JSON or YAML. Its field names are stable.
type printedRollout struct {
	Fleet     string          `json:"fleet"`
	Number    uint64          `json:"number"`
	Revision  string          `json:"revision,omitempty"`
	Phase     string          `json:"phase,omitempty"`
	Message   string          `json:"message,omitempty"`
	Since     time.Time       `json:"since,omitzero"`
	BeganAt   time.Time       `json:"beganAt,omitzero"`
	EndedAt   time.Time       `json:"endedAt,omitzero"`
	Suspended bool            `json:"suspended,omitempty"`
	Stages    []printedStage  `json:"stages"`
	Clusters  []clusterOfTurn `json:"clusters,omitempty"` // of nave rollout status, and the newest rollout
	More      uint32          `json:"moreClusters,omitempty"`
}

type printedStage struct {
	Name           string `json:"name"`
	State          string `json:"state"`
	Clusters       uint32 `json:"clusters"`
	Done           uint32 `json:"done"`
	UnderWay       uint32 `json:"underWay"`
	Failed         uint32 `json:"failed"`
	Skipped        uint32 `json:"skipped"`
	Waiting        uint32 `json:"waiting"`
	AwaitsApproval string `json:"awaitsApproval,omitempty"` // before or after
	ApprovedBefore string `json:"approvedBefore,omitempty"` // by whom
	ApprovedAfter  string `json:"approvedAfter,omitempty"`
}

// clusterOfTurn is a cluster of the newest rollout.
type clusterOfTurn struct {
	Cluster   string    `json:"cluster"`
	Stage     string    `json:"stage"`
	State     string    `json:"state"`
	Message   string    `json:"message,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	OfferedAt time.Time `json:"offeredAt,omitzero"`
	Target    string    `json:"target,omitempty"`
	Previous  string    `json:"previous,omitempty"`
	Joined    bool      `json:"joined,omitempty"`
}

// timeOf returns a time of the hub; zero if there is none.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func rolloutOf(m *adminv1.Rollout) printedRollout {
	r := printedRollout{Fleet: m.GetFleet(), Number: m.GetNumber(), Revision: m.GetRevision(), Phase: m.GetPhase(),
		Message: m.GetMessage(), Since: timeOf(m.GetSince()), BeganAt: timeOf(m.GetBeganAt()),
		EndedAt: timeOf(m.GetEndedAt()), Suspended: m.GetSuspended(), Stages: []printedStage{}}
	for _, st := range m.GetStages() {
		r.Stages = append(r.Stages, printedStage{Name: st.GetName(), State: st.GetState(), Clusters: st.GetClusters(),
			Done: st.GetDone(), UnderWay: st.GetUnderWay(), Failed: st.GetFailed(), Skipped: st.GetSkipped(),
			Waiting: st.GetWaiting(), AwaitsApproval: st.GetAwaitsApproval(), ApprovedBefore: st.GetApprovedBefore(),
			ApprovedAfter: st.GetApprovedAfter()})
	}
	return r
}

// rolloutError returns the error of a call about the rollouts of a Fleet.
func rolloutError(ctx context.Context, client adminv1.AdminServiceClient, fleet string, err error) error {
	if isTooOld(err) {
		return errTooOld("rollouts")
	}
	key := &adminv1.ObjectKey{Kind: api.FleetKind, Name: fleet}
	if missing := missingObject(err); missing.GetKind() != key.Kind || missing.GetName() != fleet {
		return err
	}
	return elsewhere(ctx, client, key, err)
}

func newRolloutListCommand(s *session) *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "list [FLEET]",
		Short: "List the rollouts of a Fleet or of all Fleets, the newest first",
		Long: `List the rollouts of a Fleet or of all Fleets, the newest first. As many that have ended are kept as
spec.rollout.revisionHistoryLimit says.

With -o json or yaml: rollouts, each with fleet, number, revision, phase, message, since, beganAt, endedAt, suspended
and stages, each with name, state, clusters, done, underWay, failed, skipped and waiting.`,
		Example: "  nave rollout list\n  nave rollout list production\n" +
			"  nave rollout list production -o jsonpath='{.rollouts[0].phase}'",
		Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			fleet := strings.Join(args, "")
			answer, err := client.ListRollouts(cmd.Context(), &adminv1.ListRolloutsRequest{Fleet: fleet})
			if err != nil {
				return rolloutError(cmd.Context(), client, fleet, err)
			}
			if len(answer.GetRollouts()) == 0 && o.isForPeople() {
				fmt.Fprintln(cmd.ErrOrStderr(), "No rollouts found.")
				return nil
			}
			return p.print(printoutOfRollouts(answer.GetRollouts()))
		}),
	}
	o.add(cmd)
	return cmd
}

// printoutOfRollouts returns a list of rollouts.
func printoutOfRollouts(rollouts []*adminv1.Rollout) printout {
	l := printout{items: []any{}, table: table{headings: []string{"FLEET", "ROLLOUT", "REVISION", "PHASE", "DONE", "AGE",
		"MESSAGE"}}}
	all := []printedRollout{}
	for _, m := range rollouts {
		r := rolloutOf(m)
		all, l.items = append(all, r), append(l.items, r)
		var done, clusters uint32
		for _, st := range r.Stages {
			done, clusters = done+st.Done, clusters+st.Clusters
		}
		l.table.rows = append(l.table.rows, []string{r.Fleet, fmt.Sprint(r.Number), said(r.Revision), r.Phase,
			fmt.Sprintf("%d/%d", done, clusters), age(r.BeganAt), said(r.Message)})
	}
	l.value = map[string]any{"rollouts": all}
	return l
}
