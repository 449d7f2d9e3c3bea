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

var (
	testName  = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`)
	testStory = regexp.MustCompile(`TestStories \(([^)]*)\)`)
	folder    = regexp.MustCompile("`((hub|spoke|shared|e2e)(/[a-z0-9]+)*)`")
	stories   = regexp.MustCompile("stories ((`[a-z-]+`(, )?)+)")
)

// TestHostileInputs looks for each test that the list of hostile inputs names, in the package that its row or the title
// of its section names.
func TestHostileInputs(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(checkout, "docs/design/hostile-inputs.md"))
	if err != nil {
		t.Fatal(err)
	}
	section, rows := "", 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if strings.HasPrefix(line, "## ") {
			section = ""
			if at := folder.FindStringSubmatch(line); at != nil {
				section = at[1]
			}
		}
		if len(cells) != 4 || !testName.MatchString(line) {
			continue
		}
		rows++
		for held := range strings.SplitSeq(cells[2], ";") {
			at := section
			if named := folder.FindStringSubmatch(held); named != nil {
				at = named[1]
			}
			requireTests(t, checkout, at, held)
		}
	}
	if rows < 70 {
		t.Errorf("only %d rows", rows)
	}
}

// requireTests looks for the tests that a text names among those of a package, and for the stories in its testdata.
func requireTests(t *testing.T, checkout, at, text string) {
	t.Helper()
	there := testsIn(t, filepath.Join(checkout, at))
	for _, name := range testName.FindAllString(text, -1) {
		if !slices.ContainsFunc(there, func(found string) bool { return strings.HasPrefix(found, name) }) {
			t.Errorf("%q has no %s", at, name)
		}
	}
	for _, named := range testStory.FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(named[1], ", ") {
			requireFile(t, filepath.Join(checkout, at, "testdata", name+".txtar"))
		}
	}
	for _, named := range stories.FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(strings.Trim(named[1], ", "), ", ") {
			requireFile(t, filepath.Join(checkout, "e2e/testdata", strings.Trim(name, "`")+".txtar"))
		}
	}
}

func requireFile(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

// testsIn returns the names of tests in a package.
func testsIn(t *testing.T, dir string) (there []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there = append(there, testName.FindAllString(string(b), -1)...)
	}
	return there
}
