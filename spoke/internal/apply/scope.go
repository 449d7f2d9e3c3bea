package apply

import (
	"context"
	"slices"
)

// dropNamespaces takes the namespace from objects of kinds without namespaces. The target namespace of an application
// is put on custom kinds whose scope only the API server knows. From then on the objects are known by the name without
// a namespace, to the local policy too.
func (r *run) dropNamespaces(ctx context.Context) {
	copied := false
	for i, d := range r.Objects {
		if !r.isMisplaced(ctx, d) {
			continue
		}
		if !copied {
			r.Objects, copied = slices.Clone(r.Objects), true
		}
		load := d.Load
		d.Namespace, d.Load = "", func(ctx context.Context) (Loaded, error) {
			l, err := load(ctx)
			if l.Object != nil {
				l.Object.SetNamespace("")
			}
			return l, err
		}
		r.Objects[i] = d
	}
}

// isMisplaced reports whether an object names a namespace and its kind has none. If the kind is not served yet,
// isMisplaced returns false, and sending the object fails.
func (r *run) isMisplaced(ctx context.Context, d Object) bool {
	if d.Namespace == "" || r.Previous.Items[d.ID()].UID != "" || d.Group == "" && !coreScoped[d.Kind] {
		return false
	}
	m, err := r.client.Mapping(ctx, d.ID().GroupKind().WithVersion(d.Version))
	return err == nil && !m.Namespaced
}

// coreScoped are the kinds of the core group without namespaces. The API server is not asked about this group.
var coreScoped = map[string]bool{"Namespace": true, "Node": true, "PersistentVolume": true}
