package admin

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// What "nave get -o yaml" prints can be applied again. This file takes away what the hub added to an object, and
// refuses the objects that are changed elsewhere.

// graphOf returns the cluster whose graph had an object when it was printed; "" for an object of the hub.
func graphOf(o *manifest.Object) string {
	kind, _ := api.KindOf(o)
	cluster, _, _ := unstructured.NestedString(o.Object, "status", "cluster")
	if !kind.Namespaced {
		return ""
	}
	return cluster
}

// refuseGraph returns the error about an object of a cluster's graph, which names the place where it can be changed.
func refuseGraph(tx *store.Tx, key api.Key) error {
	row, there, err := store.Resources.Get(tx, key.Path())
	if there && err == nil {
		err = requireOperators(tx, row, "changed")
	}
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return status.Errorf(codes.FailedPrecondition, "%s is of the graph of a cluster, which only Git changes: change it "+
		"there; to apply it to the hub, remove status.cluster", key)
}

// withoutDecisions returns an object without the decisions of operators that it repeats: the suspension and the request
// of the row, which are shown in the object but are no part of it.
func (a admittedObject) withoutDecisions(row store.Resource) (admittedObject, error) {
	suspended := row.Suspended && !row.Object.Suspended() && a.object.Suspended()
	requested := row.RequestedAt != "" && a.object.RequestedAt() == row.RequestedAt
	if !suspended && !requested {
		return a, nil
	}
	o, err := a.object.Parse()
	if err != nil {
		return a, err
	}
	if suspended {
		removeField(o, "spec", "suspend")
	}
	if suspended && row.StopRepair {
		removeField(o, "spec", "stopRepair")
	}
	if requested {
		removeField(o, "metadata", "annotations", manifest.RequestedAtAnnotation)
	}
	a.object, err = api.Admit(o, api.Hub)
	return a, err
}

// removeField removes a field of an object, and the map that had only this field.
func removeField(o *manifest.Object, path ...string) {
	unstructured.RemoveNestedField(o.Object, path...)
	above := path[:len(path)-1]
	if rest, _, _ := unstructured.NestedMap(o.Object, above...); len(rest) == 0 {
		unstructured.RemoveNestedField(o.Object, above...)
	}
}
