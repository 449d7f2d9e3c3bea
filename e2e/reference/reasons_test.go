package reference

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/hub/api"
)

var update = flag.Bool("update", false, "write the reasons of kinds in docs/troubleshooting.md anew")

// fine are the words of shared/condition that nobody has to look up.
var fine = []string{
	"Ready", "Reconciling", "Stalled", "Healthy", "FetchFailed", "ArtifactInStorage", "Connected", "True", "False",
	"Unknown", "Normal", "Warning", "ReconciliationSucceeded", "Succeeded", "BuildSucceeded", "Planned", "Selected",
	"Online", "HealthCheckSucceeded",
}

// read returns a file of the checkout and its path.
func read(t *testing.T, names ...string) (text, path string) {
	t.Helper()
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(append([]string{checkout}, names...)...)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content), path
}

// TestReasons compares docs/troubleshooting.md with the words of shared/condition.
func TestReasons(t *testing.T) {
	source, _ := read(t, "shared", "condition", "condition.go")
	text, _ := read(t, "docs", "troubleshooting.md")
	words := regexp.MustCompile(`(?m)^\s+\w+\s+= "(\w+)"`).FindAllStringSubmatch(source, -1)
	if len(words) < 20 {
		t.Fatalf("only %d words are found in shared/condition", len(words))
	}
	for _, word := range words {
		if !slices.Contains(fine, word[1]) && !strings.Contains(text, "`"+word[1]+"`") {
			t.Errorf("docs/troubleshooting.md lacks the reason %s", word[1])
		}
	}
}

// TestReasons_complete: each reason and each event has what it means and what to do.
func TestReasons_complete(t *testing.T) {
	text, _ := read(t, "docs", "troubleshooting.md")
	rows := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		isBlank := func(cell string) bool { return strings.TrimSpace(cell) == "" }
		if len(cells) < 3 || slices.ContainsFunc(cells, isBlank) {
			t.Errorf("docs/troubleshooting.md: want name, meaning and what to do: %s", line)
		}
	}
	if rows < 80 {
		t.Errorf("only %d reasons are found", rows)
	}
}

// TestReasonsOfKinds wants the reasons of each kind in docs/troubleshooting.md as the kind declares them; -update
// writes them.
func TestReasonsOfKinds(t *testing.T) {
	text, path := read(t, "docs", "troubleshooting.md")
	const begin, end = "from hub/api. -->\n", "\n<!-- End of the reasons"
	before, rest, _ := strings.Cut(text, begin)
	now, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no place for the reasons of kinds: want %q and %q", path, begin, end)
	}
	want := "\n" + reasonsOfKinds()
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if now != want {
		t.Errorf("%s does not have the reasons of kinds as hub/api declares them: make docs, and commit it. Want\n%s",
			path, want)
	}
}

// reasonsOfKinds returns the table of the reasons of all kinds.
func reasonsOfKinds() string {
	var b strings.Builder
	b.WriteString("| Reason | Kind | Means | Do |\n|---|---|---|---|\n")
	for _, k := range api.Kinds() {
		for _, r := range k.Reasons {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Name, k.Name, cell(r.Means), cell(strings.ReplaceAll(r.Advice, "INPUT", "NAME")))
		}
	}
	return b.String()
}
