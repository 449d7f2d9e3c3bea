package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// pastReleases is what nave history prints as JSON or YAML. Its field names are stable.
type pastReleases struct {
	Cluster  string        `json:"cluster"`
	Pin      *pinned       `json:"pin,omitempty"`
	Releases []pastRelease `json:"releases"` // the newest first
}

// pastRelease is one release of a cluster.
type pastRelease struct {
	Bundle       uint64    `json:"bundle"`
	ReleasedAt   time.Time `json:"releasedAt"`
	Applications int64     `json:"applications"`
	Current      bool      `json:"current"`
	Changes      []string  `json:"changes,omitempty"`
}

// pinned is the pin of a cluster.
type pinned struct {
	Bundle   uint64    `json:"bundle"`
	PinnedAt time.Time `json:"pinnedAt"`
	By       string    `json:"by"`
}

func newHistoryCommand(s *session) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "history CLUSTER",
		Short: "List the last releases of a cluster, which nave rollback takes",
		Long: `List the last releases of a cluster, which nave rollback takes; the newest first.

With -o json or yaml: cluster; releases, each with bundle, releasedAt, applications (their number), current and changes
(texts; at most 20, and how many more there are); and if the cluster is pinned, pin with bundle, pinnedAt and by.`,
		Example: "  nave history prod-1\n  nave history prod-1 -o json | jq '.releases[0].bundle'",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if output != "" && output != "json" && output != "yaml" {
				return fmt.Errorf("--output %q: want json or yaml", output)
			}
			answer, err := client.History(cmd.Context(), &adminv1.HistoryRequest{Cluster: args[0]})
			if err != nil {
				return err
			}
			past := pastOf(args[0], answer)
			if output == "" {
				return past.print(cmd.OutOrStdout())
			}
			text, err := textIn(output, past)
			fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(text))
			return err
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml, in place of a table")
	return cmd
}

// pastOf returns the answer of the hub about a cluster.
func pastOf(cluster string, answer *adminv1.HistoryResponse) pastReleases {
	past := pastReleases{Cluster: cluster, Pin: pinOf(answer.GetPin()), Releases: []pastRelease{}}
	for _, r := range answer.GetReleases() {
		past.Releases = append(past.Releases, pastRelease{Bundle: r.GetSequence(), ReleasedAt: r.GetReleasedAt().AsTime(),
			Applications: r.GetApplications(), Current: r.GetCurrent(), Changes: r.GetChanges()})
	}
	return past
}

// pinOf returns the pin of a cluster; nil if there is none.
func pinOf(p *adminv1.Pin) *pinned {
	if p == nil {
		return nil
	}
	return &pinned{Bundle: p.GetSequence(), PinnedAt: p.GetPinnedAt().AsTime(), By: p.GetBy()}
}

// print prints the releases as a table.
func (past pastReleases) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "BUNDLE\tRELEASED\tAPPLICATIONS\tCURRENT\tCHANGES")
	for _, r := range past.Releases {
		current := ""
		if r.Current {
			current = "yes"
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\n", r.Bundle, wording.Time(r.ReleasedAt), r.Applications, current,
			oneLine(said(strings.Join(r.Changes, ", "))))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if p := past.Pin; p != nil {
		fmt.Fprintf(out, "pinned to bundle %d since %s by %s; to end the pin: nave release %s\n", p.Bundle,
			wording.Time(p.PinnedAt), oneLine(p.By), past.Cluster)
	}
	return nil
}

func newRollbackCommand(s *session) *cobra.Command {
	var to uint64
	var fleet string
	cmd := &cobra.Command{
		Use:   "rollback CLUSTER... | --fleet NAME",
		Short: "Pin clusters to a past release, until they are released",
		Long: `Pin clusters to a past release: each gets a new bundle with the applications of an old one, and stays there
whatever changes in Git, until nave release. Without --to, that is the newest release in the history that differs from
the present one; a cluster that is pinned already stays at its pin, and only --to gives it another.

A rollback removes nothing from a cluster: applications and objects that the old release does not have stay as they
are now. Suspensions still take effect. With --fleet, each cluster that the Fleet selects goes to its own release
before, with all of its applications; clusters that have none, and those that are pinned already, stay as they are. The
pin is in the status of the Cluster and in nave explain.`,
		Example: "  nave history prod-1\n  nave rollback prod-1 --to 41\n  nave release prod-1\n" +
			"  nave rollback --fleet production\n  nave release --fleet production",
		Args: clustersOrFleet(&fleet),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if (len(args) > 1 || fleet != "") && to != 0 {
				return errors.New("--to is the number of a bundle of one cluster: name one cluster, or leave out --to")
			}
			return eachCluster(cmd, client, args, fleet, func(cluster string) error {
				answer, err := client.Rollback(cmd.Context(), &adminv1.RollbackRequest{Cluster: cluster, Sequence: to})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s pinned to the applications of bundle %d; to go on with Git: "+
						"nave release %s\n", cluster, answer.GetSequence(), cluster)
				}
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&fleet, "fleet", "", "all clusters that this Fleet selects, in place of names")
	cmd.Flags().Uint64Var(&to, "to", 0, "number of the bundle, as in nave history")
	return cmd
}

func newReleaseCommand(s *session) *cobra.Command {
	var fleet string
	cmd := &cobra.Command{
		Use:   "release CLUSTER... | --fleet NAME",
		Short: "End the pin of nave rollback: clusters go on with what is in Git",
		Args:  clustersOrFleet(&fleet),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return eachCluster(cmd, client, args, fleet, func(cluster string) error {
				_, err := client.Release(cmd.Context(), &adminv1.ReleaseRequest{Cluster: cluster})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s goes on with what is in Git\n", cluster)
				}
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&fleet, "fleet", "", "all clusters that this Fleet selects, in place of names")
	return cmd
}

// clustersOrFleet checks that either clusters or a Fleet are named.
func clustersOrFleet(fleet *string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if (len(args) == 0) == (*fleet == "") {
			return errors.New("name either clusters or a Fleet with --fleet")
		}
		return nil
	}
}

// eachCluster calls do for each of the clusters, or for those that a Fleet selects. Clusters for which do returns
// FAILED_PRECONDITION are named and left out, and are an error if the operator named them; any other error ends
// eachCluster.
func eachCluster(cmd *cobra.Command, client adminv1.AdminServiceClient, clusters []string, fleet string,
	do func(cluster string) error) error {
	if fleet != "" {
		var err error
		if clusters, err = selectedBy(cmd.Context(), client, fleet); err != nil {
			return err
		}
	}
	if len(clusters) == 1 && fleet == "" {
		return do(clusters[0])
	}
	var refused []string
	for _, cluster := range clusters {
		err := do(cluster)
		if err == nil {
			continue
		}
		if status.Code(err) != codes.FailedPrecondition {
			return err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "nave:", oneLine(status.Convert(err).Message()))
		refused = append(refused, cluster)
	}
	if len(refused) == len(clusters) || fleet == "" && len(refused) > 0 {
		return fmt.Errorf("nothing was changed on %s", listed(refused))
	}
	return nil
}

// selectedBy returns the names of the clusters that a Fleet selects, sorted. If it selects none, selectedBy returns an
// error.
func selectedBy(ctx context.Context, client adminv1.AdminServiceClient, fleet string) (clusters []string, err error) {
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: api.FleetKind, Name: fleet}})
	if err != nil {
		return nil, err
	}
	o, err := readmit(answer.GetObject(), api.Hub)
	if err != nil {
		return nil, err
	}
	f, err := o.Fleet()
	if err != nil {
		return nil, err
	}
	all, err := client.List(ctx, &adminv1.ListRequest{Kind: api.ClusterKind})
	if err != nil {
		return nil, err
	}
	for _, c := range all.GetObjects() {
		cluster, err := readmit(c, api.Hub)
		if err != nil {
			return nil, err
		}
		if selected, err := f.Selects(cluster.Labels()); err != nil {
			return nil, err
		} else if selected {
			clusters = append(clusters, c.GetKey().GetName())
		}
	}
	if slices.Sort(clusters); len(clusters) == 0 {
		return nil, fmt.Errorf("%s selects no cluster", api.FleetKey(fleet))
	}
	return clusters, nil
}
