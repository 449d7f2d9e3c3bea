package reference

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// fine are the words of shared/condition that nobody has to look up.
var fine = []string{
	"Ready", "Reconciling", "Stalled", "Healthy", "FetchFailed", "ArtifactInStorage", "Connected", "True", "False",
	"Unknown", "Normal", "Warning", "ReconciliationSucceeded", "GitOperationSucceeded", "Succeeded", "BuildSucceeded",
	"Planned", "Selected", "Online", "HealthCheckSucceeded",
}

// TestReasons compares docs/troubleshooting.md with the words of shared/condition.
func TestReasons(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(checkout, "shared", "condition", "condition.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`(?m)^\s+\w+\s+= "(\w+)"`).FindAllSubmatch(source, -1)
	if len(words) < 20 {
		t.Fatalf("only %d words are found in shared/condition", len(words))
	}
	for _, word := range words {
		reason := string(word[1])
		if !slices.Contains(fine, reason) && !strings.Contains(string(text), "`"+reason+"`") {
			t.Errorf("docs/troubleshooting.md lacks the reason %s", reason)
		}
	}
}
