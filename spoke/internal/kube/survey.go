package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/wait"
)

// mediaDiscovery asks for all kinds of all groups in one answer.
const mediaDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

// discoveryPaths are the two answers that hold all kinds.
var discoveryPaths = []string{"/api", "/apis"}

// surveyEvery is the pause between two surveys; surveySoon is the pause after this client added or removed a kind, so
// that several definitions that are applied together make one survey, when the API server serves them.
const (
	surveyEvery = time.Minute
	surveySoon  = 2 * time.Second
)

// Capabilities lists what an API server serves. The zero Capabilities stands for one that did not answer yet.
type Capabilities struct {
	Version       string         // of the API server: v1.37.2
	GroupVersions []GroupVersion // sorted by group and version
}

// GroupVersion lists the kinds that an API server serves in one version of one group.
type GroupVersion struct {
	schema.GroupVersion
	Kinds []string // sorted, each once
}

// Equal reports whether two Capabilities are the same.
func (c Capabilities) Equal(other Capabilities) bool {
	return c.Version == other.Version && slices.EqualFunc(c.GroupVersions, other.GroupVersions,
		func(a, b GroupVersion) bool {
			return a.GroupVersion == b.GroupVersion && slices.Equal(a.Kinds, b.Kinds)
		})
}

// Survey asks an API server for its Capabilities again and again. While they stay the same, an answer has a few bytes.
// A Survey is not safe for concurrent use.
type Survey struct {
	client  *Client
	answers [2]answer // to discoveryPaths
	last    Capabilities
}

// answer is the last answer of an API server, and the tag that the API server gave it.
type answer struct {
	tag    string
	served []GroupVersion
}

// NewSurvey returns a Survey with the account of a client.
func NewSurvey(c *Client) *Survey { return &Survey{client: c} }

// Run calls changed with the capabilities, and again whenever they changed, until the context ends. If the API server
// does not answer, Run asks again; failed is called with the first error, and with an error that differs from the last.
func (s *Survey) Run(ctx context.Context, changed func(Capabilities), failed func(error)) {
	for failure := ""; ; {
		last, was := s.last, failure
		c, err := s.Ask(ctx)
		if failure = ""; err != nil {
			failure = err.Error()
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !c.Equal(last):
			changed(c)
		case failure != was && err != nil:
			failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(surveyEvery):
		case <-s.client.kinds.changed:
			_ = wait.For(ctx, surveySoon)
		}
	}
}

// Ask returns the capabilities of now. If an aggregated API server does not answer, Ask returns the kinds that it
// served last. Beside an error Ask returns the last answer.
func (s *Survey) Ask(ctx context.Context) (Capabilities, error) {
	var version struct{ GitVersion string }
	if err := s.client.read(ctx, "/version", "/version", &version); err != nil {
		return s.last, err
	}
	for i, path := range discoveryPaths {
		tag := s.answers[i].tag
		groups, modified, err := s.client.discoverAll(ctx, path, &tag)
		if err != nil {
			return s.last, err
		}
		if modified {
			s.answers[i] = answer{tag, s.last.update(groups)}
		}
	}
	all := slices.Concat(s.answers[0].served, s.answers[1].served)
	slices.SortFunc(all, func(a, b GroupVersion) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version))
	})
	s.last = Capabilities{version.GitVersion, all}
	return s.last, nil
}

// update returns the kinds that groups serve. If a version does not answer, its kinds are those of c.
func (c Capabilities) update(groups []servedGroup) []GroupVersion {
	var out []GroupVersion
	for _, group := range groups {
		for _, v := range group.Versions {
			served := GroupVersion{GroupVersion: schema.GroupVersion{Group: group.Metadata.Name, Version: v.Version}}
			for _, r := range v.Resources {
				served.Kinds = append(served.Kinds, r.ResponseKind.Kind)
			}
			if v.Freshness == "Stale" && len(v.Resources) == 0 {
				served.Kinds = c.kinds(served.GroupVersion)
			}
			slices.Sort(served.Kinds)
			served.Kinds = slices.Compact(served.Kinds)
			out = append(out, served)
		}
	}
	return out
}

func (c Capabilities) kinds(gv schema.GroupVersion) []string {
	for _, served := range c.GroupVersions {
		if served.GroupVersion == gv {
			return slices.Clone(served.Kinds)
		}
	}
	return nil
}

// servedGroup is one group of an API server's answer.
type servedGroup struct {
	Metadata struct{ Name string }
	Versions []struct {
		Version   string
		Freshness string
		Resources []struct {
			Resource, Scope string
			ResponseKind    struct{ Kind string }
			Verbs           []string
		}
	}
}

// discoverAll returns all groups below a path. With the tag of the last answer, discoverAll reports whether the answer
// changed, and returns no groups if it did not. The tag is set to that of the answer.
func (c *Client) discoverAll(ctx context.Context, path string, tag *string) (groups []servedGroup, modified bool,
	err error) {
	body, code, err := c.do(ctx, request{op: "discover", object: path, method: http.MethodGet, path: path,
		accept: mediaDiscovery, tag: tag})
	if err != nil || code == http.StatusNotModified {
		return nil, false, err
	}
	var list struct {
		Kind  string
		Items []servedGroup
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, false, wrong("discover", path, err)
	}
	if list.Kind != "APIGroupDiscoveryList" {
		return nil, false, wrong("discover", path, fmt.Errorf("the API server answers with a %s: it cannot list all kinds "+
			"at once (Kubernetes 1.27 and later can)", cmp.Or(list.Kind, "body without kind")))
	}
	return list.Items, true, nil
}

// Namespaced returns every kind of object that can be listed in a namespace, each once, in the version that the API
// server prefers. Kinds of an aggregated API server that does not answer are left out.
func (c *Client) Namespaced(ctx context.Context) ([]Mapping, error) {
	var out []Mapping
	for _, path := range discoveryPaths {
		groups, _, err := c.discoverAll(ctx, path, nil)
		if err != nil {
			return nil, err
		}
		for _, group := range groups {
			out = append(out, group.namespaced()...)
		}
	}
	return out, nil
}

// namespaced returns the kinds of a group that can be listed in a namespace.
func (g servedGroup) namespaced() []Mapping {
	var out []Mapping
	seen := map[string]bool{}
	for _, version := range g.Versions {
		for _, r := range version.Resources {
			if seen[r.Resource] || r.Scope != "Namespaced" || !slices.Contains(r.Verbs, "list") || !segment(r.Resource) {
				continue
			}
			seen[r.Resource] = true
			out = append(out, Mapping{Group: g.Metadata.Name, Version: version.Version, Kind: r.ResponseKind.Kind,
				Resource: r.Resource, Namespaced: true})
		}
	}
	return out
}
