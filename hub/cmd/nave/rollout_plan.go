package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// plannedTurn is a cluster of a plan as it is printed as JSON or YAML. Its field names are stable.
type plannedTurn struct {
	Stage        string               `json:"stage"`
	Cluster      string               `json:"cluster"`
	Concurrency  uint32               `json:"concurrency"`       // clusters of the stage at a time
	Changes      string               `json:"changes,omitempty"` // yes, no or leaves; empty: not known
	Root         string               `json:"root,omitempty"`
	Applications []plannedApplication `json:"applications,omitempty"`
	More         uint32               `json:"moreApplications,omitempty"`
	Unhealthy    string               `json:"unhealthy,omitempty"`
	Excluded     string               `json:"excluded,omitempty"`
	Problem      string               `json:"problem,omitempty"`
}

// plannedApplication is an application that a cluster would get (it has no released revision), change or lose.
type plannedApplication struct {
	Kind      string  `json:"kind"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Released  *string `json:"released,omitempty"`
	Planned   *string `json:"planned,omitempty"`
}

func (a plannedApplication) String() string {
	name := a.Kind + " " + a.Namespace + "/" + a.Name
	switch {
	case a.Planned == nil:
		return "- " + name
	case a.Released == nil:
		return "+ " + name + " " + api.ShortRevision(*a.Planned)
	case *a.Released == *a.Planned:
		return "~ " + name
	}
	return fmt.Sprintf("~ %s %s → %s", name, api.ShortRevision(*a.Released), api.ShortRevision(*a.Planned))
}

const rolloutPlanLong = `Print which clusters get what of a Fleet, in which stage, in the order of their turns, before
anything moves. Clusters that are not healthy now come last in their stage; they are listed first, because they would
count as failed. Without spec.rollout all clusters are in one stage. Nothing is changed.

CHANGES says whether a cluster would get something else than it has: yes, no, leaves (the Fleet does not select it any
more), or - if the hub has planned nothing for it. GETS is what: + for applications that are new, ~ for others than it
has, - for those that go. AT ONCE is how many clusters of the stage may be under way at a time.

With -f, the Fleet is that of the file, also if the hub does not have it yet: its selectors, stages and overrides are
tried on the clusters of the hub, and GETS says how their roots would differ. What is below the roots is rendered when
the hub has the Fleet; "nave diff fleet" shows it before. -f - reads standard input.

With -o json or yaml: clusters, each with stage, cluster, concurrency, changes, root, applications (kind, namespace,
name, and the revisions released and planned), moreApplications, unhealthy, excluded (why it does not get its turn
now) and problem (why the Fleet cannot give it its root).`

func newRolloutPlanCommand(s *session) *cobra.Command {
	var o outputFlags
	var file string
	cmd := &cobra.Command{
		Use:   "plan [FLEET]",
		Short: "Print which clusters get what of a Fleet, in which stage, in order",
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

// newPlanCommand returns "nave plan", which is "nave rollout plan" for Fleets with and without a rollout.
func newPlanCommand(s *session) *cobra.Command {
	cmd := newRolloutPlanCommand(s)
	cmd.Example = strings.ReplaceAll(cmd.Example, "nave rollout plan", "nave plan")
	return cmd
}

// printTurns prints a plan. For people, the clusters that are not healthy come first.
func printTurns(cmd *cobra.Command, p *printer, fleet string, answer *adminv1.PlanRolloutResponse) error {
	l := printout{items: []any{}, table: table{headings: []string{"STAGE", "AT ONCE", "CLUSTER", "CHANGES", "GETS",
		"MESSAGE"}}}
	all := []plannedTurn{}
	for _, c := range answer.GetClusters() {
		t := plannedTurn{Stage: c.GetStage(), Cluster: c.GetCluster(), Concurrency: c.GetConcurrency(),
			Changes: changesText[c.GetChange()], Root: c.GetRoot(), More: c.GetMoreApplications(),
			Unhealthy: c.GetUnhealthy(), Excluded: c.GetExcluded(), Problem: c.GetProblem()}
		for _, a := range c.GetApplications() {
			t.Applications = append(t.Applications, plannedApplication{a.GetKind(), a.GetNamespace(), a.GetName(), a.Released,
				a.Planned})
		}
		all, l.items = append(all, t), append(l.items, t)
		message := strings.TrimPrefix(strings.TrimSuffix(t.Problem+"; "+t.Excluded, "; "), "; ")
		if t.Unhealthy != "" && p.isTable() {
			fmt.Fprintf(cmd.OutOrStdout(), "⚠ %s is not healthy now, and comes last in stage %s: %s\n", oneLine(t.Cluster),
				oneLine(t.Stage), oneLine(t.Unhealthy))
			message = strings.TrimPrefix(message+"; not healthy", "; ")
		}
		l.table.rows = append(l.table.rows, []string{t.Stage, fmt.Sprint(t.Concurrency), t.Cluster, said(t.Changes),
			said(t.gets()), said(message)})
	}
	if l.value = map[string]any{"fleet": fleet, "clusters": all}; len(all) == 0 && p.isForPeople() {
		fmt.Fprintf(cmd.ErrOrStderr(), "Fleet %s selects no cluster.\n", oneLine(fleet))
		return nil
	}
	return p.print(l)
}

// gets says what a cluster would get, as far as it fits into a line.
func (t plannedTurn) gets() string {
	const most = 2
	var parts []string
	if t.Root != "" {
		parts = append(parts, t.Root)
	}
	for i, a := range t.Applications {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(t.Applications)-most+int(t.More)))
			break
		}
		parts = append(parts, a.String())
	}
	return strings.Join(parts, ", ")
}

// changesText are the words for what a rollout would change of a cluster.
var changesText = map[adminv1.PlannedChange]string{adminv1.PlannedChange_PLANNED_CHANGE_NONE: "no",
	adminv1.PlannedChange_PLANNED_CHANGE_CHANGES: "yes", adminv1.PlannedChange_PLANNED_CHANGE_LEAVES: "leaves"}
