package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// newImageCommand returns "nave image".
func newImageCommand(s *session) *cobra.Command {
	return group("image", "Decide which tags are chosen, and see what image automation would do",
		newImageExcludeCommand(s), newImageIncludeCommand(s), newImagePinCommand(s), newImageReleaseCommand(s),
		errorsExit2(newImageUpdateCommand(s)))
}

const imageUpdateLong = `Print what a run of an ImageUpdateAutomation would commit now, as a unified diff, with the branch and the message
of each commit. The hub does all of a run but the push. Nothing is pushed, and nothing changes, also if the automation
is suspended. The values of Secrets are not shown; where one would change, the diff says so.

With -o json or yaml: checkout (the revision that would be changed), commits (each with references, which would become
the commit, message and diff; none: nothing would be pushed), unpushed (why there are no commits, or not all: a branch
has the changes already, or people declined them), and problems (markers and policies that would not be carried out,
each with its reason).

The exit code is 0 if nothing would be pushed, 1 if something would, and 2 after an error, or if there is a problem.`

func newImageUpdateCommand(s *session) *cobra.Command {
	var dryRun bool
	var output string
	cmd := &cobra.Command{
		Use:     "update NAME --dry-run",
		Short:   "Print what a run of an ImageUpdateAutomation would commit; exit code 1 if that is something",
		Long:    imageUpdateLong,
		Example: "  nave image update apps --dry-run\n  nave image update apps --dry-run -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !dryRun:
				return usageError("want --dry-run; a run itself is asked for with nave reconcile image update %s", args[0])
			case !slices.Contains([]string{"diff", "json", "yaml"}, output):
				return usageError("--output %q: want diff, json or yaml", output)
			}
			named := []string{"image update", args[0]}
			return s.runKey(func(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
				answer, err := client.PreviewImageUpdate(cmd.Context(), &adminv1.PreviewImageUpdateRequest{Key: key})
				if isTooOld(err) {
					return errTooOld("previews of runs")
				}
				if err != nil {
					return err
				}
				return printPreview(cmd.OutOrStdout(), output, answer)
			})(cmd, named)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be committed (required)")
	cmd.Flags().StringVarP(&output, "output", "o", "diff", "diff, json or yaml")
	return cmd
}

// previewedRun is a preview of a run as it is printed as JSON or YAML. Its field names are stable.
type previewedRun struct {
	Checkout string            `json:"checkout"`
	Commits  []previewedCommit `json:"commits,omitempty"`
	Problems []string          `json:"problems,omitempty"`
	Unpushed []string          `json:"unpushed,omitempty"`
}

type previewedCommit struct {
	References []string `json:"references"`
	Message    string   `json:"message"`
	Diff       string   `json:"diff,omitempty"`
}

// printPreview prints a preview. The error says what the exit code has to say.
func printPreview(out io.Writer, format string, a *adminv1.PreviewImageUpdateResponse) error {
	p := previewedRun{Checkout: a.GetCheckout(), Problems: a.GetProblems(), Unpushed: a.GetUnpushed()}
	for _, c := range a.GetCommits() {
		p.Commits = append(p.Commits, previewedCommit{c.GetReferences(), c.GetMessage(), c.GetDiff()})
	}
	if format == "diff" {
		fmt.Fprint(out, p.text())
	} else if err := printIn(out, format, p); err != nil {
		return err
	}
	switch {
	case len(p.Problems) > 0:
		return errors.New("not everything would be carried out:\n" + strings.Join(p.Problems, "\n"))
	case len(p.Commits) > 0:
		return errDifferent
	}
	return nil
}

// text returns a preview for people.
func (p previewedRun) text() string {
	var b strings.Builder
	if len(p.Commits) == 0 {
		fmt.Fprintf(&b, "Nothing would be pushed. The checkout is %s.\n", oneLine(p.Checkout))
	}
	for _, why := range p.Unpushed {
		fmt.Fprintf(&b, "# %s\n", oneLine(why))
	}
	for _, c := range p.Commits {
		var to []string
		for _, r := range c.References {
			if branch, isBranch := strings.CutPrefix(r, "refs/heads/"); isBranch {
				r = "branch " + branch
			}
			to = append(to, oneLine(r))
		}
		message := "#   " + strings.ReplaceAll(strings.TrimSpace(c.Message), "\n", "\n#   ")
		fmt.Fprintf(&b, "# a commit on %s would be pushed to %s, with the message:\n%s\n%s", oneLine(p.Checkout),
			strings.Join(to, " and "), message, c.Diff)
	}
	return b.String()
}
