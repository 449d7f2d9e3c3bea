package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// maxSimulated limits the clusters of a simulation.
const maxSimulated = 5000

// simulated has the flags of nave rollout simulate.
type simulated struct {
	file, clusters string
	fails, offline []string
	takes          time.Duration
	approve        string // how long an approval takes, or never
}

const rolloutSimulateLong = `Play one change of all clusters by spec.rollout of a Fleet, and print what happens when,
until nothing more happens without an operator. Nothing is changed. The rules are those of the hub.

The Fleet is that of the hub, or with -f that of a file. The clusters are those of the hub that the Fleet selects.
With --clusters they are made up, and called STAGE-1, STAGE-2 and so on: as many in each stage, or in each that is
named. With -f and --clusters no hub is asked.

Each cluster takes --takes until the change is healthy. Those of --fail never become so, those of --offline are not
connected. An approval comes after --approve-after. The simulation begins now: windows count.`

func newRolloutSimulateCommand(s *session) *cobra.Command {
	var o simulated
	cmd := &cobra.Command{
		Use:   "simulate [FLEET]",
		Short: "Play a change by spec.rollout of a Fleet, and print what would happen when",
		Long:  rolloutSimulateLong,
		Example: "  nave rollout simulate production\n  nave rollout simulate -f fleet.yaml --clusters 3\n" +
			"  nave rollout simulate -f fleet.yaml --clusters canary=1,rest=20 --fail canary-1 --approve-after never",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fleetOrFile(args, o.file); err != nil {
				return err
			}
			if o.file != "" && o.clusters != "" {
				return o.simulate(cmd, nil, args)
			}
			return s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
				return o.simulate(cmd, client, args)
			})(cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "filename", "f", "", "file with the Fleet, in place of the one that the hub has")
	f.StringVar(&o.clusters, "clusters", "", "made-up clusters: N in each stage, or STAGE=N,… (default: those of the hub)")
	f.StringSliceVar(&o.fails, "fail", nil, "clusters on which the change fails")
	f.StringSliceVar(&o.offline, "offline", nil, "clusters that are not connected")
	f.DurationVar(&o.takes, "takes", 2*time.Minute, "how long a cluster takes until the change is healthy")
	f.StringVar(&o.approve, "approve-after", "5m", "how long an approval takes, or never")
	return cmd
}

// simulate plays a change, and prints the timeline. client may be nil if the hub is not needed.
func (o simulated) simulate(cmd *cobra.Command, client adminv1.AdminServiceClient, args []string) error {
	c := rollout.Simulation{Start: time.Now().UTC().Truncate(time.Second)}
	var err error
	if c.Approves, err = o.approval(); err != nil {
		return err
	}
	if o.takes < 0 || o.takes > 365*24*time.Hour {
		return usageError("--takes=%s: want a duration, such as 2m", o.takes)
	}
	fleet, err := o.fleet(cmd, client, strings.Join(args, ""))
	if err != nil {
		return err
	}
	c.Spec = fleet.Spec.Rollout
	if o.clusters != "" {
		c.Spec, c.Clusters, err = madeUp(c.Spec, o.clusters)
	} else {
		c.Clusters, err = selectedClusters(cmd, client, fleet)
	}
	if err == nil {
		err = o.play(c.Clusters)
	}
	if err != nil {
		return err
	}
	lines, _ := rollout.Simulate(c)
	t := newTableWriter(cmd.OutOrStdout(), []string{"AFTER", "EVENT"}, true, false)
	var rows [][]string
	for _, l := range lines {
		rows = append(rows, []string{l.At.Sub(c.Start).Round(time.Second).String(), l.Text})
	}
	return t.print(rows)
}

// approval returns how long an approval takes; negative: there is none.
func (o simulated) approval() (time.Duration, error) {
	if o.approve == "never" {
		return -1, nil
	}
	d, err := time.ParseDuration(o.approve)
	if err != nil || d < 0 {
		return 0, usageError("--approve-after=%s: want a duration, such as 5m, or never", o.approve)
	}
	return d, nil
}

// fleet returns the Fleet of the file or of the hub, which must have a rollout.
func (o simulated) fleet(cmd *cobra.Command, client adminv1.AdminServiceClient, name string) (fleet *api.Fleet,
	err error) {
	if o.file != "" {
		fleet, _, err = fleetOfFile(cmd, o.file, name)
	} else {
		fleet, err = fleetOfHub(cmd.Context(), client, name)
	}
	if err == nil && fleet.Spec.Rollout == nil {
		err = fmt.Errorf("%s has no spec.rollout: a change goes to all of its clusters at once", api.FleetKey(fleet.Name))
	}
	return fleet, err
}

// madeUp returns a spec whose stages select made-up clusters by a label, and these clusters.
func madeUp(spec *api.RolloutSpec, counts string) (*api.RolloutSpec, []rollout.Simulated, error) {
	const label = "stage"
	next := *spec
	next.Stages = slices.Clone(spec.Stages)
	names := []string{}
	for i := range next.Stages {
		names = append(names, next.Stages[i].Name)
		next.Stages[i].ClusterSelector = &metav1.LabelSelector{MatchLabels: map[string]string{label: next.Stages[i].Name}}
	}
	each, err := countsOf(counts, append(names, api.RestStage))
	var all []rollout.Simulated
	for stage, n := range each {
		for i := range n {
			all = append(all, rollout.Simulated{Name: fmt.Sprintf("%s-%d", stage, i+1), Labels: map[string]string{label: stage}})
		}
	}
	slices.SortFunc(all, func(a, b rollout.Simulated) int { return strings.Compare(a.Name, b.Name) })
	return &next, all, err
}

// countsOf reads N or STAGE=N,…: how many clusters a stage has. N alone is for each stage of the Fleet, and for the
// stage rest if there is no other.
func countsOf(text string, stages []string) (map[string]int, error) {
	counts, total := map[string]int{}, 0
	parts := strings.Split(text, ",")
	if !strings.Contains(text, "=") {
		parts = nil
		for _, stage := range stages[:max(len(stages)-1, 1)] {
			parts = append(parts, stage+"="+text)
		}
	}
	for _, part := range parts {
		stage, number, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > maxSimulated {
			return nil, usageError("--clusters=%s: want a number to %d, or STAGE=N,…", text, maxSimulated)
		}
		if !slices.Contains(stages, stage) {
			return nil, usageError("--clusters=%s: the Fleet has no stage %q: it has %s", text, stage,
				strings.Join(stages, ", "))
		}
		counts[stage] = n
		total += n
	}
	if total > maxSimulated {
		return nil, usageError("--clusters=%s: these are %d clusters, and at most %d can be simulated", text, total,
			maxSimulated)
	}
	return counts, nil
}

// selectedClusters returns the clusters of the hub that a Fleet selects, sorted.
func selectedClusters(cmd *cobra.Command, client adminv1.AdminServiceClient, fleet *api.Fleet) (all []rollout.Simulated,
	err error) {
	objects, err := list(cmd.Context(), client, &adminv1.ListRequest{Kind: api.ClusterKind}, chunkSize)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		o, err := readmit(object, api.Hub)
		if err != nil {
			return nil, err
		}
		selected, err := fleet.Selects(api.ClusterLabels(o.Key.Name, o.Labels()))
		if err != nil {
			return nil, err
		}
		if selected {
			all = append(all, rollout.Simulated{Name: object.GetKey().GetName(), Labels: o.Labels()})
		}
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("%s selects no cluster of the hub: make some up with --clusters", api.FleetKey(fleet.Name))
	case len(all) > maxSimulated:
		return nil, fmt.Errorf("%s selects %d clusters, and at most %d can be simulated: make some up with --clusters",
			api.FleetKey(fleet.Name), len(all), maxSimulated)
	}
	slices.SortFunc(all, func(a, b rollout.Simulated) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// play gives the clusters what the flags say of them.
func (o simulated) play(clusters []rollout.Simulated) error {
	at, names := map[string]int{}, []string{}
	for i := range clusters {
		clusters[i].Takes = o.takes
		at[clusters[i].Name] = i
		names = append(names, clusters[i].Name)
	}
	for _, name := range slices.Concat(o.fails, o.offline) {
		if _, known := at[name]; !known {
			hint := ""
			if near := wording.Nearest(name, names); near != "" {
				hint = fmt.Sprintf(": did you mean %s?", near)
			}
			return usageError("the Fleet has no cluster %q%s", name, hint)
		}
	}
	for _, name := range o.fails {
		clusters[at[name]].Fails = true
	}
	for _, name := range o.offline {
		clusters[at[name]].Away = -1
	}
	return nil
}
