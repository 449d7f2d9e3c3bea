package graph

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// maxWaves limits how often Walk starts again before it halts renderables. A renderable that waits does not give what
// is new in it, for which others may wait in turn.
const maxWaves = 20

// halts are the limits below which every renderable with dependencies waits, because too many waited for others in
// turn. A tenant's do not halt those of others.
type halts struct {
	all    bool
	limits []*api.Confinement
}

func (h halts) has(n Node, r *api.Renderable) bool {
	return len(r.DependsOn) > 0 && (h.all || slices.ContainsFunc(h.limits, n.Confined.Same))
}

func (h halts) problem() problem {
	return problem{condition.DependencyNotReady, fmt.Sprintf("more than %d objects wait in turn, each for a dependency "+
		"that the one before it gives; waiting for the first of them to be ready", maxWaves)}
}

// halt returns the halts of the pass with the limits of the renderables found to wait, or with all limits.
func (p *pass) halt(found map[api.Key]problem, all bool) halts {
	h := halts{all: all, limits: slices.Clone(p.in.halts.limits)}
	for key := range found {
		if c := p.graph.Nodes[key].Confined; !slices.ContainsFunc(h.limits, c.Same) {
			h.limits = append(h.limits, c)
		}
	}
	return h
}

// expectHalted adds the objects of halted renderables to those that are expected.
func (p *pass) expectHalted(in Input) {
	for key, n := range p.graph.Nodes {
		if r, err := n.Object.Renderable(); err == nil && in.halts.has(n, r) {
			p.expect(in.expected, key)
		}
	}
}
