package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// TestMetrics compares the rows of docs/metrics.md with the metrics that the hub and the spoke define.
func TestMetrics(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	defined := definedMetrics(t)
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(nave_\\w+)").FindAllSubmatch(text, -1) {
		documented = append(documented, string(row[1]))
	}
	if len(defined) < 10 {
		t.Fatalf("only %v are found in the code", defined)
	}
	for _, name := range defined {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(defined, name) {
			t.Errorf("docs/metrics.md has %s, which nothing defines", name)
		}
	}
}

// definedMetrics returns the names of the metrics that the hub and the spoke define.
func definedMetrics(t *testing.T) (defined []string) {
	t.Helper()
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"hub", "spoke", "shared"} {
		found, err := metricsBelow(filepath.Join(checkout, dir))
		if err != nil {
			t.Fatal(err)
		}
		defined = append(defined, found...)
	}
	return defined
}

// metricsBelow returns the names in all prometheus.…Opts of the production code of a folder.
func metricsBelow(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name := metricName(n); name != "" {
				names = append(names, name)
			}
			return true
		})
		return nil
	})
	return names, err
}

// metricName returns the name in a literal such as prometheus.CounterOpts{Name: …}.
func metricName(n ast.Node) string {
	literal, ok := n.(*ast.CompositeLit)
	if !ok {
		return ""
	}
	kind, ok := literal.Type.(*ast.SelectorExpr)
	if !ok || !strings.HasSuffix(kind.Sel.Name, "Opts") {
		return ""
	}
	for _, element := range literal.Elts {
		field, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, ok := field.Key.(*ast.Ident); !ok || key.Name != "Name" {
			continue
		}
		return firstString(field.Value)
	}
	return ""
}

// firstString returns the first string in an expression.
func firstString(e ast.Expr) (text string) {
	ast.Inspect(e, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && text == "" && literal.Kind == token.STRING {
			text, _ = strconv.Unquote(literal.Value)
		}
		return true
	})
	return text
}
