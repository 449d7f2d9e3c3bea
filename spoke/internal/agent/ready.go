package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/expression"
	"github.com/navefleet/nave/shared/wording"
)

// readyExpression decides whether a dependency is ready, in place of the dependency's Ready condition.
type readyExpression struct {
	dependency bundle.ApplicationName
	expression *expression.Expression
	dep, self  map[string]any // the objects, without status
	err        error          // why it cannot be evaluated

	// seen are the statuses of the last evaluation, and why is its result. The expression has no other inputs.
	seen      [2]objectStatus
	why       string
	evaluated bool
}

// readReadyExpressions parses the expressions of an application.
func readReadyExpressions(app *bundle.Application) (all []*readyExpression) {
	for _, e := range app.ReadyExpressions {
		read := &readyExpression{dependency: e.Dependency}
		if read.expression, read.err = expression.Parse(e.Expression, "dep", "self"); read.err == nil {
			read.err = json.Unmarshal(e.Dep, &read.dep)
		}
		if read.err == nil {
			read.err = json.Unmarshal(e.Self, &read.self)
		}
		all = append(all, read)
	}
	return all
}

// unready returns why a dependency of n is not ready; empty if it is ready. An expression of n about the dependency
// decides in place of the dependency's own condition.
func (m *model) unready(n *node, dependency bundle.ApplicationName) string {
	expressed := false
	for _, e := range n.readyExpressions {
		if e.dependency != dependency {
			continue
		}
		expressed = true
		if why := m.evaluate(n, e); why != "" {
			return why
		}
	}
	if expressed || m.isReady(dependency) {
		return ""
	}
	return "is not ready"
}

// evaluate returns why a ready expression does not hold; empty if it holds. It evaluates only if a status changed.
func (m *model) evaluate(n *node, e *readyExpression) string {
	d := m.nodes[e.dependency]
	if d == nil {
		return "is not in the bundle"
	}
	if e.err != nil {
		return fmt.Sprintf("is not ready: readyExpr: %v", e.err)
	}
	self := *n
	self.blockedBy, self.blockedWhy = bundle.ApplicationName{}, "" // this is what the expression decides
	if seen := [2]objectStatus{d.status(m.now), self.status(m.now)}; !e.evaluated || e.seen != seen {
		e.seen, e.why, e.evaluated = seen, e.evaluate(seen[0], seen[1]), true
	}
	return e.why
}

func (e *readyExpression) evaluate(dep, self objectStatus) string {
	holds, err := e.expression.Evaluate(map[string]any{"dep": dep.with(e.dep), "self": self.with(e.self)})
	switch {
	case err != nil:
		return fmt.Sprintf("is not ready: readyExpr: %v", err)
	case !holds:
		return "is not ready: readyExpr does not hold"
	}
	return ""
}

// objectStatus is the status that Flux would give an object, as far as the spoke knows it.
type objectStatus struct {
	observed                    int64 // observedGeneration; the generation if the entry is applied, else 0
	applied, attempted, handled string
	ready                       Condition
}

// generation is the metadata.generation that expressions see.
const generation = 1

// status returns the status of a node. Findings of the hub are not in the status: they hold back the entry.
func (n *node) status(now time.Time) objectStatus {
	s := objectStatus{applied: n.mark.Revision, attempted: n.entry.Revision, handled: n.mark.HandledRequest,
		ready: n.condition(now)}
	s.ready.Since = n.ready.Since
	if n.standing == listed && n.isApplied() {
		s.observed = generation
	}
	return s
}

// with returns an object with the status.
func (s objectStatus) with(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["generation"] = int64(generation)
	all := maps.Clone(object)
	all["metadata"] = metadata
	all["status"] = map[string]any{
		"observedGeneration": s.observed, "lastAppliedRevision": s.applied, "lastAttemptedRevision": s.attempted,
		"lastHandledReconcileAt": s.handled,
		"conditions": []any{map[string]any{
			"type": condition.Ready, "status": s.ready.Status, "reason": s.ready.Reason, "message": s.ready.Message,
			"observedGeneration": s.observed, "lastTransitionTime": wording.Time(s.ready.Since),
		}},
	}
	return all
}
