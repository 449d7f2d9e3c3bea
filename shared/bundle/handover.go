package bundle

import (
	"fmt"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// Handover is an object that an Application gave up and that another Application, which waits, is going to have.
type Handover struct {
	Object manifest.ID     `json:"object"`
	To     ApplicationName `json:"to"`
}

// CompareHandovers orders handovers by their objects.
func CompareHandovers(a, b Handover) int { return manifest.Compare(a.Object, b.Object) }

// IsTakeover reports whether the new owner carries out what the object stands for, and is not going to have the object:
// a controller in the cluster acted on it before. Whoever deletes the object before the new owner has taken over undoes
// what the controller did.
func (h Handover) IsTakeover() bool {
	return h.Object.Kind == h.To.Kind && h.Object.Namespace == h.To.Namespace && h.Object.Name == h.To.Name
}

func (h Handover) message() *bundlev1.Handover {
	o := h.Object
	return &bundlev1.Handover{To: h.To.Message(), Object: &bundlev1.ObjectIdentity{
		Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}}
}

func handoverOf(m *bundlev1.Handover) Handover {
	return Handover{Object: ObjectFrom(m.GetObject()).ID(), To: NameFrom(m.GetTo())}
}

// checkHandovers returns an error unless the handovers are complete and sorted, each object once.
func (b *Bundle) checkHandovers() error {
	for i, h := range b.Handovers {
		if h.Object.Kind == "" || h.Object.Name == "" {
			return fmt.Errorf("handovers[%d]: kind and name are needed", i)
		}
		if err := h.To.check(); err != nil {
			return fmt.Errorf("handovers[%d]: %w", i, err)
		}
		if i > 0 && CompareHandovers(b.Handovers[i-1], h) >= 0 {
			return fmt.Errorf("handovers[%d]: %s is listed twice or out of order", i, h.Object)
		}
	}
	return nil
}
