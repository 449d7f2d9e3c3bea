package main

import (
	"cmp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// eventsFlags has the flags of "nave events".
type eventsFlags struct {
	outputFlags
	limit      int32
	all, watch bool
	object     string // KIND/NAME
	types      []string
	since      time.Duration
}

func newEventsCommand(s *session) *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   "events [KIND NAME]",
		Short: "List events, oldest first: of the hub and all clusters, of --cluster, of --namespace, or of one object",
		Example: "  nave events\n  nave events -n apps --cluster prod-1\n" +
			"  nave events --for kustomization/apps --cluster prod-1\n  nave events -w --types=Warning --since=1h",
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := f.printer(cmd)
			if err != nil {
				return err
			}
			request, err := s.eventsRequest(cmd, args, f)
			if err != nil {
				return err
			}
			w := &eventWatch{client: client, request: request, printer: p, timeout: s.timeout}
			if f.watch {
				w.progress = newProgress(cmd)
				return w.follow(cmd.Context())
			}
			return w.list(cmd.Context(), cmd.ErrOrStderr())
		}),
	}
	f.add(cmd)
	cmd.Flags().Int32Var(&f.limit, "limit", 0, "at most this many, the newest (default 500)")
	addAllNamespaces(cmd, &f.all, ", the default")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "print the present events, then each new one")
	cmd.Flags().StringVar(&f.object, "for", "", "only of one object, KIND/NAME, as KIND NAME")
	cmd.Flags().StringSliceVar(&f.types, "types", nil, "only of these types: Normal, Warning")
	cmd.Flags().DurationVar(&f.since, "since", 0, "only of the last time, such as 30m or 1h")
	return cmd
}

// eventsRequest returns the request for the events that arguments and flags name.
func (s *session) eventsRequest(cmd *cobra.Command, args []string, f eventsFlags) (r *adminv1.ListEventsRequest,
	err error) {
	r = &adminv1.ListEventsRequest{Cluster: s.cluster, AllClusters: s.cluster == "", Limit: f.limit}
	if r.Types, err = eventTypes(f.types); err != nil {
		return nil, err
	}
	if f.since > 0 {
		r.Since = timestamppb.New(time.Now().Add(-f.since))
	}
	named := cmd.Flags().Changed("namespace")
	switch hasObject := len(args) > 0 || f.object != ""; {
	case f.limit < 0:
		return nil, usageError("--limit=%d: want 0 or more", f.limit)
	case f.since < 0:
		return nil, usageError("--since=%s: want a time that is over, such as 1h", f.since)
	case f.all && hasObject:
		return nil, usageError("-A does nothing for one object: leave it out")
	case len(args) > 0 && f.object != "":
		return nil, usageError("--for names the object already: leave out --for, or %s", strings.Join(args, " "))
	case f.object != "":
		r.Key, err = s.eventsObject(f.object)
		return r, err
	case hasObject:
		r.Key, err = s.key(args)
		return r, err
	case named:
		r.Namespace = s.namespace
	}
	return r, nil
}

// eventsObject returns the key of the object of --for. An object of a cluster may be of a kind that the hub does not
// have.
func (s *session) eventsObject(text string) (*adminv1.ObjectKey, error) {
	kind, name, err := kindAndName(text)
	if err != nil {
		return nil, err
	}
	if _, known := api.KindByName(kind); known || s.cluster == "" {
		return s.key([]string{text})
	}
	return &adminv1.ObjectKey{Cluster: s.cluster, Kind: kind, Namespace: s.namespace, Name: name}, nil
}

// eventTypes returns the types of --types as they are written in events.
func eventTypes(words []string) (types []string, err error) {
	for _, word := range words {
		switch {
		case strings.EqualFold(word, condition.Normal):
			types = append(types, condition.Normal)
		case strings.EqualFold(word, condition.Warning):
			types = append(types, condition.Warning)
		default:
			return nil, usageError("--types=%s: want Normal, Warning or both", word)
		}
	}
	return types, nil
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
