package apply

import (
	"strings"
	"testing"

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
	got := reveal(found, hide)
	if got[0].Old != `"[redacted]"` || got[0].New != `{"b":["my [redacted]","[redacted]",null]}` {
		t.Error(got[0])
	}
	if len(got[1].Old) > reporting.MaxValue || got[1].New != "" || len(got[2].Path) > reporting.MaxWord ||
		got[2].Old != "" || got[2].New != "7" {
		t.Error(got[1:])
	}
	for name, l := range map[string]Loaded{"Secret": {}, "ConfigMap": {Sealed: true}} {
		hidden := reveal(found, hiderOf(manifest.ID{Kind: name}, l))
		if hidden[0].Old != `"***"` || hidden[0].New != `{"b":["***","***",null]}` || hidden[2].New != `"***"` {
			t.Error(name, hidden)
		}
	}
	if open := reveal(found, hiderOf(manifest.ID{Kind: "ConfigMap"}, Loaded{})); open[0].Old != `"hunter2"` {
		t.Error(open)
	}
}
