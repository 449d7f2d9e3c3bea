package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// eventsFlags has the flags of "nave events".
type eventsFlags struct {
	limit int32
	all   bool
}

func newEventsCommand(s *session) *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   "events [KIND NAME]",
		Short: "List events, oldest first: of the hub and all clusters, of --cluster, of --namespace, or of one object",
		Example: "  nave events\n  nave events -n apps --cluster prod-1\n" +
			"  nave events kustomization app -n apps --cluster prod-1",
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			request, err := s.eventsRequest(cmd, args, f)
			if err != nil {
				return err
			}
			answer, err := client.ListEvents(cmd.Context(), request)
			if err != nil {
				return elsewhere(cmd.Context(), client, request.GetKey(), err)
			}
			printEvents(cmd.OutOrStdout(), inNamespace(answer.GetEvents(), request.GetNamespace()), "", true)
			return nil
		}),
	}
	cmd.Flags().Int32Var(&f.limit, "limit", 0, "at most this many (default 500)")
	cmd.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "events of all namespaces, which is the default")
	return cmd
}

// eventsRequest returns the request for the events that arguments and flags name.
func (s *session) eventsRequest(cmd *cobra.Command, args []string, f eventsFlags) (*adminv1.ListEventsRequest, error) {
	r := &adminv1.ListEventsRequest{Cluster: s.cluster, AllClusters: s.cluster == "", Limit: f.limit}
	named := cmd.Flags().Changed("namespace")
	switch {
	case f.all && named:
		return nil, errors.New("-A and --namespace exclude each other: leave out one")
	case f.all && len(args) > 0:
		return nil, errors.New("-A does nothing for one object: leave it out")
	case len(args) > 0:
		key, err := s.key(args)
		r.Key = key
		return r, err
	case named:
		r.Namespace = s.namespace
	}
	return r, nil
}

// inNamespace returns the events of a namespace, which an older hub does not choose; all for "".
func inNamespace(events []*adminv1.Event, namespace string) []*adminv1.Event {
	return slices.DeleteFunc(events, func(e *adminv1.Event) bool {
		return namespace != "" && e.GetObject().GetNamespace() != namespace
	})
}
