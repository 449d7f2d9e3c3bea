package agent

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/watch"
)

// TestDescribeChanges counts what an apply changed, and names the first objects.
func TestDescribeChanges(t *testing.T) {
	changes := &apply.ChangeSet{}
	add := func(action apply.Action, names ...string) {
		for _, name := range names {
			changes.Entries = append(changes.Entries, apply.Entry{Action: action,
				Object: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: name}})
		}
	}
	add(apply.Unchanged, "same")
	if got := describeChanges(changes); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	add(apply.Deleted, "old")
	add(apply.Created, "a", "b", "c", "d")
	const want = "4 created (ConfigMap shop/a, ConfigMap shop/b, ConfigMap shop/c, and 1 more), " +
		"1 deleted (ConfigMap shop/old)"
	if got := describeChanges(changes); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHeldMessage names the object, who changes it, and the fields, without their values.
func TestHeldMessage(t *testing.T) {
	name := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	o := watch.Observation{Application: name, RetryAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Object: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "app"},
		Drift:  inventory.Drift{Kind: inventory.Changed, By: []string{"kubectl-edit"}}}
	said := func(d drift) string {
		return (&Agent{model: &model{nodes: map[bundle.ApplicationName]*node{name: {drifts: []drift{d}}}}}).heldMessage(o)
	}
	const begin, end = "ConfigMap shop/app was repaired too often: kubectl-edit changes ",
		" again and again; the next repair is at 2026-01-02T03:04:05Z"
	changes := []apply.FieldChange{{Path: "/data/a", Old: "secret", New: "word"}, {Path: "/data/b", New: "word"}}
	for want, d := range map[string]drift{
		"it":                            {},
		"/data/a, /data/b":              {object: o.Object.ID(), changes: changes},
		"/data/a, /data/b, and 10 more": {object: o.Object.ID(), changes: changes, more: 10},
	} {
		if got := said(d); got != begin+want+end {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestLogFailure logs a failure and each refused object by name, once for each change, and no wait.
func TestLogFailure(t *testing.T) {
	var out bytes.Buffer
	a := New(Config{Log: slog.New(slog.NewTextHandler(&out, nil))})
	app, thing := appNamed("a"), wireObject(manifest.ID{Kind: "Thing", Name: "x"})
	says := func(ready, reason, message string, lines ...string) {
		t.Helper()
		out.Reset()
		a.logFailure(app, &spokev1.ApplicationReport{Ready: ready, Reason: reason, Message: message,
			Objects: []*spokev1.ObjectReport{{Object: thing, Status: condition.Refused, Message: "forbidden"}}})
		if n := strings.Count(out.String(), "\n"); n != len(lines) {
			t.Errorf("%d lines, want %d: %s", n, len(lines), &out)
		}
		for _, line := range lines {
			if !strings.Contains(out.String(), line) {
				t.Errorf("no %q in: %s", line, &out)
			}
		}
	}
	refused, failed := `object="Thing x" err=forbidden`, "reason=ReconciliationFailed err=\"Thing x: forbidden\""
	says("False", "ReconciliationFailed", "Thing x: forbidden", refused, failed)
	says("False", "ReconciliationFailed", "Thing x: forbidden")
	says("Unknown", "Progressing", "applying")
	says("False", "DependencyNotReady", "waits")
	says("False", "ReconciliationFailed", "Thing x: forbidden", refused, failed)
}
