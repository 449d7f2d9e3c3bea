package main

import (
	"reflect"
	"strconv"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newClusterUpgradeCommand(s *session) *cobra.Command {
	var c clusterChange
	var image, maxConcurrent string
	var stop bool
	cmd := &cobra.Command{
		Use:   "upgrade (NAME… | -l SELECTOR | --all) (--image IMAGE | --stop)",
		Short: "Let the spokes of clusters that are not in Git run another image",
		Long: `Let the spokes of clusters run another image (spec.spoke of the Clusters).

The hub upgrades one spoke first, and then one at a time or --max-concurrent, each when the one before runs the image
and its cluster is as ready as it was. A spoke tries the image before it restarts with it; if that fails, it stays as it
is, and no other spoke begins. The command does not wait: nave get clusters -o wide and nave explain tell how far it is.
All clusters are changed, or none. The spokes of Clusters in Git are upgraded there: by spec.spoke of their Fleet or of
the Clusters.`,
		Example: "  nave cluster upgrade -l env=staging --image ghcr.io/navefleet/nave-spoke:v1.2.0\n" +
			"  nave cluster upgrade --all --image ghcr.io/navefleet/nave-spoke@sha256:… --max-concurrent 10%",
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if (image != "") == stop {
				return usageError("which image? give --image, or --stop to leave the spokes as they are")
			}
			return c.apply(cmd, client, args, "changed", func(cluster map[string]any) (bool, error) {
				return setSpoke(fieldMap(cluster, "spec"), image, maxConcurrent), nil
			})
		}),
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&image, "image", "", "image that the spokes are to run, by digest or by a tag other than latest")
	f.StringVar(&maxConcurrent, "max-concurrent", "", "how many spokes are upgraded at a time after the first: a number, "+
		"or a share such as 10% (default 1)")
	f.BoolVar(&stop, "stop", false, "begin no more upgrades: the Clusters name no image any more")
	cmd.MarkFlagsMutuallyExclusive("stop", "image")
	cmd.MarkFlagsMutuallyExclusive("stop", "max-concurrent")
	return cmd
}

// setSpoke sets the image in the spec of a Cluster, or removes it if there is none, and reports whether that changed
// the spec.
func setSpoke(spec map[string]any, image, maxConcurrent string) bool {
	was, _ := spec["spoke"].(map[string]any)
	if image == "" {
		delete(spec, "spoke")
		return was != nil
	}
	now := map[string]any{"image": image}
	if maxConcurrent != "" {
		now["maxConcurrent"] = maxConcurrent
	}
	if n, err := strconv.Atoi(maxConcurrent); err == nil {
		now["maxConcurrent"] = float64(n) // as it is in JSON
	}
	spec["spoke"] = now
	return !reflect.DeepEqual(was, now)
}
