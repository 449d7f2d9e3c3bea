package health

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/expression"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Assessor judges the health of objects, by the expressions of their application, and by the StorageClass of a
// PersistentVolumeClaim. It is safe for concurrent use; a nil *Assessor judges by the object alone.
type Assessor struct {
	bindingMode func(class string) string

	mu    sync.RWMutex // guards everything below
	rules map[bundle.ApplicationName]*custom
	// parsed are the expressions by their text: many applications have the same ones.
	parsed map[string]parsed
}

// custom are the expressions of one application.
type custom struct {
	list   []bundle.HealthExpressions
	byKind map[schema.GroupKind]bundle.HealthExpressions
}

type parsed struct {
	*expression.Expression
	err error
}

// NewAssessor returns an Assessor without expressions. bindingMode returns the volumeBindingMode of a StorageClass;
// nil: none is known.
func NewAssessor(bindingMode func(class string) string) *Assessor {
	return &Assessor{bindingMode: bindingMode, rules: map[bundle.ApplicationName]*custom{}, parsed: map[string]parsed{}}
}

// Replace makes the expressions of these applications the only ones. It returns the applications whose expressions
// changed, with the groups and kinds of the old and the new expressions (an empty kind means the whole group):
// the health of these objects must be judged again.
func (a *Assessor) Replace(
	apps map[bundle.ApplicationName]*bundle.Application) (changed map[bundle.ApplicationName][]schema.GroupKind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, known := a.rules, a.parsed
	a.rules, a.parsed = map[bundle.ApplicationName]*custom{}, map[string]parsed{}
	changed = map[bundle.ApplicationName][]schema.GroupKind{}
	for name, app := range apps {
		before := old[name].expressions()
		if len(app.HealthExpressions) > 0 {
			a.rules[name] = a.read(app.HealthExpressions, known)
		}
		if !slices.Equal(app.HealthExpressions, before) {
			changed[name] = kindsOf(slices.Concat(before, app.HealthExpressions))
		}
	}
	return changed
}

func kindsOf(list []bundle.HealthExpressions) (kinds []schema.GroupKind) {
	for _, e := range list {
		kinds = append(kinds, schema.GroupKind{Group: e.Group, Kind: e.Kind})
	}
	return kinds
}

// expressions returns the list; nil for a nil custom.
func (c *custom) expressions() []bundle.HealthExpressions {
	if c == nil {
		return nil
	}
	return c.list
}

// read parses the expressions of an application that are not known yet; the caller holds the mutex.
func (a *Assessor) read(list []bundle.HealthExpressions, known map[string]parsed) *custom {
	rules := &custom{list: list, byKind: map[schema.GroupKind]bundle.HealthExpressions{}}
	for _, e := range list {
		rules.byKind[schema.GroupKind{Group: e.Group, Kind: e.Kind}] = e
		for _, text := range []string{e.InProgress, e.Failed, e.Current} {
			read, found := known[text]
			if !found && text != "" {
				read.Expression, read.err = expression.Parse(text)
				known[text] = read
			}
			a.parsed[text] = read
		}
	}
	return rules
}

// Covers reports whether an application has expressions about a kind.
func (a *Assessor) Covers(app bundle.ApplicationName, gk schema.GroupKind) bool {
	_, found := a.find(app, gk)
	return found
}

// Judge returns the health of an object as an application sees it: by its expressions for the kind if it has some, else
// as the function Judge.
func (a *Assessor) Judge(app bundle.ApplicationName, l kube.Live) Report {
	e, found := a.find(app, l.ID.ID().GroupKind())
	if !found || l.Object == nil {
		return a.claimed(Judge(l), l.Object)
	}
	if l.Deleting {
		return Report{Status: health.Terminating, Message: waitsFor(l.Finalizers)}
	}
	return a.evaluate(e, l.Object)
}

// find returns the expressions about a kind: those of the kind before those of its whole group.
func (a *Assessor) find(app bundle.ApplicationName, gk schema.GroupKind) (e bundle.HealthExpressions, found bool) {
	if a == nil {
		return e, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	rules := a.rules[app]
	if rules == nil {
		return e, false
	}
	if e, found = rules.byKind[gk]; !found {
		e, found = rules.byKind[schema.GroupKind{Group: gk.Group}]
	}
	return e, found
}

// evaluate returns the health by expressions, in Flux's order.
func (a *Assessor) evaluate(e bundle.HealthExpressions, o *manifest.Object) Report {
	if seen, wanted := observed(o); seen != wanted {
		return Report{Status: health.InProgress, Reason: "LatestGenerationNotObserved",
			Message: fmt.Sprintf("its controller has seen generation %d of %d", seen, wanted)}
	}
	for _, step := range []struct {
		field, text string
		status      health.Status
	}{
		{"inProgress", e.InProgress, health.InProgress},
		{"failed", e.Failed, health.Failed},
		{"current", e.Current, health.Current},
	} {
		if step.text == "" {
			continue
		}
		holds, err := a.holds(step.text, o)
		switch {
		case err != nil:
			return Report{Status: health.InProgress, Reason: "ExpressionError",
				Message: fmt.Sprintf("healthCheckExprs, %s: %v", step.field, err)}
		case holds && step.status == health.Current:
			return Report{Status: health.Current}
		case holds:
			return Report{Status: step.status, Reason: "ExpressionHolds", Message: "healthCheckExprs: " + step.field + " holds"}
		}
	}
	return Report{Status: health.InProgress, Reason: "ExpressionDoesNotHold",
		Message: "healthCheckExprs: current does not hold"}
}

// holds evaluates an expression over an object.
func (a *Assessor) holds(text string, o *manifest.Object) (bool, error) {
	a.mu.RLock()
	p, known := a.parsed[text]
	a.mu.RUnlock()
	switch {
	case !known:
		return false, errors.New("a newer bundle has other expressions")
	case p.err != nil:
		return false, p.err
	}
	return p.Evaluate(o.Object)
}

// observed returns the generation that the controller has seen and the one that it should; both are 0 if the object
// lacks one of them.
func observed(o *manifest.Object) (seen, wanted int64) {
	seen, says := whole(o, "status", "observedGeneration")
	wanted, has := whole(o, "metadata", "generation")
	if !says || !has {
		return 0, 0
	}
	return seen, wanted
}
