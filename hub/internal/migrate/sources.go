package migrate

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/condition"
)

// sourceWithout returns the source of a renderable of the walk if no folder stands for it. Otherwise it returns nil.
func (c *comparison) sourceWithout(key api.Key) (source *api.Object, url string) {
	n := c.Walk.Nodes[key]
	if n.Object == nil {
		return nil, ""
	}
	named, ok := n.Object.SourceReference()
	if !ok {
		return nil, ""
	}
	found := c.Walk.Nodes[named.In(c.Walk.Cluster)]
	if found.Object == nil || found.AliasOf != nil {
		return nil, ""
	}
	view, err := found.Object.Source()
	if err != nil || len(view.Inputs) > 0 || c.HasFolder(found.Object, view.URL) {
		return nil, ""
	}
	return found.Object, view.URL
}

// lacksSource reports whether a problem is only that no folder stands for a source.
func (c *comparison) lacksSource(p plan.Problem) bool {
	source, _ := c.sourceWithout(p.Key)
	return source != nil && p.Reason == condition.ArtifactFailed
}

// otherSources returns the sources that no folder stands for, sorted.
func (c *comparison) otherSources() (all []OtherSource) {
	for _, p := range c.Walk.Problems {
		if !c.lacksSource(p) {
			continue
		}
		source, url := c.sourceWithout(p.Key)
		name := strings.Join([]string{source.Key.Kind, source.Key.Namespace, source.Key.Name}, "/")
		at := slices.IndexFunc(all, func(known OtherSource) bool { return known.Source == name })
		if at < 0 {
			at = len(all)
			all = append(all, OtherSource{Source: name, URL: url})
		}
		all[at].Kustomizations = append(all[at].Kustomizations, p.Key.Namespace+"/"+p.Key.Name)
	}
	slices.SortFunc(all, func(a, b OtherSource) int { return strings.Compare(a.Source, b.Source) })
	return all
}
