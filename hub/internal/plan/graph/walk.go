package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// Bounds of a walk. Real graphs need one pass, and one turn of a renderable that renders itself.
const (
	maxPasses = 12 // before changing objects are noted, and as many again before the round ends
	maxTurns  = 5
	maxRounds = 4
)

// walk makes passes until one agrees with itself, and finishes the last one. If the passes come to no agreement, walk
// starts again from the previous graph and keeps the renderables that depend on the objects that kept changing. The
// last round but one keeps every renderable below a service account, so that a tenant does not stop others. The last
// round keeps every renderable, which always agrees. If the context ends, the pass is not complete.
func walk(ctx context.Context, in Input) *pass {
	u := unstable{keys: map[sightKey]bool{}}
	for round := 1; ; round++ {
		u.tenants, u.all = round == maxRounds-1, round == maxRounds
		p, moved := converge(ctx, in, u)
		if ctx.Err() != nil {
			return p
		}
		if len(moved) == 0 || u.all {
			p.finish()
			return p
		}
		for _, key := range moved {
			u.keys[key] = true
		}
	}
}

// converge makes passes until one agrees with itself. If none does, it also returns the objects that kept changing
// during the last half of the passes.
func converge(ctx context.Context, in Input, u unstable) (p *pass, moved []sightKey) {
	known, apps := in.Previous, map[api.Key]*Application(nil)
	for n := 1; n <= 2*maxPasses; n++ {
		p = newPass(in, known, apps, u)
		p.run(ctx)
		if ctx.Err() != nil {
			return p, nil
		}
		missed := p.missed()
		if len(missed) == 0 {
			return p, nil
		}
		if n > maxPasses {
			moved = append(moved, missed...)
		}
		known, apps = p.graph.Nodes, p.apps
	}
	return p, moved
}

// childrenOf returns the children of each owner, sorted, without orphans.
func childrenOf(previous map[api.Key]Node) map[api.Key][]Node {
	children := map[api.Key][]Node{}
	for _, n := range previous {
		if owner := n.GivenBy(); owner != nil {
			children[*owner] = append(children[*owner], n)
		}
	}
	for _, list := range children {
		slices.SortFunc(list, func(a, b Node) int { return a.Key.Compare(b.Key) })
	}
	return children
}

// pass is one walk from the roots.
type pass struct {
	in       Input
	known    map[api.Key]Node         // the nodes of the last pass, or of the last walk
	children map[api.Key][]Node       // the same by owner
	lastApps map[api.Key]*Application // the Applications of the last pass
	unstable unstable

	graph *Graph
	apps  map[api.Key]*Application
	// problems of rendered objects; the first one sets the reason of the condition. unlisted counts those beyond
	// maxProblems.
	problems map[api.Key][]problem
	unlisted map[api.Key]int

	fleetRoots     map[api.Key]*api.Object   // roots as Fleets give them
	fleets         map[api.Key]api.Key       // see fleetAbove; zero: there is none
	queue          []api.Key                 // renderables to expand
	waiting        []api.Key                 // renderables whose source a later render may give
	waitForSources bool                      // false when no render is left that may give one
	claims         []claim                   // on objects that had another owner
	readers        []api.Key                 // renderables whose inputs a later render may give
	released       map[api.Key]bool          // readers that do not wait any more
	readings       map[api.Key]reading       // the inputs that each renderable was rendered with
	readData       map[givenObject]givenData // what was read of the Applications of this pass and the last one
	present        *givers                   // of the Applications of this pass; nil: to be computed
	past           *givers                   // of the Applications of the last pass
	turns          map[api.Key]int           // how often a renderable changed itself
	elsewhere      map[sightKey]sight        // sources that were not found in this graph
	assumed        map[sightKey]assumption
	gone           map[api.Key]bool    // objects that left the graph
	lacking        map[api.Key]api.Key // missing sources by renderable
	barred         map[api.Key]bool    // renderables whose limits are not known; see bar
	replaced       []api.Key           // renderables that were expanded as an earlier version
	blind          map[api.Key]bool    // renderables whose present children are not known
	refusers       map[api.Key]api.Key // owners of refused objects
	guarded        bool                // whether the guard has checked the objects that left
	bootstrapped   bool                // whether a root has a bootstrapped tree
}

// claim is a child that an owner gives.
type claim struct {
	owner   api.Key
	child   Child
	aliasOf *api.Key // of a source: the source of the hub that is used in its place; nil: none
}

// problem is the reason and the message of the condition of an object that is not rendered, or not completely.
type problem struct{ reason, message string }

// Error implements error.
func (pr problem) Error() string { return pr.message }

func newPass(in Input, known map[api.Key]Node, apps map[api.Key]*Application, u unstable) *pass {
	return &pass{
		in: in, known: known, children: childrenOf(known), lastApps: apps, unstable: u,
		graph: &Graph{
			Nodes: map[api.Key]Node{}, Findings: map[api.Key]Finding{},
			Sources: map[string]bool{}, HubSources: map[api.Key]bool{}, Expected: maps.Clone(in.expected),
		},
		apps: map[api.Key]*Application{}, problems: map[api.Key][]problem{}, unlisted: map[api.Key]int{},
		readData:       map[givenObject]givenData{},
		waitForSources: true, turns: map[api.Key]int{}, elsewhere: map[sightKey]sight{}, assumed: map[sightKey]assumption{},
		gone: map[api.Key]bool{}, barred: map[api.Key]bool{}, blind: map[api.Key]bool{}, refusers: map[api.Key]api.Key{},
		lacking: map[api.Key]api.Key{}, released: map[api.Key]bool{}, readings: map[api.Key]reading{},
		fleetRoots: map[api.Key]*api.Object{}, fleets: map[api.Key]api.Key{},
	}
}

// run adds the roots and expands until no step of the pass changes the graph, or until the context ends.
func (p *pass) run(ctx context.Context) {
	for _, r := range p.in.Roots {
		p.addRoot(r)
	}
	for ctx.Err() == nil {
		switch {
		case len(p.queue) > 0:
			level := p.queue
			p.queue = nil
			p.expand(level)
		case len(p.claims) > 0: // their earlier owners do not give them any more
			claims := p.claims
			p.claims = nil
			for _, c := range claims {
				p.assign(c)
			}
		case p.readFound():
		case len(p.waiting) > 0: // no render is left that may give the source
			p.queue, p.waiting, p.waitForSources = p.waiting, nil, false
		case p.readLive():
		case p.keepOrphans():
		case p.readLast():
		case p.guard():
		default:
			return
		}
	}
}

// addRoot adds an object that comes from outside of the graph.
func (p *pass) addRoot(r Root) {
	last, was := p.known[r.Key]
	mine := was && r.Owner != nil && last.Owner != nil && *last.Owner == *r.Owner
	switch {
	case r.Object != nil && r.Owner == nil:
		p.add(Node{Key: r.Key, Object: r.Object})
	case r.Object != nil:
		p.fleetRoots[r.Key] = r.Object
		p.claim(claim{owner: *r.Owner, child: Child{Key: r.Key, Object: r.Object}})
	case mine:
		p.keep(last)
		p.keepFailed(r.Key, Result{Reason: condition.TemplateFailed, Err: r.Err})
	default:
		p.addBlind(nil) // the name of the root is not known
	}
}

// add adds a node to the graph, and a renderable also to the queue.
func (p *pass) add(n Node) {
	p.set(n)
	if isRenderable(n.Key) {
		p.queue = append(p.queue, n.Key)
	}
}

// claim gives a child to its owner. If the child was another owner's, claim only notes the claim, so that the other
// owner can give the child first.
func (p *pass) claim(c claim) {
	if !p.admits(c) {
		return
	}
	key := p.local(c.child.Key)
	if last, ok := p.known[key]; ok && last.Owner != nil && *last.Owner != c.owner {
		if _, taken := p.graph.Nodes[key]; !taken {
			p.claims = append(p.claims, c)
			return
		}
	}
	p.assign(c)
}

// assign gives a child to its owner, unless another owner has it.
func (p *pass) assign(c claim) {
	key := p.local(c.child.Key)
	owner := c.owner
	if n, ok := p.graph.Nodes[key]; ok {
		switch {
		case p.outranks(owner, n):
			p.displace(n, c)
		case p.adoptsCluster(owner, n):
			p.adoptCluster(n, c)
		case n.Orphaned && !p.below(owner, key) && p.inherits(owner, n):
			p.adopt(n, c)
		default:
			p.conflict(owner, key, n.Owner)
		}
		return
	}
	if c.child.Err != nil {
		p.refuse(owner, key, c.child.Err)
		return
	}
	p.add(p.owned(key, c))
}

// adoptsCluster reports whether an owner without limits gives a Cluster that an operator added.
func (p *pass) adoptsCluster(owner api.Key, n Node) bool {
	return n.Owner == nil && n.Key.Role() == api.ClusterRole && !p.in.Unapplied[n.Key] && p.givesInside(owner) == nil
}

// adoptCluster gives a Cluster that an operator added to the owner that gives it from now on. A Cluster that the
// operator blocked stays the operator's until Git blocks it, too.
func (p *pass) adoptCluster(n Node, c claim) {
	switch {
	case c.child.Err != nil:
		p.problem(c.owner, condition.ObjectRefused, c.child.Err.Error())
	case blocks(n.Object) && !blocks(c.child.Object):
		p.problem(c.owner, condition.ObjectConflict, n.Key.String()+" is blocked by an operator, and stays the operator's: "+
			"set spec.blocked: true in Git, too, or unblock it there")
	default:
		p.set(p.owned(n.Key, c))
	}
}

// blocks reports whether a Cluster is blocked.
func blocks(o *api.Object) bool {
	c, err := o.Cluster()
	return err == nil && c.Spec.Blocked
}

// local returns the key in this graph.
func (p *pass) local(key api.Key) api.Key { return key.In(p.in.Cluster) }

// conflict adds a problem to an owner: an object that it gives has another owner.
func (p *pass) conflict(owner, key api.Key, other *api.Key) {
	from := "was applied by an operator: take it out of Git, or let Git give it from now on: " + deletion(key)
	switch {
	case api.IsRoot(&owner) && api.IsRoot(other):
		from = "comes from " + other.String() + " already: give the template of one of the two another metadata.name, or " +
			"let only one of them select the cluster"
	case other != nil:
		from = "comes from " + other.String() + " already: take it out of one of the two"
	}
	p.problem(owner, condition.ObjectConflict, key.String()+" "+from)
}

// deletion returns the command that deletes an object of an operator.
func deletion(key api.Key) string {
	text := "nave delete " + strings.ToLower(key.Kind) + " " + key.Name
	if key.Namespace != "" && key.Namespace != api.DefaultNamespace {
		text += " -n " + key.Namespace
	}
	return text
}

// maxProblems is how many problems of one object its message lists.
const maxProblems = 10

func (p *pass) problem(key api.Key, reason, message string) {
	if len(p.problems[key]) == maxProblems {
		p.unlisted[key]++
		return
	}
	p.problems[key] = append(p.problems[key], problem{reason, message})
}

// missed returns the objects that the pass was wrong about:
//
//   - sources that a renderable was rendered without, although the graph has them in the end
//   - sources that a renderable was rendered from in another version than the graph has in the end
//   - renderables that read other inputs than the graph has in the end
//   - renderables that gave objects before they changed
func (p *pass) missed() []sightKey {
	moved := p.misread()
	for key, s := range p.elsewhere {
		if n, ok := p.graph.Nodes[key.object]; s.sees(n, ok) {
			moved = append(moved, key)
		}
	}
	for key, a := range p.assumed {
		n, ok := p.graph.Nodes[key.object]
		if !a.sees(n, ok) || n.Object.Digest != a.digest {
			moved = append(moved, key)
		}
	}
	for _, key := range p.replaced {
		moved = append(moved, sightKey{object: key})
	}
	return slices.DeleteFunc(moved, p.unstable.has)
}

// finish completes the graph with conflicts, findings and Applications.
func (p *pass) finish() {
	p.keepOverlapping()
	p.addQuestions()
	p.explainHidden()
	for key, list := range p.problems {
		p.addProblems(key, list)
	}
	p.explainOrphans()
	p.outlive()
	p.admit()
	p.await()
	for key, app := range p.apps {
		if app.Rendered != nil {
			app.ServiceAccount = p.graph.Nodes[key].Confined.AccountOf(app.Renderable)
		}
		p.graph.Applications = append(p.graph.Applications, *app)
	}
	slices.SortFunc(p.graph.Applications, func(a, b Application) int { return a.Key.Compare(b.Key) })
}

// addProblems adds problems to the finding about an object.
func (p *pass) addProblems(key api.Key, list []problem) {
	f := p.graph.Findings[key]
	if f.Suspended {
		return
	}
	if f.Ready || f.Reason == "" {
		f.Reason, f.Message = list[0].reason, list[0].message
		list = list[1:]
	}
	f.Ready = false
	for _, more := range list {
		f.Message += "; " + more.message
	}
	if more := p.unlisted[key]; more > 0 {
		f.Message += fmt.Sprintf("; and %d more", more)
	}
	p.graph.Findings[key] = f
}
