package dispatch

import (
	"cmp"
	"maps"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// spokeDelta is the pending change of one cluster's Spoke row. Later messages replace earlier ones, so that its size is
// fixed.
type spokeDelta struct {
	connected *bool
	at        time.Time // of connected
	heard     time.Time // the last message of the session that ended; zero while connected
	greeting  *greeting
	acks      map[bundle.Stage]bundle.ID // after greeting
	rejected  *string                    // after greeting; "" takes an older rejection back
	// capabilities are those that the cluster reported last; zero: not reported. Their blob is in the store.
	capabilities manifest.Digest
}

// greeting is a hello: facts about the spoke, and the bundle that it has.
type greeting struct {
	version, kubernetes string
	image               string
	verified            bundle.ID
	stages              []bundle.Stage
	features            bundle.FeatureSet
}

// connect notes that a session begins.
func (d *spokeDelta) connect(now time.Time) {
	connected := true
	d.connected, d.at, d.heard = &connected, now.UTC(), time.Time{}
}

// disconnect notes that a session ended, whose last message came at heard.
func (d *spokeDelta) disconnect(now, heard time.Time) {
	connected := false
	d.connected, d.at, d.heard = &connected, now.UTC(), heard.UTC()
}

// hello replaces all earlier acks and rejections, because a hello names the bundle that the spoke has.
func (d *spokeDelta) hello(h *spokev1.Hello, verified bundle.ID, now time.Time) {
	d.connect(now)
	features, _ := bundle.ReadFeatures(h.Features) // the session looked at them
	d.greeting = &greeting{
		version:    clean(h.Version, reporting.MaxFact),
		kubernetes: clean(h.KubernetesVersion, reporting.MaxFact),
		image:      clean(h.Image, reporting.MaxWord),
		verified:   verified,
		stages:     stagesUpTo(h.Stage, verified),
		features:   features,
	}
	d.acks, d.rejected = nil, nil
}

// stagesUpTo returns the stages that a verified bundle has passed: at least Received, whatever stage the spoke names.
func stagesUpTo(stage spokev1.AckStage, verified bundle.ID) (passed []bundle.Stage) {
	if verified == (bundle.ID{}) {
		return nil
	}
	last, _ := bundle.StageFrom(stage)
	for s := bundle.Received; s <= max(last, bundle.Received); s++ {
		passed = append(passed, s)
	}
	return passed
}

// ack notes the bundle of a stage.
func (d *spokeDelta) ack(stage bundle.Stage, id bundle.ID) {
	if d.acks == nil {
		d.acks = map[bundle.Stage]bundle.ID{}
	}
	d.acks[stage] = id
}

// merge adds a newer change to d.
func (d *spokeDelta) merge(newer *spokeDelta) {
	if newer.greeting != nil {
		newer.capabilities = cmp.Or(newer.capabilities, d.capabilities)
		*d = *newer
		return
	}
	if newer.connected != nil {
		d.connected, d.at, d.heard = newer.connected, newer.at, newer.heard
	}
	if newer.rejected != nil {
		d.rejected = newer.rejected
	}
	if !newer.capabilities.IsZero() {
		d.capabilities = newer.capabilities
	}
	if d.acks == nil {
		d.acks = newer.acks
		return
	}
	maps.Copy(d.acks, newer.acks)
}

// write changes the row of a registered spoke. If the row has no registration, the cluster was removed meanwhile, and
// perhaps added again for another spoke; then write does nothing.
func (d *spokeDelta) write(tx *store.Tx, cluster string) error {
	row, _, err := store.Spokes.Get(tx, cluster)
	if err != nil || row.RegisteredAt.IsZero() {
		return err
	}
	d.apply(&row)
	return store.Spokes.Put(tx, cluster, row)
}

// apply changes a row.
func (d *spokeDelta) apply(row *store.Spoke) {
	if d.connected != nil && (row.Connected != *d.connected || row.Since.IsZero()) {
		row.Connected, row.Since, row.Heard = *d.connected, d.at, d.heard
	}
	acks := maps.Clone(row.Acks)
	if acks == nil {
		acks = map[bundle.Stage]bundle.ID{}
	}
	if g := d.greeting; g != nil {
		row.Version, row.KubernetesVersion, row.Features, row.Refused = g.version, g.kubernetes, g.features, ""
		row.Image = g.image
		// the spoke lost its state
		maps.DeleteFunc(acks, func(_ bundle.Stage, id bundle.ID) bool { return id.Newer(g.verified) })
		for _, stage := range g.stages {
			acks[stage] = g.verified
		}
	}
	for stage, id := range d.acks {
		if !acks[stage].Newer(id) { // a late word about an older bundle
			acks[stage] = id
		}
	}
	if len(acks) > 0 || row.Acks != nil {
		row.Acks = acks
	}
	if d.rejected != nil {
		row.Rejected = *d.rejected
	}
	if !d.capabilities.IsZero() {
		row.Capabilities = d.capabilities
	}
}
