package status

import (
	"cmp"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// lost returns the facts about an object whose resource is damaged. Only its key is known.
func lost(key api.Key, cause error) Facts {
	return Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, nil)}, Damaged: cause}
}

// noteDamage notes a damaged row, which counts as missing.
func (r *Reader) noteDamage(table, key string, err error) {
	if table == store.Resources.Name() {
		r.lost[key] = err
	} else {
		r.damaged[key] = err
	}
}

// damage returns the error of a damaged row about an object or its cluster that was read; nil if there is none.
func (r *Reader) damage(key api.Key) error {
	if len(r.damaged) == 0 {
		return nil
	}
	path := key.Path()
	return cmp.Or(r.damaged[path], r.damaged[api.ClusterOf(path)])
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
	nameless := f.Resource.Object == nil && f.Report == nil && !f.restored()
	if o, err := f.Resource.Object.Parse(); err == nil && o.Object != nil || nameless {
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
