package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

func newStatsCommand(s *session) *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count the objects of each kind: ready, failing, reconciling and suspended, and on how many clusters",
		Long: `Count the objects of each kind, of the hub and of all clusters, of --cluster, or of --namespace.

READY, FAILING and RECONCILING add up to TOTAL; a suspended object counts there, too. For clusters, CLUSTERS is how many
of them are connected.`,
		Example: "  nave stats\n  nave stats --cluster prod-1 -o json",
		Args:    cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			counts, err := s.countAll(cmd.Context(), client, getOptions{all: !cmd.Flags().Changed("namespace")})
			if err != nil {
				return err
			}
			if len(counts) == 0 && o.isForPeople() {
				fmt.Fprintln(cmd.ErrOrStderr(), "No objects found.")
				return nil
			}
			return p.print(printoutOfCounts(counts))
		}),
	}
	addAllNamespaces(cmd, new(bool), ", the default") // as flux has it
	o.add(cmd)
	return cmd
}

// countAll counts the objects of all kinds that have any.
func (s *session) countAll(ctx context.Context, client adminv1.AdminServiceClient, o getOptions) (counts []kindCount,
	err error) {
	isWholeFleet := s.cluster == "" && o.all
	for _, kind := range api.Kinds() {
		if !kind.Supported() || kind.Role == api.CredentialRole || !kind.Namespaced && !isWholeFleet {
			continue
		}
		count, err := s.count(ctx, client, kind, o)
		if err != nil {
			return nil, err
		}
		if count.Total > 0 {
			counts = append(counts, count)
		}
	}
	return counts, nil
}

// kindCount counts the objects of a kind. Its field names are stable.
type kindCount struct {
	Kind        string `json:"kind"`
	Total       int    `json:"total"`
	Ready       int    `json:"ready"`
	Failing     int    `json:"failing"`
	Reconciling int    `json:"reconciling"`
	Suspended   int    `json:"suspended"`
	Clusters    int    `json:"clusters"` // that have one; of Clusters: that are connected
}

// count counts the objects of a kind.
func (s *session) count(ctx context.Context, client adminv1.AdminServiceClient, kind api.Kind, o getOptions) (
	c kindCount, err error) {
	c.Kind = kind.Name
	objects, err := list(ctx, client, s.listRequest(kind, o), chunkSize)
	if err != nil {
		return c, err
	}
	clusters := map[string]bool{}
	for _, listed := range objects {
		object, err := decode(listed)
		if err != nil {
			return c, err
		}
		c.add(object)
		if cluster := listed.GetKey().GetCluster(); cluster != "" {
			clusters[cluster] = true
		}
		connected := api.FindCondition(object, condition.Connected)
		if kind.Role == api.ClusterRole && fieldText(connected, "status") == condition.True {
			clusters[listed.GetKey().GetName()] = true
		}
	}
	c.Clusters = len(clusters)
	return c, nil
}

// add counts an object.
func (c *kindCount) add(object map[string]any) {
	c.Total++
	switch fieldText(api.FindCondition(object, condition.Ready), "status") {
	case condition.True:
		c.Ready++
	case condition.False:
		c.Failing++
	default:
		c.Reconciling++
	}
	suspended, _, _ := unstructured.NestedBool(object, "spec", "suspend")
	if suspended || api.FindCondition(object, condition.Suspended) != nil {
		c.Suspended++
	}
}

// printoutOfCounts returns the counts of kinds as a document and as a table.
func printoutOfCounts(counts []kindCount) printout {
	l := printout{table: table{headings: strings.Fields("KIND TOTAL READY FAILING RECONCILING SUSPENDED CLUSTERS")}}
	for _, c := range counts {
		l.items = append(l.items, c)
		row := []string{c.Kind}
		for _, n := range []int{c.Total, c.Ready, c.Failing, c.Reconciling, c.Suspended, c.Clusters} {
			row = append(row, fmt.Sprint(n))
		}
		l.table.rows = append(l.table.rows, row)
	}
	l.value = map[string]any{"kinds": l.items}
	return l
}
