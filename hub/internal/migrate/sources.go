package migrate

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/condition"
)

// lackingSource returns the source of a renderable of the walk if the problem of the renderable is only that no folder
// stands for the source. Otherwise it returns nil.
func (c *comparison) lackingSource(p plan.Problem) (source *api.Object, url string) {
	n := c.Walk.Nodes[p.Key]
	if n.Object == nil || p.Reason != condition.ArtifactFailed {
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

// otherSources returns the sources that no folder stands for, sorted.
func (c *comparison) otherSources() (all []OtherSource) {
	for _, p := range c.Walk.Problems {
		source, url := c.lackingSource(p)
		if source == nil {
			continue
		}
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
