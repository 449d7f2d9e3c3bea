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

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newRollbackCommand(s *session) *cobra.Command {
	var to uint64
	var fleet string
	var dryRun bool
	var w clusterWaits
	cmd := &cobra.Command{
		Use:   "rollback CLUSTER... | --fleet NAME",
		Short: "Pin clusters to a past release, until they are released",
		Long: `Pin clusters to a past release: each gets a new bundle with the applications of an old one, and stays there
whatever changes in Git, until nave release. Without --to, that is the newest release in the history that differs from
the present one and that no rollback has left; a cluster that is pinned already stays at its pin, and only --to gives it
another.

A rollback removes nothing from a cluster: applications and objects that the old release does not have stay as they
are now. Suspensions still take effect. With --fleet, each cluster that the Fleet selects goes to its own release
before, with all of its applications; clusters that are pinned already stay as they are. If a cluster cannot be pinned,
the others are, and the exit code is 1. If a named cluster does not exist, none is pinned. With
--dry-run nothing is changed: the applications are listed with the revision that each would have and the one that it has
now. The pin is in the status of the Cluster and in nave explain.

The command ends when the applications of the old release are ready in each cluster, or with 1 when one has failed, the
spoke is offline or --timeout is over. What is in Git meanwhile does not matter to it.`,
		Example: "  nave history prod-1\n  nave rollback prod-1 --to 41 --dry-run\n  nave rollback prod-1 --to 41\n" +
			"  nave release prod-1\n" +
			"  nave rollback --fleet production\n  nave release --fleet production",
		Args: clustersOrFleet(&fleet),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if (len(args) > 1 || fleet != "") && to != 0 {
				return usageError("--to is the number of a bundle of one cluster: name one cluster, or leave out --to")
			}
			err := eachCluster(cmd, client, args, fleet, func(cluster string) error {
				if dryRun {
					return previewRollback(cmd, client, &adminv1.PreviewRollbackRequest{Cluster: cluster, Sequence: to})
				}
				return w.rollback(cmd, client, &adminv1.RollbackRequest{Cluster: cluster, Sequence: to})
			})
			return w.after(cmd, client, s.timeout, err)
		}),
	}
	cmd.Flags().StringVar(&fleet, "fleet", "", "all clusters that this Fleet selects, in place of names")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would change by application")
	cmd.Flags().Uint64Var(&to, "to", 0, "number of the bundle, as in nave history")
	w.addFlags(cmd)
	cmd.AddCommand(newRollbackHelmReleaseCommand(s))
	return cmd
}

// rollback pins a cluster.
func (w *clusterWaits) rollback(cmd *cobra.Command, client adminv1.AdminServiceClient,
	r *adminv1.RollbackRequest) error {
	answer, err := client.Rollback(cmd.Context(), r)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %[1]s pinned to the applications of bundle %[2]d; to go on with Git: "+
			"nave release %[1]s\n", r.GetCluster(), answer.GetSequence())
		w.add(r.GetCluster(), rolledBack(answer))
	}
	return err
}

// previewRollback prints what a rollback would change.
func previewRollback(cmd *cobra.Command, client adminv1.AdminServiceClient, r *adminv1.PreviewRollbackRequest) error {
	answer, err := client.PreviewRollback(cmd.Context(), r)
	if isTooOld(err) {
		return errTooOld("--dry-run")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s would be pinned to the applications of bundle %d:\n", r.GetCluster(),
		answer.GetSequence())
	return (&printer{out: cmd.OutOrStdout()}).print(printoutOfReleased(r.GetCluster(),
		releasedOf(answer.GetApplications()), "REVISION", "NOW"))
}

func newReleaseCommand(s *session) *cobra.Command {
	var fleet string
	var dryRun bool
	var agreed agreement
	var w clusterWaits
	cmd := &cobra.Command{
		Use:   "release CLUSTER... | --fleet NAME",
		Short: "End the pin of nave rollback: clusters go on with what is in Git",
		Long: `End the pin of nave rollback: clusters go on with what is in Git.

What Git does not have any more goes with the pin. If that is anything, the command lists it first and asks, or wants
--yes. With --dry-run nothing is changed: the applications are listed with the revision that each would have and the one
that it has now. The command ends when each cluster is ready with what is in Git, or with 1 when something there has
failed, the spoke is offline or --timeout is over.`,
		Example: "  nave release prod-1 --dry-run\n  nave release prod-1\n  nave release --fleet production --yes",
		Args:    clustersOrFleet(&fleet),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			err := eachCluster(cmd, client, args, fleet, func(cluster string) error {
				if dryRun {
					return previewRelease(cmd, client, cluster)
				}
				return w.release(cmd, client, cluster, agreed)
			})
			return w.after(cmd, client, s.timeout, err)
		}),
	}
	cmd.Flags().StringVar(&fleet, "fleet", "", "all clusters that this Fleet selects, in place of names")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would change by application")
	agreed.flag(cmd)
	w.addFlags(cmd)
	cmd.AddCommand(newReleaseHelmReleaseCommand(s))
	return cmd
}

// release ends the pin of a cluster if the operator agrees to the objects that go with it.
func (w *clusterWaits) release(cmd *cobra.Command, client adminv1.AdminServiceClient, cluster string,
	agreed agreement) error {
	impact, err := agreed.to(cmd, client, &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Release{Release: cluster}})
	if err != nil {
		return err
	}
	answer, err := client.Release(cmd.Context(), &adminv1.ReleaseRequest{Cluster: cluster, Digest: agreed.seen(impact)})
	if err == nil {
		w.add(cluster, releasedSince(answer))
		fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s goes on with what is in Git\n", cluster)
	}
	return err
}

// previewRelease prints what the end of a pin would change.
func previewRelease(cmd *cobra.Command, client adminv1.AdminServiceClient, cluster string) error {
	answer, err := client.PreviewRelease(cmd.Context(), &adminv1.PreviewReleaseRequest{Cluster: cluster})
	if isTooOld(err) {
		return errTooOld("--dry-run")
	}
	if err != nil {
		return err
	}
	impact, err := client.Impact(cmd.Context(),
		&adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Release{Release: cluster}})
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "► Cluster %s would go on with what is in Git:\n", cluster)
	err = (&printer{out: cmd.OutOrStdout()}).print(printoutOfReleased(cluster, releasedOf(answer.GetApplications()),
		"REVISION", "NOW"))
	if err != nil {
		return err
	}
	if len(impact.GetClusters()) > 0 {
		printImpact(cmd.OutOrStdout(), impact)
	}
	return nil
}

// clustersOrFleet checks that either clusters or a Fleet are named.
func clustersOrFleet(fleet *string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if (len(args) == 0) == (*fleet == "") {
			return errors.New("name either clusters or a Fleet with --fleet")
		}
		return nil
	}
}

// eachCluster calls do for each of the clusters, or for those that a Fleet selects. If do fails for a cluster,
// eachCluster prints the error, goes on with the next, and returns an error that names the clusters that failed. If
// one of several named clusters does not exist, eachCluster calls do for none. The code ALREADY_EXISTS says that the
// cluster is as it should be: it is a failure only if the operator named the cluster. If the hub cannot be asked any
// more, eachCluster names the clusters that are left, and the one that may have changed.
func eachCluster(cmd *cobra.Command, client adminv1.AdminServiceClient, clusters []string, fleet string,
	do func(cluster string) error) error {
	if len(clusters) == 1 && fleet == "" {
		return orRelease(cmd, client, clusters[0], do(clusters[0]))
	}
	clusters, err := existing(cmd.Context(), client, clusters, fleet)
	if err != nil {
		return err
	}
	var failed []string
	for i, cluster := range clusters {
		err := do(cluster)
		code := status.Code(err)
		switch {
		case code == codes.OK:
			continue
		case slices.Contains(ofHub, code):
			return stoppedError{fmt.Errorf("%s; %s", message(err), unchanged(err, failed, clusters[i:]))}
		case code != codes.AlreadyExists || fleet == "":
			failed = append(failed, cluster)
		}
		text := oneLine(message(err))
		if !strings.HasPrefix(strings.ToLower(text), "cluster "+cluster+" ") {
			text = "cluster " + cluster + ": " + text
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "nave: %s\n", text)
	}
	if len(failed) > 0 {
		return fmt.Errorf("nothing was changed on %s", listed(failed))
	}
	return nil
}

// stoppedError is the error of changes to clusters that ended before the last one: the hub cannot be asked.
type stoppedError struct{ error }

// existing returns the named clusters, or those that a Fleet selects. If a named one does not exist, existing returns
// an error: its name is a typing error, and who makes one may not want the others changed alone.
func existing(ctx context.Context, client adminv1.AdminServiceClient, names []string, fleet string) ([]string, error) {
	if fleet != "" {
		return selectedBy(ctx, client, fleet)
	}
	for _, name := range names {
		key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: name}
		if _, err := client.Get(ctx, &adminv1.GetRequest{Key: key}); status.Code(err) == codes.NotFound {
			text := message(elsewhere(ctx, client, key, err))
			return nil, exitError{fmt.Errorf("nothing was changed on %s: %s", listed(names), text), notFound}
		}
	}
	return names, nil
}

// unchanged says on which clusters nothing was changed: those that failed, and those that are left after an error of
// the hub about the first of them. If the connection ended before the answer, the hub may have changed that one.
func unchanged(err error, failed, rest []string) string {
	unknown := slices.Contains([]codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Unavailable}, status.Code(err))
	if !unknown || isUnreached(err) || isOtherServer(err) {
		return "nothing was changed on " + listed(append(failed, rest...))
	}
	text := fmt.Sprintf("it is not known whether %[1]s was changed: see nave history %[1]s", rest[0])
	if others := append(failed, rest[1:]...); len(others) > 0 {
		text += "; nothing was changed on " + listed(others)
	}
	return text
}

// ofHub are the codes of errors that are about the connection, the hub or the operator, and not about a cluster.
var ofHub = []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.PermissionDenied, codes.ResourceExhausted,
	codes.Unauthenticated, codes.Unavailable, codes.Unimplemented}

// selectedBy returns the names of the clusters that a Fleet selects, sorted. If it selects none, selectedBy returns an
// error.
func selectedBy(ctx context.Context, client adminv1.AdminServiceClient, fleet string) (clusters []string, err error) {
	key := &adminv1.ObjectKey{Kind: api.FleetKind, Name: fleet}
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
	if err != nil {
		return nil, elsewhere(ctx, client, key, err)
	}
	o, err := readmit(answer.GetObject(), api.Hub)
	if err != nil {
		return nil, err
	}
	f, err := o.Fleet()
	if err != nil {
		return nil, err
	}
	all, err := client.List(ctx, &adminv1.ListRequest{Kind: api.ClusterKind})
	if err != nil {
		return nil, err
	}
	for _, c := range all.GetObjects() {
		cluster, err := readmit(c, api.Hub)
		if err != nil {
			return nil, err
		}
		if selected, err := f.Selects(api.ClusterLabels(cluster.Key.Name, cluster.Labels())); err != nil {
			return nil, err
		} else if selected {
			clusters = append(clusters, c.GetKey().GetName())
		}
	}
	if slices.Sort(clusters); len(clusters) == 0 {
		return nil, fmt.Errorf("%s selects no cluster", api.FleetKey(fleet))
	}
	return clusters, nil
}
