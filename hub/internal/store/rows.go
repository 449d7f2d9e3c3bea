package store

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Resource is an object that users wrote: by hand, in the hub's root, or in a cluster's graph. Key: api.Key.Path().
// Written by admin (objects without an owner) and plan (objects with one). Secrets are not here but in Secrets.
type Resource struct {
	Key            api.Key     `json:"key"`
	Object         *api.Object `json:"object"` // nil only in a Resource that is not from the store
	UID            string      `json:"uid"`
	Generation     int64       `json:"generation"` // grows when the spec changes
	Created        time.Time   `json:"created"`
	Owner          *api.Key    `json:"owner,omitempty"`       // the Kustomization or Fleet it comes from; nil: an operator
	RequestedAt    string      `json:"requestedAt,omitempty"` // the last request to reconcile
	Suspended      bool        `json:"suspended,omitempty"`   // by an operator, whatever the spec says
	StopRepair     bool        `json:"stopRepair,omitempty"`  // of a Cluster that an operator suspended: drift stays, too
	SuspendedAt    time.Time   `json:"suspendedAt,omitzero"`  // since when it is suspended, by an operator or by its spec
	Orphaned       bool        `json:"left,omitempty"`        // Owner does not give it any more and does not prune it: operators may delete it
	OrphanOnDelete bool        `json:"outlives,omitempty"`    // it stays, as Left, when Owner goes
	Held           bool        `json:"held,omitempty"`        // nothing gives it any more; its removal waits for a Confirmation
	// Confined is what holds it: it is below a Kustomization with a service account.
	Confined *api.Confinement `json:"confined,omitempty"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Resource) UnmarshalJSON(data []byte) error {
	type fields Resource
	row := struct {
		*fields
		Object json.RawMessage `json:"object"`
	}{fields: (*fields)(r)}
	if err := json.Unmarshal(data, &row); err != nil {
		return err
	}
	r.Object = api.StoredObject(r.Key, row.Object)
	return nil
}

// Bound reports whether a Secret of the hub must be bound to the object before the object may use it. All but the
// operators' own objects of the hub need that.
func (r Resource) Bound() bool { return r.Key.Cluster != "" || r.Confined != nil }

// GivenBy returns the owner that gives the object now; nil if it is an operator's, or its owner does not give it any
// more.
func (r Resource) GivenBy() *api.Key {
	if r.Orphaned {
		return nil
	}
	return r.Owner
}

// IsSuspended reports whether an operator or the spec suspends the object.
func (r *Resource) IsSuspended() bool {
	return r.Suspended || r.Object.Suspended()
}

// NoteSuspension keeps SuspendedAt: whoever writes a row calls it before, with the time of the change.
func (r *Resource) NoteSuspension(now time.Time) {
	switch suspended := r.IsSuspended(); {
	case !suspended:
		r.SuspendedAt = time.Time{}
	case r.SuspendedAt.IsZero():
		r.SuspendedAt = now
	}
}

// Condition is what the hub itself last made of a resource: fetched, rendered, planned, or why not. Key: api.Key.Path().
// Written by fetch (sources) and plan (all else).
type Condition struct {
	ObservedGeneration int64     `json:"observedGeneration"`
	Ready              string    `json:"ready"` // True, False, Unknown
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	Since              time.Time `json:"since"`               // of this Ready and Reason
	Revision           string    `json:"revision,omitempty"`  // the last that succeeded
	Attempted          string    `json:"attempted,omitempty"` // the last that was tried
	HandledRequest     string    `json:"handledRequest,omitempty"`
	Frozen             bool      `json:"frozen,omitempty"` // of a Cluster: its plan stays as it is, because it is suspended
	Held               int       `json:"held,omitempty"`   // of a Kustomization: objects that it gave and whose removal is held
}

// Fetched is the newest artifact of one source, shared by every resource that names the same source. Key:
// Source.FetchKey. Written by fetch.
type Fetched struct {
	Artifact  *artifact.Artifact `json:"artifact,omitempty"` // nil: never fetched
	CheckedAt time.Time          `json:"checkedAt"`
	Error     string             `json:"error,omitempty"` // why the last attempt failed; the artifact stays
	Reason    string             `json:"reason,omitempty"`
}

// Render is one memoized render: given equal inputs, the result is this. Key: the digest of the inputs. Written by
// plan.
type Render struct {
	Value  json.RawMessage `json:"value"` // the planner's own
	UsedAt time.Time       `json:"usedAt"`
}

// Plan is what one cluster should run as far as the hub can tell now. Key: the cluster's name. Written by plan.
type Plan struct {
	Applications []Entry `json:"applications"` // sorted by name
	// Pending, Incomplete and Removals are the bundle's.
	Pending    []bundle.ApplicationName `json:"pending,omitempty"`
	Incomplete bool                     `json:"incomplete,omitempty"`
	Removals   []bundle.Removal         `json:"removals,omitempty"`
	// Undecided are the applications that left while the plan was incomplete. They become Removals when it is complete and
	// nobody has given them again.
	Undecided []bundle.Removal `json:"undecided,omitempty"`
	// ChangedAt is when the change that led to this plan was first seen; the start of commit → live.
	ChangedAt time.Time `json:"changedAt"`
}

// Entry is one application of a Plan or a Release.
type Entry struct {
	Content
	Control
}

// Content is the part of an Entry that a rollout lets through or not.
type Content struct {
	Name     bundle.ApplicationName `json:"owner"`
	Fleet    string                 `json:"fleet,omitempty"` // the name of the Fleet that it comes from; empty: none
	Digest   manifest.Digest        `json:"digest"`
	Revision string                 `json:"revision"`
	Parent   bundle.ApplicationName `json:"parent,omitzero"`
}

// Control is the part of an Entry that takes effect at once, whatever content the cluster runs.
type Control struct {
	Suspended      bool            `json:"suspended,omitempty"`
	RequestedAt    string          `json:"requestedAt,omitempty"`
	ConfirmedPrune manifest.Digest `json:"confirmedPrune,omitzero"`
}

// EntryOf returns the entry of an application that a Fleet gives.
func EntryOf(fleet string, e bundle.Entry) Entry {
	return Entry{
		Content{Name: e.Name, Fleet: fleet, Digest: e.Digest, Revision: e.Revision, Parent: e.Parent},
		Control{Suspended: e.Suspended, RequestedAt: e.RequestedAt, ConfirmedPrune: e.ConfirmedPrune},
	}
}

// Bundle returns the entry as a bundle lists it.
func (e Entry) Bundle() bundle.Entry {
	return bundle.Entry{
		Name: e.Name, Digest: e.Digest, Revision: e.Revision, Parent: e.Parent,
		Suspended: e.Suspended, RequestedAt: e.RequestedAt, ConfirmedPrune: e.ConfirmedPrune,
	}
}

// Release is the part of a Plan that may go out now: what the rollouts of its Fleets let through. Key: the cluster's
// name. Written by publish.
type Release struct {
	Applications []Entry                  `json:"applications"` // sorted by name
	Pending      []bundle.ApplicationName `json:"pending,omitempty"`
	Incomplete   bool                     `json:"incomplete,omitempty"`
	Removals     []bundle.Removal         `json:"removals,omitempty"`
	ChangedAt    time.Time                `json:"changedAt"` // of the Plan
}

// BundleEntries returns entries as a bundle lists them.
func BundleEntries(entries []Entry) []bundle.Entry {
	listed := make([]bundle.Entry, len(entries))
	for i, e := range entries {
		listed[i] = e.Bundle()
	}
	return listed
}

// Confirmation is an operator's word that objects of one graph may be removed, whatever guards say. Key: the path of
// the Cluster, or of no object for the hub's own graph (ConfirmationKey). Written by admin, deleted by plan.
type Confirmation struct {
	// Removals are the objects, with the time of the word. The planner forgets those that are not needed after a while.
	Removals map[string]time.Time `json:"removals,omitempty"` // by api.Key.Path()
	// Prunes are held deletions of objects within an application that goes on, by the path of its Kustomization: the
	// digest of the confirmed set.
	Prunes map[string]manifest.Digest `json:"prunes,omitempty"`
}

// ConfirmationKey is the key of the Confirmation of a cluster's graph, or of the hub's for "".
func ConfirmationKey(cluster string) string {
	return api.ClusterKey(cluster).Path()
}

// Repair says that Applications a cluster needs are not in the store, or not as they were written: its graph has to be
// walked again, which makes them anew. Key: the cluster's name. Written by publish, deleted by plan.
type Repair struct {
	Applications []manifest.Digest `json:"applications"`
}

// SignedBundle is the newest signed bundle of one cluster. Key: the cluster's name. Written by publish.
type SignedBundle struct {
	Bundle    bundle.ID `json:"bundle"`
	Envelope  []byte    `json:"envelope"` // bytes of nave.bundle.v1.Envelope
	ExpiresAt time.Time `json:"expiresAt"`
	ChangedAt time.Time `json:"changedAt"`
	// Removals are those of the bundle.
	Removals []bundle.Removal `json:"removals,omitempty"`
	// Features are those that the bundle uses.
	Features bundle.FeatureSet `json:"features,omitempty"`
}

// Spoke is what the hub knows of the agent of one cluster. Key: the cluster's name. Written by registration and
// dispatch.
type Spoke struct {
	RegisteredAt      time.Time                  `json:"registeredAt"`           // by a join token
	Registration      string                     `json:"registration,omitempty"` // which one that was; certificates of another do not count
	CertificateExpiry time.Time                  `json:"certificateExpiry"`
	Connected         bool                       `json:"connected"`
	Since             time.Time                  `json:"since"` // of Connected
	Version           string                     `json:"version,omitempty"`
	KubernetesVersion string                     `json:"kubernetesVersion,omitempty"`
	Acks              map[bundle.Stage]bundle.ID `json:"acks,omitempty"` // newest of each
	Rejected          string                     `json:"rejected,omitempty"`
	Capabilities      manifest.Digest            `json:"capabilities,omitzero"` // a blob: the bytes of nave.spoke.v1.Capabilities
	Features          bundle.FeatureSet          `json:"features,omitempty"`    // that it knows; empty: bundle.Baseline
	Refused           string                     `json:"refused,omitempty"`     // why its last join token was not accepted; until it says hello
}

// Counts reports whether a certificate counts that says it is of a registration and was issued at a time. It is of the
// cluster's registration, whatever the clocks were. A row that names none is of an older hub: then a certificate counts
// that was issued at the registration or later.
func (s Spoke) Counts(registration string, issued time.Time) bool {
	if s.Registration != "" {
		return s.Registration == registration
	}
	return !issued.Before(s.RegisteredAt.Truncate(time.Second))
}

// Lacks returns the features that a bundle uses and that the spoke does not know. Such a bundle is held back.
func (s Spoke) Lacks(b SignedBundle) bundle.FeatureSet {
	return b.Features.Without(cmp.Or(s.Features, bundle.Baseline()))
}

// Report is a spoke's latest word on one application. Key: cluster/Kind/namespace/name. Written by dispatch.
type Report struct {
	Value      []byte          `json:"value"` // bytes of nave.spoke.v1.ApplicationReport
	ReceivedAt time.Time       `json:"receivedAt"`
	Healthy    manifest.Digest `json:"healthy,omitzero"` // of the Application that was last healthy
}

// JoinToken is a one-time secret of a cluster. Key: the digest of the token; the token itself is never stored.
// Written by admin and registration.
type JoinToken struct {
	Cluster   string          `json:"cluster"`
	CreatedAt time.Time       `json:"createdAt,omitzero"`
	ExpiresAt time.Time       `json:"expiresAt"`
	UsedAt    time.Time       `json:"usedAt,omitzero"`
	UsedBy    manifest.Digest `json:"usedBy,omitzero"` // of the public key it was used for
}

// Event is something that happened, for people. Key: time and a counter, so that keys order. Written by everyone.
type Event struct {
	Time    time.Time `json:"time"`
	Object  api.Key   `json:"object"`
	Type    string    `json:"type"` // Normal or Warning
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// Secret is a credential the hub itself needs, encrypted at rest. Key: namespace/name. Written by admin.
type Secret struct {
	Sealed  []byte    `json:"sealed"` // nonce and AES-256-GCM ciphertext of the data map's JSON
	Keys    []string  `json:"keys"`   // names of the data's keys
	Type    string    `json:"type"`
	Created time.Time `json:"created"`
	// Binding is what it may be used for.
	Binding api.Binding `json:"binding,omitzero"`
}
