package reporting

import (
	"strings"

	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// In protocol 1, identities are strings in fields whose names end in _v1. ReadRequest and ReadApplication read these
// fields; WriteProtocol1 writes them for a hub that knows protocol 1 only.

// ReadRequest replaces the fields of protocol 1 by those of today. A malformed identity becomes an empty one.
func ReadRequest(r *spokev1.ReportRequest) {
	for _, a := range r.Applications {
		readApplication(a)
	}
	for _, text := range r.RemovedV1 {
		part := append(strings.SplitN(text, "/", 3), "", "")
		r.Removed = append(r.Removed, &bundlev1.ApplicationName{Kind: part[0], Namespace: part[1], Name: part[2]})
	}
	r.RemovedV1 = nil
	for _, e := range r.Events {
		if e.GetApplication() == nil && e.GetKindV1() != "" {
			e.Application = &bundlev1.ApplicationName{Kind: e.KindV1, Namespace: e.NamespaceV1, Name: e.NameV1}
			e.KindV1, e.NamespaceV1, e.NameV1 = "", "", ""
		}
	}
}

// ReadApplication returns the ApplicationReport of bytes that were stored under any protocol.
func ReadApplication(data []byte) (*spokev1.ApplicationReport, error) {
	a := &spokev1.ApplicationReport{}
	if err := proto.Unmarshal(data, a); err != nil {
		return nil, err
	}
	readApplication(a)
	return a, nil
}

func readApplication(a *spokev1.ApplicationReport) {
	if a.GetKindV1() == "" || a.Name != nil {
		return
	}
	a.Name = &bundlev1.ApplicationName{Kind: a.KindV1, Namespace: a.NamespaceV1, Name: a.NameV1}
	a.KindV1, a.NamespaceV1, a.NameV1 = "", "", ""
	for _, line := range a.InventoryV1 {
		a.Inventory = append(a.Inventory, readItem(line))
	}
	a.InventoryV1 = nil
	for _, o := range a.Objects {
		if o.GetObjectV1() != "" {
			o.Object, o.ObjectV1 = readObject(o.ObjectV1), ""
		}
	}
}

// readItem reads "group/version/kind namespace/name"; the core group is left out, and so is the namespace of objects
// without one.
func readItem(line string) *bundlev1.ObjectIdentity {
	kind, name, _ := strings.Cut(line, " ")
	part := strings.Split("//"+kind, "/")
	part = part[len(part)-3:]
	o := &bundlev1.ObjectIdentity{Group: part[0], Version: part[1], Kind: part[2]}
	o.Namespace, o.Name = readName(name)
	return o
}

// readObject reads "kind.group namespace/name".
func readObject(text string) *bundlev1.ObjectIdentity {
	kind, name, _ := strings.Cut(text, " ")
	o := &bundlev1.ObjectIdentity{}
	o.Kind, o.Group, _ = strings.Cut(kind, ".")
	o.Namespace, o.Name = readName(name)
	return o
}

func readName(text string) (namespace, name string) {
	if namespace, name, ok := strings.Cut(text, "/"); ok {
		return namespace, name
	}
	return "", text
}

// WriteProtocol1 returns a copy of a request that has the fields of protocol 1 instead of those of today.
func WriteProtocol1(r *spokev1.ReportRequest) *spokev1.ReportRequest {
	r = proto.CloneOf(r)
	for _, a := range r.Applications {
		a.KindV1, a.NamespaceV1, a.NameV1 = a.Name.GetKind(), a.Name.GetNamespace(), a.Name.GetName()
		for _, o := range a.Inventory {
			kind := strings.TrimPrefix(o.Group+"/"+o.Version+"/"+o.Kind, "/")
			a.InventoryV1 = append(a.InventoryV1, kind+" "+writeName(o))
		}
		a.Name, a.Inventory = nil, nil
		for _, o := range a.Objects {
			o.ObjectV1 = strings.TrimSuffix(o.Object.GetKind()+"."+o.Object.GetGroup(), ".") + " " + writeName(o.Object)
			o.Object = nil
		}
	}
	for _, n := range r.Removed {
		r.RemovedV1 = append(r.RemovedV1, n.Kind+"/"+n.Namespace+"/"+n.Name)
	}
	r.Removed = nil
	for _, e := range r.Events {
		e.KindV1, e.NamespaceV1, e.NameV1 = e.Application.GetKind(), e.Application.GetNamespace(), e.Application.GetName()
		e.Application = nil
	}
	return r
}

func writeName(o *bundlev1.ObjectIdentity) string {
	return strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}
