package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// expiryInterval is how often the hub looks for certificates of spokes that end soon.
const expiryInterval = time.Hour

// watchCertificates notes the spokes whose certificates end soon, until ctx ends.
func (s *Server) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(expiryInterval)
	defer tick.Stop()
	for {
		if err := s.noteExpiring(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("certificates of spokes cannot be looked at", telemetry.Err(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// noteExpiring writes, logs and records which certificates end soon, each once: a renewal ends it.
func (s *Server) noteExpiring(ctx context.Context) error {
	var found map[string]time.Time // ends of certificates, by cluster
	now := s.Now()
	err := s.Store.Update(ctx, func(tx *store.Tx) (err error) {
		tx.NamesNoBlobs()
		found, err = expiring(tx, now)
		for cluster, end := range found {
			if err == nil {
				err = s.noteEnd(tx, cluster, end)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for cluster, end := range found {
		s.Log.Warn("certificate of a spoke ends soon and was not renewed", telemetry.Cluster(cluster),
			telemetry.Reason(wording.Time(end)))
	}
	return nil
}

// expiring returns the ends of the certificates that end soon and were not noted yet, by cluster. It leaves out those
// that operators do not accept any more.
func expiring(tx *store.Tx, now time.Time) (map[string]time.Time, error) {
	found := map[string]time.Time{}
	err := store.Spokes.ScanApart(tx, "", func(cluster string, row store.Spoke) error {
		if row.Expiring || row.Registration == store.Ended || !row.CertificateEnds(now) {
			return nil
		}
		err := store.RequireActiveCluster(tx, cluster)
		switch {
		case errors.Is(err, store.ErrBlocked), errors.Is(err, store.ErrNoCluster):
		case err == nil, errors.Is(err, store.ErrDamaged):
			found[cluster] = row.CertificateExpiry
		default:
			return err
		}
		return nil
	}, func(string, error) error { return nil })
	return found, err
}

// noteEnd writes and records that the certificate of a spoke ends soon.
func (s *Server) noteEnd(tx *store.Tx, cluster string, end time.Time) error {
	row, _, err := store.Spokes.Get(tx, cluster)
	if err != nil {
		return err
	}
	row.Expiring = true
	if err := store.Spokes.Put(tx, cluster, row); err != nil {
		return err
	}
	return store.Record(tx, s.warning(cluster, condition.CertificateEnds,
		"the certificate of the spoke ends at %s and was not renewed: the log of nave-spoke says why. After that it needs "+
			"a new manifest: nave cluster add %s", wording.Time(end), cluster))
}
