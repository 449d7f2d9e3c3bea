package graph

import (
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// overlaps finds the objects that several Applications of a pass have.
type overlaps struct {
	*pass
	ids map[api.Key][]manifest.ID // the objects of each Application
	// having has the Applications that have each object. It is made when the first Application is kept back.
	having map[manifest.ID]map[api.Key]bool
}

// keepOverlapping keeps back the Applications that have an object of another Application: two would undo each other's
// work. The one that is kept, or had the object last, has the object, else the first by name. The other is kept back as
// a whole, because a part of it would differ from Git. What it had last may be another one's now, so keepOverlapping
// looks again at the objects of those that it kept back, until there are none.
func (p *pass) keepOverlapping() {
	o := overlaps{pass: p, ids: map[api.Key][]manifest.ID{}}
	for key, app := range p.apps {
		o.ids[key] = p.contents(app)
	}
	keys := slices.SortedFunc(maps.Keys(p.apps), api.Key.Compare)
	lost := o.decide(keys, nil)
	for len(lost) > 0 {
		changed := o.keepBack(lost)
		affected := map[api.Key]bool{}
		for id := range changed {
			maps.Copy(affected, o.having[id])
		}
		lost = o.decide(slices.SortedFunc(maps.Keys(affected), api.Key.Compare), changed)
	}
}

// decide returns the Applications that have an object of another one. If only is not nil, it has the objects to look
// at.
func (o *overlaps) decide(keys []api.Key, only map[manifest.ID]bool) map[api.Key]bool {
	holders := map[manifest.ID]api.Key{}
	lost := map[api.Key]bool{}
	for _, key := range keys {
		for _, id := range o.ids[key] {
			other, taken := holders[id]
			switch {
			case only != nil && !only[id]:
				continue
			case !taken:
				holders[id] = key
				continue
			}
			loser, winner := o.loser(other, key, id)
			holders[id] = winner
			if o.apps[loser].Rendered != nil {
				lost[loser] = true
				o.problem(loser, condition.ObjectConflict,
					id.String()+" comes from "+winner.Local()+" already: "+o.advice(winner))
			}
		}
	}
	return lost
}

// keepBack keeps back Applications and returns the objects that they have now or had until now.
func (o *overlaps) keepBack(lost map[api.Key]bool) (changed map[manifest.ID]bool) {
	if o.having == nil {
		o.having = map[manifest.ID]map[api.Key]bool{}
		for key := range o.ids {
			o.add(key)
		}
	}
	changed = map[manifest.ID]bool{}
	for _, key := range slices.SortedFunc(maps.Keys(lost), api.Key.Compare) {
		o.expect(o.graph.Expected, key)
		for _, id := range o.ids[key] {
			delete(o.having[id], key)
			changed[id] = true
		}
		o.keepApplication(key, false)
		delete(o.ids, key)
		if app := o.apps[key]; app != nil {
			o.ids[key] = o.contents(app)
			o.add(key)
		}
		for _, id := range o.ids[key] {
			changed[id] = true
		}
	}
	return changed
}

// add notes that an Application has its objects.
func (o *overlaps) add(key api.Key) {
	for _, id := range o.ids[key] {
		if o.having[id] == nil {
			o.having[id] = map[api.Key]bool{}
		}
		o.having[id][key] = true
	}
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
	if p.graph.Nodes[holder].Held {
		return "that one is not in Git any more, but its removal is held; let it go with " + p.confirmation()
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
	name := key.Application()
	entry, ok := p.in.Entries[name]
	if !ok {
		return false
	}
	last, known := p.in.lastContents[name]
	if !known {
		last = map[manifest.ID]bool{}
		ids, _ := p.in.Contents(entry.Digest) // if it cannot be read, its objects are unknown
		for _, id := range ids {
			last[id] = true
		}
		p.in.lastContents[name] = last
	}
	return last[id]
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
