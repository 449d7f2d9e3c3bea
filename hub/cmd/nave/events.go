package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// eventsFlags has the flags of "nave events".
type eventsFlags struct {
	outputFlags
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
			p, err := f.printer(cmd)
			if err != nil {
				return err
			}
			request, err := s.eventsRequest(cmd, args, f)
			if err != nil {
				return err
			}
			answer, err := client.ListEvents(cmd.Context(), request)
			if err != nil {
				return elsewhere(cmd.Context(), client, request.GetKey(), err)
			}
			events := inNamespace(answer.GetEvents(), request.GetNamespace())
			if len(events) == 0 && f.isForPeople() {
				fmt.Fprintln(cmd.ErrOrStderr(), "No events found.")
				return nil
			}
			return p.print(printoutOfEvents(events))
		}),
	}
	f.add(cmd)
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

// printedEvent is an event as it is printed as JSON or YAML, with the fields of an Event of Kubernetes. Its field names
// are stable.
type printedEvent struct {
	Kind     string    `json:"kind"`
	Cluster  string    `json:"cluster,omitempty"`
	Object   objectRef `json:"involvedObject"`
	LastTime string    `json:"lastTimestamp,omitempty"`
	Type     string    `json:"type"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message"`
}

// objectRef names an object of the hub or of a cluster.
type objectRef struct {
	Cluster   string `json:"cluster,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// refOf returns the reference to an object.
func refOf(k *adminv1.ObjectKey) objectRef {
	return objectRef{k.GetCluster(), k.GetKind(), k.GetNamespace(), k.GetName()}
}

// printoutOfEvents returns events as a List and as a table.
func printoutOfEvents(events []*adminv1.Event) printout {
	items, rows := make([]any, len(events)), make([][]string, len(events))
	for i, e := range events {
		object, at := refOf(e.GetObject()), ""
		cluster := object.Cluster
		object.Cluster = ""
		if e.GetTime() != nil {
			at = wording.Time(e.GetTime().AsTime())
		}
		items[i] = printedEvent{Kind: "Event", Cluster: cluster, Object: object, LastTime: at, Type: e.GetType(),
			Reason: e.GetReason(), Message: e.GetMessage()}
		rows[i] = []string{cmp.Or(cluster, "-"), cmp.Or(object.Namespace, "-"), ageOfTime(e.GetTime()), e.GetType(),
			e.GetReason(), strings.ToLower(object.Kind) + "/" + object.Name, e.GetMessage()}
	}
	return printout{value: listOf(items), items: items, table: table{
		[]string{"CLUSTER", "NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}, rows}}
}

// inNamespace returns the events of a namespace, which an older hub does not choose; all for "".
func inNamespace(events []*adminv1.Event, namespace string) []*adminv1.Event {
	return slices.DeleteFunc(events, func(e *adminv1.Event) bool {
		return namespace != "" && e.GetObject().GetNamespace() != namespace
	})
}
