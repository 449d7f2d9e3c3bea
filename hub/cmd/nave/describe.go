package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

func newDescribeCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "describe KIND NAME",
		Short: "Show one object, its conditions and its events",
		Args:  cobra.MinimumNArgs(1),
		RunE:  s.runKey(describe),
	}
}

func describe(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	answer, err := client.Get(cmd.Context(), &adminv1.GetRequest{Key: key})
	if err != nil {
		return err
	}
	events, err := client.ListEvents(cmd.Context(),
		&adminv1.ListEventsRequest{Key: key, Cluster: key.GetCluster(), Limit: 20})
	if err != nil {
		return err
	}
	object, err := decode(answer.GetObject())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	printHead(out, key, object)
	printConditions(out, object)
	if err := printSection(out, "Spec", object["spec"]); err != nil {
		return err
	}
	status, _, _ := unstructured.NestedMap(object, "status")
	delete(status, "conditions")
	if err := printSection(out, "Status", status); err != nil {
		return err
	}
	fmt.Fprintln(out, "Events:")
	printEvents(out, events.GetEvents())
	return nil
}

func printHead(out io.Writer, key *adminv1.ObjectKey, object map[string]any) {
	for _, line := range [][2]string{{"Name:", key.GetName()}, {"Namespace:", key.GetNamespace()},
		{"Cluster:", key.GetCluster()}, {"Kind:", key.GetKind()}} {
		if line[1] != "" {
			fmt.Fprintf(out, "%-11s %s\n", line[0], oneLine(line[1]))
		}
	}
	set := labels.Set((&manifest.Object{Object: object}).GetLabels())
	fmt.Fprintf(out, "Labels:     %s\n", cmp.Or(oneLine(set.String()), "none"))
}

func printConditions(out io.Writer, object map[string]any) {
	list, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	fmt.Fprintln(out, "Conditions:")
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok {
			continue
		}
		since := word(c["lastTransitionTime"])
		if t, err := time.Parse(time.RFC3339, since); err == nil {
			since = age(t)
		}
		fmt.Fprintf(out, "  %-17v %-8v %-5s %v: %v\n", word(c["type"]), word(c["status"]), since, word(c["reason"]),
			briefly(indent(fmt.Sprint(c["message"]))))
	}
}

// word returns a field as text on one line.
func word(v any) string { return oneLine(fmt.Sprint(v)) }

func printSection(out io.Writer, title string, v any) error {
	text, err := yamlText(v)
	fmt.Fprintf(out, "%s:\n  %s\n", title, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "))
	return err
}

// printEvents prints the events of one object.
func printEvents(out io.Writer, events []*adminv1.Event) {
	if len(events) == 0 {
		fmt.Fprintln(out, "  none")
	}
	width := 0
	for _, e := range events {
		width = max(width, len(oneLine(e.GetReason())))
	}
	for _, e := range events {
		fmt.Fprintf(out, "  %-5s %-8s %-*s %s\n", ageOfTime(e.GetTime()), oneLine(e.GetType()), width,
			oneLine(e.GetReason()), briefly(oneLine(e.GetMessage())))
	}
}

func ageOfTime(t *timestamppb.Timestamp) string {
	if t == nil { // AsTime would be 1970
		return "-"
	}
	return age(t.AsTime())
}
