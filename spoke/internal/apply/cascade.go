package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// vacant returns an error for an object whose deletion would delete others that must stay: a CustomResourceDefinition
// with objects of any author, and a Namespace that holds an object which was put there on purpose.
func (r *run) vacant(ctx context.Context, id manifest.ID) error {
	switch {
	case isDefinition(id):
		return r.vacantDefinition(ctx, id)
	case isNamespace(id):
		return r.vacantNamespace(ctx, id)
	}
	return nil
}

func (r *run) vacantDefinition(ctx context.Context, id manifest.ID) error {
	o, err := r.client.Get(ctx, r.Previous.Identity(id))
	if err != nil {
		return err
	}
	if !established(o) {
		return nil // no object of its kind can exist
	}
	gk, _ := definedKind(o)
	r.client.Invalidate(gk.Group)
	version := servedVersion(o)
	if version == "" {
		return fmt.Errorf("%s is kept: it serves no version, so that its objects cannot be listed; serve one, or delete the "+
			"definition by hand", id)
	}
	m, err := r.client.Mapping(ctx, gk.WithVersion(version))
	if err != nil {
		return fmt.Errorf("%s is kept: its objects cannot be listed: %w", id, err)
	}
	return r.noneLeft(ctx, m, id)
}

// noneLeft returns an error if there is an object of the kind.
func (r *run) noneLeft(ctx context.Context, m kube.Mapping, crd manifest.ID) error {
	var left error
	_, err := r.client.List(ctx, m, kube.Scope{}, func(l kube.Live) error {
		left = fmt.Errorf("%s is kept: %s and perhaps more would be deleted with it; delete them first", crd, l.ID.ID())
		return left
	})
	return cmp.Or(left, err)
}

// established reports whether objects can have been made of a CustomResourceDefinition.
func established(crd *manifest.Object) bool {
	status, _ := crd.Object["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	return slices.ContainsFunc(conditions, func(c any) bool {
		known, _ := c.(map[string]any)
		return known["type"] == "Established" && known["status"] == condition.True
	})
}

// servedVersion returns a version that a CustomResourceDefinition serves, all of which show the same objects; empty if
// none is served.
func servedVersion(crd *manifest.Object) string {
	spec, _ := crd.Object["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if name, _ := version["name"].(string); version["served"] == true && name != "" {
			return name
		}
	}
	return ""
}

// vacantNamespace lists every kind in the namespace with the spoke's own account, because an account that may delete a
// Namespace need not be allowed to see all objects in it.
func (r *run) vacantNamespace(ctx context.Context, id manifest.ID) error {
	kinds, err := r.Client.Namespaced(ctx)
	if err != nil {
		return fmt.Errorf("%s is kept: the objects in it cannot be listed: %w", id, err)
	}
	desired := r.desired()
	for _, m := range kinds {
		if m.Kind == "Event" {
			continue
		}
		var left error
		_, err := r.Client.List(ctx, m, kube.Scope{Namespace: id.Name}, func(l kube.Live) error {
			if by := r.purpose(l, desired); by != "" {
				left = fmt.Errorf("%s is kept: %s (%s) and perhaps more would be deleted with it; delete them first, "+
					"or delete the Namespace by hand", id, l.ID.ID(), by)
			}
			return left
		})
		if left != nil {
			return left
		}
		if err != nil && !unlisted(err) {
			return fmt.Errorf("%s is kept: the objects in it cannot be listed: %w", id, err)
		}
	}
	return nil
}

// unlisted reports whether a list failed because objects of the kind cannot be listed.
func unlisted(err error) bool {
	e, ok := errors.AsType[*kube.Error](err)
	return ok && (e.Reason == kube.NoMatch || e.Reason == kube.NotFound || e.Code == http.StatusMethodNotAllowed)
}

// purpose returns why an object in a namespace that is about to be deleted must stay; empty if the object may be
// deleted with the namespace. Objects that controllers made may be deleted. Objects of an Application, a person or a
// deployment tool must stay.
func (r *run) purpose(l kube.Live, desired map[manifest.ID]bool) string {
	id := l.ID.ID()
	mark := l.Labels[inventory.Label]
	switch {
	case l.Deleting, madeByKubernetes(id):
		return ""
	case desired[id]:
		return "still in Git"
	case l.Marks().IsPruneDisabled():
		return "its labels or annotations say to keep it"
	case l.Managed.IsZero():
		return deployer(l)
	case mark != "" && mark != inventory.LabelOf(r.Application):
		return "of application " + mark
	case mark == "":
		if app, _, known := r.Index.Application(id); known && app != r.Application {
			return "of application " + app.String()
		}
	}
	return ""
}

// madeByKubernetes reports whether every namespace has the object.
func madeByKubernetes(id manifest.ID) bool {
	return id.Group == "" && (id.Kind == "ServiceAccount" && id.Name == "default" || id.Kind == "ConfigMap" &&
		id.Name == "kube-root-ca.crt")
}

// deployers has the prefixes of the field managers of deployment tools.
var deployers = []string{"helm", "kustomize-controller", "argocd", "terraform", "pulumi"}

// deployer returns which manager wrote an object on a person's behalf; empty if none did.
func deployer(l kube.Live) string {
	for _, manager := range l.Others {
		is := func(tool string) bool { return strings.HasPrefix(strings.ToLower(manager), tool) }
		if slices.Contains(l.Adoptable, manager) || slices.ContainsFunc(deployers, is) {
			return "put there by " + manager
		}
	}
	return ""
}
