package helm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/e2e/helmtest"
)

// FuzzSplit checks that no document is lost or changed but for white space.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{
		"", "a: 1\n---\nb: 2\n", "---\n---  \na: |+\n  x\n\n---b: 1", "a\n --- \nb", "--- # c\r\na\r\n---",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, compat := range []Compat{Helm3, Helm4} {
			rest := text
			for _, d := range split(text, compat) {
				_, after, found := strings.Cut(rest, d)
				if !found || strings.TrimSpace(d) == "" {
					t.Fatalf("%d: document %q of %q", compat, d, text)
				}
				rest = after
			}
		}
	})
}

// FuzzValues compares the values that templates see with those of both versions of Helm, for the values of a
// chart, of its subchart, and of two files.
func FuzzValues(f *testing.F) {
	if testing.Short() {
		f.Skip("builds two versions of Helm")
	}
	oracle := helmtest.NewOracle(f)
	for _, seed := range [][4]string{
		{"", "", "", ""},
		{"a: 1\nb: {c: 1, d: null}", "x: 1", "b: {c: null}", "a: null\nsub: {x: null, global: {z: 1}}"},
		{"global: {a: {b: 1}}\nsub: {x: 2}", "x: {y: 1}\nglobal: {a: {c: 1}}", "global: {a: null}", "sub: null"},
		{"sub: {x: null, m: null}\nm: null", "x: 1\nm: {a: null}\nn: null", "", "sub: {n: 1}\nm: {a: null}"},
		{"list: [1]\nsub: text", "x: [1]", "list: {a: 1}", "sub: {x: {a: 1}}"},
		{"n: 1e3\nbig: 12345678901234567890\nt: 2020-01-01", "\"true\": yes", "n: 0o7", "? a\n: b"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, chart, sub, one, two string) {
		x := &example{dir: filepath.Join(t.TempDir(), "chart"), archive: &txtar.Archive{Files: []txtar.File{
			{Name: "values/1.yaml", Data: []byte(one)}, {Name: "values/2.yaml", Data: []byte(two)},
		}}}
		x.in.Release, x.in.Capabilities = Release{Name: "demo", Namespace: "prod", Revision: 1}, DefaultCapabilities()
		const template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Chart.Name }}}\n" +
			"data: {values: {{ .Values | toJson | b64enc }}}\n"
		for name, text := range map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "values.yaml": chart, "templates/a.yaml": template,
			"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/values.yaml": sub,
			"charts/sub/templates/a.yaml": template,
		} {
			x.write(t, name, []byte(text))
		}
		for _, compat := range []Compat{Helm3, Helm4} {
			compareWith(t, oracle.Version(int(compat)), x, compat)
		}
	})
}
