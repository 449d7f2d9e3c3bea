package status

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// lost returns the facts about an object whose resource is damaged. Only its key is known.
func lost(key api.Key, cause error) Facts {
	return Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, nil)}, Damaged: cause}
}

// damage returns the error of a damaged row that the facts about an object need; nil if there is none. Such a row
// counts as missing.
func (r *Reader) damage(key api.Key) error {
	if len(r.damaged) == 0 {
		return nil
	}
	path, cluster := key.Path(), api.ClusterOf(key.Path())
	for _, d := range []Dependency{
		{store.Conditions.Name(), path}, {store.Reports.Name(), path}, {store.Spokes.Name(), cluster},
		{store.Plans.Name(), cluster}, {store.Pins.Name(), cluster}, {store.SignedBundles.Name(), cluster},
		{store.Refusals.Name(), cluster},
	} {
		if err := r.damaged[d]; err != nil {
			return err
		}
	}
	return nil
}

// damagedVerdict is the verdict about an object with a damaged row: what the other rows say may be better than the
// truth.
func (f Facts) damagedVerdict() verdict {
	return failing(condition.StorageOperationFailed,
		"The hub's store has a damaged row about the object: "+f.Damaged.Error(), f.Resource.Created)
}

// parse returns the object. If nothing of it can be read, parse returns one with its name.
func (f Facts) parse() (*manifest.Object, error) {
	key := f.Resource.Key
	if o, err := f.Resource.Object.Parse(); err == nil && o.Object != nil || f.Resource.Object == nil {
		return o, err
	}
	o := &manifest.Object{}
	o.Object = map[string]any{}
	if kind, ok := api.KindByName(key.Kind); ok {
		o.SetAPIVersion(kind.Group + "/" + kind.Version)
	}
	o.SetKind(key.Kind)
	o.SetNamespace(key.Namespace)
	o.SetName(key.Name)
	return o, nil
}
