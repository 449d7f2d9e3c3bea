package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

func newHistoryCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "history CLUSTER",
		Short: "List the last releases of a cluster, which nave rollback takes",
		Args:  cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			answer, err := client.History(cmd.Context(), &adminv1.HistoryRequest{Cluster: args[0]})
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "BUNDLE\tRELEASED\tAPPLICATIONS\tCURRENT\tCHANGES")
			for _, r := range answer.GetReleases() {
				current := ""
				if r.GetCurrent() {
					current = "yes"
				}
				fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\n", r.GetSequence(), wording.Time(r.GetReleasedAt().AsTime()),
					r.GetApplications(), current, oneLine(said(strings.Join(r.GetChanges(), ", "))))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if p := answer.GetPin(); p != nil {
				fmt.Fprintf(out, "pinned to bundle %d since %s by %s; to end the pin: nave release %s\n", p.GetSequence(),
					wording.Time(p.GetPinnedAt().AsTime()), oneLine(p.GetBy()), args[0])
			}
			return nil
		}),
	}
}

func newRollbackCommand(s *session) *cobra.Command {
	var to uint64
	cmd := &cobra.Command{
		Use:   "rollback CLUSTER...",
		Short: "Pin clusters to a past release, until they are released",
		Long: `Pin clusters to a past release: each gets a new bundle with the applications of an old one, and stays there
whatever changes in Git, until nave release. Without --to, that is the newest release in the history that differs from
the present one.

A rollback removes nothing from a cluster: applications that the old release does not have stay as they are now.
Suspensions still take effect. The pin is in the status of the Cluster and in nave explain.`,
		Example: "  nave history prod-1\n  nave rollback prod-1 --to 41\n  nave release prod-1",
		Args:    cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if len(args) > 1 && to != 0 {
				return errors.New("--to is the number of a bundle of one cluster: name one cluster, or leave out --to")
			}
			for _, cluster := range args {
				answer, err := client.Rollback(cmd.Context(), &adminv1.RollbackRequest{Cluster: cluster, Sequence: to})
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s pinned to the applications of bundle %d; to go on with Git: "+
					"nave release %s\n", cluster, answer.GetSequence(), cluster)
			}
			return nil
		}),
	}
	cmd.Flags().Uint64Var(&to, "to", 0, "number of the bundle, as in nave history")
	return cmd
}

func newReleaseCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "release CLUSTER...",
		Short: "End the pin of nave rollback: clusters go on with what is in Git",
		Args:  cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			for _, cluster := range args {
				if _, err := client.Release(cmd.Context(), &adminv1.ReleaseRequest{Cluster: cluster}); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s goes on with what is in Git\n", cluster)
			}
			return nil
		}),
	}
}
