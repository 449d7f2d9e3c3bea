package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// tree maps paths to the names of the Kustomizations that they render. Each Kustomization has the path of its name. A
// name may have suffixes: "-" does not prune, "!" is annotated and "=" labelled not to be pruned, "+" has another
// timeout. A missing path does not build.
type tree map[string][]string

func (w tree) render(works []Work) []Result {
	var results []Result
	for _, work := range works {
		names, ok := w[strings.TrimPrefix(pathOf(work), "./")]
		if !ok {
			results = append(results, Result{Reason: condition.BuildFailed, Err: errors.New("broken")})
			continue
		}
		r := &Rendered{}
		for _, name := range names {
			o := named(name)
			r.Children = append(r.Children, Child{Key: keyOf("Kustomization", strings.TrimRight(name, "-!=+")), Object: o})
		}
		results = append(results, Result{Revision: "r", Rendered: r})
	}
	return results
}

func named(name string) *api.Object {
	prune, annotation, label, timeout := true, "no", "no", "1m"
	path := strings.TrimRight(name, "-!=+")
	for _, mark := range name[len(path):] {
		switch mark {
		case '-':
			prune = false
		case '!':
			annotation = "disabled"
		case '=':
			label = "disabled"
		case '+':
			timeout = "2m"
		}
	}
	return api.StoredObject(keyOf("Kustomization", path),
		fmt.Appendf(nil, `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization",`+
			`"metadata":{"name":%q,"namespace":"n","annotations":{"kustomize.toolkit.fluxcd.io/prune":%q},`+
			`"labels":{"kustomize.toolkit.fluxcd.io/prune":%q}},`+
			`"spec":{"interval":"10m0s","prune":%t,"timeout":%q,"path":"./%s","sourceRef":{"kind":"GitRepository","name":"s"}}}`,
			path, annotation, label, prune, timeout, path))
}

// walkTrees walks one tree after the other and returns the last graph: "name of owner", with * for an orphan. The
// entries of "" are the roots that a Fleet gives. If there are none, the Fleet does not select the cluster.
func walkTrees(t *testing.T, trees ...tree) string {
	previous := map[api.Key]Node{}
	for _, w := range trees {
		in := Input{
			Cluster: "east", Previous: previous, Entries: map[bundle.ApplicationName]bundle.Entry{}, Render: w.render,
			HubSource: func(api.Key) *api.Object { return repository(0, 0) },
			Contents:  func(manifest.Digest) ([]manifest.ID, error) { return nil, nil },
		}
		fleet := api.Key{Kind: "Fleet", Name: "f"}
		for _, root := range w[""] {
			key := keyOf("Kustomization", strings.TrimRight(root, "-!=+"))
			key.Cluster = "east"
			in.Roots = append(in.Roots, Root{Key: key, Owner: &fleet, Object: named(root)})
		}
		previous = walked(t, in).Nodes
	}
	return describe(previous)
}

func describe(nodes map[api.Key]Node) string {
	var lines []string
	for _, key := range slices.SortedFunc(maps.Keys(nodes), api.Key.Compare) {
		n := nodes[key]
		line := key.Name + " of " + n.Owner.Name
		if n.Orphaned {
			line += "*"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

func TestOrphans(t *testing.T) {
	for name, test := range map[string]struct {
		trees []tree
		want  string
	}{
		"owner_prunes": {[]tree{
			{"": {"root"}, "root": {"a"}, "a": {}},
			{"": {"root"}, "root": {}, "a": {}},
		}, "root of f"},
		"owner_does_not_prune": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {"b"}, "b": {}},
			{"": {"root-"}, "root": {}, "a": {"b"}, "b": {}},
		}, "a of root*, b of a, root of f"},
		"object_annotated": {[]tree{
			{"": {"root"}, "root": {"a!", "b"}, "a": {}, "b": {}},
			{"": {"root"}, "root": {}, "a": {}, "b": {}},
		}, "a of root*, root of f"},
		"object_labelled": {[]tree{
			{"": {"root"}, "root": {"a=", "b"}, "a": {}, "b": {}},
			{"": {"root"}, "root": {}, "a": {}, "b": {}},
		}, "a of root*, root of f"},
		"build_fails": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {"b"}, "b": {}},
			{"": {"root-"}, "root": {}},
		}, "a of root*, b of a, root of f"},
		"owner_begins_to_prune": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {}},
			{"": {"root-"}, "root": {}, "a": {}},
			{"": {"root"}, "root": {}, "a": {}},
		}, "a of root*, root of f"},
		"owner_begins_to_prune_by_itself": {[]tree{
			{"": {"root"}, "root": {"root-", "a"}, "a": {}},
			{"": {"root"}, "root": {"root+"}, "a": {}},
		}, "a of root*, root of f"},
		"self_rendering_owner_prunes": {[]tree{
			{"": {"root-"}, "root": {"root", "a"}, "a": {}},
			{"": {"root-"}, "root": {"root"}, "a": {}},
		}, "root of f"},
		"comes_back": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {}},
			{"": {"root-"}, "root": {}, "a": {}},
			{"": {"root-"}, "root": {"a+"}, "a": {}},
		}, "a of root, root of f"},
		"moves": {[]tree{
			{"": {"root-"}, "root": {"a", "b"}, "a": {}, "b": {}},
			{"": {"root-"}, "root": {"b"}, "a": {}, "b": {"a"}},
		}, "a of b, b of root, root of f"},
		"orphan_gives_orphan": {[]tree{
			{"": {"root-"}, "root": {"a", "b"}, "a": {}, "b": {}},
			{"": {"root-"}, "root": {}, "a": {}, "b": {"a"}},
		}, "a of b, b of root*, root of f"},
		"orphan_gives_changed_orphan": {[]tree{
			{"": {"root-"}, "root": {"a", "b"}, "a": {"c"}, "b": {}, "c": {}},
			{"": {"root-"}, "root": {}, "a": {}, "b": {"a+"}, "c": {}},
		}, "a of b, b of root*, root of f"},
		"orphan_gives_its_owner": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {"b"}, "b": {}},
			{"": {"root-"}, "root": {}, "a": {"b"}, "b": {"a"}},
		}, "a of root*, b of a, root of f"},
		"root_that_prunes_goes": {[]tree{
			{"": {"root"}, "root": {"a-", "c!"}, "a": {"b"}, "b": {}, "c": {}},
			{"a": {"b"}, "b": {}, "c": {}},
		}, "b of a*, c of root*"},
		"root_that_keeps_goes": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {"b"}, "b": {}},
			{"a": {"b"}, "b": {}},
		}, "a of root*, b of a"},
		"root_comes_back": {[]tree{
			{"": {"root-"}, "root": {"a"}, "a": {}},
			{"a": {}},
			{"": {"root-"}, "root": {"a"}, "a": {}},
		}, "a of root, root of f"},
		"root_annotated": {[]tree{
			{"": {"root!"}, "root": {"a"}, "a": {}},
			{"root": {"a"}, "a": {}},
		}, "a of root, root of f*"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := walkTrees(t, test.trees...); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
			last := test.trees[len(test.trees)-1]
			if got := walkTrees(t, append(test.trees, last)...); got != test.want {
				t.Errorf("walked again: got %s; want %s", got, test.want)
			}
		})
	}
}
