package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/cpu"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/state"
)

// TestJudgeAll_chains judges long chains of applications, each of which is bound to the next one. Their work grows
// with their length, not with its square.
func TestJudgeAll_chains(t *testing.T) {
	const count, limit = 4000, 2 * time.Second
	name := func(i int) bundle.ApplicationName { return appNamed(fmt.Sprintf("app-%04d", i)) }
	for _, c := range []struct {
		name string
		bind func(n *node, next bundle.ApplicationName)
		want string // the reason of the first one
	}{
		{"depends_on", func(n *node, next bundle.ApplicationName) {
			n.app.DependsOn = []bundle.ApplicationName{next}
		}, condition.DependencyNotReady},
		{"health_checks", func(n *node, next bundle.ApplicationName) {
			n.peers, n.mark = []bundle.ApplicationName{next}, state.Mark{Digest: n.entry.Digest}
		}, condition.ReconciliationSucceeded},
		{"parent", func(n *node, next bundle.ApplicationName) {
			n.entry.Parent = next
		}, condition.Progressing},
		{"leaving", func(n *node, next bundle.ApplicationName) {
			n.standing, n.app, n.mark.DependsOn = leaving, nil, []bundle.ApplicationName{next}
		}, condition.Progressing},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel("c", func() float64 { return 0 })
			m.now = time.Unix(1, 0)
			for i := range count {
				n := &node{entry: bundle.Entry{Name: name(i), Digest: manifest.DigestOf([]byte{1})},
					app: &bundle.Application{Name: name(i)}}
				c.bind(n, name(i+1))
				m.nodes[name(i)] = n
			}
			end := &node{entry: bundle.Entry{Name: name(count), Digest: manifest.DigestOf(nil)},
				app: &bundle.Application{Name: name(count)}}
			if c.want == condition.ReconciliationSucceeded {
				end.mark.Digest = end.entry.Digest
			}
			m.nodes[name(count)] = end
			m.sort()
			if took := cpu.Time(func() { m.judgeAll() }); took > limit {
				t.Errorf("took %s", took)
			}
			if got := m.nodes[name(0)].ready.Reason; got != c.want {
				t.Errorf("reason %s, want %s", got, c.want)
			}
		})
	}
}
