package reference

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/e2e/kubetest"
)

// run has the documents whose commands a test runs, all but excused ones.
var run = map[string]string{
	"README.md":                 "TestGuides",
	"docs/cli/nave-hub.md":      "TestGuides",
	"docs/cli/nave.md":          "TestGuides",
	"docs/fleets.md":            "TestQuickStart",
	"docs/helm.md":              "TestGuides",
	"docs/maintenance.md":       "TestQuickStart",
	"docs/metrics.md":           "TestGuides",
	"docs/migrate-from-flux.md": "TestMigrateFromFlux",
	"docs/operations.md":        "TestGuides",
	"docs/preview.md":           "TestGuides",
	"docs/quick-start.md":       "TestQuickStart",
	"docs/rollouts.md":          "TestGuides",
	"docs/secrets.md":           "TestGuides",
	"docs/services.md":          "TestQuickStart",
	"docs/tour.md":              "TestTour",
	"docs/traces.md":            "TestGuides",
	"docs/troubleshooting.md":   "TestGuides",
	"examples/fleet/README.md":  "TestGuides",
}

// TestBlocks wants each document with shell blocks to be run by a test.
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
		if run[name] == "" {
			t.Errorf("%s has shell blocks: name the test that runs them", name)
		}
	}
	for name, test := range run {
		if !with[name] {
			t.Errorf("%s has no shell blocks: take it out of the table", name)
		}
		if !strings.Contains(bodyOf(t, test), `"`+name+`"`) {
			t.Errorf("no test %s of e2e runs %s", test, name)
		}
	}
}

// bodyOf returns the file of e2e that has a test.
func bodyOf(t *testing.T, test string) string {
	t.Helper()
	files, err := filepath.Glob("../*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+test+"(") {
			return string(text)
		}
	}
	return ""
}

// Each excuse is for commands that its document has. A command of another document is not excused, and neither is one
// that goes before or after the excused one.
func TestExcused(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range excused {
		text, _ := read(t, e.document)
		if _, needed := runnable(e.document, text); needed[e] == 0 || e.reason == "" {
			t.Errorf("%s has no command that begins with %q, or no reason is given", e.document, e.command)
		}
		if run[e.document] == "" {
			t.Errorf("no test runs %s", e.document)
		}
		if key := e.document + " " + e.command; seen[key] {
			t.Errorf("%s: %q is excused twice", e.document, e.command)
		} else {
			seen[key] = true
		}
	}
	const document = "```sh\nmake test\nmake images \\\n  X=1  # why\nmake clean\n```\nmake images\n"
	const want = "```sh\nmake test\nmake clean\n```\nmake images\n"
	if got, _ := runnable("README.md", document); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, _ := runnable("docs/tour.md", document); got != document {
		t.Errorf("got %q of another document", got)
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
