package reference

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/e2e/kubetest"
)

// unrun has the documents with commands that no test runs, and why. What they have of nave, nave-hub and nave-spoke is
// compared with the programs: CheckCommands.
var unrun = map[string]string{
	"README.md":                 "make demo runs until Ctrl-C; the rest pushes images and installs them on clusters",
	"docs/cli/nave.md":          "examples of single commands, with names that stand for others",
	"docs/cli/nave-hub.md":      "examples of single commands, with names that stand for others",
	"docs/helm.md":              "the stories helm-*.txtar run these commands, with releases that have what they show",
	"docs/metrics.md":           "it needs the operator of Prometheus; TestAlerts builds deploy/monitoring and evaluates its rules",
	"docs/migrate-from-flux.md": "it needs clusters that Flux runs; TestMigrateFromFlux runs these steps on some",
	"docs/operations.md":        "it needs images and folders of the root user; the story rollback.txtar has the rollbacks",
	"docs/preview.md":           "the stories preview.txtar and schemas.txtar run these commands in checkouts of their own",
	"docs/secrets.md":           "it needs age-keygen, and credentials of clouds; the story secrets.txtar runs the rest",
	"docs/services.md":          "it needs systemd and root; TestUnits checks the units, TestQuickStart runs the kubeconfig",
	"docs/traces.md":            "the story traces.txtar runs a hub with a receiver of its own",
	"docs/troubleshooting.md":   "single commands to choose from; docs/tour.md has each of them where it is needed",
	"examples/fleet/README.md":  "it needs age-keygen; the story example-fleet.txtar runs the example",
}

// run has the documents whose commands a test runs, in their order.
var run = map[string]string{
	"docs/fleets.md":      "TestQuickStart",
	"docs/maintenance.md": "TestQuickStart",
	"docs/quick-start.md": "TestQuickStart",
	"docs/tour.md":        "TestTour",
}

// TestBlocks wants each document with shell blocks to be run by a test, or to say why it is not.
func TestBlocks(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := below(checkout, ".md")
	if err != nil {
		t.Fatal(err)
	}
	with := map[string]bool{}
	for _, document := range documents {
		name, err := filepath.Rel(checkout, document)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := read(t, name)
		if strings.HasPrefix(name, designs) || !shellBlock.MatchString(text) {
			continue
		}
		with[name] = true
		if (run[name] == "") == (unrun[name] == "") {
			t.Errorf("%s has shell blocks: name the test that runs them, or the reason why none does", name)
		}
	}
	for _, names := range []map[string]string{run, unrun} {
		for name := range names {
			if !with[name] {
				t.Errorf("%s has no shell blocks: take it out of the tables", name)
			}
		}
	}
	tests, _ := read(t, "e2e", "documents_test.go")
	for name, test := range run {
		if !regexp.MustCompile(`(?m)^func `+test+`\(`).MatchString(tests) || !strings.Contains(tests, name) {
			t.Errorf("e2e/documents_test.go has no %s that runs %s", test, name)
		}
	}
}

// Commands are found in shell blocks and in the text, without those of other programs.
func TestCommandsOf(t *testing.T) {
	const document = "Use `nave get|tree fleets -A` or `kubectl -n nave exec`.\n" +
		"```sh\nnave apply -f x.yaml \\\n  --yes | kubectl apply -f - # nave no\n! nave explain; nave get x > y\n" +
		"kubectl -n nave exec x -- /nave version\nnave apply -f - <<'EOF'\n```\n```yaml\nnave: x\n```\n"
	var got []string
	for _, c := range commandsOf(document, "nave") {
		got = append(got, strings.Join(c.words, " "))
	}
	want := []string{"apply -f x.yaml --yes", "explain", "get x", "version", "apply -f -", "get fleets -A",
		"tree fleets -A"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A command of a document must exist with its flags; a text may leave out arguments, a block may not.
func TestDocumented_check(t *testing.T) {
	newRoot := func() *cobra.Command {
		root := &cobra.Command{Use: "nave"}
		nothing := func(*cobra.Command, []string) {}
		group := &cobra.Command{Use: "diff COMMAND", Args: cobra.NoArgs, Run: nothing}
		below := &cobra.Command{Use: "fleet NAME", Args: cobra.ExactArgs(1), Run: nothing}
		below.Flags().Int("limit", 0, "")
		group.AddCommand(below)
		root.AddCommand(group)
		return root
	}
	for _, tt := range []struct {
		name, words string
		mention     bool
		problem     string
	}{
		{"whole", "diff fleet x --limit 3", false, ""},
		{"an_argument_lacks", "diff fleet", false, "accepts 1 arg"},
		{"a_value_is_wrong", "diff fleet x --limit N", false, "invalid argument"},
		{"no_such_flag", "diff fleet x --live", false, "unknown flag"},
		{"no_such_command", "tree", true, "unknown command"},
		{"no_such_command_of_a_group", "diff cluster", true, `no command "cluster"`},
		{"mentioned", "diff fleet", true, ""},
		{"flag_of_a_group", "diff --limit", true, ""},
		{"flag_with_a_name_for_its_value", "diff --limit N", true, ""},
		{"no_such_flag_of_a_group", "diff --live", true, "unknown flag"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := documented{words: strings.Fields(tt.words), mention: tt.mention}.check(newRoot())
			if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("got %v, want %q", err, tt.problem)
			}
		})
	}
}
