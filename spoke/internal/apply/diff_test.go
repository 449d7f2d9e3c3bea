package apply

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// TestReveal shows differences without secret values, however they are nested, and within the limits of reports.
func TestReveal(t *testing.T) {
	long := strings.Repeat("x", 1000)
	found := []difference{
		{path: "/a", want: "hunter2", have: map[string]any{"b": []any{"my hunter2", int64(42), nil}}, wanted: true, exists: true},
		{path: "/b", want: long, wanted: true},
		{path: "/" + long, have: int64(7), exists: true},
	}
	hide := func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(s, "hunter2", "[redacted]"), "42", "[redacted]")
	}
	got := reveal(differences{first: found}, hide)
	if got[0].Old != `"[redacted]"` || got[0].New != `{"b":["my [redacted]","[redacted]",null]}` {
		t.Error(got[0])
	}
	if len(got[1].Old) > reporting.MaxValue || got[1].New != "" || len(got[2].Path) > reporting.MaxWord ||
		got[2].Old != "" || got[2].New != "7" {
		t.Error(got[1:])
	}
	for name, l := range map[string]Loaded{"Secret": {}, "ConfigMap": {Sealed: true}} {
		hidden := reveal(differences{first: found}, hiderOf(manifest.ID{Kind: name}, l))
		if hidden[0].Old != `"***"` || hidden[0].New != `{"b":["***","***",null]}` || hidden[2].New != `"***"` {
			t.Error(name, hidden)
		}
	}
	if open := reveal(differences{first: found}, hiderOf(manifest.ID{Kind: "ConfigMap"}, Loaded{})); open[0].Old != `"hunter2"` {
		t.Error(open)
	}
}

// TestDiffer_list compares the elements of lists by their keys or names, wherever they are.
func TestDiffer_list(t *testing.T) {
	element := func(name, value string) any { return map[string]any{"name": name, "value": value} }
	port := func(port int64, name string) any { return map[string]any{"port": port, "name": name} }
	byPort := map[string]any{`k:{"port":1}`: map[string]any{".": nil}, `k:{"port":2}`: map[string]any{".": nil}}
	for _, c := range []struct {
		name       string
		want, have []any
		owned      map[string]any
		paths      string
	}{
		{"equal", []any{element("a", "1")}, []any{element("b", "2"), element("a", "1")}, nil, ""},
		{"moved_and_changed", []any{element("a", "1")}, []any{element("b", "2"), element("a", "2")}, nil, "/l/1/value"},
		{"missing", []any{element("a", "1"), element("b", "1")}, []any{element("a", "1")}, nil, "/l/1"},
		{"name_twice", []any{element("a", "1")}, []any{element("a", "2"), element("a", "1")}, nil, "/l/0/value"},
		{"by_key", []any{port(2, "x")}, []any{port(1, "z"), port(2, "y")}, byPort, "/l/1/name"},
		{"key_or_name_first", []any{port(2, "x")}, []any{port(1, "x"), port(2, "y")}, byPort, "/l/0/port"},
		{"texts", []any{"a", "b"}, []any{"b"}, nil, "/l"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := differ{at: []string{"l"}, differences: differences{most: 10}}
			d.list(c.want, c.have, c.owned)
			var paths []string
			for _, found := range d.first {
				paths = append(paths, found.path)
			}
			if got := strings.Join(paths, " "); got != c.paths {
				t.Errorf("%q, want %q", got, c.paths)
			}
		})
	}
}

// TestDiffer_dropped takes an empty list that the API server drops for the same, and no other value.
func TestDiffer_dropped(t *testing.T) {
	d := differ{differences: differences{most: 10}}
	d.object(map[string]any{"list": []any{}, "null": nil, "text": "", "full": []any{"a"},
		"map": map[string]any{}}, map[string]any{}, nil)
	var paths []string
	for _, found := range d.first {
		paths = append(paths, found.path)
	}
	if got, want := strings.Join(paths, " "), "/full /map /text"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDiffer_long compares a long list whose elements all have keys.
func TestDiffer_long(t *testing.T) {
	const n = 5000
	var want, have []any
	owned := map[string]any{}
	for i := range n {
		name := fmt.Sprintf("V%05d", i)
		want = append(want, map[string]any{"name": name, "value": "x"})
		have = append(have, map[string]any{"name": name, "value": "y"})
		owned[fmt.Sprintf(`k:{"name":%q}`, name)] = map[string]any{".": map[string]any{}, "f:name": map[string]any{}}
	}
	slices.Reverse(have)
	started := time.Now()
	d := differ{at: []string{"env"}, differences: differences{most: 10}}
	d.list(want, have, owned)
	if took := time.Since(started); took > 5*time.Second || d.count != n || len(d.first) != 10 {
		t.Errorf("%d differences in %s", d.count, took)
	}
}

// TestPreviews_refused keeps the objects that would be refused, and those first, however many others there are.
func TestPreviews_refused(t *testing.T) {
	const most = reporting.MaxPreviewObjects
	var all Previews
	for i := range most + 20 {
		all.add(Preview{Action: Configured, Changes: []FieldChange{{Path: "/x", New: strings.Repeat("x", 1000)}}})
		if i%50 == 0 {
			all.add(Preview{Action: Refused, Object: bundle.ObjectIdentity{Name: fmt.Sprint(i)}})
		}
	}
	var names []string
	for _, p := range all.Objects {
		if p.Action == Refused {
			names = append(names, p.Object.Name)
		}
	}
	if got := strings.Join(names, " "); got != "0 50 100" || all.Objects[2].Action != Refused {
		t.Errorf("refused %s", got)
	}
	if len(all.Objects)+all.More != most+23 || len(all.Objects) > most {
		t.Errorf("%d objects, %d more", len(all.Objects), all.More)
	}
	for range 2 * most {
		all.add(Preview{Action: Refused})
	}
	if len(all.Objects) != most || all.More != 2*most+23 || all.size != 0 {
		t.Errorf("%d objects, %d more, %d bytes", len(all.Objects), all.More, all.size)
	}
}
