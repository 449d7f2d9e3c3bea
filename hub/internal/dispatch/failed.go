package dispatch

import (
	"errors"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
)

// noteFailure notes an application that is not ready, unless the last report about it said the same. A wait for a
// dependency is no failure of its own.
func (c *checkedReport) noteFailure(key string, old, row store.Report) {
	now, err := reporting.ReadApplication(row.Value)
	if err != nil || now.Ready != condition.False || now.Reason == condition.DependencyNotReady {
		return
	}
	was, err := reporting.ReadApplication(old.Value)
	if err == nil && was.Ready == now.Ready && was.Reason == now.Reason && was.Message == now.Message {
		return
	}
	c.failed = append(c.failed, failedApplication{key, now.Reason, now.Message})
}

// logFailed logs the failures that a spoke reported, at most failureBurst of a cluster at once.
func (s *Server) logFailed(cluster string, failed []failedApplication) {
	allowed := s.quotas.failures.Take(cluster, len(failed), time.Now())
	for _, f := range failed[:allowed] {
		key, _ := api.ParseKey(f.key)
		s.Log.Warn("application failed in its cluster", telemetry.Object(key), telemetry.Reason(f.reason),
			telemetry.Err(errors.New(f.message)))
	}
	more := len(failed) - allowed
	if more > 0 && s.quotas.warn(cluster, condition.ReconciliationFailed, time.Now()) {
		s.Log.Warn("more applications failed", telemetry.Cluster(cluster), telemetry.Count(more))
	}
}
