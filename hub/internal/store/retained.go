package store

import "github.com/navefleet/nave/shared/manifest"

// Retained returns the digests of what spokes reported and what stays in the store for that, whatever plans and bundles
// name: the capabilities of clusters, and the Applications that were last healthy, whose blobs stay with them.
func Retained(tx *Tx) (capabilities, healthy []manifest.Digest, err error) {
	err = Spokes.Scan(tx, "", func(_ string, row Spoke) error {
		if !row.Capabilities.IsZero() {
			capabilities = append(capabilities, row.Capabilities)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	err = Reports.Scan(tx, "", func(_ string, row Report) error {
		if !row.Healthy.IsZero() {
			healthy = append(healthy, row.Healthy)
		}
		return nil
	})
	return capabilities, healthy, err
}
