package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

func newImagePinCommand(s *session) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use:   "pin POLICY TAG",
		Short: "Pin an ImagePolicy to a tag, until it is released",
		Long: `Pin an ImagePolicy to a tag: it chooses this tag, also an older or an excluded one, whatever its spec says and
whatever is pushed, until nave image release. A change of the policy in Git does not end the pin. The tag must be one of
those that the ImageRepository found.

Automations commit the pinned image as any other. The command ends when the policy has chosen the tag; nave get image
update shows what was committed. The pin is in the message and in the status of the policy.`,
		Example: "  nave image pin app 1.0.0\n  nave image release app",
		Args:    cobra.ExactArgs(2),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			tag := args[1]
			if tag == "" {
				return usageError("the tag is empty: name one")
			}
			return s.controlTags(cmd, client, args[0], &adminv1.ControlTagsRequest{Pin: tag}, w,
				func(chosen string) bool { return chosen == tag })
		}),
	}
	w.addFlags(cmd)
	return cmd
}

func newImageReleaseCommand(s *session) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use:     "release POLICY...",
		Short:   "End the pin of nave image pin: ImagePolicies choose by their spec again",
		Example: "  nave image release app",
		Args:    cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			var errs []error
			for _, policy := range args {
				r := &adminv1.ControlTagsRequest{Release: true}
				errs = append(errs, s.controlTags(cmd, client, policy, r, w, nil))
				if cmd.Context().Err() != nil {
					break
				}
			}
			return joined(errs)
		}),
	}
	w.addFlags(cmd)
	return cmd
}

func newImageExcludeCommand(s *session) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use:   "exclude POLICY TAG...",
		Short: "Keep an ImagePolicy from choosing known-bad tags",
		Long: `Keep an ImagePolicy from choosing known-bad tags, until nave image include. If one of them is chosen now, the policy
chooses another tag at once, which automations commit. The tags need not exist. A change of the policy in Git does not
end the exclusion, which is in the message and in the status of the policy.`,
		Example: "  nave image exclude app 1.2.3\n  nave image exclude app 1.2.3 1.2.4\n  nave image include app 1.2.4",
		Args:    cobra.MinimumNArgs(2),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if slices.Contains(args, "") {
				return usageError("a tag is empty: name one")
			}
			r := &adminv1.ControlTagsRequest{Exclude: args[1:]}
			return s.controlTags(cmd, client, args[0], r, w,
				func(chosen string) bool { return chosen != "" && !slices.Contains(args[1:], chosen) })
		}),
	}
	w.addFlags(cmd)
	return cmd
}

func newImageIncludeCommand(s *session) *cobra.Command {
	var w waiting
	var all bool
	cmd := &cobra.Command{
		Use:     "include POLICY TAG...",
		Short:   "End what nave image exclude did: an ImagePolicy may choose tags again",
		Example: "  nave image include app 1.2.3\n  nave image include app --all",
		Args:    cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			switch tags := args[1:]; {
			case all && len(tags) > 0:
				return usageError("--all is for all excluded tags: leave out --all, or %s", strings.Join(tags, " "))
			case !all && (len(tags) == 0 || slices.Contains(tags, "")):
				return usageError("name the tags that it may choose again, or --all")
			}
			r := &adminv1.ControlTagsRequest{Include: args[1:], IncludeAll: all}
			return s.controlTags(cmd, client, args[0], r, w, nil)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all tags that are excluded")
	w.addFlags(cmd)
	return cmd
}

// controlTags has the hub decide about the tags of an ImagePolicy, and waits until the policy has chosen by it. accepts
// reports whether a chosen tag is as the operator wants it, even if the policy is not ready; nil: it must be ready.
func (s *session) controlTags(cmd *cobra.Command, client adminv1.AdminServiceClient, policy string,
	r *adminv1.ControlTagsRequest, w waiting, accepts func(tag string) bool) error {
	key, err := s.key([]string{policy}) // imagepolicy/app, as nave get names it
	if !strings.Contains(policy, "/") {
		key, err = s.key([]string{api.ImagePolicyKind, policy})
	}
	if err != nil {
		return err
	}
	r.Key = key
	return s.onKey(cmd, client, key, func(cmd *cobra.Command, client adminv1.AdminServiceClient,
		key *adminv1.ObjectKey) error {
		answer, err := client.ControlTags(cmd.Context(), r)
		if isTooOld(err) {
			return errTooOld("decisions about tags")
		}
		if err != nil {
			return err
		}
		return decidedTags(cmd.Context(), newProgress(cmd), client, r, answer, w, accepts)
	})
}

// decidedTags prints the result of a decision about tags, and waits until the policy has chosen by it.
func decidedTags(ctx context.Context, p *progress, client adminv1.AdminServiceClient, r *adminv1.ControlTagsRequest,
	answer *adminv1.ControlTagsResponse, w waiting, accepts func(string) bool) error {
	p.printf("► %s %s\n", show(r.GetKey()), decisionText(r, answer))
	if r.GetRelease() { // another tag than the pinned one was chosen by the spec
		accepts = func(tag string) bool { return tag != "" && tag != answer.GetReleased() }
	}
	at := answer.GetRequestedAt()
	switch {
	case !answer.GetChanged() && at == "":
		return nil
	case at == "":
		p.printf("%s is suspended: it chooses no other image before nave resume\n", show(r.GetKey()))
		return nil
	}
	return waitUnless(ctx, p, client, r.GetKey(), w, choosing(at, accepts))
}

// decisionText says what a request about tags has done.
func decisionText(r *adminv1.ControlTagsRequest, answer *adminv1.ControlTagsResponse) string {
	switch {
	case r.GetPin() != "" && !answer.GetChanged():
		return "is pinned to " + r.GetPin() + " already: nothing changed"
	case r.GetPin() != "":
		return fmt.Sprintf("pinned to %s; to follow the policy again: nave image release %s%s", r.GetPin(),
			r.GetKey().GetName(), fold.FlagsOf(keyOf(r.GetKey())))
	case r.GetRelease() && !answer.GetChanged():
		return "is not pinned: nothing changed"
	case len(r.GetExclude()) > 0 && !answer.GetChanged():
		return "does not choose " + strings.Join(r.GetExclude(), ", ") + " already: nothing changed"
	case len(r.GetExclude()) > 0:
		return "does not choose " + oneLine(strings.Join(answer.GetTags(), ", ")) + " any more"
	case !answer.GetChanged():
		return "has no such excluded tag: nothing changed"
	case !r.GetRelease():
		return "may choose " + oneLine(strings.Join(answer.GetTags(), ", ")) + " again"
	}
	return fmt.Sprintf("released from %s: it chooses by its spec again", oneLine(answer.GetReleased()))
}

// choosing returns a check that a policy has chosen a tag after a request. If the policy is not ready for another
// reason, such as a registry that is away, a tag that is accepted will do.
func choosing(requestedAt string, accepts func(tag string) bool) check {
	return func(object map[string]any) (bool, string, error) {
		done, message, err := handled(object, requestedAt)
		tag, _, _ := unstructured.NestedString(object, "status", "latestRef", "tag")
		ready := api.FindCondition(object, condition.Ready)
		if err != nil && answers(object, requestedAt) && accepts != nil && accepts(tag) {
			return true, fmt.Sprintf("has chosen %s, but is not ready: %v", tag, ready["message"]), nil
		}
		return done, message, err
	}
}
