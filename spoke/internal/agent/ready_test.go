package agent

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestReadyExpression_once evaluates an expression once for each change of a status, and ends one that takes too many
// steps.
func TestReadyExpression_once(t *testing.T) {
	m := newModel("c", func() float64 { return 0 })
	dep, name := appNamed("a"), appNamed("b")
	self, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		"text": strings.Repeat("a", 60_000), "part": strings.Repeat("a", 30_000) + "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	const search = "self.metadata.annotations.text.indexOf(self.metadata.annotations.part) > 0"
	app := &bundle.Application{Name: name, DependsOn: []bundle.ApplicationName{dep},
		ReadyExpressions: []bundle.ReadyExpression{{Dependency: dep, Expression: search, Dep: []byte(`{}`), Self: self}}}
	node := func(app *bundle.Application) *node {
		return &node{entry: bundle.Entry{Name: app.Name, Digest: manifest.DigestOf(nil)}, standing: listed, app: app,
			readyExpressions: readReadyExpressions(app)}
	}
	m.names = []bundle.ApplicationName{dep, name}
	m.nodes[dep], m.nodes[name] = node(&bundle.Application{Name: dep}), node(app)
	m.now = time.Unix(1, 0)
	m.judgeAll()
	if got := m.nodes[name].ready.Message; !strings.Contains(got, "too many steps") {
		t.Error(got)
	}
	e := m.nodes[name].readyExpressions[0]
	e.why = "is kept"
	if m.judgeAll(); !strings.Contains(m.nodes[name].ready.Message, "is kept") {
		t.Error("evaluated without a change: ", m.nodes[name].ready.Message)
	}
	m.nodes[dep].mark.Revision = "r-2"
	if m.judgeAll(); strings.Contains(m.nodes[name].ready.Message, "is kept") {
		t.Error("not evaluated after a change")
	}
}
