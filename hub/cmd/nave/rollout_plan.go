package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// plannedTurn is a cluster of a plan as it is printed as JSON or YAML. Its field names are stable.
type plannedTurn struct {
	Stage       string `json:"stage"`
	Cluster     string `json:"cluster"`
	Concurrency uint32 `json:"concurrency"`       // clusters of the stage at a time
	Changes     string `json:"changes,omitempty"` // yes, no or leaves; empty: not known
	Unhealthy   string `json:"unhealthy,omitempty"`
	Excluded    string `json:"excluded,omitempty"`
}

const rolloutPlanLong = `Print which cluster is in which stage, in the order of their turns, before anything moves.
Clusters that are not healthy now come last in their stage; they are listed first, because they would count as failed.
Nothing is changed.

CHANGES says whether a cluster would get something else than it has: yes, no, leaves (the Fleet does not select it any
more), or - if the hub has planned nothing for it. AT ONCE is how many clusters of the stage may be under way at a
time. With -f, the Fleet is that of the file: its stages are tried on the clusters of the hub, also if the hub does
not have it yet. -f - reads standard input.

With -o json or yaml: clusters, each with stage, cluster, concurrency, changes, unhealthy and excluded (why it does
not get its turn now).`

func newRolloutPlanCommand(s *session) *cobra.Command {
	var o outputFlags
	var file string
	cmd := &cobra.Command{
		Use:   "plan [FLEET]",
		Short: "Print which cluster is in which stage, in order, and whether it would change",
		Long:  rolloutPlanLong,
		Example: "  nave rollout plan production\n  nave rollout plan -f fleet.yaml\n" +
			"  nave rollout plan production -f fleet.yaml -o json",
		Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err == nil {
				err = fleetOrFile(args, file)
			}
			if err != nil {
				return err
			}
			r := &adminv1.PlanRolloutRequest{Fleet: strings.Join(args, "")}
			if file != "" {
				fleet, text, err := fleetOfFile(cmd, file, r.Fleet)
				if err != nil {
					return err
				}
				r.Fleet, r.Manifest = fleet.Name, text
			}
			answer, err := client.PlanRollout(cmd.Context(), r)
			if err != nil {
				return rolloutError(cmd.Context(), client, r.Fleet, err)
			}
			return printTurns(cmd, p, r.Fleet, answer)
		}),
	}
	o.add(cmd)
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with the Fleet, in place of the one that the hub has")
	return cmd
}

// printTurns prints a plan. For people, the clusters that are not healthy come first.
func printTurns(cmd *cobra.Command, p *printer, fleet string, answer *adminv1.PlanRolloutResponse) error {
	l := printout{items: []any{}, table: table{headings: []string{"STAGE", "AT ONCE", "CLUSTER", "CHANGES", "MESSAGE"}}}
	all := []plannedTurn{}
	for _, c := range answer.GetClusters() {
		t := plannedTurn{Stage: c.GetStage(), Cluster: c.GetCluster(), Concurrency: c.GetConcurrency(),
			Changes: changesText[c.GetChange()], Unhealthy: c.GetUnhealthy(), Excluded: c.GetExcluded()}
		all, l.items = append(all, t), append(l.items, t)
		message := t.Excluded
		if t.Unhealthy != "" && p.isTable() {
			fmt.Fprintf(cmd.OutOrStdout(), "⚠ %s is not healthy now, and comes last in stage %s: %s\n", oneLine(t.Cluster),
				oneLine(t.Stage), oneLine(t.Unhealthy))
			message = strings.TrimPrefix(message+"; not healthy", "; ")
		}
		l.table.rows = append(l.table.rows, []string{t.Stage, fmt.Sprint(t.Concurrency), t.Cluster, said(t.Changes),
			said(message)})
	}
	if l.value = map[string]any{"fleet": fleet, "clusters": all}; len(all) == 0 && p.isForPeople() {
		fmt.Fprintf(cmd.ErrOrStderr(), "Fleet %s selects no cluster.\n", oneLine(fleet))
		return nil
	}
	return p.print(l)
}

// changesText are the words for what a rollout would change of a cluster.
var changesText = map[adminv1.PlannedChange]string{adminv1.PlannedChange_PLANNED_CHANGE_NONE: "no",
	adminv1.PlannedChange_PLANNED_CHANGE_CHANGES: "yes", adminv1.PlannedChange_PLANNED_CHANGE_LEAVES: "leaves"}
