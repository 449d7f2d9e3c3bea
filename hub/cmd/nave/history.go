package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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

	Listed []releasedApplication `json:"listed,omitempty"` // with --release
}

// pinned is the pin of a cluster.
type pinned struct {
	Bundle   uint64    `json:"bundle"`
	PinnedAt time.Time `json:"pinnedAt"`
	By       string    `json:"by"`
}

func newHistoryCommand(s *session) *cobra.Command {
	var output string
	var release uint64
	cmd := &cobra.Command{
		Use:   "history CLUSTER",
		Short: "List the last releases of a cluster, which nave rollback takes",
		Long: `List the last releases of a cluster, which nave rollback takes; the newest first. With --release, list the
applications of one: revision, digest, and what is different from the release before.

With -o json or yaml: cluster; releases, each with bundle, releasedAt, applications (their number), current and changes
(texts; at most 20, and how many more there are); and if the cluster is pinned, pin with bundle, pinnedAt and by. With
--release there is only this release, with listed: of each application kind, namespace, name, change (same, changed,
added, removed; missing if the release before is not kept), revision, digest and remoteBases, and of the release before
revisionBefore, digestBefore and remoteBasesBefore.`,
		Example: "  nave history prod-1\n  nave history prod-1 --release 41\n" +
			"  nave history prod-1 -o json | jq '.releases[0].bundle'",
		Args: cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if output != "" && output != "json" && output != "yaml" {
				return fmt.Errorf("--output %q: want json or yaml", output)
			}
			answer, err := client.History(cmd.Context(), &adminv1.HistoryRequest{Cluster: args[0], Sequence: release})
			if err != nil {
				return orRelease(cmd, client, args[0], err)
			}
			past := pastOf(args[0], answer)
			if release != 0 && (len(past.Releases) != 1 || past.Releases[0].Bundle != release) {
				return errTooOld("--release")
			}
			switch {
			case output == "" && release != 0:
				return printReleased(cmd.OutOrStdout(), past.Releases[0].Listed, "REVISION", "BEFORE")
			case output == "":
				return past.print(cmd.OutOrStdout())
			}
			return printIn(cmd.OutOrStdout(), output, past)
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml, in place of a table")
	cmd.Flags().Uint64Var(&release, "release", 0, "number of a bundle of the list: its applications")
	cmd.AddCommand(newHistoryHelmReleaseCommand(s))
	return cmd
}

// pastOf returns the answer of the hub about a cluster.
func pastOf(cluster string, answer *adminv1.HistoryResponse) pastReleases {
	past := pastReleases{Cluster: cluster, Pin: pinOf(answer.GetPin()), Releases: []pastRelease{}}
	for _, r := range answer.GetReleases() {
		past.Releases = append(past.Releases, pastRelease{Bundle: r.GetSequence(), ReleasedAt: r.GetReleasedAt().AsTime(),
			Applications: r.GetApplications(), Current: r.GetCurrent(), Changes: r.GetChanges(),
			Listed: releasedOf(r.GetListed())})
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
