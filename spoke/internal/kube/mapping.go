package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/wait"
)

// unknownFor is how long a kind that is not served is taken as not served, so that a hundred objects of it cost one
// request. Invalidate, called when a CustomResourceDefinition was applied, ends it early.
const unknownFor = 2 * time.Second

// kinds remembers where kinds are served, one group and version at a time.
type kinds struct {
	changed wait.Signal // a kind came or went

	mu     sync.Mutex // guards the following
	groups map[schema.GroupVersion]*served
}

// served is what is known of one group and version. Its mutex is held while asking, so that many askers cost one
// request.
type served struct {
	mu    sync.Mutex
	kinds map[string]Mapping
	asked time.Time // zero: never
}

func newKinds() *kinds {
	return &kinds{changed: wait.NewSignal(), groups: map[schema.GroupVersion]*served{}}
}

func (k *kinds) of(gv schema.GroupVersion) *served {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.groups[gv]
	if s == nil {
		s = &served{kinds: map[string]Mapping{}}
		k.groups[gv] = s
	}
	return s
}

// Mapping returns where the API serves a kind. A kind that is not known yet costs one request for its whole group and
// version; one that is not served is an *Error with reason NoMatch.
func (c *Client) Mapping(ctx context.Context, gvk schema.GroupVersionKind) (Mapping, error) {
	s := c.kinds.of(gvk.GroupVersion())
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.kinds[gvk.Kind]; ok {
		return m, nil
	}
	if s.asked.IsZero() || time.Since(s.asked) > unknownFor {
		if err := c.discover(ctx, gvk.GroupVersion(), s); err != nil {
			return Mapping{}, err
		}
	}
	if m, ok := s.kinds[gvk.Kind]; ok {
		return m, nil
	}
	return Mapping{}, noMatch(gvk)
}

func noMatch(gvk schema.GroupVersionKind) *Error {
	return &Error{Op: "discover", Object: gvk.Kind, Reason: NoMatch, Code: http.StatusNotFound, Message: fmt.Sprintf(
		"the cluster has no kind %s in %s: is its CustomResourceDefinition installed?", gvk.Kind, gvk.GroupVersion())}
}

// discover asks for all kinds of a group and version. A group that does not exist has no kinds, which is no error.
func (c *Client) discover(ctx context.Context, gv schema.GroupVersion, s *served) error {
	var list metav1.APIResourceList
	err := c.read(ctx, groupPath(gv), gv.String(), &list)
	missing := ReasonOf(err) == NoMatch || ReasonOf(err) == NotFound
	if err != nil && !missing {
		return err
	}
	s.asked = time.Now()
	if missing {
		return nil
	}
	clear(s.kinds)
	for _, r := range list.APIResources {
		if _, twice := s.kinds[r.Kind]; twice || strings.Contains(r.Name, "/") { // a subresource
			continue
		}
		s.kinds[r.Kind] = Mapping{Group: gv.Group, Version: gv.Version, Kind: r.Kind, Resource: r.Name,
			Namespaced: r.Namespaced}
	}
	return nil
}

// AnyVersion returns where the API serves a kind in whichever version, the preferred one first. It is for objects whose
// recorded version is not served any more. A kind that is served in no version is an *Error with reason NoMatch.
func (c *Client) AnyVersion(ctx context.Context, gk schema.GroupKind) (Mapping, error) {
	if gk.Group == "" {
		return c.Mapping(ctx, gk.WithVersion("v1"))
	}
	var group metav1.APIGroup
	if err := c.read(ctx, "/apis/"+gk.Group, gk.Group, &group); err != nil {
		return Mapping{}, err
	}
	for _, v := range append([]metav1.GroupVersionForDiscovery{group.PreferredVersion}, group.Versions...) {
		m, err := c.Mapping(ctx, gk.WithVersion(v.Version))
		if ReasonOf(err) != NoMatch {
			return m, err
		}
	}
	return Mapping{}, noMatch(gk.WithVersion(group.PreferredVersion.Version))
}

// read reads what the API server says of itself at a path. Discovery is the spoke's own business, whomever the client
// impersonates.
func (c *Client) read(ctx context.Context, path, object string, into any) error {
	spoke := &Client{connection: c.connection}
	body, _, err := spoke.do(ctx, request{op: "discover", object: object, method: http.MethodGet, path: path,
		accept: mediaJSON})
	if err != nil {
		return err
	}
	return wrong("discover", object, json.Unmarshal(body, into))
}

// Warm makes mappings known without asking for them, as an inventory remembers them over a restart.
func (c *Client) Warm(mappings ...Mapping) {
	for _, m := range mappings {
		s := c.kinds.of(schema.GroupVersion{Group: m.Group, Version: m.Version})
		s.mu.Lock()
		s.kinds[m.Kind] = m
		s.mu.Unlock()
	}
}

// Invalidate forgets all kinds of a group: one of its CustomResourceDefinitions was just applied or deleted, or a path
// that was known is not served any more.
func (c *Client) Invalidate(group string) {
	c.kinds.changed.Raise()
	c.kinds.mu.Lock()
	defer c.kinds.mu.Unlock()
	for gv := range c.kinds.groups {
		if gv.Group == group {
			delete(c.kinds.groups, gv)
		}
	}
}

func groupPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.Group + "/" + gv.Version
}

// collection is the path of all objects of the kind, of one namespace or (namespace "") of all.
func (m Mapping) collection(namespace string) string {
	p := groupPath(schema.GroupVersion{Group: m.Group, Version: m.Version})
	if m.Namespaced && namespace != "" {
		p += "/namespaces/" + namespace
	}
	return p + "/" + m.Resource
}
