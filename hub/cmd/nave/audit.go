package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// auditFlags has the flags of "nave audit".
type auditFlags struct {
	outputFlags
	since            time.Duration
	operator, object string
	denied, lines    bool
}

func newAuditCommand(s *session) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List who changed what, and who was not allowed to, oldest first",
		Long: "List who changed what, and who was not allowed to, oldest first: the operator by the name and the serial " +
			"number of the certificate, what was done, the objects, and which of their fields changed. Values of fields are " +
			"never recorded, because they may be secret. Certificates that clusters got and pushes to Git repositories are " +
			"listed, too. What Git changes is in the history of Git.\n" +
			"--jsonl prints one JSON object a line, to export the log.",
		Example: "  nave audit\n  nave audit --operator alice --since 720h\n" +
			"  nave audit --object kustomization/apps --cluster prod-1\n  nave audit --since 0 --jsonl > audit.jsonl",
		Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			request, err := s.auditRequest(f)
			if err != nil {
				return err
			}
			return f.list(cmd, client, request)
		}),
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&f.since, "since", 7*24*time.Hour, "only of the last time, such as 1h; 0: all that is kept")
	cmd.Flags().StringVar(&f.operator, "operator", "", "only of this operator, or of the cluster of this name")
	cmd.Flags().StringVar(&f.object, "object", "", "only about one object, KIND/NAME")
	cmd.Flags().BoolVar(&f.denied, "denied", false, "only what was refused")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print one JSON object a line, in place of --output")
	return cmd
}

// auditRequest returns the request for the entries that the flags choose.
func (s *session) auditRequest(f auditFlags) (r *adminv1.ListAuditRequest, err error) {
	r = &adminv1.ListAuditRequest{Operator: f.operator, Cluster: s.cluster, Denied: f.denied}
	if f.since < 0 {
		return nil, usageError("--since=%s: want a time that is over, such as 1h, or 0", f.since)
	}
	if f.since > 0 {
		r.Since = timestamppb.New(time.Now().Add(-f.since))
	}
	if f.object != "" {
		r.Cluster = ""
		r.Object, err = s.eventsObject(f.object)
	}
	return r, err
}

// list prints all pages of the audit log.
func (f auditFlags) list(cmd *cobra.Command, client adminv1.AdminServiceClient, r *adminv1.ListAuditRequest) error {
	if f.lines && (f.format != "" || f.noHeaders) {
		return usageError("--jsonl is a format of its own: leave out --output and --no-headers")
	}
	p, err := f.printer(cmd)
	if err != nil {
		return err
	}
	var all []*adminv1.AuditEntry
	lines := json.NewEncoder(cmd.OutOrStdout())
	for {
		page, err := client.ListAudit(cmd.Context(), r)
		if err != nil {
			return err
		}
		if f.lines {
			for _, e := range page.GetEntries() {
				if err := lines.Encode(printedAuditOf(e)); err != nil {
					return fmt.Errorf("print the audit log: %w", err)
				}
			}
		} else {
			all = append(all, page.GetEntries()...)
		}
		if page.GetNext() <= r.GetAfter() {
			break
		}
		r.After = page.GetNext()
	}
	switch {
	case f.lines:
		return nil
	case len(all) == 0 && f.isForPeople():
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "Nothing is recorded.")
		return err
	}
	return p.print(printoutOfAudit(all))
}

// printedAudit is an entry as it is printed as JSON or YAML. Its field names are stable.
type printedAudit struct {
	Kind     string               `json:"kind"`
	Number   uint64               `json:"number"`
	Time     string               `json:"time"`
	Operator string               `json:"operator,omitempty"`
	Serial   string               `json:"certificateSerial,omitempty"`
	Verb     string               `json:"verb"`
	Objects  []printedAuditObject `json:"objects,omitempty"`
	Outcome  string               `json:"outcome"` // done or denied
	Cause    string               `json:"cause,omitempty"`
}

// printedAuditObject is an object of an entry.
type printedAuditObject struct {
	objectRef
	Change string `json:"change,omitempty"`
}

func printedAuditOf(e *adminv1.AuditEntry) printedAudit {
	p := printedAudit{Kind: "AuditEntry", Number: e.GetNumber(), Time: wording.Time(e.GetTime().AsTime()),
		Operator: e.GetBy(), Serial: e.GetSerial(), Verb: e.GetVerb(), Outcome: "done", Cause: e.GetDenied()}
	if e.GetDenied() != "" {
		p.Outcome = "denied"
	}
	for _, o := range e.GetObjects() {
		p.Objects = append(p.Objects, printedAuditObject{refOf(o.GetKey()), o.GetChange()})
	}
	return p
}

// printoutOfAudit returns entries as a List, and as a table with a row for each object.
func printoutOfAudit(entries []*adminv1.AuditEntry) printout {
	items := make([]any, len(entries))
	var rows [][]string
	for i, e := range entries {
		p := printedAuditOf(e)
		items[i] = p
		if len(p.Objects) == 0 {
			p.Objects = []printedAuditObject{{}}
		}
		for _, o := range p.Objects {
			object := "-"
			if o.Name != "" {
				object = strings.ToLower(o.Kind) + "/" + o.Name
			}
			what := o.Change
			if p.Cause != "" {
				what = "denied: " + p.Cause
			}
			rows = append(rows, []string{p.Time, cmp.Or(nameOfCaller(p.Operator), "the hub"), cmp.Or(p.Serial, "-"), p.Verb,
				cmp.Or(o.Cluster, "-"), cmp.Or(o.Namespace, "-"), object, what})
		}
	}
	return printout{value: listOf(items), items: items, table: table{
		[]string{"TIME", "OPERATOR", "CERTIFICATE", "VERB", "CLUSTER", "NAMESPACE", "OBJECT", "CHANGE"}, rows}}
}

// nameOfCaller returns the name of an operator, and of a cluster with its role.
func nameOfCaller(text string) string {
	id, err := identity.ParseID(text)
	if err == nil && id.Role != identity.Operator {
		return id.Role + "/" + id.Name
	}
	return identity.NameOf(text)
}
