package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

func newExplainCommand(s *session) *cobra.Command {
	var all bool
	var o outputFlags
	cmd := &cobra.Command{
		Use: "explain [KIND NAME]",
		Short: "Say why objects are not ready, since when, and what they wait for, and which are suspended; exit with 1 " +
			"if any is not ready, and with 4 if the named object or cluster does not exist or the namespace has none",
		Args: func(_ *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return errors.New("-A does nothing for one object: leave it out, or KIND NAME")
			}
			return nil
		},
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			key, err := s.explainedKey(cmd, args, all)
			if err != nil {
				return err
			}
			return askExplain(cmd.Context(), client, p, key)
		}),
	}
	o.add(cmd)
	addAllNamespaces(cmd, &all, ", the default; without KIND NAME only")
	return cmd
}

// askExplain asks the hub about a key, and prints the answer.
func askExplain(ctx context.Context, client adminv1.AdminServiceClient, p *printer, key *adminv1.ObjectKey) error {
	answer, err := client.Explain(ctx, &adminv1.ExplainRequest{Key: key})
	if err != nil {
		return elsewhere(ctx, client, key, err)
	}
	if proto.Equal(key, &adminv1.ObjectKey{}) && len(answer.GetExplanations()) == 0 && p.isTable() {
		none, err := lacksClusters(ctx, client)
		if none {
			fmt.Fprintln(p.out, noClusters)
		}
		if none || err != nil {
			return err
		}
	}
	if len(answer.GetClusters()) > 0 {
		switch _, err := client.Get(ctx, &adminv1.GetRequest{Key: key}); {
		case err == nil:
			answer.Clusters = append([]string{"the hub"}, answer.Clusters...)
		case status.Code(err) != codes.NotFound:
			return err
		}
	}
	return explain(p, key, answer)
}

// explainedKey returns the key of what is explained: an object, a cluster, a namespace, or, empty, all.
func (s *session) explainedKey(cmd *cobra.Command, args []string, all bool) (*adminv1.ObjectKey, error) {
	if len(args) > 0 {
		return s.key(args)
	}
	key := &adminv1.ObjectKey{Cluster: s.cluster}
	if cmd.Flags().Changed("namespace") && !all {
		key.Namespace = s.namespace
	}
	return key, nil
}

// explain prints an answer of the hub. If any object is not ready, it returns errReported.
func explain(p *printer, key *adminv1.ObjectKey, answer *adminv1.ExplainResponse) error {
	l := printout{items: []any{}, names: []string{}}
	var found error
	for _, e := range answer.GetExplanations() {
		if !isWanted(e) && !isWarning(e) {
			found = errReported
		}
		l.items = append(l.items, explanationOf(e))
		l.names = append(l.names, resourceName(e.GetObject()))
	}
	l.value = listOf(l.items)
	l.text = func(out io.Writer) error {
		printExplanations(out, answer, found == nil, p.isWide())
		printClusters(out, key, answer.GetClusters())
		printEncryption(out, answer.GetEncryption())
		return nil
	}
	return cmp.Or(p.print(l), found)
}

// explanation is what nave explain prints as JSON or YAML about one object. Its field names are stable.
type explanation struct {
	objectRef
	Since    string   `json:"since,omitempty"`
	Wanted   bool     `json:"wanted"` // by an operator: suspended or pinned
	Reason   string   `json:"reason"`
	Message  string   `json:"message"`
	WaitsFor []string `json:"waitsFor,omitempty"`
	// Affects are the objects that are not ready because of this one.
	Affects []objectRef `json:"affects,omitempty"`
	Advice  string      `json:"advice,omitempty"`
}

func explanationOf(e *adminv1.Explanation) explanation {
	x := explanation{objectRef: refOf(e.GetObject()), Wanted: isWanted(e), Reason: e.GetReason(), Message: e.GetMessage(),
		WaitsFor: e.GetWaitsFor(), Advice: e.GetAdvice()}
	for _, affected := range e.GetAffects() {
		x.Affects = append(x.Affects, refOf(affected))
	}
	if e.GetSince() != nil {
		x.Since = wording.Time(e.GetSince().AsTime())
	}
	return x
}

// isWanted reports whether an operator wants an object to be as it is.
func isWanted(e *adminv1.Explanation) bool {
	return e.GetReason() == condition.Suspended || e.GetReason() == condition.Pinned
}

// isWarning reports whether an object is ready, and somebody should look at it.
func isWarning(e *adminv1.Explanation) bool { return e.GetReason() == api.ImageUpdateIncomplete }

// notFound is the exit code if the named object does not exist.
const notFound = 4

// printClusters prints which clusters, and whether the hub, have the object that was named without a cluster.
func printClusters(out io.Writer, key *adminv1.ObjectKey, clusters []string) {
	if len(clusters) == 0 {
		return
	}
	fmt.Fprintf(out, "%s is on %s; --cluster names one\n", show(key), oneLine(wording.List(clusters, len(clusters), 5)))
}

// lacksClusters reports whether the hub has no clusters.
func lacksClusters(ctx context.Context, client adminv1.AdminServiceClient) (bool, error) {
	list, err := client.List(ctx, &adminv1.ListRequest{Kind: api.ClusterKind, Limit: 1})
	return err == nil && len(list.GetObjects()) == 0, err
}

// noClusters is the message about a hub without clusters and without failures.
const noClusters = "no failures, but the hub has no clusters: register one with nave cluster add, and connect the " +
	"hub to Git with nave bootstrap"

// printExplanations prints the explanations, one entry for each cause. allWanted: an operator wants all of those
// objects to be as they are. all: long lists are not cut.
func printExplanations(out io.Writer, answer *adminv1.ExplainResponse, allWanted, all bool) {
	if len(answer.GetExplanations()) == 0 {
		fmt.Fprintln(out, "✔ everything is as it should be")
		return
	}
	for _, same := range byCause(answer.GetExplanations()) {
		explainedCause{same, int(answer.GetOfClusters()), all}.print(out)
	}
	if allWanted {
		fmt.Fprintln(out, "✔ everything else is as it should be")
	}
}

// printEncryption prints for whom documents are encrypted, and which keys the spoke has.
func printEncryption(out io.Writer, e *adminv1.Encryption) {
	if e == nil {
		return
	}
	fmt.Fprintf(out, "Encrypted documents of %s:\n", show(e.GetObject()))
	for _, d := range e.GetDocuments() {
		recipients := oneLine(strings.Join(d.GetRecipients(), ", "))
		if recipients == "" {
			recipients = "nobody"
		}
		fmt.Fprintf(out, "    %s, document %d: for %s\n", oneLine(d.GetPath()), d.GetDocument(), recipients)
	}
	if e.GetIncomplete() {
		fmt.Fprintln(out, "    … and more")
	}
	switch {
	case !e.GetKeysRead():
		fmt.Fprintln(out, "The spoke has not reported its keys yet.")
	case len(e.GetKeys()) == 0:
		fmt.Fprintf(out, "The spoke has no key: %s\n", indent(e.GetKeysMissing()))
	default:
		fmt.Fprintf(out, "The spoke has %s\n", oneLine(strings.Join(e.GetKeys(), ", ")))
	}
}
