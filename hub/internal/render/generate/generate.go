// Package generate renders ArtifactGenerators: each of their artifacts becomes an ExternalArtifact, from which the hub
// composes an artifact. The package reads no file of the tree, only the names of the folders that a pathPattern
// matches.
package generate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/pattern"
)

// Name is the name of the renderer.
const Name = "artifacts"

// Renderer renders ArtifactGenerators. It implements render.Renderer.
type Renderer struct{}

var _ render.Renderer = Renderer{}

// Render implements render.Renderer. The objects are sorted by their folder; objects of one folder are in the order of
// spec.artifacts.
func (Renderer) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	var g api.Generation
	if err := json.Unmarshal(req.Spec, &g); err != nil {
		return nil, fmt.Errorf("decode the generator: %w", err)
	}
	t, err := tree.Open(ctx, req.Root, req.Exclude)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if _, err := t.Type("/"); err != nil {
		return nil, err
	}
	folders, err := match(t, g.Spec.PathPattern)
	if err != nil {
		return nil, fmt.Errorf("spec.pathPattern: %w", err)
	}
	objects, err := objectsOf(&g, folders)
	if err != nil {
		return nil, err
	}
	return &render.Result{Objects: objects, Reads: t.Reads()}, nil
}

// objectsOf returns the ExternalArtifacts of a generator for some folders.
func objectsOf(g *api.Generation, folders []folder) (objects []*manifest.Object, err error) {
	seen := map[string]string{} // folders by the names of their artifacts
	for _, f := range folders {
		for _, a := range g.Spec.Artifacts {
			if a, err = f.fill(a); err != nil {
				return nil, fmt.Errorf("spec.pathPattern: folder %s: %w", f.path, err)
			}
			if other, taken := seen[a.Name]; taken {
				return nil, fmt.Errorf("spec.pathPattern: the folders %s and %s both give the artifact %s: use more captures in "+
					"its name", other, f.path, a.Name)
			}
			seen[a.Name] = f.path
			o, err := g.Artifact(a, f.labels())
			if err != nil {
				return nil, err
			}
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// folder is a folder that the pattern matches. Without a pattern there is one folder without captures.
type folder struct {
	path     string
	captures map[string]string // as written in the path; nil: there is no pattern
}

// match returns the folders that a pattern, @alias/path with {captures}, matches, sorted.
func match(t *tree.Tree, pattern string) ([]folder, error) {
	if pattern == "" {
		return []folder{{}}, nil
	}
	_, below, _ := strings.Cut(pattern, "/")
	found := []folder{{path: "/", captures: map[string]string{}}}
	for _, step := range strings.Split(strings.Trim(below, "/"), "/") {
		expression, err := expressionOf(step)
		if err != nil {
			return nil, err
		}
		var next []folder
		for _, f := range found {
			inside, err := f.enter(t, expression)
			if err != nil {
				return nil, err
			}
			next = append(next, inside...)
		}
		found = next
	}
	return found, nil
}

// capture matches a capture of a pattern, as regexp.QuoteMeta quotes it.
var capture = regexp.MustCompile(`\\\{(\w+)\\\}`)

// expressionOf returns the regular expression of one step of a pattern.
func expressionOf(step string) (*regexp.Regexp, error) {
	if _, err := api.CapturesOf(step); err != nil {
		return nil, err
	}
	text := "^" + capture.ReplaceAllString(regexp.QuoteMeta(step), "(?P<$1>[^/]+)") + "$"
	return pattern.Compile(text)
}

// enter returns the folders in f whose names match, sorted. Symbolic links do not count as folders.
func (f folder) enter(t *tree.Tree, expression *regexp.Regexp) (found []folder, err error) {
	entries, err := t.List(f.path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		matched := expression.FindStringSubmatch(e.Name)
		if !e.Dir || e.Link || matched == nil {
			continue
		}
		next := folder{path: path.Join(f.path, e.Name), captures: maps.Clone(f.captures)}
		for i, name := range expression.SubexpNames()[1:] {
			next.captures[name] = matched[i+1]
		}
		found = append(found, next)
	}
	slices.SortFunc(found, func(a, b folder) int { return strings.Compare(a.path, b.path) })
	return found, nil
}

// labels returns the captures in lower case. If there is no pattern, labels returns nil.
func (f folder) labels() map[string]string {
	if f.captures == nil {
		return nil
	}
	labels := map[string]string{}
	for name, value := range f.captures {
		labels[name] = strings.ToLower(value)
	}
	return labels
}

// fill returns an artifact with the captures of the folder: in lower case in its name, unchanged in paths. If a capture
// is not a valid label value, or the name is not valid, fill returns an error.
func (f folder) fill(a api.GeneratedArtifact) (api.GeneratedArtifact, error) {
	if f.captures == nil {
		return a, nil
	}
	labels := f.labels()
	for name, value := range labels {
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			return a, fmt.Errorf("{%s} is %q, which is not a valid value of a label: %s", name, value, problems[0])
		}
	}
	a.Name = replace(a.Name, labels)
	if problems := apivalidation.NameIsDNSSubdomain(a.Name, false); len(problems) > 0 {
		return a, fmt.Errorf("the artifact would be called %q: %s", a.Name, problems[0])
	}
	a.Copy = slices.Clone(a.Copy)
	for i := range a.Copy {
		a.Copy[i].From, a.Copy[i].To = replace(a.Copy[i].From, f.captures), replace(a.Copy[i].To, f.captures)
	}
	return a, nil
}

// replace returns text with each {name} replaced by its value.
func replace(text string, values map[string]string) string {
	var pairs []string
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
