package graph

import (
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// overlap keeps back the Applications that have an object of another Application: two would undo each other's work. The
// one that is kept, or had the object last, has the object, else the first by name. The other is kept back as a whole,
// because a part of it would differ from Git. overlap returns false if there was none.
func (p *pass) overlap() bool {
	holders := map[manifest.ID]api.Key{}
	lost := map[api.Key]bool{}
	for _, key := range slices.SortedFunc(maps.Keys(p.apps), api.Key.Compare) {
		for _, id := range p.contents(p.apps[key]) {
			other, taken := holders[id]
			if !taken {
				holders[id] = key
				continue
			}
			loser, winner := p.loser(other, key, id)
			holders[id] = winner
			if p.apps[loser].Rendered != nil {
				lost[loser] = true
				p.problem(loser, condition.ObjectConflict, id.String()+" comes from "+winner.Local()+" already: "+p.advice(winner))
			}
		}
	}
	for key := range lost {
		p.expect(p.graph.Expected, key)
		p.keepApplication(key, false)
	}
	return len(lost) > 0
}

// expect adds the objects of a rendered Application to those that are expected.
func (p *pass) expect(expected map[manifest.ID]Expectation, key api.Key) {
	app := p.apps[key]
	if app == nil || app.Rendered == nil {
		return
	}
	e := Expectation{By: key, ServiceAccount: p.graph.Nodes[key].Confined.AccountOf(app.Renderable)}
	for _, o := range app.Rendered.Payload {
		expected[o.ID()] = e
	}
}

// advice returns the advice to the user if an Application gives an object of another Application, the holder.
func (p *pass) advice(holder api.Key) string {
	if p.graph.Nodes[holder].Orphaned {
		return "that one is not in Git any more but was not pruned; when this one is to have the object, delete it by hand"
	}
	if p.graph.Findings[holder].Suspended {
		return "that one is suspended and keeps what it had; resume it if Git gives the object to this one"
	}
	return "take it out of one of the two"
}

// loser decides between two Applications with the same object; a comes before b. A tenant's loses to the operator's.
func (p *pass) loser(a, b api.Key, id manifest.ID) (loser, winner api.Key) {
	of, other := p.givesInside(a), p.givesInside(b)
	switch {
	case of.Covers(other) && !other.Covers(of):
		return b, a
	case other.Covers(of) && !of.Covers(other):
		return a, b
	}
	if !p.had(a, id) && p.had(b, id) {
		return a, b
	}
	return b, a
}

// had reports whether the object is in the last Application.
func (p *pass) had(key api.Key, id manifest.ID) bool {
	entry, ok := p.in.Entries[key.Application()]
	if !ok {
		return false
	}
	ids, err := p.in.Contents(entry.Digest)
	return err == nil && slices.Contains(ids, id)
}

func (p *pass) contents(app *Application) []manifest.ID {
	if app.Rendered == nil {
		ids, err := p.in.Contents(app.Last.Digest)
		if err != nil {
			return nil // it cannot be read: its objects are unknown
		}
		return ids
	}
	ids := make([]manifest.ID, len(app.Rendered.Payload))
	for i, o := range app.Rendered.Payload {
		ids[i] = o.ID()
	}
	return ids
}
