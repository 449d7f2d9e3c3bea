package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/cpu"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestWalk_shared walks Kustomizations that have, or read, the same objects.
func TestWalk_shared(t *testing.T) {
	const n = 300
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("c", i))
	}
	var from []string
	for _, name := range names {
		from = append(from, fmt.Sprintf(`{"kind":"ConfigMap","name":%q}`, name))
	}
	readAll := `,"postBuild":{"substituteFrom":[` + strings.Join(from, ",") + `]}`
	sharing := func() (specs []spec) {
		for i := range n {
			specs = append(specs, spec{name: fmt.Sprint("g", i), payload: names})
		}
		return specs
	}
	reading := func() []spec {
		specs := []spec{{name: "giver", payload: names}}
		for i := range n {
			specs = append(specs, spec{name: numbered(i), extra: readAll})
		}
		return specs
	}
	for name, c := range map[string]struct {
		specs  []spec
		failed int
		reads  int // of objects, at most
	}{
		"same_objects": {sharing(), n - 1, 0},
		"same_inputs":  {reading(), 0, 2 * n}, // in two passes
		"both":         {append(sharing(), reading()[1:]...), n - 1, 2 * n},
	} {
		t.Run(name, func(t *testing.T) {
			in, reads := made(c.specs...), 0
			object := in.Object
			in.Object = func(a Application, id manifest.ID) (*manifest.Object, error) {
				reads++
				return object(a, id)
			}
			var g *Graph
			if spent := cpu.Time(func() { g = walked(t, in) }); spent > 10*time.Second {
				t.Errorf("the walk took %s", spent)
			}
			failed := 0
			for key, f := range g.Findings {
				if !f.Ready {
					failed++
				}
				if len(f.Message) > 2000 {
					t.Errorf("the message about %s has %d bytes", key, len(f.Message))
				}
			}
			if failed != c.failed || reads > c.reads {
				t.Errorf("%d failed, want %d; read %d objects, want at most %d", failed, c.failed, reads, c.reads)
			}
		})
	}
}

// TestWalk_rotated walks Kustomizations each of which takes the object of the next one, and the last of which cannot:
// the one before it keeps its object, and so on.
func TestWalk_rotated(t *testing.T) {
	const n = 1000
	var before, after []spec
	for i := range n {
		before = append(before, spec{name: numbered(i), payload: []string{fmt.Sprint("c", i)}})
		after = append(after, spec{name: numbered(i), payload: []string{fmt.Sprint("c", i+1)}})
	}
	in := made(append(after, spec{name: "a", payload: []string{fmt.Sprint("c", n)}})...)
	contents := map[manifest.Digest][]manifest.ID{}
	in.Entries, in.Previous = map[bundle.ApplicationName]bundle.Entry{}, map[api.Key]Node{}
	for _, s := range append(before, spec{name: "a", payload: []string{fmt.Sprint("c", n)}}) {
		key := keyOf("Kustomization", s.name).In("east")
		d := manifest.DigestOf([]byte(s.name))
		in.Entries[key.Application()] = bundle.Entry{Name: key.Application(), Digest: d}
		contents[d] = []manifest.ID{{Kind: "ConfigMap", Namespace: "n", Name: s.payload[0]}}
	}
	in.Contents = func(d manifest.Digest) ([]manifest.ID, error) { return contents[d], nil }
	start := time.Now()
	g := walked(t, in)
	if spent := time.Since(start); spent > 5*time.Second {
		t.Errorf("the walk took %s", spent)
	}
	kept := 0
	for _, app := range g.Applications {
		if app.Rendered == nil {
			kept++
		}
	}
	if kept != n {
		t.Errorf("%d are kept back, want %d", kept, n)
	}
}
