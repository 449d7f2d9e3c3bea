package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// renderKeep is how long a render that nobody uses stays. The planner marks the renders in
// use twice a day, so a week is far from taking one that is needed.
const renderKeep = 7 * 24 * time.Hour

// sweep deletes what nothing reaches: renders that were not used for long, and then blobs that no plan, bundle or
// render names. It is one transaction, so that nothing becomes reachable while it looks.
//
// An Application that cannot be read hides what it reaches. Then no blob is deleted but the damaged one itself, and the
// clusters that need it are walked again, which makes it anew; the next sweep goes on.
func (p *Publisher) sweep(ctx context.Context) error {
	var blobs int
	var r reach
	err := p.Store.Update(ctx, func(tx *store.Tx) error {
		r = newReach(tx)
		for _, step := range []func() error{
			func() error {
				return r.renders(func(row store.Render) bool { return p.Now().Sub(row.UsedAt) < renderKeep })
			},
			r.plans,
			func() error { return r.bundles(p) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		if err := r.repair(); err != nil {
			return err
		}
		var err error
		blobs, err = store.SweepBlobs(tx, r.keep)
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep the store: %w", err)
	}
	for d, cause := range r.unread {
		p.Log.WarnContext(ctx, "an application cannot be read; it will be made again, and nothing is swept meanwhile",
			telemetry.Digest(d), slog.Any("clusters", r.needers(d)), telemetry.Err(cause))
	}
	p.metrics.swept.Add(float64(blobs))
	p.Log.DebugContext(ctx, "swept the store", "blobs", blobs)
	return nil
}

// reach collects the blobs that something needs.
type reach struct {
	tx      *store.Tx
	reached map[manifest.Digest]bool
	read    map[manifest.Digest]bool            // Applications whose objects are reached
	unread  map[manifest.Digest]error           // Applications that cannot be read
	needed  map[string]map[manifest.Digest]bool // of these, by cluster
}

func newReach(tx *store.Tx) reach {
	return reach{
		tx: tx, reached: map[manifest.Digest]bool{}, read: map[manifest.Digest]bool{},
		unread: map[manifest.Digest]error{}, needed: map[string]map[manifest.Digest]bool{},
	}
}

// keep reports whether a blob stays.
func (r *reach) keep(d manifest.Digest) bool {
	if len(r.unread) == 0 {
		return r.reached[d]
	}
	return !errors.Is(r.unread[d], store.ErrDamaged)
}

// repair asks the planner for what cannot be read.
func (r *reach) repair() error {
	for cluster, needed := range r.needed {
		row := store.Repair{Applications: slices.SortedFunc(maps.Keys(needed),
			func(a, b manifest.Digest) int { return bytes.Compare(a[:], b[:]) })}
		if err := store.Repairs.Put(r.tx, cluster, row); err != nil {
			return err
		}
	}
	return nil
}

// needers names the clusters that need an Application.
func (r *reach) needers(d manifest.Digest) (clusters []string) {
	for cluster, needed := range r.needed {
		if needed[d] {
			clusters = append(clusters, cluster)
		}
	}
	slices.Sort(clusters)
	return clusters
}

// renders deletes the renders that are not to be kept, and reaches what the others name.
func (r *reach) renders(keep func(store.Render) bool) error {
	return store.Renders.Scan(r.tx, "", func(key string, row store.Render) error {
		if !keep(row) {
			return store.Renders.Delete(r.tx, key)
		}
		return r.named(row.Value)
	})
}

// named reaches every digest that stands anywhere in a JSON value. What a render remembers is the planner's own; that
// it names blobs by their digests is all that has to be known here. A name too many keeps a blob too long, no more.
func (r *reach) named(value json.RawMessage) error {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("parse a render: %w", err)
	}
	r.walk(v)
	return nil
}

func (r *reach) walk(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			r.walk(e)
		}
	case []any:
		for _, e := range v {
			r.walk(e)
		}
	case string:
		if d, err := manifest.ParseDigest(v); err == nil {
			r.reached[d] = true
		}
	}
}

func (r *reach) plans() error {
	return store.Plans.Scan(r.tx, "", func(cluster string,
		plan store.Plan) error {
		return r.entries(cluster, plan.Applications)
	})
}

// bundles reaches what spokes may still fetch.
func (r *reach) bundles(p *Publisher) error {
	return store.SignedBundles.Scan(r.tx, "", func(cluster string, d store.SignedBundle) error {
		b, err := p.open(d.Envelope)
		if err != nil {
			p.Log.Warn("a bundle cannot be read and will be signed again", "cluster", cluster, "err", err)
			p.dirty[cluster] = true
			return nil
		}
		return r.entries(cluster, b.Applications)
	})
}

// entries reaches the Applications of a cluster and what they name.
func (r *reach) entries(cluster string, entries []bundle.Entry) error {
	for _, e := range entries {
		if err := r.application(e); err != nil {
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
	return nil
}

// application reaches an Application and what it names, or notes that it cannot be read. An error is the store's own.
func (r *reach) application(e bundle.Entry) error {
	if r.read[e.Digest] {
		return nil
	}
	r.read[e.Digest], r.reached[e.Digest] = true, true
	data, err := store.Blob(r.tx, e.Digest)
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
