package helm

import (
	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// useFacts puts the facts of a request into a build. If facts is nil, the build keeps its own.
func useFacts(b *api.ChartBuild, facts *api.ChartFacts) {
	if facts == nil {
		return
	}
	b.Capabilities, b.Upgrade, b.Revision = facts.Capabilities, facts.Upgrade, facts.Revision()
}

// skipsSchema reports whether the values are not checked by the schemas of the chart.
func skipsSchema(b *api.ChartBuild, facts *api.ChartFacts) bool {
	if facts != nil && facts.Upgrade {
		return b.SkipSchemaOnUpgrade
	}
	return b.SkipSchema
}

// place gives objects without a namespace that of the release, as Helm does when it sends them. Kinds of Kubernetes
// without namespaces have none. Of custom kinds only the API server knows whether they have: the spoke takes the
// namespace away again if not.
func place(result *render.Result, namespace string) {
	objects, hooks := map[manifest.ID]manifest.ID{}, map[manifest.ID]manifest.ID{}
	for _, o := range result.Objects {
		was := manifest.IDOf(o)
		placeObject(o, namespace)
		objects[was] = manifest.IDOf(o)
	}
	for _, h := range result.Release.Hooks {
		was := manifest.IDOf(h.Object)
		placeObject(h.Object, namespace)
		hooks[was] = manifest.IDOf(h.Object)
	}
	for i := range result.Release.Generated {
		g := &result.Release.Generated[i]
		if g.Hook {
			g.ID = hooks[g.ID]
		} else {
			g.ID = objects[g.ID]
		}
	}
}

func placeObject(o *manifest.Object, namespace string) {
	gvk := o.GroupVersionKind()
	isCluster := resid.NewGvk(gvk.Group, gvk.Version, gvk.Kind).IsClusterScoped()
	if o.GetNamespace() == "" && !isCluster {
		o.SetNamespace(namespace)
	}
}
