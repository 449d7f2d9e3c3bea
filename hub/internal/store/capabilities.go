package store

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// ReadCapabilities returns the capabilities that a blob has, as Helm gives them to charts: each version of a group, and
// each kind of it, sorted.
func ReadCapabilities(ctx context.Context, blobs Blobs, d manifest.Digest) (c api.Capabilities, err error) {
	data, err := blobs.Get(ctx, d)
	if err != nil {
		return c, fmt.Errorf("read capabilities: %w", err)
	}
	var m spokev1.Capabilities
	if err := proto.Unmarshal(data, &m); err != nil {
		return c, fmt.Errorf("decode capabilities: %w", err)
	}
	c.KubeVersion = m.KubernetesVersion
	for _, gv := range m.GroupVersions {
		name := gv.Version
		if gv.Group != "" {
			name = gv.Group + "/" + gv.Version
		}
		c.APIVersions = append(c.APIVersions, name)
		for _, kind := range gv.Kinds {
			c.APIVersions = append(c.APIVersions, name+"/"+kind)
		}
	}
	slices.Sort(c.APIVersions)
	return c, nil
}
