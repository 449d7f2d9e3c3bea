package admin

import (
	"context"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/version"
)

// GetVersion implements adminv1.AdminServiceServer.
func (s *Server) GetVersion(ctx context.Context, r *adminv1.GetVersionRequest) (*adminv1.GetVersionResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	build, _ := version.Build()
	answer := &adminv1.GetVersionResponse{Version: build, Protocol: version.Protocol, Epoch: s.store.Epoch()}
	if !r.GetSpokes() {
		return answer, nil
	}
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		answer.Spokes, err = spokeVersions(tx)
		return err
	})
	return answer, s.fail(err)
}

// spokeVersions counts the spokes that have registered, by version. A damaged row counts as of no known version.
func spokeVersions(tx *store.Tx) (counts []*adminv1.SpokeVersion, err error) {
	found := map[string]*adminv1.SpokeVersion{}
	count := func(version string, connected bool) {
		c := found[version]
		if c == nil {
			c = &adminv1.SpokeVersion{Version: version}
			found[version] = c
		}
		c.Clusters++
		if connected {
			c.Connected++
		}
	}
	err = store.Spokes.ScanApart(tx, "", func(_ string, row store.Spoke) error {
		if row.HasRegistered() {
			count(row.Version, row.Connected)
		}
		return nil
	}, func(string, error) error {
		count("", false)
		return nil
	})
	for _, version := range slices.Sorted(maps.Keys(found)) {
		counts = append(counts, found[version])
	}
	return counts, err
}
