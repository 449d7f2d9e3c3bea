package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// mediaDiscovery asks for all kinds of all groups in one answer.
const mediaDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

// Namespaced returns every kind of object that can be listed in a namespace, each once, in the version that the API
// server prefers. Kinds of an aggregated API server that does not answer are left out.
func (c *Client) Namespaced(ctx context.Context) ([]Mapping, error) {
	var out []Mapping
	for _, path := range []string{"/api", "/apis"} {
		body, _, err := c.do(ctx, request{op: "discover", object: path, method: http.MethodGet, path: path,
			accept: mediaDiscovery})
		if err != nil {
			return nil, err
		}
		found, err := readNamespaced(body)
		if err != nil {
			return nil, wrong("discover", path, err)
		}
		out = append(out, found...)
	}
	return out, nil
}

func readNamespaced(body []byte) ([]Mapping, error) {
	var list struct {
		Kind  string
		Items []struct {
			Metadata struct{ Name string }
			Versions []struct {
				Version   string
				Resources []struct {
					Resource, Scope string
					ResponseKind    struct{ Kind string }
					Verbs           []string
				}
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	if list.Kind != "APIGroupDiscoveryList" {
		return nil, fmt.Errorf("the API server answers with a %s: it cannot list all kinds at once (Kubernetes 1.27 and "+
			"later can)", cmp.Or(list.Kind, "body without kind"))
	}
	var out []Mapping
	for _, group := range list.Items {
		seen := map[string]bool{}
		for _, version := range group.Versions {
			for _, r := range version.Resources {
				if seen[r.Resource] || r.Scope != "Namespaced" || !slices.Contains(r.Verbs, "list") || !segment(r.Resource) {
					continue
				}
				seen[r.Resource] = true
				out = append(out, Mapping{Group: group.Metadata.Name, Version: version.Version, Kind: r.ResponseKind.Kind,
					Resource: r.Resource, Namespaced: true})
			}
		}
	}
	return out, nil
}
