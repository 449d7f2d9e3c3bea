package dispatch

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// arrived logs and records that a spoke connected. A session that replaces another one of its cluster is no news.
func (s *Server) arrived(x *session, hello *spokev1.Hello) {
	if x.replaces || !s.quotas.warn(x.cluster, condition.Online, time.Now()) {
		return
	}
	s.Log.Info("spoke connected", telemetry.Cluster(x.cluster), telemetry.Address(x.address))
	s.batch.event(store.Event{Time: s.Now().UTC(), Object: api.ClusterKey(x.cluster), Type: condition.Normal,
		Reason: condition.Online, Message: fmt.Sprintf("spoke %s connected from %s",
			clean(hello.Version, reporting.MaxFact), x.address)})
}

// left writes that a spoke is not connected any more, and logs and records it, unless the hub itself is stopping.
func (s *Server) left(x *session) {
	now := s.Now()
	heard := now.Add(-x.silence())
	s.batch.edit(x.cluster, func(d *spokeDelta) { d.disconnect(now, heard) })
	if s.isDraining() || !x.welcomed && !x.replaces || !s.quotas.warn(x.cluster, condition.Offline, time.Now()) {
		return
	}
	why := endOf(x.err)
	s.Log.Info("spoke disconnected", telemetry.Cluster(x.cluster), telemetry.Address(x.address), telemetry.Reason(why))
	s.batch.event(s.warning(x.cluster, condition.Offline, "%s; the spoke was last heard from at %s", why,
		wording.Time(heard)))
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// endOf returns why a session ended. gRPC cancels a stream whose connection broke or did not answer pings.
func endOf(err error) string {
	switch {
	case err == nil:
		return "the spoke ended the session"
	case status.Code(err) == codes.Canceled:
		return "the connection broke, or the spoke did not answer in time"
	}
	return "the session ended: " + status.Convert(err).Message()
}
