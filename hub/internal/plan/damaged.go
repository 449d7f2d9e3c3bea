package plan

import (
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// damagedRow returns a row in place of a damaged one of the hub: the object exists, and nothing of it can be read.
func damagedRow(path string) store.Resource {
	key := pathKey(path)
	return store.Resource{Key: key, Object: api.StoredObject(key, nil)}
}

// readRows reads the rows of the graph of a cluster. Call it after the last plan is read.
func (p *Planner) readRows(tx *store.Tx, w *walked) error {
	w.rows = map[api.Key]store.Resource{}
	clear(w.lost)
	return store.Resources.ScanApart(tx, store.OfCluster(w.cluster), func(_ string, r store.Resource) error {
		w.rows[r.Key] = r
		return nil
	}, func(path string, _ error) error {
		key := pathKey(path)
		w.lost[key] = p.wasSuspended(w, key)
		return nil
	})
}

// wasSuspended reports whether the last plan has a renderable as suspended, and not because of its Fleet.
func (p *Planner) wasSuspended(w *walked, key api.Key) bool {
	for _, e := range w.last.Applications {
		if key.Role() == api.RenderableRole && e.Name == key.Application() {
			fleet := p.hub.fleets[e.Fleet]
			return e.Suspended && (fleet == nil || !fleet.Spec.Suspend)
		}
	}
	return false
}

// restorable returns an error if the walk did not give every object anew whose row is damaged: an orphan, an object
// whose removal is held, or anything of a suspended Cluster. Then the cluster keeps its last plan, because it is not
// known what becomes of the object.
func (w *walked) restorable() error {
	for key := range w.lost {
		if w.graph == nil || w.graph.Nodes[key].Owner == nil || w.graph.Nodes[key].Orphaned {
			return fmt.Errorf("the row of %s is damaged and nothing gives the object anew, so the cluster keeps its last "+
				"plan: restore the store from a backup: %w", key, store.ErrDamaged)
		}
	}
	return nil
}

// pinOf returns the pin of a HelmRelease. If its row is damaged, that is the revision of the last plan, and nobody
// knows any more who pinned it.
func (w *walked) pinOf(key api.Key) (pin store.ReleasePin) {
	if _, lost := w.lost[key]; !lost || key.Role() != api.RenderableRole {
		return w.rows[key].Pin
	}
	for _, e := range w.last.Applications {
		if e.Name == key.Application() && e.PinnedRevision != 0 {
			pin = store.ReleasePin{Revision: e.PinnedRevision, At: w.last.ChangedAt}
		}
	}
	return pin
}
