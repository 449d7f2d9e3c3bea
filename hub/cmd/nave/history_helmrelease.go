package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
)

// pastOfRelease is what nave history helmrelease prints of one cluster as JSON or YAML. Its field names are stable.
type pastOfRelease struct {
	Cluster   string         `json:"cluster"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Revisions []pastRevision `json:"revisions"` // the oldest first
	// Cut: there may be older revisions that the spoke does not report.
	Cut bool `json:"cut,omitempty"`
}

// pastRevision is one revision of a release.
type pastRevision struct {
	Revision      int64  `json:"revision"`
	Updated       string `json:"updated,omitempty"`
	FirstDeployed string `json:"firstDeployed,omitempty"`
	Status        string `json:"status"`
	Chart         string `json:"chart,omitempty"`
	ChartVersion  string `json:"chartVersion,omitempty"`
	AppVersion    string `json:"appVersion,omitempty"`
	Tests         string `json:"tests,omitempty"`
	Description   string `json:"description,omitempty"`
}

func newHistoryHelmReleaseCommand(s *session) *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:     "helmrelease NAME",
		Aliases: []string{"helmreleases", "hr"},
		Short:   "List the revisions of a release of Helm, as helm history does",
		Long: `List the revisions of a release of Helm, as helm history does; the oldest first. Without --cluster those of
each cluster that has the HelmRelease. A spoke reports the newest 10 revisions.

With -o json or yaml: a list, of each cluster cluster, namespace, name, cut (older revisions may exist) and revisions,
each with revision, updated, firstDeployed, status, chart, chartVersion, appVersion, tests and description.`,
		Example: "  nave history helmrelease podinfo -n apps --cluster prod-1\n" +
			"  nave history helmrelease podinfo -n apps -o json",
		Args:        cobra.ExactArgs(1),
		Annotations: everywhere,
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			rows, err := s.helmReleases(cmd, client, args[0])
			if err != nil {
				return err
			}
			past := make([]pastOfRelease, len(rows))
			for i, r := range rows {
				past[i] = pastOfObject(r)
			}
			return p.print(printoutOfRevisions(past))
		}),
	}
	o.add(cmd)
	return cmd
}

// helmReleases returns the HelmReleases of a name: that of --cluster, or those of all clusters.
func (s *session) helmReleases(cmd *cobra.Command, client adminv1.AdminServiceClient, name string) ([]row, error) {
	kind, err := api.FindKind("helmrelease")
	if err != nil {
		return nil, err
	}
	request := s.listRequest(kind, getOptions{})
	rows, err := listRows(cmd.Context(), client, request, chunkSize, name)
	if err == nil && len(rows) == 0 {
		rows, err = s.heldRow(cmd.Context(), client, kind, name)
		if hint := others(cmd.Context(), client, kind, request, name); err != nil && hint != "" {
			err = fmt.Errorf("%w. %s", err, hint)
		}
	}
	return rows, err
}

// pastOfObject returns the revisions in the status of a HelmRelease.
func pastOfObject(r row) pastOfRelease {
	key := keyOf(r.key)
	past := pastOfRelease{Cluster: key.Cluster, Namespace: key.Namespace, Name: key.Name, Revisions: []pastRevision{}}
	history, _, _ := unstructured.NestedSlice(r.object, "status", "history")
	past.Cut = len(history) == reporting.MaxRevisions
	for _, entry := range slices.Backward(history) {
		fields, _ := entry.(map[string]any)
		text := func(name string) string { value, _ := fields[name].(string); return value }
		number, _ := fields["version"].(int64)
		past.Revisions = append(past.Revisions, pastRevision{Revision: number, Updated: text("lastDeployed"),
			FirstDeployed: text("firstDeployed"), Status: text("status"), Chart: text("chartName"),
			ChartVersion: text("chartVersion"), AppVersion: text("appVersion"), Tests: text("tests"),
			Description: text("description")})
	}
	return past
}

// printoutOfRevisions returns revisions, in the table with the cluster if there is more than one.
func printoutOfRevisions(all []pastOfRelease) printout {
	l := printout{value: all, items: []any{},
		table: table{headings: []string{"REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"}}}
	if len(all) > 1 {
		l.table.headings = append([]string{"CLUSTER"}, l.table.headings...)
	}
	for _, past := range all {
		for _, r := range past.Revisions {
			l.items = append(l.items, revisionOfRelease{past.Cluster, past.Namespace, past.Name, r})
			row := []string{fmt.Sprint(r.Revision), said(r.Updated), said(r.Status), said(r.chart()), said(r.AppVersion),
				said(r.Description)}
			if len(all) > 1 {
				row = append([]string{past.Cluster}, row...)
			}
			l.table.rows = append(l.table.rows, row)
		}
		if note := past.note(); note != "" {
			l.notes = append(l.notes, past.Cluster+": "+note)
		}
	}
	return l
}

// revisionOfRelease is a revision with the name of its release.
type revisionOfRelease struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	pastRevision
}

// chart returns "name-version", as helm names a chart.
func (r pastRevision) chart() string {
	if r.Chart == "" || r.ChartVersion == "" {
		return r.Chart
	}
	return r.Chart + "-" + r.ChartVersion
}

// note says what the list does not have; empty: it has all revisions.
func (past pastOfRelease) note() string {
	switch {
	case len(past.Revisions) == 0:
		return "no revision is reported"
	case past.Cut && past.Revisions[0].Revision > 1:
		return fmt.Sprintf("%s are reported; there may be older ones: helm history",
			wording.Count(len(past.Revisions), "revision"))
	case past.Revisions[0].Revision > 1:
		return fmt.Sprintf("the records before revision %d are deleted (spec.maxHistory)", past.Revisions[0].Revision)
	}
	return ""
}
