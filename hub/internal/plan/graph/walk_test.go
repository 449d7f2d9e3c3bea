package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// toy is a world made of a few bytes: five paths that render to Kustomizations, sources and objects for the cluster.
// The bytes choose them, so that all kinds of conflicts in a graph occur.
type toy struct {
	bytes []byte
	reads bool // some Kustomizations read ConfigMaps that others give
}

const toyPaths = 5

// at returns one of the bytes. For the same place it returns the same byte.
func (w toy) at(place int) int {
	if len(w.bytes) == 0 {
		return 0
	}
	return int(w.bytes[place%len(w.bytes)])
}

func kustomization(name, path, source, dependency, lenience int) *api.Object {
	return reader(name, path, source, dependency, lenience, "")
}

// reader returns a Kustomization that reads a ConfigMap, unless that is empty.
func reader(name, path, source, dependency, lenience int, input string) *api.Object {
	inputs := ""
	if input != "" {
		inputs = fmt.Sprintf(`,"postBuild":{"substituteFrom":[{"kind":"ConfigMap","name":%q}]}`, input)
	}
	annotations := ""
	if lenience%5 == 1 {
		annotations = `,"annotations":{"kustomize.toolkit.fluxcd.io/prune":"disabled"}`
	}
	dependencies := ""
	if lenience%4 == 3 { // more dependencies would keep back most Kustomizations
		dependencies = fmt.Sprintf(`{"name":"k%d"}`, dependency)
	}
	return api.StoredObject(keyOf("Kustomization", fmt.Sprint("k", name)),
		fmt.Appendf(nil, `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization",`+
			`"metadata":{"name":"k%d","namespace":"n"%s},"spec":{"interval":"10m0s","prune":%t,"suspend":%t,"path":"./p%d",`+
			`"sourceRef":{"kind":"GitRepository","name":"s%d"},"dependsOn":[%s]%s}}`,
			name, annotations, lenience%3 != 1, lenience%7 == 1, path, source, dependencies, inputs))
}

func repository(name, url int) *api.Object {
	return api.StoredObject(keyOf("GitRepository", fmt.Sprint("s", name)),
		fmt.Appendf(nil, `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository",`+
			`"metadata":{"name":"s%d","namespace":"n"},"spec":{"interval":"1m0s","url":"https://git.example.com/%d"}}`, name,
			url))
}

func keyOf(kind string, name string) api.Key {
	return api.Key{Kind: kind, Namespace: "n", Name: name}
}

// toySources are numbers of the toy's sources by the keys of their fetches. The seeds below were found with these.
var toySources = map[string]int{}

func init() {
	for url, number := range map[int]int{0: 'd', 1: '1', 2: '9', 9: '8'} {
		source, err := repository(0, url).Source()
		if err != nil {
			panic(err)
		}
		toySources[source.FetchKey(false)] = number
	}
}

// pathOf returns the path of the Kustomization of a Work.
func pathOf(w Work) string {
	var build api.Build
	if err := json.Unmarshal(w.Renderable.Spec, &build); err != nil {
		panic(err)
	}
	return build.Path
}

// render returns the objects of a path in the tree of a source.
func (w toy) render(works []Work) []Result {
	var results []Result
	for _, work := range works {
		path := pathOf(work)
		place := len(path) + 7*int(path[3]) + 31*toySources[work.SourceKey]
		for _, input := range work.Inputs {
			place += len(input.Data["v"]) // what is read decides what is given
		}
		if w.at(place)%7 == 0 {
			results = append(results, Result{Revision: "r", Reason: condition.BuildFailed, Err: errors.New("broken")})
			continue
		}
		results = append(results, Result{Revision: "r", Rendered: w.rendered(place)})
	}
	return results
}

func (w toy) rendered(place int) *Rendered {
	r := &Rendered{}
	taken := map[string]bool{}
	for i := range 3 {
		at := func(n int) int { return w.at(place + 11*i + n) }
		name := at(1) % toyPaths
		k, s, c := fmt.Sprintf("k%d", name), fmt.Sprintf("s%d", at(4)%3), fmt.Sprintf("c%d", at(6)%4)
		switch {
		case at(0)%4 == 0 && !taken[s]:
			r.Children = append(r.Children, Child{Key: keyOf("GitRepository", s), Object: repository(at(4)%3, at(5)%3)})
		case at(0)%4 == 1 && !taken[c]:
			r.Payload = append(r.Payload, bundle.ObjectReference{Digest: manifest.DigestOf(fmt.Append(nil, place%3)),
				ObjectIdentity: bundle.ObjectIdentity{Kind: "ConfigMap", Namespace: "n", Name: c}})
		case at(0)%9 == 2 && !taken[k]:
			r.Children = append(r.Children, Child{Key: keyOf("Kustomization", k), Err: errors.New("not valid")})
		case !taken[k]:
			r.Children = append(r.Children, Child{Key: keyOf("Kustomization", k),
				Object: reader(name, at(2)%toyPaths, at(3)%3, at(7)%toyPaths, at(8), w.readBy(at(9)))})
		}
		taken[k], taken[s], taken[c] = true, true, true
	}
	return r
}

// readBy returns the ConfigMap that a Kustomization reads; empty: none.
func (w toy) readBy(at int) string {
	if !w.reads || at%3 == 0 {
		return ""
	}
	return fmt.Sprintf("c%d", at%4)
}

// toyObject returns a ConfigMap of an Application. Its data is one of three values.
func toyObject(app Application, id manifest.ID) (*manifest.Object, error) {
	value := "kept"
	if app.Rendered != nil {
		for _, o := range app.Rendered.Payload {
			if o.ID() == id {
				value = strings.Repeat("v", int(o.Digest[0])%3)
			}
		}
	}
	o := &manifest.Object{Object: map[string]any{"data": map[string]any{"v": value}}}
	o.SetKind("ConfigMap")
	return o, nil
}

// input returns the Input of a walk of the toy, after a last walk.
func (w toy) input(last *Graph, contents map[manifest.Digest][]manifest.ID) Input {
	fleet := api.Key{Kind: "Fleet", Name: "f"}
	root := keyOf("Kustomization", "k0")
	root.Cluster = "east"
	in := Input{
		Cluster: "east", Roots: []Root{{Key: root, Owner: &fleet, Object: kustomization(0, 0, 0, 1, w.at(50))}},
		Previous: map[api.Key]Node{}, Entries: map[bundle.ApplicationName]bundle.Entry{}, Render: w.render,
		HubSource: func(key api.Key) *api.Object {
			if key.Name == "s2" {
				return nil
			}
			return repository(int(key.Name[1]-'0'), 9)
		},
		Contents: func(d manifest.Digest) ([]manifest.ID, error) { return contents[d], nil },
		Object:   toyObject,
	}
	if last == nil {
		return in
	}
	in.Previous = last.Nodes
	for _, app := range last.Applications {
		entry := app.Last
		if app.Rendered != nil {
			entry = bundle.Entry{Name: app.Key.Application(),
				Digest: manifest.DigestOf(fmt.Append(nil, app.Key, app.Rendered.Payload)), Revision: "r"}
			contents[entry.Digest] = nil
			for _, o := range app.Rendered.Payload {
				contents[entry.Digest] = append(contents[entry.Digest], o.ID())
			}
		}
		in.Entries[entry.Name] = entry
	}
	return in
}

// outline returns the parts of a graph that the store would keep.
func outline(g *Graph, in Input) map[string]string {
	lines := map[string]string{}
	for key, n := range g.Nodes {
		lines[key.Path()] = fmt.Sprint(n.Owner, n.Orphaned, n.OrphanOnDelete, string(n.Object.JSON))
	}
	for _, app := range g.Applications {
		digest := app.Last.Digest
		if app.Rendered != nil {
			digest = manifest.DigestOf(fmt.Append(nil, app.Key, app.Rendered.Payload))
		}
		lines["app "+app.Key.Path()] = digest.String()
	}
	return lines
}

// FuzzWalk checks for any renders that a walk ends, gives each object one owner, has no object in two Applications, and
// has the same results if it is repeated. Then the world changes, and the walks settle again.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3})
	for seed := range int64(300) {
		data := make([]byte, 97)
		rand.New(rand.NewSource(seed)).Read(data)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, reads := range []bool{false, true} {
			contents := map[manifest.Digest][]manifest.ID{}
			g := settles(t, toy{data, reads}, nil, contents)
			if len(data) > 0 {
				settles(t, toy{append(data[1:len(data):len(data)], data[0]), reads}, g, contents)
			}
		}
	})
}

func settles(t *testing.T, w toy, last *Graph, contents map[manifest.Digest][]manifest.ID) *Graph {
	t.Helper()
	in := w.input(last, contents)
	g := walked(t, in)
	check(t, g, contents)
	for range 8 { // sources that come and go may take some walks to be found unstable
		next := w.input(g, contents)
		again := walked(t, next)
		check(t, again, contents)
		if reflect.DeepEqual(outline(again, next), outline(g, in)) {
			return again
		}
		g, in = again, next
	}
	t.Errorf("it does not settle: %v", outline(g, in))
	return g
}

func check(t *testing.T, g *Graph, contents map[manifest.Digest][]manifest.ID) {
	t.Helper()
	for key, n := range g.Nodes {
		for steps := 0; !n.Orphaned && n.Owner.Kind != "Fleet"; steps++ {
			owner, there := g.Nodes[*n.Owner]
			if !there || steps > len(g.Nodes) {
				t.Errorf("%s hangs on %s, which is gone or hangs on it", key, n.Owner)
				break
			}
			n = owner
		}
	}
	holders := map[manifest.ID]api.Key{}
	for _, app := range g.Applications {
		if _, there := g.Nodes[app.Key]; !there {
			t.Errorf("an application of %s, which is gone", app.Key)
		}
		if app.Rendered == nil {
			continue
		}
		for _, o := range app.Rendered.Payload {
			if other, taken := holders[o.ID()]; taken {
				t.Errorf("%s is in %s and in %s", o.ID(), other, app.Key)
			}
			holders[o.ID()] = app.Key
		}
	}
}
