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

// unknownFor is the time after which a kind that is not served is requested again, so that a hundred objects of the
// kind cost one request. Invalidate, called after a CustomResourceDefinition was applied, ends this time early.
const unknownFor = 2 * time.Second

// kinds remembers where kinds are served, one group and version at a time.
type kinds struct {
	changed wait.Signal // a kind came or went

	mu     sync.Mutex // guards the following
	groups map[schema.GroupVersion]*served
}

// served holds the known kinds of one group and version. The mutex is held during a request, so that many callers cost
// one request.
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
// version. If the kind is not served, the reason of the error is NoMatch.
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
	hint := "is its CustomResourceDefinition installed?"
	if !strings.Contains(gvk.Group, ".") || strings.HasSuffix(gvk.Group, ".k8s.io") {
		hint = "kubectl api-resources lists the versions that it serves; Kubernetes drops old ones of its own kinds"
	}
	return &Error{Op: "discover", Object: gvk.Kind, Reason: NoMatch, Code: http.StatusNotFound, Message: fmt.Sprintf(
		"the cluster has no kind %s in %s: %s", gvk.Kind, gvk.GroupVersion(), hint)}
}

// discover asks for all kinds of a group and version. If the group does not exist, it has no kinds, which is no error.
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

// AnyVersion returns where the API serves a kind in any version, the preferred one first. It is for objects whose
// recorded version is not served any more. If no version is served, the reason of the error is NoMatch.
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

// read decodes the JSON at a path of the API server. It never impersonates: discovery needs the spoke's own account.
func (c *Client) read(ctx context.Context, path, object string, into any) error {
	spoke := &Client{connection: c.connection}
	body, _, err := spoke.do(ctx, request{op: "discover", object: object, method: http.MethodGet, path: path,
		accept: mediaJSON})
	if err != nil {
		return err
	}
	return wrong("discover", object, json.Unmarshal(body, into))
}

// Warm makes mappings known without a request, such as those that an inventory kept over a restart.
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

// collection returns the path of all objects of the kind in one namespace, or in all if namespace is empty.
func (m Mapping) collection(namespace string) string {
	p := groupPath(schema.GroupVersion{Group: m.Group, Version: m.Version})
	if m.Namespaced && namespace != "" {
		p += "/namespaces/" + namespace
	}
	return p + "/" + m.Resource
}
