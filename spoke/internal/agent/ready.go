package agent

import (
	"encoding/json"
	"fmt"
	"maps"

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
}

// readReadyExpressions parses the expressions of an application.
func readReadyExpressions(app *bundle.Application) (all []readyExpression) {
	for _, e := range app.ReadyExpressions {
		read := readyExpression{dependency: e.Dependency}
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

// evaluate returns why a ready expression does not hold; empty if it holds.
func (m *model) evaluate(n *node, e readyExpression) string {
	d := m.nodes[e.dependency]
	if d == nil {
		return "is not in the bundle"
	}
	holds, err := false, e.err
	if err == nil {
		holds, err = e.expression.Evaluate(map[string]any{"dep": m.withStatus(d, e.dep), "self": m.withStatus(n, e.self)})
	}
	switch {
	case err != nil:
		return fmt.Sprintf("is not ready: readyExpr: %v", err)
	case !holds:
		return "is not ready: readyExpr does not hold"
	}
	return ""
}

// withStatus returns an object with the status that Flux would give it, as far as the spoke knows it. Findings of the
// hub are not in the status: they hold back the entry. If the entry is applied, observedGeneration is the generation.
func (m *model) withStatus(n *node, object map[string]any) map[string]any {
	const generation = 1
	observed := int64(0)
	if n.standing == listed && n.isApplied() {
		observed = generation
	}
	metadata, _ := object["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["generation"] = int64(generation)
	ready := n.condition(m.now)
	all := maps.Clone(object)
	all["metadata"] = metadata
	all["status"] = map[string]any{
		"observedGeneration": observed, "lastAppliedRevision": n.mark.Revision, "lastAttemptedRevision": n.entry.Revision,
		"lastHandledReconcileAt": n.mark.HandledRequest,
		"conditions": []any{map[string]any{
			"type": condition.Ready, "status": ready.Status, "reason": ready.Reason, "message": ready.Message,
			"observedGeneration": observed, "lastTransitionTime": wording.Time(n.ready.Since),
		}},
	}
	return all
}
