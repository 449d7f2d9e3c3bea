package plan

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// scope has the facts about the last walk of a graph by which the planner decides whether a change affects the graph.
type scope struct {
	sources    map[string]bool            // keys of the fetches that were read
	awaited    map[string]bool            // of them, those whose next answer to a request the graph waits for
	hubSources map[api.Key]bool           // sources that were looked for in the hub
	fleets     map[string]error           // those that select the cluster, and the errors of their roots
	rows       map[string]manifest.Digest // the rows of the graph, as the walk left them
	renders    map[string]bool            // rows of store.Renders in use
	// hub objects that were refused, or whose removal is held: they keep an earlier version
	refused    map[api.Key]bool
	rowless    map[api.Key]bool // objects with a condition and without a row: they were refused
	asked      map[string]bool  // IDs of questions about shapes
	spoke      string           // identifies the facts that charts were rendered for; empty: there are no charts
	incomplete bool             // there may be objects that the walk does not know of
}

// scope returns the facts about a walk that the planner keeps.
func (w *walked) scope() *scope {
	s := &scope{
		sources: w.graph.Sources, awaited: w.awaited, hubSources: w.graph.HubSources, fleets: w.fleets,
		rows: map[string]manifest.Digest{}, renders: map[string]bool{}, refused: map[api.Key]bool{},
		rowless: map[api.Key]bool{}, incomplete: len(w.graph.Blind) > 0, spoke: w.facts.spoke,
		asked: w.graph.Asked,
	}
	if w.cluster != "" {
		for key, r := range w.rows {
			s.rows[key.Path()] = digestOfRow(r)
		}
		for key, r := range w.written {
			delete(s.rows, key.Path())
			if r != nil {
				read := w.rows[key]
				read.Pin = w.pinOf(key)
				s.rows[key.Path()] = digestOfRow(asRead(*r, read))
			}
		}
	}
	for r := range w.renders {
		for _, row := range r.Rows() {
			s.renders[row] = true
		}
	}
	for key, f := range w.graph.Findings {
		if (f.Reason == condition.Refused || f.Reason == condition.RemovalHeld) && !f.Ready {
			s.refused[key] = true
		}
		if _, node := w.graph.Nodes[key]; !node && key.Cluster == w.cluster {
			s.rowless[key] = true
		}
	}
	return s
}

// asRead returns a written row with the fields of operators as they were when the walk began. Changes since then
// concern the next walk.
func asRead(written, read store.Resource) store.Resource {
	read.SetObject(written.Object)
	written.RequestedAt, written.Suspended, written.Requests = read.RequestedAt, read.Suspended, read.Requests
	written.Pin = read.Pin
	return written
}
