package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// load reads the first state; every graph has to be walked.
func (p *Planner) load(ctx context.Context) error {
	before := p.hub.rows
	return p.store.View(ctx, func(tx *store.Tx) error {
		if err := p.loadHub(tx); err != nil {
			return err
		}
		for key := range before {
			if _, stays := p.hub.rows[key]; !stays {
				p.hub.left[key] = true
			}
		}
		if err := p.markAll(tx); err != nil {
			return err
		}
		clear(p.sources)
		return store.Sources.ScanApart(tx, "", func(key string, f store.Fetched) error {
			p.sources[key] = f
			return nil
		}, func(string, error) error { return nil }) // fetch drops it, and fetches again
	})
}

// loadHub reads the rows of the hub's own objects.
func (p *Planner) loadHub(tx *store.Tx) error {
	p.hub = newHub()
	return store.Resources.ScanApart(tx, store.OfCluster(""), func(_ string, r store.Resource) error {
		p.setHubRow(r)
		return nil
	}, func(path string, err error) error {
		p.setHubRow(damagedRow(path))
		return nil
	})
}

// markAll marks the graph of the hub, those of the clusters, and those of which there are rows.
func (p *Planner) markAll(tx *store.Tx) error {
	p.dirty[""] = true
	for name := range p.hub.clusters {
		p.dirty[name] = true
	}
	err := store.Resources.Sizes(tx, "", func(key string, _ int) error {
		p.dirty[api.ClusterOf(key)] = true
		return nil
	})
	return errors.Join(err, store.Plans.Sizes(tx, "", func(cluster string, _ int) error {
		p.dirty[cluster] = true
		return nil
	}))
}

// setHubRow puts a row into the hub, and logs if it cannot be read.
func (p *Planner) setHubRow(r store.Resource) {
	if err := p.hub.set(r); err != nil {
		p.log.Error("an object of the store cannot be read and is ignored: apply it again", telemetry.Object(r.Key),
			telemetry.Err(err))
	}
}

// note marks the graphs that changes affect.
func (p *Planner) note(ctx context.Context, changes []store.Change) error {
	for _, c := range changes {
		if c.Key == "" { // too many to name
			return p.load(ctx)
		}
	}
	return p.store.View(ctx, func(tx *store.Tx) error {
		for _, c := range changes {
			var err error
			switch {
			case c.Table == store.Sources.Name():
				err = p.noteSource(tx, c.Key)
			case c.Table == store.Spokes.Name():
				err = p.noteSpoke(tx, c.Key)
			case c.Table == store.Shapes.Name():
				p.noteShape(c.Key)
			case c.Table == store.Repairs.Name():
				err = p.noteRow(tx, store.Repairs.Bytes, c.Key, c.Key)
			case c.Table == store.Confirmations.Name():
				err = p.noteRow(tx, store.Confirmations.Bytes, c.Key, pathKey(c.Key).Name)
			case strings.HasPrefix(c.Key, store.OfCluster("")):
				err = p.noteHub(tx, c.Key)
			default:
				err = p.noteCluster(tx, c.Key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// noteSource marks the graphs that read the source, if the source has another artifact, or has none and another error.
// It also marks the graphs that wait for the source to be fetched, whatever the result is.
func (p *Planner) noteSource(tx *store.Tx, key string) error {
	now, ok, err := store.Sources.GetIntact(tx, key) // fetch drops a damaged row, and fetches again
	if err != nil {
		return err
	}
	before, was := p.sources[key]
	delete(p.sources, key)
	if ok {
		p.sources[key] = now
	}
	changed := ok != was || !sameArtifact(before, now)
	for name, s := range p.scopes {
		if s.awaited[key] || changed && s.sources[key] {
			p.dirty[name] = true
		}
	}
	return nil
}

// noteRow marks a graph if the row exists: a Repair of its cluster, or a Confirmation of its removals.
func (p *Planner) noteRow(tx *store.Tx, bytes func(*store.Tx, string) ([]byte, error), key, cluster string) error {
	row, err := bytes(tx, key)
	if row != nil {
		p.dirty[cluster] = true
	}
	return err
}

// sameArtifact reports whether two fetches are the same for a walk. An error counts only if there is no artifact.
func sameArtifact(a, b store.Fetched) bool {
	return a.Artifact.Equal(b.Artifact) && (a.Artifact != nil || a.Error == b.Error)
}

// noteHub marks the hub's own graph, and the graphs that depend on the object, if the object changed.
func (p *Planner) noteHub(tx *store.Tx, path string) error {
	now, ok, err := store.Resources.Get(tx, path)
	if errors.Is(err, store.ErrDamaged) {
		now, ok, err = damagedRow(path), true, nil
	}
	if err != nil {
		return err
	}
	if !ok {
		now.Key = pathKey(path)
	}
	if p.changeHub(now, ok) {
		p.dirty[""] = true
	}
	return nil
}

// changeHub applies a change or a deletion of a row to p.hub, and marks the clusters that depend on the object. If the
// row did not change, changeHub returns false.
func (p *Planner) changeHub(now store.Resource, ok bool) bool {
	before, was := p.hub.rows[now.Key]
	if ok == was && sameRow(before, now) {
		return false
	}
	p.concern(now.Key)
	if ok {
		p.setHubRow(now)
	} else {
		p.hub.remove(now.Key)
		p.hub.left[now.Key] = true
	}
	p.concern(now.Key)
	if now.Key.Role() == api.SourceRole &&
		(!before.Object.Equal(now.Object) || before.Bound() != now.Bound()) {
		for name, s := range p.scopes {
			if s.hubSources[now.Key] {
				p.dirty[name] = true
			}
		}
	}
	return true
}

// concern marks the graph of a Cluster, or the graphs of the clusters that a Fleet selects now or selected before.
func (p *Planner) concern(key api.Key) {
	switch key.Role() {
	case api.ClusterRole:
		p.dirty[key.Name] = true
	case api.FleetRole:
		for name, c := range p.hub.clusters {
			_, gave := p.known(name).fleets[key.Name]
			if gave || p.hub.selects(key.Name, c) {
				p.dirty[name] = true
			}
		}
	}
}

// known returns the scope of a graph. If the graph was never walked, known returns an empty scope.
func (p *Planner) known(cluster string) *scope {
	if s := p.scopes[cluster]; s != nil {
		return s
	}
	return &scope{}
}

// noteCluster marks the graph of the cluster, unless the row is as the last walk left it.
func (p *Planner) noteCluster(tx *store.Tx, path string) error {
	now, ok, err := store.Resources.Get(tx, path)
	cluster := api.ClusterOf(path)
	if errors.Is(err, store.ErrDamaged) {
		p.dirty[cluster] = true
		return nil
	}
	if err != nil {
		return err
	}
	left, was := p.known(cluster).rows[path]
	if ok != was || ok && digestOfRow(now) != left {
		p.dirty[cluster] = true
	}
	return nil
}

// sameRow reports whether two rows are the same for a walk.
func sameRow(a, b store.Resource) bool { return bytes.Equal(bytesOfRow(a), bytesOfRow(b)) }

func digestOfRow(r store.Resource) manifest.Digest { return manifest.DigestOf(bytesOfRow(r)) }

// bytesOfRow returns all fields of a row that a walk reads.
func bytesOfRow(r store.Resource) []byte {
	var b bytes.Buffer
	if r.Object != nil {
		b.Write(r.Object.JSON)
	}
	b.WriteByte(0)
	b.WriteString(r.RequestedAt)
	b.WriteByte(0)
	if r.Requests != (store.ReleaseRequests{}) {
		fmt.Fprint(&b, r.Requests)
	}
	if r.Pin != (store.ReleasePin{}) {
		fmt.Fprint(&b, "pin", r.Pin.Revision)
	}
	if r.Suspended {
		b.WriteByte(1)
	}
	if r.StopRepair {
		b.WriteByte(2)
	}
	if r.Owner != nil {
		b.WriteString(r.Owner.Path())
		fmt.Fprint(&b, r.Orphaned, r.OrphanOnDelete, r.Held)
		confined, _ := json.Marshal(r.Confined) // strings only: there is no error to have
		b.Write(confined)
		fmt.Fprint(&b, r.Admission)
		if r.AliasOf != nil {
			b.WriteString(r.AliasOf.Path())
		}
	}
	return b.Bytes()
}

// pathKey returns the key of the path of a row. If the path has no key, pathKey returns the zero key.
func pathKey(path string) api.Key {
	key, _ := api.ParseKey(path)
	return key
}
