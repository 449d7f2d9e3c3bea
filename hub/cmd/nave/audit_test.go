package main

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// auditHub has three entries, one on a page.
type auditHub struct {
	adminv1.UnimplementedAdminServiceServer
	asked chan *adminv1.ListAuditRequest
}

func (h auditHub) ListAudit(_ context.Context, r *adminv1.ListAuditRequest) (*adminv1.ListAuditResponse, error) {
	if r.GetAfter() == 0 {
		h.asked <- r
	}
	at := &timestamppb.Timestamp{Seconds: 1}
	entries := []*adminv1.AuditEntry{
		{Number: 1, Time: at, By: "spiffe://d/operator/alice", Serial: "1f", Verb: "applied",
			Objects: []*adminv1.AuditedObject{
				{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}, Change: "configured: spec.vars.\x1b[2Jx"},
				{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "b"}, Change: "created"}}},
		{Number: 2, Time: at, By: "spiffe://d/cluster/a", Verb: "Delete", Denied: "not an operator"},
		{Number: 3, Time: at, Verb: "pushed"},
	}
	i := r.GetAfter()
	page := &adminv1.ListAuditResponse{Entries: entries[i : i+1]}
	if i < 2 {
		page.Next = i + 1
	}
	return page, nil
}

func TestAudit(t *testing.T) {
	for name, c := range map[string]struct {
		args  string
		words []string
		lines int
	}{
		"table": {"audit", []string{"alice", "cluster/a", "the hub", "denied: not an operator", "cluster/b"}, 5},
		"jsonl": {"audit --jsonl", []string{`"outcome":"denied"`, `"certificateSerial":"1f"`}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := auditHub{asked: make(chan *adminv1.ListAuditRequest, 1)}
			out, code := exitOf(t.Context(), serve(t, h), strings.Fields(c.args)...)
			if code != 0 || strings.Count(out, "\n") != c.lines || strings.Contains(out, "\x1b") {
				t.Errorf("exit %d, want %d lines:\n%q", code, c.lines, out)
			}
			for _, word := range c.words {
				if !strings.Contains(out, word) {
					t.Errorf("%q is missing in\n%s", word, out)
				}
			}
			if since := (<-h.asked).GetSince(); since == nil {
				t.Error("without --since all is asked for")
			}
		})
	}
}

func TestAudit_filters(t *testing.T) {
	h := auditHub{asked: make(chan *adminv1.ListAuditRequest, 1)}
	out, code := exitOf(t.Context(), serve(t, h), strings.Fields("audit --since 0 --operator bob --object "+
		"kustomization/apps --cluster east -n shop --denied")...)
	r := <-h.asked
	if code != 0 || r.GetSince() != nil || r.GetOperator() != "bob" || !r.GetDenied() || r.GetCluster() != "" ||
		r.GetObject().GetCluster() != "east" || r.GetObject().GetName() != "apps" || r.GetObject().GetNamespace() != "shop" {
		t.Errorf("exit %d, asked for %v\n%s", code, r, out)
	}
	if out, code := exitOf(t.Context(), serve(t, h), "audit", "--since=-1h"); code != 2 {
		t.Errorf("exit %d: %s", code, out)
	}
}
