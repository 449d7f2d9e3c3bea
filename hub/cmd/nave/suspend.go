package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

func newSuspendCommand(s *session) *cobra.Command {
	var stopRepair, all bool
	var w waiting
	cmd := &cobra.Command{
		Use:   "suspend KIND NAME",
		Short: "Suspend an object: it and what it made stay as they are until it is resumed",
		Long: `Suspend an object: it and what it made stay as they are until it is resumed.

An application, such as a Kustomization, is neither applied nor repaired, a source is not fetched. A Fleet is suspended
with everything that it leads to. A Cluster stays at its present bundle, and its spoke goes on repairing drift, unless
--stop-repair is given.`,
		Example: "  nave suspend kustomization apps --cluster prod-1\n" +
			"  nave suspend helmreleases --all -n apps --cluster prod-1\n  nave suspend cluster prod-1 --stop-repair",
		Args: cobra.MinimumNArgs(1),
		RunE: s.runKeys(&all, func(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
			ctx := cmd.Context()
			answer, err := client.Suspend(ctx, &adminv1.SuspendRequest{Key: key, StopRepair: stopRepair})
			if err != nil {
				return err
			}
			return suspendedNow(ctx, newProgress(cmd), client, key, answer, stopRepair, w.wanted())
		}),
	}
	w.addFlags(cmd)
	addAll(cmd, &all)
	cmd.Flags().BoolVar(&stopRepair, "stop-repair", false, "of a Cluster: its spoke does not repair drift either")
	return cmd
}

// suspendedNow prints the result of a suspension, and waits until the suspension is in force.
func suspendedNow(ctx context.Context, p *progress, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	answer *adminv1.SuspendResponse, stopRepair, wait bool) error {
	if !answer.GetChanged() {
		p.printf("► %s was suspended already: nothing changed\n", show(key))
		return nil
	}
	p.printf("► suspension of %s requested\n", show(key))
	bySpoke := stopRepair || (api.Key{Kind: key.GetKind()}).Role() != api.ClusterRole // the hub alone suspends a Cluster
	switch cluster := spokeOf(key); {
	case !wait && bySpoke && cluster != "":
		return printOffline(ctx, p, client, cluster)
	case !wait:
		return nil
	}
	if bySpoke {
		err := requireSpoke(ctx, client, key)
		if absent, is := errors.AsType[*offlineError](err); is && !absent.never {
			return fmt.Errorf("%w. Until then the spoke may go on repairing drift", err)
		}
		if err != nil {
			return err
		}
	}
	if _, err := waitFor(ctx, p, client, key, inForce); err != nil {
		return err
	}
	p.printf("✔ %s suspended\n", show(key))
	return nil
}

// printOffline prints that the suspension has to wait for the spoke of a cluster, if that is offline.
func printOffline(ctx context.Context, p *progress, client adminv1.AdminServiceClient, cluster string) error {
	a, err := absenceOf(ctx, client, cluster)
	if a != nil && !a.never {
		p.printf("⚠ cluster %s is offline: %s. Until it is back, its spoke may go on repairing drift\n", cluster, a.message)
	}
	return err
}

// inForce is a check that a suspension is in force on the hub and on the affected spokes.
func inForce(object map[string]any) (done bool, message string, err error) {
	c := api.FindCondition(object, condition.Suspended)
	if c == nil {
		return false, "", errors.New("it was resumed before the suspension was in force")
	}
	return c["status"] == condition.True, fmt.Sprint(c["message"]), nil
}

func newResumeCommand(s *session) *cobra.Command {
	var all bool
	var w waiting
	cmd := &cobra.Command{
		Use:   "resume KIND NAME",
		Short: "End a suspension, and wait for the outcome",
		Args:  cobra.MinimumNArgs(1),
		RunE: s.runKeys(&all, func(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
			ctx := cmd.Context()
			answer, err := client.Resume(ctx, &adminv1.ResumeRequest{Key: key})
			if err != nil {
				return err
			}
			return resumed(ctx, newProgress(cmd), client, key, answer, w.wanted())
		}),
	}
	w.addFlags(cmd)
	addAll(cmd, &all)
	return cmd
}

// addAll adds the flag --all.
func addAll(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVar(all, "all", false, "all objects of KIND in --namespace, of the hub or of --cluster")
}

// runKeys is runKey for a command that --all carries out for all objects of a kind.
func (s *session) runKeys(all *bool, do keyCommand) func(*cobra.Command, []string) error {
	one := s.runKey(do)
	each := s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
		return s.forAll(cmd, args, client, do)
	})
	return func(cmd *cobra.Command, args []string) error {
		if *all {
			return each(cmd, args)
		}
		return one(cmd, args)
	}
}

// forAll carries out a command for all objects of the kind that args name, one after the other. A failure does not stop
// the others.
func (s *session) forAll(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient, do keyCommand) error {
	kind, names, err := kindOf(args)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return usageError("--all is for all objects of a kind: leave out --all, or %s", strings.Join(names, " "))
	}
	if err := s.checkScope(kind); err != nil {
		return err
	}
	request := s.listRequest(kind, getOptions{})
	request.AllClusters = false
	objects, err := list(cmd.Context(), client, request, chunkSize)
	if err != nil {
		return err
	}
	if len(objects) == 0 {
		in := place{s.cluster, request.GetNamespace()}
		err := fmt.Errorf("there are no %s in %s", kind.Plural, in)
		if hint := others(cmd.Context(), client, kind, request, ""); hint != "" {
			err = fmt.Errorf("%w. %s", err, hint)
		}
		return exitError{err, notFound}
	}
	var errs []error
	for _, o := range objects {
		errs = append(errs, s.onKey(cmd, client, o.GetKey(), do))
		if cmd.Context().Err() != nil {
			break
		}
	}
	errs = append(errs, s.noteOfClusters(cmd, client, kind))
	return joined(errs)
}

// noteOfClusters says on standard error how many objects of clusters --all without --cluster has left as they are.
func (s *session) noteOfClusters(cmd *cobra.Command, client adminv1.AdminServiceClient, kind api.Kind) error {
	if s.cluster != "" || !kind.Namespaced {
		return nil
	}
	objects, err := list(cmd.Context(), client, s.listRequest(kind, getOptions{}), chunkSize)
	if err != nil {
		return err
	}
	clusters, n := map[string]bool{}, 0
	for _, o := range objects {
		if cluster := o.GetKey().GetCluster(); cluster != "" {
			clusters[cluster] = true
			n++
		}
	}
	if n > 0 {
		names := slices.Sorted(maps.Keys(clusters))
		fmt.Fprintf(cmd.ErrOrStderr(), "⚠ --all is for those of the hub: %s of clusters stay as they are (%s); name a "+
			"cluster with --cluster\n", wording.Count(n, "object"), oneLine(wording.List(names, len(names), 5)))
	}
	return nil
}

// resumed prints the result of the end of a suspension, and waits until the object is reconciled.
func resumed(ctx context.Context, p *progress, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	answer *adminv1.ResumeResponse, wait bool) error {
	line := fmt.Sprintf("► %s was not suspended: nothing changed", show(key))
	if answer.GetChanged() {
		line = fmt.Sprintf("► %s resumed", show(key))
	}
	if with := answer.GetSuspendedWith(); with != nil {
		line += fmt.Sprintf("; %s keeps it suspended: resume that, too", show(with))
	}
	p.printf("%s\n", line)
	if answer.GetRequestedAt() == "" || !wait {
		return nil
	}
	if err := requireSpoke(ctx, client, key); err != nil {
		return err
	}
	return awaitOutcome(ctx, p, client, key, handling(answer.GetRequestedAt()))
}
