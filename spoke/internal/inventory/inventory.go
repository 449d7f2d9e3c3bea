package inventory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Mode is the mode in which an object is applied: Flux's annotation kustomize.toolkit.fluxcd.io/ssa, and …/reconcile.
type Mode string

// The modes.
const (
	Override     Mode = ""             // every field is ours; fields that kubectl added go
	Merge        Mode = "Merge"        // every field is ours; fields that others added stay, Flux's of before excepted
	IfNotPresent Mode = "IfNotPresent" // created when missing, then left alone
	Ignore       Mode = "Ignore"       // neither applied, nor repaired, nor pruned
)

// Takeover returns whose fields become ours when an object of the Application is applied in this mode. Flux's fields of
// before are not another's: Flux removes them itself in mode Merge, when they leave Git.
func (m Mode) Takeover(app bundle.ApplicationName) kube.Takeover {
	switch m {
	case Override:
		return kube.Takeover{ByHand: true, Application: app}
	case Merge:
		return kube.Takeover{Application: app}
	}
	return kube.Takeover{}
}

// Item is the record of one object.
type Item struct {
	Version         string          `json:"v"`            // API version that it was applied in, without the group
	Resource        string          `json:"r,omitempty"`  // plural, as the API serves it
	UID             string          `json:"u,omitempty"`  // empty: it is not known whether the object exists
	ResourceVersion string          `json:"rv,omitempty"` // after the last apply
	Digest          manifest.Digest `json:"d,omitzero"`   // of the desired object last applied; zero: apply again
	Managed         manifest.Digest `json:"m,omitzero"`   // hash of the fields that our manager owns since
	AppliedAt       time.Time       `json:"t,omitzero"`   // when our manager last changed something, API server's clock
	Mode            Mode            `json:"o,omitempty"`
	// Expires marks an object that its own controller deletes when it is done: a Job with ttlSecondsAfterFinished.
	Expires bool `json:"x,omitempty"`
	// Rules is the digest of the rules for ignored fields when the object was last sent; zero: there were none.
	Rules manifest.Digest `json:"g,omitzero"`
	// Labelled reports that the object carries Label. See LacksLabel.
	Labelled bool `json:"l,omitempty"`
	// Kept marks an object that the application does not have any more and that stays, because the cluster is pinned to a
	// past release. Neither its health nor its drift counts.
	Kept bool `json:"k,omitempty"`
}

// Inventory lists the objects that one Application owns.
type Inventory struct {
	Application bundle.ApplicationName
	Items       map[manifest.ID]Item
	// Guarded is the number of objects when a Guard first held a prune that waits for confirmation; 0: no prune is
	// held. Objects that are applied meanwhile do not make the prune a smaller share.
	Guarded int
}

// New returns an empty inventory.
func New(app bundle.ApplicationName) *Inventory {
	return &Inventory{Application: app, Items: map[manifest.ID]Item{}}
}

// Clone returns a copy; changes of its items do not show in the original.
func (v *Inventory) Clone() *Inventory {
	return &Inventory{Application: v.Application, Items: maps.Clone(v.Items), Guarded: v.Guarded}
}

// IDs returns the objects in the order in which they are applied.
func (v *Inventory) IDs() []manifest.ID {
	return slices.SortedFunc(maps.Keys(v.Items), manifest.Compare)
}

// Identity returns an object's name with the recorded version.
func (v *Inventory) Identity(id manifest.ID) bundle.ObjectIdentity {
	return identity(id, v.Items[id].Version)
}

func identity(id manifest.ID, version string) bundle.ObjectIdentity {
	return bundle.ObjectIdentity{Group: id.Group, Version: version, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}

// Mappings returns where the API served the kinds of the inventory, each once, in no order.
func (v *Inventory) Mappings() []kube.Mapping {
	served := map[kube.Mapping]bool{}
	for id, item := range v.Items {
		if item.Resource != "" {
			served[mapping(id, item)] = true
		}
	}
	return slices.Collect(maps.Keys(served))
}

func mapping(id manifest.ID, i Item) kube.Mapping {
	return kube.Mapping{Group: id.Group, Version: i.Version, Kind: id.Kind, Resource: i.Resource,
		Namespaced: id.Namespace != ""}
}

// encoded is the layout of Encode. Format grows if a reader of the old layout cannot understand the new one.
type encoded struct {
	Format      int                    `json:"format"`
	Application bundle.ApplicationName `json:"owner"` // the old name of the field, kept for states on disk
	Items       []encodedItem          `json:"items"`
	Guarded     int                    `json:"guarded,omitempty"`
}

type encodedItem struct {
	Group     string `json:"g,omitempty"`
	Kind      string `json:"k"`
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"n"`
	Item
}

const format = 1

// Encode returns the bytes to keep on disk: JSON, equal for equal inventories.
func (v *Inventory) Encode() ([]byte, error) {
	e := encoded{Format: format, Application: v.Application, Items: make([]encodedItem, 0, len(v.Items)),
		Guarded: v.Guarded}
	for _, id := range v.IDs() {
		e.Items = append(e.Items, encodedItem{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name,
			Item: v.Items[id]})
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("inventory of %s: %w", v.Application, err)
	}
	return data, nil
}

// Decode returns the inventory of bytes that Encode wrote.
func Decode(data []byte) (*Inventory, error) {
	var e encoded
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("inventory on disk: %w", err)
	}
	if e.Format != format {
		return nil, fmt.Errorf("inventory of %s on disk has format %d: this spoke reads %d", e.Application, e.Format, format)
	}
	v := &Inventory{Application: e.Application, Items: make(map[manifest.ID]Item, len(e.Items)), Guarded: e.Guarded}
	for _, i := range e.Items {
		id := manifest.ID{Group: i.Group, Kind: i.Kind, Namespace: i.Namespace, Name: i.Name}
		if i.Kind == "" || i.Name == "" || i.Version == "" {
			return nil, fmt.Errorf("inventory of %s on disk has an object without kind, name or version", e.Application)
		}
		if _, twice := v.Items[id]; twice {
			return nil, fmt.Errorf("inventory of %s on disk names %s twice", e.Application, id)
		}
		v.Items[id] = i.Item
	}
	return v, nil
}
