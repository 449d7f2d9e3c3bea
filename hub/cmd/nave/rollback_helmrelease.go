package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// everywhere is the annotation of a command that takes all global flags, also those that the command above refuses.
var everywhere = map[string]string{unusedFlags: ""}

func newRollbackHelmReleaseCommand(s *session) *cobra.Command {
	var w waiting
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "helmrelease NAME [REVISION]",
		Aliases: []string{"helmreleases", "hr"},
		Short:   "Roll a release of Helm back to a revision, and keep it there",
		Long: `Roll a release of Helm back to a revision, and keep it there until nave release helmrelease. The spoke does
what helm rollback does, with the record in the cluster: a new revision with the content of the old one. Without
REVISION, that is the newest one before the present one that was deployed; a release that is pinned already stays where
it is, and only a REVISION gives it another pin.

Meanwhile changes in Git wait, drift is repaired to what the revision has, if spec.driftDetection says so, and the
HelmRelease is not ready (Pinned) unless the revision is what is in Git. If somebody changes the release with helm, it
is rolled back again. If the HelmRelease leaves Git, the release is uninstalled. With --dry-run nothing is changed.`,
		Example: "  nave history helmrelease podinfo -n apps --cluster prod-1\n" +
			"  nave rollback helmrelease podinfo -n apps --cluster prod-1 --dry-run\n" +
			"  nave rollback helmrelease podinfo 1 -n apps --cluster prod-1\n" +
			"  nave release helmrelease podinfo -n apps --cluster prod-1",
		Args:        cobra.RangeArgs(1, 2),
		Annotations: everywhere,
		RunE: s.onRelease(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient,
			key *adminv1.ObjectKey) error {
			revision, err := revisionIn(args)
			if err != nil {
				return err
			}
			answer, err := client.PinHelmRelease(cmd.Context(), &adminv1.PinHelmReleaseRequest{Key: key, Revision: revision,
				DryRun: dryRun})
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if dryRun {
				fmt.Fprintf(out, "► %s would go from %s back to %s, and stay there\n", show(key),
					revisionText(answer.GetNow()), revisionText(answer.GetTo()))
				return nil
			}
			fmt.Fprintf(out, "► %s goes from %s back to %s, and stays there until nave release helmrelease %s\n", show(key),
				revisionText(answer.GetNow()), revisionText(answer.GetTo()), key.GetName())
			return waitUnless(cmd.Context(), newProgress(cmd), client, key, w, isPinned)
		}),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say from which revision to which it would go")
	w.addFlags(cmd)
	return cmd
}

func newReleaseHelmReleaseCommand(s *session) *cobra.Command {
	var w waiting
	var dryRun bool
	cmd := &cobra.Command{
		Use:         "helmrelease NAME",
		Aliases:     []string{"helmreleases", "hr"},
		Short:       "End the pin of nave rollback helmrelease: the release goes on with what is in Git",
		Example:     "  nave release helmrelease podinfo -n apps --cluster prod-1",
		Args:        cobra.ExactArgs(1),
		Annotations: everywhere,
		RunE: s.onRelease(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient,
			key *adminv1.ObjectKey) error {
			answer, err := client.UnpinHelmRelease(cmd.Context(), &adminv1.UnpinHelmReleaseRequest{Key: key, DryRun: dryRun})
			if err != nil {
				return err
			}
			out, goes := cmd.OutOrStdout(), "goes"
			if dryRun {
				goes = "would go"
			}
			fmt.Fprintf(out, "► %s %s on with what is in Git, revision %s; it has %s\n", show(key), goes,
				said(answer.GetSourceRevision()), revisionText(answer.GetNow()))
			switch at := answer.GetRequestedAt(); {
			case dryRun:
				return nil
			case at == "":
				fmt.Fprintln(out, "it is suspended: nothing happens before nave resume")
				return nil
			default:
				return waitUnless(cmd.Context(), newProgress(cmd), client, key, w, handling(at))
			}
		}),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what it would go on with")
	w.addFlags(cmd)
	return cmd
}

// onRelease wraps a command about one HelmRelease of a cluster, whose name is the first argument. The context ends
// after --timeout.
func (s *session) onRelease(do func(*cobra.Command, []string, adminv1.AdminServiceClient,
	*adminv1.ObjectKey) error) func(*cobra.Command, []string) error {
	return s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
		key, err := s.key([]string{"helmrelease", args[0]})
		if err != nil {
			return err
		}
		if s.cluster == "" {
			return usageError("name the cluster with --cluster: a release has its own revisions in each")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
		defer cancel()
		cmd.SetContext(ctx)
		return elsewhere(ctx, client, key, pinError(do(cmd, args, client, key)))
	})
}

// pinError returns the error of a call about a pin, which an older hub does not know.
func pinError(err error) error {
	if isTooOld(err) {
		return errTooOld("pins of HelmReleases")
	}
	return err
}

// revisionIn returns the revision in NAME [REVISION]; 0 if there is none.
func revisionIn(args []string) (uint32, error) {
	if len(args) < 2 {
		return 0, nil
	}
	n, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil || n == 0 {
		return 0, usageError("%q is no revision: want a number of nave history helmrelease", args[1])
	}
	return uint32(n), nil
}

// revisionText names a revision: "revision 3 (web-1.0.0, superseded, of 2026-01-02T03:04:05Z)".
func revisionText(r *adminv1.HelmRevision) string {
	if r == nil {
		return "no revision that is known"
	}
	text := fmt.Sprintf("revision %d (%s, %s", r.GetRevision(), said(r.GetChart()), said(r.GetStatus()))
	if at := r.GetDeployedAt(); at != nil {
		text += ", of " + wording.Time(at.AsTime())
	}
	return text + ")"
}

// waitUnless waits until an object is as the check wants it, unless the operator does not want to wait.
func waitUnless(ctx context.Context, p *progress, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	w waiting, is check) error {
	if !w.wanted() {
		return nil
	}
	return awaitOutcome(ctx, p, client, key, is)
}

// isPinned is a check that a release is at the revision of its pin. A failure of the rollback is an error, although it
// is tried again.
func isPinned(object map[string]any) (bool, string, error) {
	pinned, ready := api.FindCondition(object, condition.Pinned), api.FindCondition(object, condition.Ready)
	message := "the hub has not processed the pin yet"
	if ready != nil {
		message = fmt.Sprint(ready["message"])
	}
	if pinned != nil && pinned["status"] == condition.True {
		if _, runs, _ := unstructured.NestedMap(object, "status", "running"); !runs {
			return true, message, nil
		}
	}
	if pinned != nil && ready != nil &&
		(ready["reason"] == condition.RollbackFailed || ready["reason"] == condition.MissingRollbackTarget) {
		return false, message, errors.New(message)
	}
	return false, message, nil
}
