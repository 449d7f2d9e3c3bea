package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// reading is the data that a renderable reads from other Applications.
type reading struct {
	inputs  []api.InputData // in the order of the references
	missing []manifest.ID   // objects that no Application of this pass has
	err     problem         // of the first input that has one; zero: none
	waits   bool            // err is that the cluster has not answered yet
}

// equal reports whether two readings of a renderable found the same.
func (r *reading) equal(o *reading) bool {
	if r.err != o.err || r.waits != o.waits || len(r.inputs) != len(o.inputs) || !slices.Equal(r.missing, o.missing) {
		return false
	}
	for i := range r.inputs {
		if !r.inputs[i].Equal(&o.inputs[i]) {
			return false
		}
	}
	return true
}

// givers are the ConfigMaps and Secrets of the Applications of one pass.
type givers struct {
	apps map[api.Key]*Application
	of   map[manifest.ID][]api.Key // the renderables that give each object, sorted
	// chosen are results of choose, which is the same for all readers with the same limits.
	chosen map[limits]map[manifest.ID]chosen
}

// limits of a reader, and of the objects that it gives, as text.
type limits struct{ inside, within string }

// chosen is the giver of an object for some readers. hidden is a giver that they may not read from. Nil: there is none.
type chosen struct{ winner, hidden *api.Key }

// givers returns the ConfigMaps and Secrets that the Applications of this pass give. They are computed once for each
// level.
func (p *pass) givers() *givers {
	if p.present == nil {
		p.present = p.giversIn(p.apps)
	}
	return p.present
}

// lastGivers returns the ConfigMaps and Secrets that the Applications of the last pass gave.
func (p *pass) lastGivers() *givers {
	if p.past == nil {
		p.past = p.giversIn(p.lastApps)
	}
	return p.past
}

// forgetGivers makes givers compute its result anew.
func (p *pass) forgetGivers() {
	p.present = nil
	if p.past != nil {
		clear(p.past.chosen)
	}
}

// giversIn returns the ConfigMaps and Secrets of Applications. Applications that the guard holds are left out, because
// their removal is due.
func (p *pass) giversIn(apps map[api.Key]*Application) *givers {
	all := &givers{apps: apps, of: map[manifest.ID][]api.Key{}, chosen: map[limits]map[manifest.ID]chosen{}}
	add := func(key api.Key, id manifest.ID) {
		if id.Group == "" && (id.Kind == "ConfigMap" || id.Kind == "Secret") {
			all.of[id] = append(all.of[id], key)
		}
	}
	for key, app := range apps {
		switch {
		case p.graph.Nodes[key].Held:
		case app.Rendered == nil:
			for _, id := range p.contents(app) {
				add(key, id)
			}
		default:
			for i := range app.Rendered.Payload {
				add(key, app.Rendered.Payload[i].ID())
			}
		}
	}
	for _, keys := range all.of {
		slices.SortFunc(keys, api.Key.Compare)
	}
	return all
}

// read reads the inputs of a renderable from the Applications of this pass. If none has an input, read takes it from
// the last pass, unless last is nil. If no pass has an input, the input is live.
func (p *pass) read(key api.Key, r *api.Renderable, now, last *givers) (all reading) {
	reader, earlier := p.readerOf(key, now), p.readerOf(key, last)
	for _, input := range r.Inputs {
		id := input.ID()
		data := api.InputData{Input: input}
		app, pr := p.giverOf(reader, id)
		if app == nil && pr.reason == "" {
			all.missing = append(all.missing, id)
			app, pr = p.giverOf(earlier, id)
		}
		switch {
		case pr.reason != "":
		case app != nil:
			data.Data, data.Live, pr = p.dataOf(input, app)
			if pr.reason == "" && r.Release != nil {
				pr = p.readSealed(key, r, &data, app)
			}
		case p.in.Cluster != "":
			data.Live = true
			if input.Form != "" {
				pr = p.shape(key, r, &data, nil)
			}
		case !input.Optional:
			pr = problem{condition.BuildFailed, fmt.Sprintf("%s: %s does not exist among the objects of the hub: put it "+
				"below a root of the hub, or give the variables in postBuild.substitute", input.Field, input)}
		}
		if all.err == (problem{}) {
			all.err, all.waits = pr, waitsForAnswer(&data)
		}
		all.inputs = append(all.inputs, data)
	}
	return all
}

// inputReader is a renderable that reads from some givers, which may be nil.
type inputReader struct {
	key    api.Key
	from   *givers
	chosen map[manifest.ID]chosen // of from, for the limits of this reader
}

func (p *pass) readerOf(key api.Key, from *givers) inputReader {
	if from == nil {
		return inputReader{key: key}
	}
	mine := limits{limitsOf(p.graph.Nodes[key].Confined), limitsOf(p.givesInside(key))}
	known := from.chosen[mine]
	if known == nil {
		known = map[manifest.ID]chosen{}
		from.chosen[mine] = known
	}
	return inputReader{key, from, known}
}

// limitsOf returns the same text for Confinements that cover, and are covered by, the same others.
func limitsOf(c *api.Confinement) string {
	var b strings.Builder
	for ; c != nil; c = c.Outer {
		b.WriteString(c.Namespace + "/" + c.Account + "\n")
	}
	return b.String()
}

// giverOf returns the Application that a renderable reads an object from; nil if there is none. As with sources, the
// object of a tenant is for the tenant alone; if the reader is not the tenant, giverOf returns a problem. Of several
// Applications giverOf returns the one that keeps the object. It leaves out objects of the reader itself, which its
// renderer reads.
func (p *pass) giverOf(me inputReader, id manifest.ID) (*Application, problem) {
	found, known := me.chosen[id]
	if !known && me.from != nil {
		found = p.choose(me, id, nil)
		me.chosen[id] = found
	}
	if found.winner != nil && *found.winner == me.key {
		found = p.choose(me, id, &me.key)
	}
	switch {
	case found.winner != nil:
		return me.from.apps[*found.winner], problem{}
	case found.hidden != nil:
		c := p.gaveInside(*found.hidden)
		return nil, problem{condition.AccessDenied, fmt.Sprintf("%s comes from %s, whose objects run with service account "+
			"%q, and is for those alone: give the object where this %s is given, or set its spec.serviceAccountName to %q",
			id, found.hidden.Local(), c.Account, me.key.Kind, c.Account)}
	}
	return nil, problem{}
}

// choose returns the giver of an object for all readers with the limits of one, apart from one giver that does not
// count, unless that is nil.
func (p *pass) choose(me inputReader, id manifest.ID, without *api.Key) (found chosen) {
	for _, key := range me.from.of[id] {
		switch {
		case without != nil && key == *without:
		case !p.mayRead(me.key, key):
			found.hidden = &key
		case found.winner == nil:
			found.winner = &key
		default:
			_, wins := p.loser(*found.winner, key, id)
			found.winner = &wins
		}
	}
	return found
}

// mayRead reports whether a renderable may read objects of another one: the limits of the giver must be the same or
// wider.
func (p *pass) mayRead(reader, giver api.Key) bool {
	c := p.gaveInside(giver)
	return c.Covers(p.graph.Nodes[reader].Confined) || c.Same(p.givesInside(reader))
}

// gaveInside returns givesInside of a renderable. If only the last pass has the renderable, gaveInside uses that node.
func (p *pass) gaveInside(key api.Key) *api.Confinement {
	if _, here := p.graph.Nodes[key]; here {
		return p.givesInside(key)
	}
	n := p.known[key]
	if r, err := n.Object.Renderable(); err == nil {
		return n.Confined.Inside(key, r)
	}
	return n.Confined
}

// givenObject is an object of an Application.
type givenObject struct {
	app *Application
	id  manifest.ID
}

// givenData is the result of reading it: live if the object in the cluster may differ from the one in Git, because its
// annotations allow others to change it.
type givenData struct {
	data map[string]string
	live bool
	err  error
}

// dataOf returns the data of an input from its Application. A pass reads the data of each object once.
func (p *pass) dataOf(input api.Input, app *Application) (data map[string]string, live bool, pr problem) {
	at := givenObject{app, input.ID()}
	found, known := p.readData[at]
	if !known {
		found = p.readGiven(at)
		p.readData[at] = found
	}
	if found.err != nil {
		pr = problem{condition.BuildFailed, fmt.Sprintf("%s: %s from %s: %v", input.Field, input, app.Key.Local(), found.err)}
	}
	return found.data, found.live, pr
}

func (p *pass) readGiven(at givenObject) (found givenData) {
	o, err := p.in.Object(*at.app, at.id)
	switch {
	case err != nil:
		return givenData{err: err}
	case manifest.MarksOf(o).DiffersInCluster() && p.in.Cluster != "":
		return givenData{live: true}
	}
	found.data, found.err = api.DataOf(o)
	return found
}

// missingInputs returns the inputs of a renderable that no Application has.
func (p *pass) missingInputs(key api.Key, r *api.Renderable, now *givers) (ids []manifest.ID) {
	me := p.readerOf(key, now)
	for _, input := range r.Inputs {
		id := input.ID()
		if app, pr := p.giverOf(me, id); app == nil && pr.reason == "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// readInputs returns the inputs of a renderable. wait is true if an input is missing and a later render of this pass
// may give it.
func (p *pass) readInputs(key api.Key, r *api.Renderable) (inputs []api.InputData, wait bool, err error) {
	if len(r.Inputs) == 0 {
		return nil, false, nil
	}
	var last *givers
	if p.released[key] {
		last = p.lastGivers()
	}
	found := p.read(key, r, p.givers(), last)
	if len(found.missing) > 0 && !p.released[key] {
		return nil, true, nil
	}
	found.missing = nil
	p.readings[key] = found
	switch {
	case found.waits:
		return nil, false, &NotYet{found.err}
	case found.err.reason != "":
		return nil, false, found.err
	}
	return found.inputs, false, nil
}

// releaseReaders moves renderables that wait for inputs to the queue if may returns true for the missing ones. It
// returns false if the queue is still empty.
func (p *pass) releaseReaders(may func(missing []manifest.ID) bool) bool {
	var stay []api.Key
	all := p.givers()
	for _, key := range p.readers {
		r, err := p.graph.Nodes[key].Object.Renderable()
		if err != nil || may(p.missingInputs(key, r, all)) {
			p.released[key] = true
			p.queue = append(p.queue, key)
		} else {
			stay = append(stay, key)
		}
	}
	p.readers = stay
	return len(p.queue) > 0
}

// readFound releases the renderables whose inputs all exist.
func (p *pass) readFound() bool {
	p.forgetGivers()
	return len(p.readers) > 0 && p.releaseReaders(func(missing []manifest.ID) bool { return len(missing) == 0 })
}

// readLive releases the renderables whose missing inputs the last pass did not have either.
func (p *pass) readLive() bool {
	if len(p.readers) == 0 {
		return false
	}
	last := p.lastGivers()
	return p.releaseReaders(func(missing []manifest.ID) bool {
		return !slices.ContainsFunc(missing, func(id manifest.ID) bool { return len(last.of[id]) > 0 })
	})
}

// readLast releases all renderables that wait for inputs: the renderables that give the inputs may come from them.
func (p *pass) readLast() bool {
	return len(p.readers) > 0 && p.releaseReaders(func([]manifest.ID) bool { return true })
}

// misread returns the renderables whose inputs at the end of the pass differ from those that they were rendered with.
func (p *pass) misread() (moved []sightKey) {
	if len(p.readings) == 0 {
		return nil
	}
	p.forgetGivers()
	all := p.givers()
	for key, was := range p.readings {
		r, err := p.graph.Nodes[key].Object.Renderable()
		if err != nil {
			continue
		}
		now := p.read(key, r, all, nil)
		now.missing = nil
		if !was.equal(&now) {
			moved = append(moved, sightKey{object: key})
		}
	}
	return moved
}
