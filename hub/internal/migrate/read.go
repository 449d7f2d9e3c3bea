package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// API lists the objects of a cluster.
type API interface {
	// Versions returns the versions of an API group, the preferred one first. If the cluster does not serve the group,
	// Versions returns none.
	Versions(ctx context.Context, group string) ([]string, error)
	// List returns the objects of a resource in all namespaces. If the cluster does not serve the resource, List returns
	// none.
	List(ctx context.Context, group, version, resource, selector string) ([]*manifest.Object, error)
}

// Flux is what Flux has in a cluster.
type Flux struct {
	Objects     []*manifest.Object // of all kinds of Flux, sorted
	Controllers []Controller       // sorted by name
}

// Controller is the Deployment of one of Flux's controllers.
type Controller struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Version   string   `json:"version,omitempty"`
	ManagedBy string   `json:"managedBy,omitempty"` // the tool that installed the controller, if its label says so
	Args      []string `json:"-"`
}

// Read lists Flux's objects and controllers. If the cluster has no Kustomization of Flux, Read returns an error.
func Read(ctx context.Context, cluster API) (*Flux, error) {
	f := &Flux{}
	versions := map[string][]string{}
	for _, kind := range api.Kinds() {
		if !strings.HasSuffix(kind.Group, ".fluxcd.io") {
			continue
		}
		if _, known := versions[kind.Group]; !known {
			var err error
			if versions[kind.Group], err = cluster.Versions(ctx, kind.Group); err != nil {
				return nil, err
			}
		}
		found, err := listAny(ctx, cluster, kind, versions[kind.Group])
		if err != nil {
			return nil, err
		}
		f.Objects = append(f.Objects, found...)
	}
	if len(f.kustomizations()) == 0 {
		return nil, errors.New("the cluster has no Kustomization of Flux: choose another cluster with --context")
	}
	slices.SortFunc(f.Objects, func(a, b *manifest.Object) int {
		return manifest.Compare(manifest.IDOf(a), manifest.IDOf(b))
	})
	return f, f.readControllers(ctx, cluster)
}

// listAny lists a kind in the first version that the cluster serves the kind in.
func listAny(ctx context.Context, cluster API, kind api.Kind, versions []string) ([]*manifest.Object, error) {
	for _, version := range versions {
		found, err := cluster.List(ctx, kind.Group, version, kind.Plural, "")
		if err == nil {
			err = complete(found, kind, version)
		}
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

// complete sets the kind and version of objects, which the items of a list do not have. If an object has a name that no
// API server gives, complete returns an error: names become parts of commands.
func complete(objects []*manifest.Object, kind api.Kind, version string) error {
	for _, o := range objects {
		o.SetAPIVersion(kind.Group + "/" + version)
		o.SetKind(kind.Name)
		wrong := append(validation.IsDNS1123Subdomain(o.GetName()), validation.IsDNS1123Label(o.GetNamespace())...)
		if len(wrong) > 0 {
			return fmt.Errorf("the cluster has a %s with the name %q in namespace %q, which cannot be", kind.Name, o.GetName(),
				o.GetNamespace())
		}
	}
	return nil
}

func (f *Flux) readControllers(ctx context.Context, cluster API) error {
	found, err := cluster.List(ctx, "apps", "v1", "deployments", "app.kubernetes.io/part-of=flux")
	if err != nil {
		return err
	}
	for _, o := range found {
		labels := o.GetLabels()
		c := Controller{Namespace: o.GetNamespace(), Name: o.GetName(), Version: labels["app.kubernetes.io/version"],
			ManagedBy: labels["app.kubernetes.io/managed-by"]}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		for _, container := range containers {
			fields, _ := container.(map[string]any)
			args, _, _ := unstructured.NestedStringSlice(fields, "args")
			c.Args = append(c.Args, args...)
		}
		f.Controllers = append(f.Controllers, c)
	}
	slices.SortFunc(f.Controllers, func(a, b Controller) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// kustomizations returns Flux's objects that render others and that the hub can carry out.
func (f *Flux) kustomizations() (found []*manifest.Object) {
	for _, kind := range api.Kinds() {
		if kind.Role == api.RenderableRole && carriedOut(kind) {
			found = append(found, f.of(kind.Name)...)
		}
	}
	return found
}

// carriedOut reports whether the hub takes the objects of a kind over at once. Releases of Helm stay with Flux's
// controller until its kinds are not passed through any more.
func carriedOut(kind api.Kind) bool { return kind.Supported() && !kind.IsRelease() }

// of returns Flux's objects of a kind.
func (f *Flux) of(kind string) (found []*manifest.Object) {
	for _, o := range f.Objects {
		if o.GetKind() == kind {
			found = append(found, o)
		}
	}
	return found
}

// inventory returns the objects in status.inventory of a Kustomization. Entries that cannot be read are left out.
func inventory(kustomization *manifest.Object) (ids []manifest.ID) {
	entries, _, _ := unstructured.NestedSlice(kustomization.Object, "status", "inventory", "entries")
	for _, e := range entries {
		fields, _ := e.(map[string]any)
		text, _ := fields["id"].(string)
		if id, ok := ParseEntry(text); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// ParseEntry reads an entry of an inventory: namespace_name_group_kind, with "__" for the colons of names.
func ParseEntry(entry string) (manifest.ID, bool) {
	namespace, rest, ok := strings.Cut(entry, "_")
	last := strings.LastIndexByte(rest, '_')
	if !ok || last < 0 {
		return manifest.ID{}, false
	}
	kind, rest := rest[last+1:], rest[:last]
	middle := strings.LastIndexByte(rest, '_')
	if middle < 0 {
		return manifest.ID{}, false
	}
	id := manifest.ID{Group: rest[middle+1:], Kind: kind, Namespace: namespace,
		Name: strings.ReplaceAll(rest[:middle], "__", ":")}
	return id, id.Kind != "" && id.Name != ""
}
