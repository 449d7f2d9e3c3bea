package api_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// including returns a GitRepository with this include.
func including(name, include string) string {
	return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: " + name +
		", namespace: apps}\nspec: {interval: 1m, url: \"https://git.example.com/" + name + "\", include: " + include + "}\n"
}

func TestInclude(t *testing.T) {
	s := sourceView(t, including("a", "[{repository: {name: b}}, {repository: {name: c}, fromPath: /x/, toPath: ./y/z}]"))
	want := []api.Key{{Kind: "GitRepository", Namespace: "apps", Name: "b"},
		{Kind: "GitRepository", Namespace: "apps", Name: "c"}}
	if len(s.Inputs) != 2 || s.Inputs[0].Key != want[0] || s.Inputs[1].Key != want[1] {
		t.Errorf("got inputs %v", s.Inputs)
	}
	var copies []string
	for _, c := range s.Composition.Copies {
		copies = append(copies, c.Field+" "+c.From+" "+c.To)
	}
	if want := []string{"spec.include[0] . b", "spec.include[1] x y/z"}; !slices.Equal(copies, want) {
		t.Errorf("got copies %q, want %q", copies, want)
	}
	for name, c := range map[string]struct {
		include string
		words   []string
	}{
		"itself":            {"[{repository: {name: a}}]", []string{"spec.include[0].repository.name", "include itself"}},
		"unnamed":           {"[{repository: {}}]", []string{"spec.include[0].repository.name"}},
		"from_outside":      {"[{repository: {name: b}, fromPath: ../x}]", []string{"spec.include[0].fromPath", "leaves the source"}},
		"to_outside":        {"[{repository: {name: b}, toPath: x/../../y}]", []string{"spec.include[0].toPath", "leaves the source"}},
		"to_root":           {"[{repository: {name: b}, toPath: ./}]", []string{"spec.include[0].toPath", "below the root"}},
		"another_namespace": {"[{repository: {name: b, namespace: elsewhere}}]", []string{"namespace", "unknown field"}},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, including("a", c.include), api.Hub, c.words...) })
	}
}

// TestFetchOf finds the inputs of sources, and of theirs.
func TestFetchOf(t *testing.T) {
	objects := map[string]*api.Object{}
	for name, include := range map[string]string{
		"leaf": "[]", "one": "[{repository: {name: leaf}}]",
		"two":  "[{repository: {name: one}}, {repository: {name: one}, toPath: again}]",
		"lost": "[{repository: {name: gone}}]", "a": "[{repository: {name: b}}]", "b": "[{repository: {name: a}}]",
	} {
		objects[name] = admit(t, including(name, include), api.Hub)
	}
	errGone := errors.New("gone")
	looked := 0
	fetchOf := func(name string) (api.Fetch, error) {
		return api.FetchOf(api.Given{Key: objects[name].Key, Object: objects[name]},
			func(_ api.Given, in api.SourceInput) (api.Given, error) {
				looked++
				if o := objects[in.Key.Name]; o != nil {
					return api.Given{Key: o.Key, Object: o}, nil
				}
				return api.Given{}, errGone
			})
	}
	leaf, err := fetchOf("leaf")
	if view, _ := objects["leaf"].Source(); err != nil || len(leaf.Inputs) > 0 || leaf.Key != view.FetchKey(false) {
		t.Errorf("a source without inputs: %v %v", leaf, err)
	}
	one, err := fetchOf("one")
	if err != nil || !slices.Equal(one.Inputs, []string{leaf.Key}) {
		t.Errorf("one: %v %v", one, err)
	}
	looked = 0
	two, err := fetchOf("two")
	if err != nil || !slices.Equal(two.Inputs, []string{one.Key, one.Key}) || looked != 3 {
		t.Errorf("two: %v %v after %d looks", two, err, looked)
	}
	objects["leaf"] = admit(t, strings.Replace(including("leaf", "[]"), "1m", "1m, ref: {tag: x}", 1), api.Hub)
	if now, err := fetchOf("two"); err != nil || now.Key == two.Key {
		t.Errorf("another leaf: %v %v", now, err)
	}
	if _, err := fetchOf("lost"); !errors.Is(err, errGone) || !strings.Contains(err.Error(), "spec.include[0]") {
		t.Errorf("lost: %v", err)
	}
	if _, err := fetchOf("a"); !errors.Is(err, api.ErrLoop) ||
		!strings.Contains(err.Error(), "apps/a → GitRepository apps/b → GitRepository apps/a") {
		t.Errorf("a loop: %v", err)
	}
}
