package main

import (
	"fmt"
	"strings"
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
	var o outputFlags
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
			"  nave history prod-1 -o jsonpath='{.releases[0].bundle}'",
		Args: cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			answer, err := client.History(cmd.Context(), &adminv1.HistoryRequest{Cluster: args[0], Sequence: release})
			if err != nil {
				return orRelease(cmd, client, args[0], err)
			}
			past := pastOf(args[0], answer)
			if release != 0 && (len(past.Releases) != 1 || past.Releases[0].Bundle != release) {
				return errTooOld("--release")
			}
			l := past.printout()
			if release != 0 {
				l = printoutOfReleased(past.Cluster, past.Releases[0].Listed, "REVISION", "BEFORE")
				l.value = past
			}
			return p.print(l)
		}),
	}
	o.add(cmd)
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

// printout returns the releases, the lines of custom-columns each with the cluster.
func (past pastReleases) printout() printout {
	l := printout{value: past, items: []any{},
		table: table{headings: []string{"BUNDLE", "RELEASED", "APPLICATIONS", "CURRENT", "CHANGES"}}}
	for _, r := range past.Releases {
		l.items = append(l.items, releaseOfCluster{past.Cluster, r})
		current := ""
		if r.Current {
			current = "yes"
		}
		l.table.rows = append(l.table.rows, []string{fmt.Sprint(r.Bundle), wording.Time(r.ReleasedAt),
			fmt.Sprint(r.Applications), current, said(strings.Join(r.Changes, ", "))})
	}
	if p := past.Pin; p != nil {
		l.notes = []string{fmt.Sprintf("pinned to bundle %d since %s by %s; to end the pin: nave release %s", p.Bundle,
			wording.Time(p.PinnedAt), oneLine(p.By), past.Cluster)}
	}
	return l
}

// releaseOfCluster is a release with the name of its cluster.
type releaseOfCluster struct {
	Cluster string `json:"cluster"`
	pastRelease
}
