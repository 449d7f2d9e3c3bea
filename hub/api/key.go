package api

import (
	"cmp"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Key names an object of the hub (Cluster is empty) or of one cluster's graph. Each kind belongs to one group, so the
// group is not part of it.
type Key struct {
	Cluster   string `json:"cluster,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String returns "Kind namespace/name", with " on cluster" for an object of a cluster's graph.
func (k Key) String() string {
	s := manifest.ID{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}.String()
	if k.Cluster != "" {
		s += " on " + k.Cluster
	}
	return s
}

// Local returns the key without the cluster, for messages about one graph: "Kind namespace/name".
func (k Key) Local() string { return k.In("").String() }

// Path returns the key as "cluster/Kind/namespace/name", the form that orders keys in the store.
func (k Key) Path() string {
	return strings.Join([]string{k.Cluster, k.Kind, k.Namespace, k.Name}, "/")
}

// ParseKey returns the key with the given Path. If there is none, ParseKey returns false.
func ParseKey(path string) (Key, bool) {
	parts := strings.SplitN(path, "/", 4)
	if len(parts) < 4 {
		return Key{}, false
	}
	return Key{Cluster: parts[0], Kind: parts[1], Namespace: parts[2], Name: parts[3]}, true
}

// maxPath bounds the paths of rows. A path with valid names is shorter.
const maxPath = 1024

// HasPath reports whether the store can have rows about the key: ParseKey returns the key for its path. The namespace
// of an object that was refused may have a slash, and its names may have any length.
func (k Key) HasPath() bool {
	parsed, ok := ParseKey(k.Path())
	return ok && parsed == k && len(k.Path()) <= maxPath
}

// IsNamed reports whether an API server accepts the names of the key.
func (k Key) IsNamed() bool {
	meta := Metadata{Name: k.Name, Namespace: k.Namespace}
	return len(checkMetadata(meta, byName[k.Kind], nil)) == 0
}

// ClusterOf returns the cluster that the object with this Path belongs to: the one of its graph or, for a Cluster, the
// Cluster itself. For any other object of the hub ClusterOf returns "".
func ClusterOf(path string) string {
	key, _ := ParseKey(path)
	if key.Cluster == "" && key.Role() == ClusterRole {
		return key.Name
	}
	return key.Cluster
}

// Role returns the role of the key's kind. If the hub does not implement the kind, Role returns NoRole.
func (k Key) Role() Role {
	if kind := byName[k.Kind]; kind.Supported() {
		return kind.Role
	}
	return NoRole
}

// Derived reports whether only the hub makes objects of the key's kind.
func (k Key) Derived() bool { return byName[k.Kind].Derived }

// Missing returns the advice for a reference to an object that does not exist: "; …". If there is none, Missing
// returns "".
func (k Key) Missing() string {
	if way := byName[k.Kind].Missing; way != "" {
		return "; " + way
	}
	return ""
}

// In returns the key of the same name in the graph of a cluster. If cluster is "", In returns the key in the hub.
func (k Key) In(cluster string) Key {
	k.Cluster = cluster
	return k
}

// Application returns the name of the Application that the object is rendered to.
func (k Key) Application() bundle.ApplicationName {
	return bundle.ApplicationName{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}
}

// ApplicationKey returns the key of the object that an Application of a cluster is rendered from.
func ApplicationKey(cluster string, o bundle.ApplicationName) Key {
	return Key{Cluster: cluster, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}

// ClusterKey returns the key of a Cluster.
func ClusterKey(name string) Key { return Key{Kind: ClusterKind, Name: name} }

// FleetKey returns the key of a Fleet.
func FleetKey(name string) Key { return Key{Kind: FleetKind, Name: name} }

// Compare orders keys by cluster, kind, namespace and name.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Cluster, other.Cluster), cmp.Compare(k.Kind, other.Kind),
		cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Name, other.Name),
	)
}

// KeyOf returns the key of an object in the hub, or before it is in a graph. If the kind has no namespaces, KeyOf
// ignores the namespace of the object.
func KeyOf(o *manifest.Object) Key {
	key := Key{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
	if kind, ok := byName[key.Kind]; ok && !kind.Namespaced {
		key.Namespace = ""
	}
	return key
}
