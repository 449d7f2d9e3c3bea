package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newClusterGetCommand(s *session) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get [NAME]",
		Short: "List the clusters, or print them as files for Git",
		Long: `List the clusters, as nave get clusters does.

With -o yaml or -o json it prints what to put into Git: labels, annotations and spec, without the status and without
the labels of the Kustomization that gave the Cluster. When the tree of the hub has the file, the Cluster belongs to
Git; its spoke stays joined, and nothing is applied anew.`,
		Example: "  nave cluster get\n  nave cluster get prod-1 -o yaml > hub/clusters/prod-1.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if o.format != "yaml" && o.format != "json" {
				return s.get(cmd, append([]string{"clusters"}, args...), client, o)
			}
			clusters, err := chosenClusters(cmd.Context(), client, args, o.selector)
			if err != nil {
				return err
			}
			leaveOwner(clusters)
			if o.format == "yaml" {
				text, err := documents(clusters...)
				fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			for _, c := range clusters {
				if err := printIn(cmd.OutOrStdout(), o.format, c); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	o.add(cmd)
	addSelector(cmd, &o.selector, "label selector")
	return cmd
}

// chosenClusters returns clusters as an operator would write them: those of the names, or if there are none, those that
// a label selector selects.
func chosenClusters(ctx context.Context, client adminv1.AdminServiceClient, names []string, by selector) (
	chosen []map[string]any, err error) {
	var objects []*adminv1.Object
	for _, name := range names {
		key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: name}
		answer, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
		if err != nil {
			return nil, elsewhere(ctx, client, key, err)
		}
		objects = append(objects, answer.GetObject())
	}
	if len(names) == 0 {
		objects, err = list(ctx, client, &adminv1.ListRequest{Kind: api.ClusterKind, LabelSelector: string(by)}, chunkSize)
		if err != nil {
			return nil, err
		}
	}
	for _, o := range objects {
		object, err := decode(o)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, asWritten(object))
	}
	return chosen, nil
}

// leaveOwner takes away the labels of objects that name the Kustomization which gave them: in Git each gets those of
// the next one, and an object of the operators has none.
func leaveOwner(objects []map[string]any) {
	for _, c := range objects {
		labels := fieldMap(fieldMap(c, "metadata"), "labels")
		delete(labels, kustomize.NameLabel)
		delete(labels, kustomize.NamespaceLabel)
		if len(labels) == 0 {
			delete(fieldMap(c, "metadata"), "labels")
		}
	}
}

// asWritten returns an object of the hub without what the hub added.
func asWritten(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	written := map[string]any{}
	for _, field := range []string{"namespace", "name", "labels", "annotations"} {
		if value, has := metadata[field]; has {
			written[field] = value
		}
	}
	o := map[string]any{"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": written}
	if spec, has := object["spec"]; has {
		o["spec"] = spec
	}
	return o
}
