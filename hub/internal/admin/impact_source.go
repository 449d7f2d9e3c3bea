package admin

import (
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
)

// accessFields are the fields of the spec of a source that say how it is fetched, and not what. Without access the last
// artifact stays in use, or nothing is rendered: neither removes an object.
var accessFields = []string{"secretRef", "certSecretRef", "proxySecretRef", "provider", "sts", "passCredentials",
	"insecure", "verify", "accessFrom", "interval", "timeout", "suspend"}

// sourceChanges notes a source that gives something else from now on. No objects come of what a source of images gives.
func (i *impact) sourceChanges(before, after store.Resource) error {
	if after.Key.IsImage() {
		return nil
	}
	was, err := contentOf(before.Object)
	if err != nil {
		return err
	}
	now, err := contentOf(after.Object)
	if err == nil && (now.FetchKey(true) != was.FetchKey(true) || !slices.Equal(now.Inputs, was.Inputs)) {
		i.sources = append(i.sources, after.Key)
	}
	return err
}

// contentOf returns the view of a source without the fields that say how it is fetched.
func contentOf(o *api.Object) (*api.Source, error) {
	m, err := o.Parse()
	if err != nil {
		return nil, err
	}
	for _, name := range accessFields {
		unstructured.RemoveNestedField(m.Object, "spec", name)
	}
	text, err := json.Marshal(m.Object)
	if err != nil {
		return nil, err
	}
	return api.StoredObject(o.Key, text).Source()
}

// noteSources notes the changed sources that objects are rendered from: it is not known which objects leave.
func (i *impact) noteSources() error {
	if len(i.sources) == 0 {
		return nil
	}
	rendered, err := i.rendered()
	for _, key := range i.sources {
		if rendered[key] || len(i.damaged) > 0 { // a damaged row may name any source
			i.unknown[key] = true
		}
	}
	return err
}

// rendered returns the sources that objects are rendered from, and those that these sources are made of.
func (i *impact) rendered() (map[api.Key]bool, error) {
	reader, found := fold.NewReader(i.tx), map[api.Key]bool{}
	for key, row := range i.rows {
		if key.Role() == api.SourceRole {
			continue
		}
		source, err := reader.Source(row)
		if err != nil {
			return nil, err
		}
		if source == nil || found[source.Key] {
			continue
		}
		found[source.Key] = true
		_, _, _ = source.FetchOf(func(key api.Key) (store.Resource, bool, error) { // what is missing its Condition says
			row, exists := i.rows[key]
			found[key] = found[key] || exists
			return row, exists, nil
		})
	}
	return found, nil
}
