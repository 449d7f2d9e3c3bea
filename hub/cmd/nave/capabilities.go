package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render/helm"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// capabilityFlags are the flags that say what charts can know of a cluster.
type capabilityFlags struct {
	kubeVersion string
	apiVersions []string
}

func (f *capabilityFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeVersion, "kube-version", "", "version of Kubernetes for charts; default: the cluster's, if "+
		"the hub is asked; needed for a cluster that has not reported one")
	flags.StringSliceVarP(&f.apiVersions, "api-versions", "a", nil, "further APIs of the cluster for charts: "+
		"group/version or group/version/Kind")
}

// over returns capabilities with what the flags say.
func (f *capabilityFlags) over(c api.Capabilities) api.Capabilities {
	if f.kubeVersion != "" {
		c.KubeVersion = f.kubeVersion
	}
	c.APIVersions = append(c.APIVersions[:len(c.APIVersions):len(c.APIVersions)], f.apiVersions...)
	return c
}

// anyCluster returns the capabilities of a cluster with the kinds of Kubernetes itself, as helm template has them.
func (f *capabilityFlags) anyCluster(context.Context, string) (api.Capabilities, error) {
	return f.over(helm.DefaultCapabilities()), nil
}

// hubCapabilities asks the hub for the capabilities of clusters, once for those with equal ones.
type hubCapabilities struct {
	capabilityFlags
	client adminv1.AdminServiceClient
	// ids has what identifies the capabilities of a cluster, as far as known.
	ids map[string]string

	mu    sync.Mutex
	known map[string]api.Capabilities // by id
}

// of returns the capabilities of a cluster.
func (h *hubCapabilities) of(ctx context.Context, cluster string) (api.Capabilities, error) {
	id, identified := h.ids[cluster]
	if !identified {
		id = "cluster " + cluster
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.known[id]; ok {
		return c, nil
	}
	answer, err := h.client.Capabilities(ctx, &adminv1.CapabilitiesRequest{Cluster: cluster})
	c := api.Capabilities{KubeVersion: answer.GetKubernetesVersion(), APIVersions: answer.GetApiVersions()}
	switch code := status.Code(err); {
	case code == codes.FailedPrecondition || code == codes.NotFound: // the spoke never connected, or the Cluster is new
		if h.kubeVersion == "" {
			return c, fmt.Errorf("%s; or give --kube-version and --api-versions, for a cluster with the kinds of Kubernetes "+
				"itself", message(err))
		}
		c = helm.DefaultCapabilities()
	case err != nil:
		return c, err
	}
	c = h.over(c)
	if h.known == nil {
		h.known = map[string]api.Capabilities{}
	}
	h.known[id] = c
	return c, nil
}
