package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

func newReconcileCommand(s *session) *cobra.Command {
	var withSource, force, reset bool
	var w waiting
	cmd := &cobra.Command{
		Use:     "reconcile KIND NAME",
		Short:   "Reconcile an object now, and wait for the outcome",
		Example: "  nave reconcile source git hub\n  nave reconcile kustomization apps --cluster prod-1 --with-source",
		Args:    cobra.MinimumNArgs(1),
		RunE: s.runKey(func(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
			ctx := cmd.Context()
			answer, err := client.Reconcile(ctx, &adminv1.ReconcileRequest{Key: key, WithSource: withSource, Force: force,
				ResetFailures: reset})
			if err != nil {
				return err
			}
			ready := handling(answer.GetRequestedAt())
			return waitHandled(ctx, newProgress(cmd), client, key, answer, w.wanted(), ready)
		}),
	}
	cmd.Flags().BoolVar(&withSource, "with-source", false, "fetch the object's source first")
	cmd.Flags().BoolVar(&force, "force", false, "of a HelmRelease: install or upgrade once more, although nothing changed")
	cmd.Flags().BoolVar(&reset, "reset", false, "of a HelmRelease: forget its failures, so that it is tried again")
	w.addFlags(cmd)
	return cmd
}

func newTestCommand(s *session) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use:     "test NAME",
		Short:   "Run the tests of a HelmRelease now, and wait for the outcome",
		Example: "  nave test podinfo -n apps --cluster prod-1",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			key, err := s.key([]string{"helmrelease", args[0]})
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
			defer cancel()
			answer, err := client.Reconcile(ctx, &adminv1.ReconcileRequest{Key: key, Test: true})
			if err != nil {
				return elsewhere(ctx, client, key, err)
			}
			passed := tested(answer.GetRequestedAt())
			return waitHandled(ctx, newProgress(cmd), client, key, answer, w.wanted(), passed)
		}),
	}
	w.addFlags(cmd)
	return cmd
}

// tested returns a check that the tests which a request asks for have passed. A failed test is an error, also if the
// release is ready nevertheless.
func tested(requestedAt string) check {
	return func(object map[string]any) (bool, string, error) {
		done, message, err := handled(object, requestedAt)
		if ready := api.FindCondition(object, condition.Ready); err != nil && ready["reason"] == condition.DriftDetected {
			done, err = true, nil // what drifted is left as it is, and the tests run
		}
		if !done || err != nil {
			return done, message, err
		}
		seen, _, _ := unstructured.NestedString(object, "status", "lastHandledTestAt")
		last, _, _ := unstructured.NestedString(object, "metadata", "annotations", manifest.RequestedAtAnnotation)
		_, runs, _ := unstructured.NestedMap(object, "status", "running")
		if !api.Answers(seen, requestedAt, last) || runs {
			return false, "the tests have not ended yet", nil
		}
		result := testResult(object)
		message = "the tests " + result
		if c := api.FindCondition(object, condition.TestSuccess); c != nil {
			message = fmt.Sprint(c["message"])
		}
		switch result {
		case "passed":
			return true, message, nil
		case "":
			return false, "", errors.New("no test ran: the chart has none, spec.test.filters leaves none, or the first could " +
				"not begin, which nave events tells")
		}
		return false, "", errors.New(message)
	}
}

// testResult returns how the tests of the newest revision ended, as its spoke reports it; "" if none ran.
func testResult(object map[string]any) string {
	history, _, _ := unstructured.NestedSlice(object, "status", "history")
	if len(history) == 0 {
		return ""
	}
	newest, _ := history[0].(map[string]any)
	result, _ := newest["tests"].(string)
	return result
}

// waiting has the flags --wait and --no-wait of a command.
type waiting struct{ wait, no bool }

func (w *waiting) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", true, "wait for the outcome, at most --timeout")
	cmd.Flags().BoolVar(&w.no, "no-wait", false, "do not wait, as --wait=false")
}

func (w *waiting) wanted() bool { return w.wait && !w.no }

// waitHandled waits for the source, if it was requested too, and then until the object is as the check wants it.
func waitHandled(ctx context.Context, p *progress, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	asked *adminv1.ReconcileResponse, wait bool, is check) error {
	keys := []*adminv1.ObjectKey{key}
	if asked.GetSource() != nil {
		keys = []*adminv1.ObjectKey{asked.GetSource(), key}
	}
	for _, k := range keys {
		wanted := is
		if k != key {
			wanted = handling(asked.GetRequestedAt())
		}
		p.printf("► reconciliation of %s requested\n", show(k))
		if !wait {
			continue
		}
		if err := requireSpoke(ctx, client, k); err != nil {
			return err
		}
		if err := awaitOutcome(ctx, p, client, k, wanted); err != nil {
			return err
		}
	}
	if !wait || (api.Key{Kind: key.GetKind()}).Role() != api.RenderableRole {
		return nil
	}
	return printStaleBases(ctx, p, client, key)
}

// printStaleBases prints the remote bases of an object whose last fetch failed. The object is ready with what they had
// before, as it is with a source whose last fetch failed.
func printStaleBases(ctx context.Context, p *progress, client adminv1.AdminServiceClient,
	key *adminv1.ObjectKey) error {
	answer, err := client.Tree(ctx, &adminv1.TreeRequest{Key: key})
	if status.Code(err) == codes.NotFound {
		return nil // it was deleted meanwhile
	}
	for _, n := range answer.GetRoot().GetChildren() {
		isBase := strings.HasPrefix(n.GetObject(), api.RemoteBaseKind+".")
		if isBase && n.GetStatus() == condition.False {
			p.printf("⚠ a remote base could not be fetched, so %s keeps what was fetched before: %s\n", show(key),
				indent(n.GetMessage()))
		}
	}
	return err
}

// check reports whether an object has reached the awaited state, with a message. An error ends the wait.
type check func(object map[string]any) (done bool, message string, err error)

// handling returns a check that an object has handled a request and is ready.
func handling(requestedAt string) check {
	return func(object map[string]any) (bool, string, error) { return handled(object, requestedAt) }
}

func roleOf(object map[string]any) api.Role {
	kind, _ := object["kind"].(string)
	return api.Key{Kind: kind}.Role()
}

// handled reports whether an object has handled the request and is ready. A final failure is the error.
func handled(object map[string]any, requestedAt string) (done bool, message string, err error) {
	ready := api.FindCondition(object, condition.Ready)
	if ready == nil {
		return false, "it has no Ready condition yet", nil
	}
	message = fmt.Sprint(ready["message"])
	if slices.Contains(unending, fmt.Sprint(ready["reason"])) {
		return false, message, errors.New(message)
	}
	if requestedAt != "" && !answers(object, requestedAt) {
		return false, "the request has not been handled yet; before it: " + message, nil
	}
	switch {
	case ready["status"] == condition.True:
		return true, message, nil
	case ready["status"] == condition.False && ready["reason"] != condition.DriftHeld: // the next repair is due soon
		return false, message, errors.New(message)
	case ready["reason"] == condition.Offline && roleOf(object) == api.FleetRole:
		return false, message, errors.New(message + ". A spoke that connects again carries the request out")
	default:
		return false, countHealthy(object) + message, nil
	}
}

// answers reports whether an object has handled a request, or a later one.
func answers(object map[string]any, requestedAt string) bool {
	seen, _, _ := unstructured.NestedString(object, "status", "lastHandledReconcileAt")
	last, _, _ := unstructured.NestedString(object, "metadata", "annotations", manifest.RequestedAtAnnotation)
	return api.Answers(seen, requestedAt, last)
}

// unending are the reasons that no wait ends: an operator has to, or the hub learns no more of the object.
var unending = []string{condition.Pinned, condition.ReportsLimited}

// countHealthy returns the beginning of a message: how many objects of an application are healthy, if not all are.
func countHealthy(object map[string]any) string {
	healthy, total := intField(object, "status", "objects", "healthy"), intField(object, "status", "objects", "total")
	if healthy == total {
		return ""
	}
	return fmt.Sprintf("%d/%d healthy, ", healthy, total)
}
