package reference

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/navefleet/nave/e2e/kubetest"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// TestLinks follows every link of every document that leads into this repository, to a file and to a heading.
func TestLinks(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := below(checkout, ".md")
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) < 20 {
		t.Fatalf("only %v are found", documents)
	}
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllSubmatch(text, -1) {
			target := string(found[1])
			if strings.Contains(target, "://") {
				continue
			}
			if problem := follow(document, target); problem != "" {
				t.Errorf("%s: link to %s: %s", document, target, problem)
			}
		}
	}
}

// follow returns what is wrong with a link, or nothing.
func follow(document, target string) string {
	path, anchor, _ := strings.Cut(target, "#")
	file := document
	if path != "" {
		file = filepath.Join(filepath.Dir(document), filepath.FromSlash(path))
	}
	info, err := os.Stat(file)
	if err != nil {
		return "no such file"
	}
	if anchor == "" {
		return ""
	}
	if info.IsDir() {
		return "a folder has no headings"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var anchors []string
	for _, h := range heading.FindAllSubmatch(text, -1) {
		anchors = append(anchors, slug(string(h[1])))
	}
	if !slices.Contains(anchors, anchor) {
		return "no such heading, there are " + strings.Join(anchors, ", ")
	}
	return ""
}

// slug makes the anchor of a heading as GitHub does.
func slug(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}
