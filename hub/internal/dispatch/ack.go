package dispatch

import (
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
)

// Values of the label stage for acks without a stage.
const (
	ackRejected  = "rejected"
	ackUnoffered = "unoffered" // of a bundle that was never offered
)

// ack records the stage of a bundle. It drops the ack of a bundle that was never offered, and the rejection of any
// bundle but the newest offers.
func (s *Server) ack(x *session, a *spokev1.Ack) error {
	id, err := bundle.IDFrom(a.Bundle)
	if err != nil {
		return invalid("%v", err)
	}
	stage, ok := bundle.StageFrom(a.Stage)
	rejected := a.Stage == spokev1.AckStage_ACK_STAGE_REJECTED
	if !rejected && (!ok || stage == bundle.NoStage) {
		return invalid("ack stage %d is unknown", a.Stage)
	}
	newest := x.mailbox.latest()
	if rejected && !x.mailbox.offered(id) || !plausible(newest, id) && id != x.known {
		s.unoffered(x, id)
		return nil
	}
	if rejected {
		s.metrics.acks.WithLabelValues(ackRejected).Inc()
		s.reject(x, id, condition.BundleRejected, fmt.Sprintf("the spoke refused bundle %s: %s", showID(id),
			clean(a.Reason, reporting.MaxMessage)))
		return nil
	}
	s.metrics.acks.WithLabelValues(stage.String()).Inc()
	if id.Newer(x.known) {
		x.known = id
	}
	x.mailbox.holds(id)
	s.batch.ack(x.cluster, stage, id)
	if !x.rejected.Newer(id) { // a word about an older bundle does not take it back
		s.batch.reject(x.cluster, "")
	}
	s.trace(x, newest, id, stage)
	if stage == bundle.Applied && newest != nil && id == newest.id {
		s.observe(x, newest.changedAt)
	}
	return nil
}

// unoffered counts and logs the ack of a bundle that was never offered, or too long ago.
func (s *Server) unoffered(x *session, id bundle.ID) {
	s.metrics.acks.WithLabelValues(ackUnoffered).Inc()
	if s.quotas.warn(x.cluster, condition.AckUnoffered, time.Now()) {
		s.Log.Warn("ack for a bundle that was never offered", telemetry.Cluster(x.cluster), telemetry.Sequence(id.Sequence))
	}
}

// plausible reports whether the hub may have offered id: it is the newest offer, or older.
func plausible(newest *offer, id bundle.ID) bool {
	return newest != nil && (id == newest.id || newest.id.Newer(id))
}

// observe measures the time from commit to live, once for each change. It skips bundles that were only signed anew, and
// changes from before the spoke registered.
func (s *Server) observe(x *session, changedAt time.Time) {
	if changedAt.Equal(x.observed) || changedAt.Before(x.sinceLive) {
		return
	}
	x.observed = changedAt
	s.metrics.live(changedAt, s.Now())
}

// warning returns an event of type Warning about a cluster.
func (s *Server) warning(cluster, reason, format string, args ...any) store.Event {
	return store.Event{
		Time:    s.Now().UTC(),
		Object:  api.ClusterKey(cluster),
		Type:    condition.Warning,
		Reason:  reason,
		Message: fmt.Sprintf(format, args...),
	}
}
