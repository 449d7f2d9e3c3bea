package dispatch

import (
	"strconv"
	"time"

	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/bundle"
)

// traced is a bundle whose acks are traced.
type traced struct {
	id     bundle.ID
	change time.Time // that led to it
	stage  bundle.Stage
	at     time.Time // of the ack of stage; before the first one, of the offer
}

// spanOf is, by stage, the name of the span that ends with its ack.
var spanOf = map[bundle.Stage]string{
	bundle.Received: "offer", bundle.Applied: "apply", bundle.Healthy: "become healthy",
}

// trace exports what a spoke did between two acks of the newest offer. It skips bundles that were only signed anew, and
// changes from before the spoke registered.
func (s *Server) trace(x *session, newest *offer, id bundle.ID, stage bundle.Stage) {
	sent := x.sent.Load()
	if newest == nil || newest.id != id || sent == 0 || newest.changedAt.Before(x.sinceLive) {
		return
	}
	if x.traced.id != id {
		if newest.changedAt.Equal(x.traced.change) {
			return
		}
		x.traced = traced{id, newest.changedAt, bundle.NoStage, time.Unix(0, sent)}
	}
	if stage <= x.traced.stage {
		return
	}
	now := s.Now()
	s.Trace.Add(trace.Span{Change: newest.changedAt, Name: spanOf[stage], Cluster: x.cluster, Start: x.traced.at, End: now,
		Attributes: []trace.Attribute{{Key: "nave.sequence", Value: strconv.FormatUint(id.Sequence, 10)}}})
	x.traced.stage, x.traced.at = stage, now
}
