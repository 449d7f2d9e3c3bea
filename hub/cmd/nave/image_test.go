package main

import (
	"errors"
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestImageUpdate_preview ends as nave diff does: 0 if nothing would be pushed, 1 if something would, and 2 if a marker
// would not be carried out.
func TestImageUpdate_preview(t *testing.T) {
	push := &adminv1.PreviewImageUpdateResponse{Checkout: "main@sha1:12", Commits: []*adminv1.PreviewedCommit{
		{References: []string{"refs/heads/main", "refs/for/main"}, Message: "bump\n\nweb\n", Diff: "--- a/x\n+++ b/x\n"},
		{References: []string{"refs/heads/db"}, Message: "bump db", Diff: "--- a/y\n+++ b/y\n"}}}
	problem := &adminv1.PreviewImageUpdateResponse{Checkout: "main@sha1:12", Problems: []string{"x.yaml: line 3: why"}}
	for name, c := range map[string]struct {
		answer *adminv1.PreviewImageUpdateResponse
		format string
		out    []string
		code   int
		err    string
	}{
		"unpushed": {&adminv1.PreviewImageUpdateResponse{Checkout: "main@sha1:12", Unpushed: []string{"branch images has it"}},
			"diff", []string{"The checkout is main@sha1:12.\n# branch images has it\n"}, 0, ""},
		"nothing": {&adminv1.PreviewImageUpdateResponse{Checkout: "main@sha1:12"}, "diff",
			[]string{"Nothing would be pushed. The checkout is main@sha1:12."}, 0, ""},
		"push": {push, "diff", []string{"main@sha1:12 would be pushed to branch main and refs/for/main, with the message:",
			"#   bump\n#   \n#   web\n", "+++ b/x\n# a commit on main@sha1:12 would be pushed to branch db, with",
			"#   bump db\n--- a/y\n"}, 1, "as printed"},
		"json":    {push, "json", []string{`"references": [`, `"diff": "--- a/x`}, 1, "as printed"},
		"problem": {problem, "yaml", []string{"problems:\n- 'x.yaml: line 3: why'"}, 2, "x.yaml: line 3: why"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := withExit2(printPreview(&out, c.format, c.answer))
			if exitCode(err) != c.code || c.err != "" && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want exit code %d", err, c.code)
			}
			for _, want := range c.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestImageUpdate_onlyDryRun(t *testing.T) {
	cmd := newCommand()
	cmd.SetArgs([]string{"image", "update", "apps"})
	err := cmd.Execute()
	if err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), "nave reconcile image update apps") {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, errDifferent) {
		t.Error("a wrong command line is a difference")
	}
}
