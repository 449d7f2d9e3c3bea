package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// rolloutVerbs returns the commands that decide about the newest rollout of a Fleet.
func rolloutVerbs(s *session) []*cobra.Command {
	return []*cobra.Command{
		newRolloutApproveCommand(s),
		s.rolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_SUSPEND, &cobra.Command{
			Use:   "suspend FLEET",
			Short: "Let no more clusters of a Fleet begin with a change, also in later rollouts, until resume",
			Long: `Let no more clusters of a Fleet begin with a change, also in later rollouts, until nave rollout
resume. Clusters that have begun go on, and everything stays repaired. nave suspend fleet, in contrast, stops
everything of the Fleet.`,
			Example: "  nave rollout suspend production\n  nave rollout resume production",
		}),
		s.rolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_RESUME, &cobra.Command{
			Use:     "resume FLEET",
			Short:   "End the suspension of nave rollout suspend",
			Example: "  nave rollout resume production",
		}),
		s.askedRolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_ABORT, &cobra.Command{
			Use:   "abort FLEET",
			Short: "End a rollout: each cluster keeps what it has, until the next change or release",
			Long: `End a rollout: each cluster keeps what it has. The next change of what the Fleet gives begins the
next rollout; nave rollout release begins one with the same content.

The command says which clusters it concerns first and asks, or wants --yes.`,
			Example: "  nave rollout abort production --yes",
		}),
		s.askedRolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_ROLL_BACK, &cobra.Command{
			Use:   "rollback FLEET",
			Short: "Give the clusters that took up a change what they had before, the last stage first",
			Long: `Give the clusters that took up the change of the newest rollout what they had before, the last
stage first and as many at a time as the stages say. Approvals, waits and windows do not hold it up. Then the clusters
stay there until the next change of what the Fleet gives, or until nave rollout release. A rollout that has succeeded
can be rolled back, too.

The command says which clusters it concerns first and asks, or wants --yes. It does not wait: see nave rollout status
--watch. nave rollback takes single clusters back to any release that is kept.`,
			Example: "  nave rollout rollback production\n  nave rollout status production --watch\n" +
				"  nave rollout release production",
		}),
		s.rolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_RETRY, &cobra.Command{
			Use:   "retry FLEET [CLUSTER...]",
			Short: "Give clusters that failed, or were left out by skip, another turn",
			Long: `Give clusters another turn, with a new deadline: those that failed, or those that nave rollout skip
left out if they are named. Without names, all that failed get one.`,
			Example: "  nave rollout retry production\n  nave rollout retry production prod-1 prod-2",
		}),
		s.rolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_SKIP, &cobra.Command{
			Use:   "skip FLEET CLUSTER...",
			Short: "Leave clusters out of a rollout, until the next one",
			Long: `Leave clusters out of a rollout: it does not wait for them, and they do not count as failed. They
keep what they have, and get their turn in the next rollout, or with nave rollout retry.`,
			Example: "  nave rollout skip production prod-7",
		}),
		s.rolloutVerb(adminv1.RolloutVerb_ROLLOUT_VERB_RELEASE, &cobra.Command{
			Use:   "release FLEET",
			Short: "Begin the next rollout with the content that a rollback or an abort holds back",
			Long: `Begin the next rollout with the content that a rollback or an abort holds back, at the first stage.
Without this, the next change of what the Fleet gives begins it.`,
			Example: "  nave rollout release production",
		}),
	}
}

func newRolloutApproveCommand(s *session) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use:   "approve FLEET",
		Short: "Approve what a rollout waits for, before or after a stage",
		Long: `Approve what the newest rollout of a Fleet waits for: an Approval of spec.rollout before or after a
stage. With --stage, nothing else is approved than what this stage waits for. The event of the Fleet names the
operator.`,
		Example: "  nave rollout approve production\n  nave rollout approve production --stage canary",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return controlRollout(cmd, client, &adminv1.ControlRolloutRequest{Fleet: args[0], Stage: stage,
				Verb: adminv1.RolloutVerb_ROLLOUT_VERB_APPROVE})
		}),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "the stage that waits (default: whichever does)")
	_ = cmd.RegisterFlagCompletionFunc("stage", s.stages) // the flag exists, and has none
	return cmd
}

// rolloutVerb completes the command of a verb.
func (s *session) rolloutVerb(verb adminv1.RolloutVerb, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	switch verb {
	case adminv1.RolloutVerb_ROLLOUT_VERB_RETRY:
		cmd.Args, cmd.ValidArgsFunction = cobra.MinimumNArgs(1), s.fleetAndClusters
	case adminv1.RolloutVerb_ROLLOUT_VERB_SKIP:
		cmd.Args, cmd.ValidArgsFunction = cobra.MinimumNArgs(2), s.fleetAndClusters
	}
	cmd.RunE = s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
		return controlRollout(cmd, client, &adminv1.ControlRolloutRequest{Fleet: args[0], Verb: verb, Clusters: args[1:]})
	})
	return cmd
}

// askedRolloutVerb completes the command of a verb that an operator must agree to.
func (s *session) askedRolloutVerb(verb adminv1.RolloutVerb, cmd *cobra.Command) *cobra.Command {
	var agreed agreement
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
		answer, err := client.GetRollout(cmd.Context(), &adminv1.GetRolloutRequest{Fleet: args[0]})
		if err != nil {
			return rolloutError(cmd.Context(), client, args[0], err)
		}
		if text := impactOfVerb(verb, answer); text != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), text)
			if err := agreed.ask(cmd, "that"); err != nil {
				return err
			}
		}
		return controlRollout(cmd, client, &adminv1.ControlRolloutRequest{Fleet: args[0], Verb: verb,
			Number: answer.GetRollout().GetNumber()})
	})
	cmd.Flags().BoolVarP(&agreed.yes, "yes", "y", false, "agree without being asked")
	return cmd
}

// impactOfVerb says what an abort or a rollback would do; empty: it changes nothing.
func impactOfVerb(verb adminv1.RolloutVerb, answer *adminv1.GetRolloutResponse) string {
	r := answer.GetRollout()
	of := fmt.Sprintf("rollout %d of Fleet %s", r.GetNumber(), oneLine(r.GetFleet()))
	isBack := verb == adminv1.RolloutVerb_ROLLOUT_VERB_ROLL_BACK
	phase := rollout.Phase(r.GetPhase())
	isGoingBack := phase == rollout.RollingBack || phase == rollout.RolledBack
	if r.GetNumber() == 0 || isBack && isGoingBack || !isBack && phase.Ended() {
		return ""
	}
	var names []string
	for _, c := range answer.GetClusters() {
		switch begun := c.GetOfferedAt() != nil; {
		case isBack && begun && c.GetPrevious() != "" && c.GetState() != string(rollout.ClusterRestored),
			!isBack && c.GetState() == string(rollout.ClusterWaiting):
			names = append(names, oneLine(c.GetCluster()))
		}
	}
	if isBack {
		text := fmt.Sprintf("%s: %s would get back what they had before", of, ofClusters(int(answer.GetRestorable()), names))
		return text + ", and no other cluster would begin"
	}
	waiting := 0
	for _, st := range r.GetStages() {
		waiting += int(st.GetWaiting())
	}
	return fmt.Sprintf("%s would end: %s would keep what they have, as all others do", of, ofClusters(waiting, names))
}

// ofClusters names clusters, of which there are total.
func ofClusters(total int, names []string) string {
	text := wording.Count(total, "cluster")
	if total > 0 && len(names) > 0 {
		text += " (" + wording.List(names, total, 20) + ")"
	}
	return text
}

// controlRollout has the hub decide about a rollout, and prints what was done.
func controlRollout(cmd *cobra.Command, client adminv1.AdminServiceClient, r *adminv1.ControlRolloutRequest) error {
	answer, err := client.ControlRollout(cmd.Context(), r)
	if err != nil {
		return rolloutError(cmd.Context(), client, r.GetFleet(), err)
	}
	text := oneLine(answer.GetMessage())
	if !answer.GetChanged() {
		text += ": nothing changed"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "► %s: %s\n", api.FleetKey(oneLine(r.GetFleet())), text)
	if held := answer.GetHeld(); held != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "⚠ %s\n", oneLine(held))
	}
	return nil
}

// fleetAndClusters completes a Fleet, and then clusters.
func (s *session) fleetAndClusters(cmd *cobra.Command, args []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	if len(args) == 0 {
		return s.names(api.FleetKind)(cmd, args, begun)
	}
	return s.names(api.ClusterKind)(cmd, args, begun)
}

// stages completes the stages of the Fleet that the arguments name.
func (s *session) stages(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	var names []string
	client, done, err := s.dial()
	if err != nil || len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer done()
	if fleet, err := fleetOfHub(cmd.Context(), client, args[0]); err == nil && fleet.Spec.Rollout != nil {
		for _, st := range fleet.Spec.Rollout.AllStages() {
			names = append(names, st.Name)
		}
	}
	return beginning(names, begun), cobra.ShellCompDirectiveNoFileComp
}
