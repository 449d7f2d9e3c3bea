package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// renderKeep is how long a render that nobody uses stays. The planner marks the renders in
// use twice a day, so a week is far from taking one that is needed.
const renderKeep = 7 * 24 * time.Hour

// sweep deletes what nothing reaches: renders that were not used for long, and then blobs that no plan, bundle or
// render names. It is one transaction, so that nothing becomes reachable while it looks.
func (p *Publisher) sweep(ctx context.Context) error {
	var blobs int
	err := p.Store.Update(func(tx *store.Tx) error {
		r := reach{tx: tx, reached: map[manifest.Digest]bool{}, read: map[manifest.Digest]bool{}}
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
		var err error
		blobs, err = store.SweepBlobs(tx, func(d manifest.Digest) bool { return r.reached[d] })
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep the store: %w", err)
	}
	p.metrics.swept.Add(float64(blobs))
	p.Log.DebugContext(ctx, "swept the store", "blobs", blobs)
	return nil
}

// reach collects the blobs that something needs.
type reach struct {
	tx      *store.Tx
	reached map[manifest.Digest]bool
	read    map[manifest.Digest]bool // Applications whose objects are reached
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

// named reaches every digest that stands anywhere in a JSON value. What a render remembers is the planner's own; that it
// names blobs by their digests is all that has to be known here. A name too many keeps a blob too long, no more.
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
	return store.Plans.Scan(r.tx, "", func(_ string, plan store.Plan) error { return r.entries(plan.Applications) })
}

// bundles reaches what spokes may still fetch.
func (r *reach) bundles(p *Publisher) error {
	return store.Desireds.Scan(r.tx, "", func(cluster string, d store.Desired) error {
		b, err := p.open(d.Envelope)
		if err != nil {
			p.Log.Warn("a bundle cannot be read and will be signed again", "cluster", cluster, "err", err)
			p.dirty[cluster] = true
			return nil
		}
		return r.entries(b.Applications)
	})
}

// entries reaches Applications and what they name.
func (r *reach) entries(entries []bundle.Entry) error {
	for _, e := range entries {
		if r.read[e.Digest] {
			continue
		}
		r.read[e.Digest], r.reached[e.Digest] = true, true
		data, err := store.Blob(r.tx, e.Digest)
		if err != nil {
			return fmt.Errorf("read the application of %s: %w", e.Owner, err)
		}
		app, err := bundle.DecodeApplication(data)
		if err != nil {
			return fmt.Errorf("read the application of %s: %w", e.Owner, err)
		}
		for _, d := range app.Digests() {
			r.reached[d] = true
		}
	}
	return nil
}
