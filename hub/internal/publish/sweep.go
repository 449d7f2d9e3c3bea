package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// renderKeep is how long an unused render stays in the store. The planner marks the renders in use twice a day, so a
// render in use is never that old.
const renderKeep = 7 * 24 * time.Hour

// sweep deletes the renders that were unused for renderKeep, and then the blobs that no plan, release, bundle or render
// names. If a blob becomes reachable meanwhile, it was put after the previous sweep, and Blobs.Sweep does not delete
// it.
//
// If an Application cannot be read, its blobs are not known. Then sweep deletes only damaged Applications, and asks the
// planner to walk the clusters that need them again, which makes them anew. Blobs wait for the next sweep.
func (p *Publisher) sweep(ctx context.Context) error {
	r, err := p.mark(ctx)
	blobs := 0
	if err == nil {
		err = r.applications(ctx, p.Store.Blobs())
	}
	if err == nil && len(r.unread) > 0 {
		err = p.repair(ctx, r)
	} else if err == nil {
		blobs, err = p.Store.Blobs().Sweep(ctx, func(d manifest.Digest) bool { return r.reached[d] })
	}
	if err != nil {
		return fmt.Errorf("sweep the store: %w", err)
	}
	p.metrics.swept.Add(float64(blobs))
	p.Log.DebugContext(ctx, "swept the store", telemetry.Count(blobs))
	return nil
}

// mark deletes the renders that were unused for renderKeep, and returns the digests that the other rows name. Only the
// deletion delays other writers. A row that is written after the View names blobs that were put after the previous
// sweep, blobs that rows of the View name, or blobs of a render that is used again; forget reaches the last ones.
func (p *Publisher) mark(ctx context.Context) (r *reachable, err error) {
	err = p.Store.View(ctx, func(tx *store.Tx) error {
		r = newReachable(p.Now())
		return errors.Join(r.renders(tx), r.plans(tx), r.bundles(tx, p.open), r.reported(tx), r.kept(tx))
	})
	if err == nil {
		err = p.Store.Update(ctx, r.forget)
	}
	if err != nil {
		return nil, err
	}
	for cluster, cause := range r.unsigned {
		p.Log.WarnContext(ctx, "a bundle cannot be read and will be signed again", telemetry.Cluster(cluster),
			telemetry.Err(cause))
		p.dirty[cluster] = true
	}
	return r, nil
}

// repair asks the planner for the Applications that cannot be read, and deletes those that are damaged.
func (p *Publisher) repair(ctx context.Context, r *reachable) error {
	var damaged []manifest.Digest
	for d, cause := range r.unread {
		p.Log.WarnContext(ctx, "an application cannot be read; it will be made again, and no blob is deleted meanwhile",
			telemetry.Digest(d), slog.Any("clusters", r.needers(d)), telemetry.Err(cause))
		if errors.Is(cause, store.ErrDamaged) {
			damaged = append(damaged, d)
		}
	}
	if len(damaged) > 0 { // first, because the planner makes only missing Applications anew
		if err := p.Store.Blobs().Delete(ctx, damaged...); err != nil {
			return err
		}
	}
	return p.Store.Update(ctx, func(tx *store.Tx) error {
		for cluster, needed := range r.needed {
			row := store.Repair{Applications: slices.SortedFunc(maps.Keys(needed),
				func(a, b manifest.Digest) int { return bytes.Compare(a[:], b[:]) })}
			if err := store.Repairs.Put(tx, cluster, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// reachable collects the blobs that rows of the store need.
type reachable struct {
	now      time.Time
	unused   []string // renders that were unused for renderKeep
	reached  map[manifest.Digest]bool
	entries  map[string][]bundle.Entry           // of plans, releases and bundles, by cluster
	unsigned map[string]error                    // bundles that cannot be read, by cluster
	read     map[manifest.Digest]bool            // Applications whose objects are reached
	unread   map[manifest.Digest]error           // Applications that cannot be read
	needed   map[string]map[manifest.Digest]bool // of these, by cluster
	healthy  map[manifest.Digest]bool            // Applications that were last healthy on a cluster, or are in a history
}

func newReachable(now time.Time) *reachable {
	return &reachable{
		now: now, reached: map[manifest.Digest]bool{}, entries: map[string][]bundle.Entry{}, unsigned: map[string]error{},
		read: map[manifest.Digest]bool{}, unread: map[manifest.Digest]error{},
		needed: map[string]map[manifest.Digest]bool{}, healthy: map[manifest.Digest]bool{},
	}
}

// needers returns the names of the clusters that need an Application, sorted.
func (r *reachable) needers(d manifest.Digest) (clusters []string) {
	for cluster, needed := range r.needed {
		if needed[d] {
			clusters = append(clusters, cluster)
		}
	}
	slices.Sort(clusters)
	return clusters
}

// renders reaches the digests that the renders in use name, and notes the other renders. A damaged one is not in use.
func (r *reachable) renders(tx *store.Tx) error {
	return store.Renders.ScanApart(tx, "", func(key string, row store.Render) error {
		if r.isUnused(row) {
			r.unused = append(r.unused, key)
			return nil
		}
		return r.named(row.Value)
	}, func(key string, _ error) error {
		r.unused = append(r.unused, key)
		return nil
	})
}

func (r *reachable) isUnused(row store.Render) bool { return r.now.Sub(row.UsedAt) >= renderKeep }

// forget deletes the renders that are still unused. The planner marks a render as used in the transaction that relies
// on its blobs; such a render stays, and forget reaches the digests that it names.
func (r *reachable) forget(tx *store.Tx) error {
	for _, key := range r.unused {
		row, ok, err := store.Renders.Get(tx, key)
		switch {
		case errors.Is(err, store.ErrDamaged):
			err = store.Renders.Delete(tx, key)
		case err == nil && !ok:
		case err == nil && r.isUnused(row):
			err = store.Renders.Delete(tx, key)
		case err == nil:
			err = r.named(row.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// named reaches every digest in a JSON value. The format of a render belongs to package render/cache; named relies
// only on blobs being named by their digests. If a digest names no blob, it is ignored.
func (r *reachable) named(value json.RawMessage) error {
	tokens := json.NewDecoder(bytes.NewReader(value))
	for {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("parse a render: %w", err)
		}
		text, _ := token.(string)
		if d, err := manifest.ParseDigest(text); err == nil {
			r.reached[d] = true
		}
	}
}

// plans reaches the Applications of plans and releases. A release that a rollout holds may be older than the plan.
func (r *reachable) plans(tx *store.Tx) error {
	err := store.Plans.Scan(tx, "", func(cluster string, row store.Plan) error {
		return r.add(cluster, row.Applications)
	})
	return errors.Join(err, store.Releases.Scan(tx, "", func(cluster string, row store.Release) error {
		return r.add(cluster, row.Applications)
	}))
}

func (r *reachable) add(cluster string, entries []store.Entry) error {
	r.entries[cluster] = append(r.entries[cluster], store.BundleEntries(entries)...)
	return nil
}

// bundles reaches the Applications of bundles, which spokes may still fetch.
func (r *reachable) bundles(tx *store.Tx, open func(envelope []byte) (*bundle.Bundle, error)) error {
	return store.SignedBundles.Scan(tx, "", func(cluster string, d store.SignedBundle) error {
		b, err := open(d.Envelope)
		if err != nil {
			r.unsigned[cluster] = err
			return nil
		}
		r.entries[cluster] = append(r.entries[cluster], b.Applications...)
		return nil
	})
}

// reported reaches the blobs of spokes' reports: their capabilities, and the Applications that were last healthy.
// A damaged row needs none: the cluster registers again, and a spoke reports again.
func (r *reachable) reported(tx *store.Tx) error {
	ignore := func(string, error) error { return nil }
	err := store.Spokes.ScanApart(tx, "", func(_ string, row store.Spoke) error {
		r.reached[row.Capabilities] = true
		return nil
	}, ignore)
	return errors.Join(err, store.Reports.ScanApart(tx, "", func(_ string, row store.Report) error {
		if !row.Healthy.IsZero() {
			r.healthy[row.Healthy] = true
		}
		return nil
	}, ignore))
}

// kept reaches the Applications of histories and pins.
func (r *reachable) kept(tx *store.Tx) error {
	add := func(past store.Past) {
		for _, content := range past.Applications {
			r.healthy[content.Digest] = true
		}
	}
	err := store.History.Scan(tx, "", func(_ string, past store.Past) error {
		add(past)
		return nil
	})
	return errors.Join(err, store.Pins.Scan(tx, "", func(_ string, pin store.Pin) error {
		add(pin.Past)
		return nil
	}), store.Turns.Scan(tx, "", func(_ string, turn store.Turn) error {
		add(store.Past{Applications: turn.Before})
		return nil
	}))
}

// applications reaches the Applications of all clusters and the blobs that they name. If an Application that was last
// healthy cannot be read and no cluster should run it, applications ignores it.
func (r *reachable) applications(ctx context.Context, blobs store.Blobs) error {
	for cluster, entries := range r.entries {
		for _, e := range entries {
			if err := r.application(ctx, blobs, e); err != nil {
				return err
			}
			if r.unread[e.Digest] == nil {
				continue
			}
			if r.needed[cluster] == nil {
				r.needed[cluster] = map[manifest.Digest]bool{}
			}
			r.needed[cluster][e.Digest] = true
		}
	}
	for d := range r.healthy {
		_, unread := r.unread[d]
		if err := r.application(ctx, blobs, bundle.Entry{Digest: d}); err != nil {
			return err
		}
		if !unread {
			delete(r.unread, d)
		}
	}
	return nil
}

// application reaches an Application and the blobs that it names, or notes that it cannot be read. The error is that
// of the store.
func (r *reachable) application(ctx context.Context, blobs store.Blobs, e bundle.Entry) error {
	if r.read[e.Digest] {
		return nil
	}
	r.read[e.Digest], r.reached[e.Digest] = true, true
	data, err := blobs.Get(ctx, e.Digest)
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("read the application of %s: %w", e.Name, err)
	}
	var app *bundle.Application
	if err == nil {
		app, err = bundle.DecodeApplication(data)
	}
	if err != nil {
		r.unread[e.Digest] = fmt.Errorf("read the application of %s: %w", e.Name, err)
		return nil
	}
	for _, d := range app.Digests() {
		r.reached[d] = true
	}
	return nil
}
