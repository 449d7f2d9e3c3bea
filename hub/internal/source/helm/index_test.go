package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/heap"
	"github.com/navefleet/nave/hub/internal/artifact"
)

// readText reads an index.
func readText(text []byte, limits Limits) (*index, error) {
	f := indexing{limits: limits}
	return f.read(bytes.NewReader(text))
}

// TestIndex_forms reads indexes as several tools write them.
func TestIndex_forms(t *testing.T) {
	const entry = `{"version":"1.0.0","urls":["a-1.0.0.tgz"],"digest":"abc","created":"2026-01-02T03:04:05Z"}`
	for name, text := range map[string]string{
		"helm": "apiVersion: v1\nentries:\n  a:\n  - apiVersion: v2\n    created: \"2026-01-02T03:04:05Z\"\n    digest: abc\n" +
			"    maintainers:\n    - name: x\n    name: a\n    urls:\n    - a-1.0.0.tgz\n    version: 1.0.0\n" +
			"generated: \"2026-01-02T03:04:05Z\"\n",
		"indented": "---\n# an index\napiVersion: v1\nentries:\n    a:\n\n        - version: 1.0.0\n          urls:\n" +
			"            - a-1.0.0.tgz\n          digest: abc\n" +
			"          description: |\n            first\n\n            # second\n" +
			"          created: 2026-01-02T03:04:05Z\n",
		"windows": "apiVersion: v1\r\nentries:\r\n  a:\r\n  - version: 1.0.0\r\n    urls: [a-1.0.0.tgz]\r\n    digest: abc\r\n" +
			"    created: 2026-01-02T03:04:05Z\r\n",
		"dash_alone": "entries:\n  \"a\":\n    -\n      version: 1.0.0\n      urls: [a-1.0.0.tgz]\n      digest: abc\n      created: " +
			"2026-01-02T03:04:05Z\n",
		"json":   `{"apiVersion":"v1","generated":"x","entries":{"a":[` + entry + `],"b":null},"serverInfo":{"x":[1]}}`,
		"inline": "apiVersion: v1\nentries:\n  a: [" + entry + "]\n  b: []\n",
		"flow":   "apiVersion: v1\nentries: {a: [" + entry + "]}\n",
		"anchors": "apiVersion: v1\nentries:\n  a:\n  - version: 1.0.0\n    urls: *u\n    digest: abc\n    created: " +
			"2026-01-02T03:04:05Z\nother: &u [a-1.0.0.tgz]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "anchors" { // an anchor stands before its alias
				text = "x: &u [a-1.0.0.tgz]\n" + strings.Replace(text, "other: &u [a-1.0.0.tgz]\n", "", 1)
			}
			x, err := readText([]byte(text), DefaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			files, err := x.files()
			if got := string(files["a.json"]); err != nil || got != "["+entry+"]" {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "html": "<html><body>no</body></html>", "no_entries": "apiVersion: v1\n", "list": "- a\n",
		"json_list": "{\"entries\":[]}", "no_list": "entries:\n  a:\n    b: c\n", "tag": "entries:\n  a:\n  - !!int x\n",
		"json_cut": `{"entries":{"a":[` + entry, "outdented": "entries:\n    a:\n  b:\n",
	} {
		if x, err := readText([]byte(text), DefaultLimits); err == nil {
			t.Errorf("%s: read as %v", name, x.charts)
		}
	}
	for _, text := range []string{"apiVersion: v1\nentries: {}\n", "entries:\n", `{"entries":{}}`} {
		if x, err := readText([]byte(text), DefaultLimits); err != nil || len(x.charts) != 0 {
			t.Errorf("%q: %v, %v", text, x, err)
		}
	}
}

// TestIndex_limits ends with an error that names the limit.
func TestIndex_limits(t *testing.T) {
	limits := DefaultLimits
	limits.Versions, limits.Entry = 3, 1000
	for name, text := range map[string]string{
		"versions":  "entries:\n  a:\n" + strings.Repeat("  - version: 1.0.0\n", 4),
		"json":      `{"entries":{"a":[` + strings.Repeat(`{"version":"1"},`, 3) + `{"version":"1"}]}}`,
		"line":      "entries:\n  a:\n  - version: " + strings.Repeat("1", 2000) + "\n",
		"version":   "entries:\n  a:\n  - version: 1.0.0\n" + strings.Repeat("    # a comment of some length\n", 100),
		"long_name": "entries:\n  " + strings.Repeat("a", 2000) + ":\n",
	} {
		if _, err := readText([]byte(text), limits); !errors.Is(err, artifact.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bigIndex returns an index of about that many bytes, as helm writes it for large charts.
func bigIndex(size int) []byte {
	var b bytes.Buffer
	b.WriteString("apiVersion: v1\nentries:\n")
	for chart := 0; b.Len() < size; chart++ {
		fmt.Fprintf(&b, "  chart-%d:\n", chart)
		for minor := range 100 {
			fmt.Fprintf(&b, "  - annotations:\n      artifacthub.io/changes: |\n%s    apiVersion: v2\n    created: "+
				"\"2026-01-02T03:04:05Z\"\n    digest: %064d\n    name: chart-%d\n    urls:\n"+
				"    - https://charts.example.com/chart-%d-1.%d.0.tgz\n    version: 1.%d.0\n",
				strings.Repeat("        - kind: changed\n          description: something\n", 20),
				minor, chart, chart, minor, minor)
		}
	}
	return b.Bytes()
}

// TestIndex_memory reads an index of the largest size within the memory of what is kept.
func TestIndex_memory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 50 MiB")
	}
	text := bigIndex(50 << 20)
	var x *index
	var err error
	start := time.Now()
	peak := heap.Peak(func() { x, err = readText(text, DefaultLimits) })
	t.Logf("%d versions in %s with %s", x.count, time.Since(start), artifact.FormatSize(peak))
	if err != nil || x.count == 0 || peak > 64<<20 {
		t.Errorf("%v, %s", err, artifact.FormatSize(peak))
	}
}

// FuzzIndex compares what is read as a stream with what is read as a whole.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("entries:\n  a:\n  - version: 1.0.0\n    urls: [x]\n  b:\n  - version: 2\n"))
	f.Add([]byte("entries:\n  a:\n    - version: 1.0.0\n      d: |\n        - version: 3\n\n" +
		"      x: [\n        1]\n# c\nz: 1\n"))
	f.Add([]byte(`{"entries":{"a":[{"version":"1"}]}}`))
	f.Add([]byte("entries: {a: [{version: 1}]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		x := &index{charts: map[string][]version{}, limits: DefaultLimits}
		if x.readYAML(bytes.NewReader(text)) != nil {
			return
		}
		var all struct {
			Entries map[string][]version `json:"entries"`
		}
		if yaml.Unmarshal(text, &all) != nil {
			return
		}
		want := &index{charts: map[string][]version{}, limits: DefaultLimits}
		for chart, versions := range all.Entries {
			for _, v := range versions {
				if err := want.add(chart, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(x.charts)+len(want.charts) > 0 && !reflect.DeepEqual(x.charts, want.charts) {
			got, _ := json.Marshal(x.charts)
			is, _ := json.Marshal(want.charts)
			t.Errorf("got %s, want %s", got, is)
		}
	})
}
