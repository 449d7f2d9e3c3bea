package trust

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// ErrPolicy means that the local policy does not allow an object.
var ErrPolicy = errors.New("not allowed by the spoke's local policy")

// Policy limits what a hub may do in a cluster, whatever the hub signs. The owner of the cluster gives it as a file on
// the spoke that no bundle can change. The zero Policy allows everything.
type Policy struct {
	// Namespaces are the namespaces that objects may be in: names or path.Match patterns. Empty: all.
	Namespaces []string `json:"namespaces,omitempty"`
	// Kinds are the kinds that may be applied, as Kind or Kind.group, with path.Match patterns. Empty: all.
	Kinds []string `json:"kinds,omitempty"`
	// DeniedKinds are kinds that may not be applied although Kinds allows them.
	DeniedKinds []string `json:"deniedKinds,omitempty"`
	// ClusterScoped allows objects without a namespace. Unset: true.
	ClusterScoped *bool `json:"clusterScoped,omitempty"`
	// Protected are objects that may not be touched: kind.group/namespace/name with path.Match patterns, the
	// namespace empty for cluster-scoped ones.
	Protected []string `json:"protected,omitempty"`
	// Upgrades lets bundles change the image of the spoke itself, which could then be one that ignores the policy. Unset:
	// false, if the policy has any other rule.
	Upgrades *bool `json:"upgrades,omitempty"`
}

// ParsePolicy reads a policy file: YAML with the fields of Policy. An unknown field is an error, because it would be a
// rule that is not enforced.
func ParsePolicy(data []byte) (Policy, error) {
	var p Policy
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return Policy{}, fmt.Errorf("policy: %w", err)
	}
	for _, list := range [][]string{p.Namespaces, p.Kinds, p.DeniedKinds, p.Protected} {
		for _, pattern := range list {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				return Policy{}, fmt.Errorf("policy: %q is not a valid pattern", pattern)
			}
		}
	}
	for _, pattern := range p.Protected {
		if strings.Count(pattern, "/") != 2 {
			return Policy{}, fmt.Errorf("policy: protected: %q: want kind.group/namespace/name", pattern)
		}
	}
	return p, nil
}

// Allows returns nil, or ErrPolicy with the rule that an object breaks. An object without a namespace counts as
// cluster-scoped, because the hub writes the namespace into every namespaced object.
func (p Policy) Allows(o bundle.ObjectIdentity) error {
	id := o.ID()
	kind := kindName(id)
	switch {
	case matches(p.Protected, kind+"/"+id.Namespace+"/"+id.Name):
		return refuse(id, ErrPolicy, "it is protected")
	case len(p.Kinds) > 0 && !matches(p.Kinds, kind):
		return refuse(id, ErrPolicy, "its kind is not among the allowed ones")
	case matches(p.DeniedKinds, kind):
		return refuse(id, ErrPolicy, "its kind is denied")
	case id.Namespace == "" && p.ClusterScoped != nil && !*p.ClusterScoped:
		return refuse(id, ErrPolicy, "it is cluster-scoped")
	case id.Namespace != "" && len(p.Namespaces) > 0 && !matches(p.Namespaces, id.Namespace):
		return refuse(id, ErrPolicy, "its namespace is not among the allowed ones")
	}
	return nil
}

// AllowsUpgrade returns nil, or ErrPolicy if bundles may not change the image of the spoke itself.
func (p Policy) AllowsUpgrade() error {
	if reflect.DeepEqual(p, Policy{}) || p.Upgrades != nil && *p.Upgrades {
		return nil
	}
	return fmt.Errorf("another image of the spoke: %w: upgrade the spoke in its cluster, or set upgrades: true in "+
		"the policy", ErrPolicy)
}

func kindName(id manifest.ID) string {
	if id.Group == "" {
		return id.Kind
	}
	return id.Kind + "." + id.Group
}

func matches(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, s)
		return ok && err == nil
	})
}

func refuse(id manifest.ID, err error, why string) error {
	return fmt.Errorf("%s: %w: %s", id, err, why)
}
