package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Live is one object as the API server returned it, reduced to the fields that the spoke needs for decisions.
type Live struct {
	ID              bundle.ObjectIdentity
	UID             string
	ResourceVersion string
	// Managed is the SHA-256 of the canonical JSON of the fields that our manager applied; zero if it owns none.
	Managed manifest.Digest
	// AppliedAt is when our manager last changed something, in whole seconds of the API server's clock.
	AppliedAt time.Time
	// Others are the other managers that write more than status, the latest first.
	Others []string
	// Adoptable are those of Others that own fields by hand, and whose fields Adopt takes over.
	Adoptable []string
	// Predecessors are those of Others that applied the object for an owner that its labels or annotations name.
	Predecessors []Predecessor
	// Scaled reports that another manager has set spec.replicas by the scale subresource.
	Scaled bool
	// Deleting is true from the deletion until the last finalizer is removed.
	Deleting    bool
	Finalizers  []string
	Labels      map[string]string
	Annotations map[string]string
	// Object is the whole object without its managedFields; nil if the caller did not ask for it.
	Object *manifest.Object

	managers []metav1.ManagedFieldsEntry
}

// Marks returns the labels and annotations.
func (l Live) Marks() manifest.Marks {
	return manifest.Marks{Labels: l.Labels, Annotations: l.Annotations}
}

// readLive returns an object of a known kind, from its JSON or that of its PartialObjectMetadata.
func readLive(body []byte, m Mapping, fieldManager string, whole bool) (Live, error) {
	var p metav1.PartialObjectMetadata
	if err := json.Unmarshal(body, &p); err != nil {
		return Live{}, fmt.Errorf("answer that is not a %s: %w", m.Kind, err)
	}
	live := Live{
		ID:  bundle.ObjectIdentity{Group: m.Group, Version: m.Version, Kind: m.Kind, Namespace: p.Namespace, Name: p.Name},
		UID: string(p.UID), ResourceVersion: p.ResourceVersion,
		Deleting: p.DeletionTimestamp != nil, Finalizers: p.Finalizers,
		Labels: p.Labels, Annotations: p.Annotations, managers: p.ManagedFields,
	}
	live.readManagers(fieldManager)
	if !whole {
		return live, nil
	}
	o, err := readWhole(body, m)
	live.Object = o
	return live, err
}

func readWhole(body []byte, m Mapping) (*manifest.Object, error) {
	o := &manifest.Object{}
	if err := utiljson.Unmarshal(body, &o.Object); err != nil { // which keeps integers whole
		return nil, fmt.Errorf("answer that is not a %s: %w", m.Kind, err)
	}
	o.SetManagedFields(nil)
	if o.GetKind() == "" { // items of a list come without
		o.SetGroupVersionKind(m.GroupVersionKind())
	}
	return o, nil
}

// readManagers derives Managed, AppliedAt, Others, Adoptable, Predecessors and Scaled.
func (l *Live) readManagers(ours string) {
	byTime := slices.Clone(l.managers)
	slices.SortStableFunc(byTime, func(a, b metav1.ManagedFieldsEntry) int { return writtenAt(b).Compare(writtenAt(a)) })
	others, adoptables := map[string]bool{}, map[string]bool{}
	for _, m := range byTime {
		l.Scaled = l.Scaled || scales(m)
		switch {
		case appliedBy(m, ours):
			l.Managed, l.AppliedAt = hashFields(m.FieldsV1.GetRawBytes()), writtenAt(m)
		case m.Manager == ours || m.Subresource == "status":
		default:
			l.Others = appendNew(l.Others, m.Manager, others)
			if adoptable(m) {
				l.Adoptable = appendNew(l.Adoptable, m.Manager, adoptables)
			}
			l.Predecessors = append(l.Predecessors, l.predecessors(m)...)
		}
	}
}

// scales reports whether the entry owns spec.replicas through the scale subresource.
func scales(m metav1.ManagedFieldsEntry) bool {
	if m.Subresource != "scale" || m.FieldsV1 == nil {
		return false
	}
	var fields struct {
		Spec struct {
			Replicas *struct{} `json:"f:replicas"`
		} `json:"f:spec"`
	}
	return json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) == nil && fields.Spec.Replicas != nil
}

// writtenAt returns when the manager of an entry last changed something, in UTC; zero if the entry has no time.
func writtenAt(m metav1.ManagedFieldsEntry) time.Time {
	if m.Time == nil {
		return time.Time{}
	}
	return m.Time.UTC()
}

// appliedBy reports whether the entry holds the fields that a manager applied.
func appliedBy(m metav1.ManagedFieldsEntry, manager string) bool {
	return m.Manager == manager && m.Operation == metav1.ManagedFieldsOperationApply && m.Subresource == ""
}

// adoptable reports whether the entry was written by hand, by the rules of Flux's kustomize-controller: by kubectl, or
// before there were managers. The fields of `kubectl rollout restart` are left alone, because undoing a restart at once
// would roll the Pods back half-way. The next apply of a suspended object resumes it.
func adoptable(m metav1.ManagedFieldsEntry) bool {
	if m.Subresource != "" || m.Manager == "kubectl-rollout" {
		return false
	}
	return m.Manager == "before-first-apply" && m.Operation == "Update" || strings.HasPrefix(m.Manager, "kubectl") ||
		m.Manager == suspender
}

// appendNew appends s to a list of names unless it was seen.
func appendNew(list []string, s string, seen map[string]bool) []string {
	if seen[s] {
		return list
	}
	seen[s] = true
	return append(list, s)
}

// hashFields returns the hash of a field set's canonical JSON. The API server writes the keys of a set in different
// orders, depending on whether the kind is built in and on how the object was asked for.
func hashFields(fields []byte) manifest.Digest {
	var tree any
	var b bytes.Buffer
	if json.Unmarshal(fields, &tree) != nil || json.NewEncoder(&b).Encode(tree) != nil {
		return sha256.Sum256(fields)
	}
	return sha256.Sum256(b.Bytes())
}

// Mapping is where the API serves a kind.
type Mapping struct {
	Group      string `json:"group,omitempty"`
	Version    string `json:"version"`
	Kind       string `json:"kind"`
	Resource   string `json:"resource"` // plural, lower case
	Namespaced bool   `json:"namespaced,omitempty"`
}

// GroupVersionKind returns the kind with its group and version.
func (m Mapping) GroupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: m.Group, Version: m.Version, Kind: m.Kind}
}
