package graph

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// expand renders one level of the graph and takes the objects that the renderables give.
func (p *pass) expand(level []api.Key) {
	p.forgetGivers()
	var works []Work
	for _, key := range level {
		if work, ok := p.prepare(key); ok {
			works = append(works, work)
		}
	}
	if len(works) == 0 {
		return
	}
	for i, result := range p.in.Render(works) {
		p.addBases(works[i].Key, result.Bases)
		switch {
		case result.Err != nil && result.Reason == condition.Suspended:
			p.suspend(works[i].Key)
		case result.Err != nil:
			p.keepFailed(works[i].Key, result)
		default:
			p.absorb(works[i], result)
		}
	}
}

// prepare returns the work of one renderable. It returns false if the renderable is suspended, waits for a dependency,
// its source or its inputs, or has no source.
func (p *pass) prepare(key api.Key) (Work, bool) {
	work, wait, err := p.work(key)
	if err == nil && !wait {
		var waitForInputs bool
		if waitForInputs, err = p.complete(&work); waitForInputs {
			p.readers = append(p.readers, key)
			return work, false
		}
	}
	var pr problem
	switch {
	case wait:
		p.waiting = append(p.waiting, key)
	case errors.As(err, &pr) && pr.reason == condition.Suspended:
		p.suspend(key)
	case err != nil:
		p.keepFailed(key, Result{Reason: cmp.Or(pr.reason, condition.SourceNotReady), Err: err})
	}
	return work, err == nil && !wait
}

// work returns the work of one renderable. wait is true if a later render of this pass may give its source. The error
// is a problem, or is about the source.
func (p *pass) work(key api.Key) (work Work, wait bool, err error) {
	r, err := p.graph.Nodes[key].Object.Renderable()
	if err != nil {
		return work, false, problem{condition.Refused, err.Error()}
	}
	barred := p.bar(key, r)
	waits, isWaiting := p.in.waits[key]
	switch n := p.graph.Nodes[key]; {
	case p.isSuspended(n):
		return work, false, problem{reason: condition.Suspended}
	case barred != nil:
		return work, false, problem{condition.Refused, barred.Error()}
	case isWaiting:
		return work, false, waits
	case p.in.halts.has(n, r):
		return work, false, p.in.halts.problem()
	case p.unstable.keeps(n):
		return work, false, p.unstable.problem()
	}
	if r.Makes != nil && !p.makeSource(key, r.Makes) {
		return work, false, problem{condition.ObjectConflict, fmt.Sprintf("%s, which it makes of its template, belongs to "+
			"another owner already: give one of the two another name", r.Makes.Key)}
	}
	return p.resolve(key, r)
}

// complete adds the inputs to a work. wait is true if a later render of this pass may give one of them.
func (p *pass) complete(work *Work) (wait bool, err error) {
	if work.Inputs, wait, err = p.readInputs(work.Key, work.Renderable); wait || err != nil {
		return wait, err
	}
	work.Spec, err = work.Renderable.Complete(api.SpecInputs{Source: work.Source, Data: work.Inputs,
		Lenient: p.in.LenientSubstitution})
	if err != nil {
		err = problem{condition.BuildFailed, err.Error()}
	}
	return false, err
}

// absorb adds the result of one render to the graph.
func (p *pass) absorb(work Work, result Result) {
	if p.turned(work, result) {
		return
	}
	key := work.Key
	object := p.graph.Nodes[key].Object
	boot := p.bootstrapOf(work, result.Rendered.Children)
	p.bootstrapped = p.bootstrapped || boot != nil
	p.graph.Findings[key] = Finding{
		Ready: true, Reason: condition.BuildSucceeded, Revision: result.Revision, Attempted: result.Revision,
		Message: built(result) + result.Notice, Notice: leftOut(result) + hubGenerates(result) + boot.notice(),
	}
	p.apps[key] = &Application{
		Key: key, Object: object, Renderable: work.Renderable, Rendered: result.Rendered, Revision: result.Revision,
		Inputs: work.Inputs, Itself: boot.itself(key),
	}
	if p.in.Cluster == "" {
		p.refusePayload(key, result.Rendered)
	}
	for _, child := range result.Rendered.Children {
		switch {
		case child.Key == boot.itself(key) && child.Err != nil:
			p.problem(key, condition.ObjectRefused, ownObject+child.Err.Error())
		case child.Key != boot.itself(key):
			p.claim(claim{key, p.withoutFluxAccount(key, child), boot.aliasOf(child.Key)})
		}
	}
}

// ownObject begins the message about the object that a renderable renders of itself.
const ownObject = "its own object in Git: "

// built returns the message of a build that succeeded.
func built(r Result) string {
	return fmt.Sprintf("Built revision %s (objects for the cluster: %d, for the hub: %d)",
		r.Revision, len(r.Rendered.Payload), len(r.Rendered.Children))
}

// hubGenerates returns the notice about values that the hub generates, and so knows. If there are none, hubGenerates
// returns "".
func hubGenerates(r Result) string {
	if !r.Rendered.HubGenerates {
		return ""
	}
	return "; a template looks into a value that it generates, so the hub generates it, for this cluster alone"
}

// leftOut returns the notice about components of Flux itself that a build left out. If there are none, leftOut returns
// "".
func leftOut(r Result) string {
	if r.Rendered.LeftOut == 0 {
		return ""
	}
	return "; left out " + wording.Count(r.Rendered.LeftOut, "object") + " of Flux itself, whose work Nave does " +
		"(to apply them, set spec.keepFluxComponents of the Fleet)"
}

// turned updates a renderable with the object that it renders of itself. It returns true if the renderable has to be
// rendered again.
func (p *pass) turned(work Work, result Result) bool {
	key := work.Key
	node := p.graph.Nodes[key]
	object, err := p.renderedSelf(work, result.Rendered.Children)
	if err == nil && (object == nil || object.Equal(node.Object)) {
		return false
	}
	confined := p.givesInside(key)
	if err == nil {
		err = confined.Check(key, renderableOf(Child{Object: object}))
	}
	if err != nil {
		p.problem(key, condition.ObjectRefused, ownObject+err.Error())
		return false
	}
	if p.turns[key]++; p.turns[key] > maxTurns {
		p.stopTurning(node, result.Revision)
		return true
	}
	node.Object, node.Confined = object, confined // a renderable cannot lift its own limits
	p.add(node)
	return true
}

// stopTurning keeps back a renderable that renders itself differently each time. Its node is taken from the last walk,
// so that the result is the same after each walk.
func (p *pass) stopTurning(node Node, revision string) {
	if last, was := p.in.Previous[node.Key]; was {
		node.Object, node.Confined = last.Object, last.Confined
		p.keep(node)
		p.rebar(node.Key)
	}
	p.keepFailed(node.Key, Result{Revision: revision, Reason: condition.SelfRenderEndless, Err: errors.New("it renders " +
		"itself, and differently each time: let its own file in Git name the path and the source that the file is in")})
}

// refusePayload adds a problem to a renderable of the hub's root for each object that only a cluster can run.
func (p *pass) refusePayload(key api.Key, r *Rendered) {
	for i, o := range r.Payload {
		if i == 3 {
			p.problem(key, condition.ObjectRefused, fmt.Sprintf("and %d more", len(r.Payload)-i))
			return
		}
		p.problem(key, condition.ObjectRefused, o.ID().String()+" is not for the hub: only Clusters, Fleets, sources and "+
			"renderable objects are; objects for clusters belong below the path of a Fleet")
	}
}
