package store

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Resource is an object that users wrote: by hand, in the hub's root, or in a cluster's graph. Its key is
// api.Key.Path(). Package admin writes the objects without an owner, package plan those with one. Secrets have a table
// of their own.
type Resource struct {
	Key         api.Key     `json:"key"`
	Object      *api.Object `json:"object"` // nil only in a Resource that is not from the store
	UID         string      `json:"uid"`
	Generation  int64       `json:"generation"` // grows when the spec changes
	Created     time.Time   `json:"created"`
	Owner       *api.Key    `json:"owner,omitempty"`       // the Kustomization or Fleet it comes from; nil: an operator
	RequestedAt string      `json:"requestedAt,omitempty"` // an operator's request to reconcile, if later than Object's
	// Requests are the last ones of operators to a release of Helm, if later than Object's.
	Requests    ReleaseRequests `json:"requests,omitzero"`
	Pin         ReleasePin      `json:"pin,omitzero"`          // of a HelmRelease; zero: it is not pinned
	Tags        TagDecisions    `json:"tags,omitzero"`         // of an ImagePolicy
	Suspended   bool            `json:"suspended,omitempty"`   // by an operator, whatever the spec says
	StopRepair  bool            `json:"stopRepair,omitempty"`  // of a Cluster that an operator suspended: drift stays, too
	SuspendedAt time.Time       `json:"suspendedAt,omitzero"`  // since when it is suspended, by an operator or by its spec
	SuspendedBy string          `json:"suspendedBy,omitempty"` // the operator's identity, if Suspended; empty: not known
	// Orphaned: Owner does not give it any more and does not prune it; operators may delete it. Rows on disk keep the old
	// name of the field, left.
	Orphaned bool `json:"left,omitempty"`
	// OrphanOnDelete: when Owner is deleted, it stays and becomes Orphaned. Rows on disk keep the old name, outlives.
	OrphanOnDelete bool `json:"outlives,omitempty"`
	// Held: nothing gives it any more, and its removal waits for a Confirmation.
	Held bool `json:"held,omitempty"`
	// Confined is the confinement of a Kustomization with a service account above it.
	Confined *api.Confinement `json:"confined,omitempty"`
	// AliasOf is the source of the hub that a source of a bootstrapped Flux repository stands for.
	AliasOf *api.Key `json:"aliasOf,omitempty"`
	// Admission is what becomes of the objects of a Kustomization, as the Fleet said last that it comes from.
	Admission api.Admission `json:"admission,omitzero"`
}

// ReleaseRequests are the times of requests to a release of Helm: to install or upgrade once more, to forget failures,
// and to run the tests. Empty: there was none.
type ReleaseRequests struct {
	Force string `json:"force,omitempty"`
	Reset string `json:"reset,omitempty"`
	Test  string `json:"test,omitempty"`
}

// ReleasePin keeps the release of a HelmRelease at one of its revisions, until an operator ends it.
type ReleasePin struct {
	Revision uint32    `json:"revision"`
	At       time.Time `json:"at,omitzero"`
	By       string    `json:"by,omitempty"` // the operator; empty: not known
}

// TagDecisions are the decisions of operators about the tags that an ImagePolicy may choose. They count until an
// operator takes them back, whatever the object says.
type TagDecisions struct {
	Pin      TagDecision   `json:"pin,omitzero"`       // to the only tag that it may choose; zero: it is not pinned
	Excluded []TagDecision `json:"excluded,omitempty"` // sorted by tag
	// RequestedAt is the request to reconcile that came with the last decision.
	RequestedAt string `json:"requestedAt,omitempty"`
}

// TagDecision is the decision of an operator about one tag.
type TagDecision struct {
	Tag string    `json:"tag"`
	At  time.Time `json:"at,omitzero"`
	By  string    `json:"by,omitempty"`
}

// Control returns the tags without who decided about them.
func (d TagDecisions) Control() api.TagControl {
	c := api.TagControl{Pinned: d.Pin.Tag}
	for _, one := range d.Excluded {
		c.Excluded = append(c.Excluded, one.Tag)
	}
	return c
}

// NewUID returns a random UUID (RFC 9562, version 4), for Resource.UID.
func NewUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, as its documentation says
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
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
	if string(row.Object) == "null" {
		row.Object = nil // which every view refuses
	}
	r.Object = api.StoredObject(r.Key, row.Object)
	return nil
}

// Bound reports whether a Secret of the hub must be bound to the object before the object may use it. All but the
// operators' own objects of the hub need that.
func (r Resource) Bound() bool { return r.Given().Bound() }

// GivenBy returns the owner that gives the object now; nil if it is an operator's, or its owner does not give it any
// more.
func (r Resource) GivenBy() *api.Key {
	if r.Orphaned {
		return nil
	}
	return r.Owner
}

// SetObject replaces the object. A new request in its annotations takes the place of an operator's.
func (r *Resource) SetObject(o *api.Object) {
	if was := r.Object; was != nil {
		replace := func(operators *string, now, was string) {
			if now != "" && now != was {
				*operators = ""
			}
		}
		replace(&r.RequestedAt, o.RequestedAt(), was.RequestedAt())
		replace(&r.Requests.Force, o.RequestedWith(api.ForceAnnotation), was.RequestedWith(api.ForceAnnotation))
		replace(&r.Requests.Reset, o.RequestedWith(api.ResetAnnotation), was.RequestedWith(api.ResetAnnotation))
	}
	r.Object = o
}

// Requested returns the last request to reconcile the object: an operator's, else the one in its annotations.
func (r *Resource) Requested() string { return cmp.Or(r.RequestedAt, r.Object.RequestedAt()) }

// IsSuspended reports whether an operator or the spec suspends the object.
func (r *Resource) IsSuspended() bool {
	return r.Suspended || r.Object.Suspended()
}

// NoteSuspension updates SuspendedAt. Call it before each Put of the row, with the time of the change.
func (r *Resource) NoteSuspension(now time.Time) {
	switch suspended := r.IsSuspended(); {
	case !suspended:
		r.SuspendedAt = time.Time{}
	case r.SuspendedAt.IsZero():
		r.SuspendedAt = now
	}
}

// Condition is the hub's own result for a resource: fetched, rendered or planned, or why not. Its key is
// api.Key.Path(). Package fetch writes the conditions of sources, package plan all others.
type Condition struct {
	ObservedGeneration int64     `json:"observedGeneration"`
	Ready              string    `json:"ready"` // True, False, Unknown
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	Since              time.Time `json:"since"`               // of this Ready
	Revision           string    `json:"revision,omitempty"`  // the last that succeeded
	Attempted          string    `json:"attempted,omitempty"` // the last that was tried
	HandledRequest     string    `json:"handledRequest,omitempty"`
	Frozen             bool      `json:"frozen,omitempty"` // of a suspended Cluster: its plan stays as it is
	// NotYet: the object is not ready because it waits for a first attempt, a first answer or a dependency.
	NotYet bool `json:"notYet,omitempty"`
	// Notice is what the operator should know although the object is ready. It begins with "; ", for the end of a message.
	Notice string `json:"notice,omitempty"`
	// Held counts the objects that a Kustomization gave and whose removal is held.
	Held int `json:"held,omitempty"`
	// Origin is the revision that the publisher of the artifact of Revision made it from; empty: it said none.
	Origin string `json:"origin,omitempty"`
	// Earlier is the revision that succeeded before Revision.
	Earlier RevisionOrigin `json:"earlier,omitzero"`
}

// RevisionOrigin is a revision and what its artifact was made from.
type RevisionOrigin struct {
	Revision string `json:"revision"`
	Origin   string `json:"origin,omitempty"`
}

// Fetched is the newest artifact of one source, shared by every resource that names this source. Its key is
// api.Source.FetchKey. Package fetch writes it.
type Fetched struct {
	Artifact  *artifact.Artifact `json:"artifact,omitempty"` // nil: never fetched
	Own       *artifact.Artifact `json:"own,omitempty"`      // the source's own tree, if Artifact is composed
	CheckedAt time.Time          `json:"checkedAt"`
	// SucceededAt is when the last fetch without an error ended; zero: not known.
	SucceededAt time.Time `json:"succeededAt,omitzero"`
	Error       string    `json:"error,omitempty"` // why the last attempt failed; the artifact stays
	Reason      string    `json:"reason,omitempty"`
	// Earlier are the commits of earlier revisions, the newest first, which clusters may still run.
	Earlier []EarlierRevision `json:"earlier,omitempty"`
}

// EarlierRevision is a revision that a source had, and its commit.
type EarlierRevision struct {
	Revision string          `json:"revision"`
	Commit   artifact.Commit `json:"commit"`
}

// maxEarlier is how many commits of a source are kept beside the newest.
const maxEarlier = 20

// SetArtifact replaces the artifact, and keeps the commit of the one before.
func (f *Fetched) SetArtifact(a *artifact.Artifact) {
	last := f.Artifact
	f.Artifact = a
	if last == nil || last.Revision == a.Revision || last.Commit == (artifact.Commit{}) {
		return
	}
	earlier := []EarlierRevision{{last.Revision, last.Commit}}
	for _, e := range f.Earlier {
		if e.Revision != a.Revision && e.Revision != last.Revision && len(earlier) < maxEarlier {
			earlier = append(earlier, e)
		}
	}
	f.Earlier = earlier
}

// Render is the result of one render. Its key is the digest of the inputs: equal inputs give equal results. Package
// render/cache writes it.
type Render struct {
	Value  json.RawMessage `json:"value"` // of the cache's own format
	UsedAt time.Time       `json:"usedAt"`
}

// Plan lists the applications that one cluster should run according to the inputs of now. Its key is the name of the
// cluster. Package plan writes it.
type Plan struct {
	Applications []Entry `json:"applications"` // sorted by name
	// Pending, Incomplete and Removals are the bundle's.
	Pending    []bundle.ApplicationName `json:"pending,omitempty"`
	Incomplete bool                     `json:"incomplete,omitempty"`
	Removals   []bundle.Removal         `json:"removals,omitempty"`
	// Undecided are the applications that left while the plan was incomplete. When the plan is complete, those that did
	// not come back become Removals.
	Undecided []bundle.Removal `json:"undecided,omitempty"`
	// Handovers and Questions are the bundle's.
	Handovers []bundle.Handover      `json:"handovers,omitempty"`
	Questions []bundle.ShapeQuestion `json:"questions,omitempty"`
	// ChangedAt is when the hub first saw the change that led to this plan; the measure of commit → live begins here.
	ChangedAt time.Time `json:"changedAt"`
}

// Entry is one application of a Plan or a Release.
type Entry struct {
	Content
	Control
}

// Content is the part of an Entry that a rollout lets through or not.
type Content struct {
	Name     bundle.ApplicationName `json:"owner"`           // the old name of the field, kept for rows on disk
	Fleet    string                 `json:"fleet,omitempty"` // the name of the Fleet that it comes from; empty: none
	Digest   manifest.Digest        `json:"digest"`
	Revision string                 `json:"revision"`
	Parent   bundle.ApplicationName `json:"parent,omitzero"`
	Features bundle.FeatureSet      `json:"features,omitempty"`
	// Chart is what its chart was told about the release; zero: the chart does not ask, or was rendered to be installed.
	Chart api.ReleaseState `json:"chart,omitzero"`
	// Bases are the remote bases that it was rendered with first, each "address at revision".
	Bases BaseNames `json:"bases,omitempty"`
}

// BaseNames are the names of remote bases, one in each line, so that a Content can be compared. In JSON they are a
// list; rows from before 2026-11-27 have one text instead, in which commas separate the names.
type BaseNames string

// NewBaseNames returns names, which must not have line breaks.
func NewBaseNames(names []string) BaseNames { return BaseNames(strings.Join(names, "\n")) }

// List returns the names.
func (b BaseNames) List() []string {
	if b == "" {
		return nil
	}
	return strings.Split(string(b), "\n")
}

// MarshalJSON implements json.Marshaler.
func (b BaseNames) MarshalJSON() ([]byte, error) { return json.Marshal(b.List()) }

// UnmarshalJSON implements json.Unmarshaler.
func (b *BaseNames) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*b = NewBaseNames(strings.Split(text, ", "))
		return nil
	}
	var names []string
	err := json.Unmarshal(data, &names)
	*b = NewBaseNames(names)
	return err
}

// Control is the part of an Entry that takes effect at once, whatever content the cluster runs.
type Control struct {
	Suspended        bool            `json:"suspended,omitempty"`
	RequestedAt      string          `json:"requestedAt,omitempty"`
	ForceRequestedAt string          `json:"forceRequestedAt,omitempty"`
	ResetRequestedAt string          `json:"resetRequestedAt,omitempty"`
	TestRequestedAt  string          `json:"testRequestedAt,omitempty"`
	PinnedRevision   uint32          `json:"pinnedRevision,omitempty"`
	ConfirmedPrune   manifest.Digest `json:"confirmedPrune,omitzero"`

	Drift bundle.DriftMode `json:"drift,omitempty"`
	// KeepsObjects is set while the cluster is pinned: objects that the content does not have stay.
	KeepsObjects bool `json:"keepsObjects,omitempty"`
}

// EntryOf returns the entry of an application that a Fleet gives.
func EntryOf(fleet string, e bundle.Entry) Entry {
	return Entry{
		Content{Name: e.Name, Fleet: fleet, Digest: e.Digest, Revision: e.Revision, Parent: e.Parent,
			Features: e.Features},
		Control{Suspended: e.Suspended, RequestedAt: e.RequestedAt, ConfirmedPrune: e.ConfirmedPrune, Drift: e.Drift,
			KeepsObjects: e.KeepsObjects, ForceRequestedAt: e.ForceRequestedAt, ResetRequestedAt: e.ResetRequestedAt,
			TestRequestedAt: e.TestRequestedAt, PinnedRevision: e.PinnedRevision},
	}
}

// Bundle returns the entry as a bundle lists it.
func (e Entry) Bundle() bundle.Entry {
	return bundle.Entry{
		Name: e.Name, Digest: e.Digest, Revision: e.Revision, Parent: e.Parent,
		Suspended: e.Suspended, RequestedAt: e.RequestedAt, ConfirmedPrune: e.ConfirmedPrune, Features: e.Features,
		Drift: e.Drift, KeepsObjects: e.KeepsObjects, ForceRequestedAt: e.ForceRequestedAt,
		ResetRequestedAt: e.ResetRequestedAt, TestRequestedAt: e.TestRequestedAt, PinnedRevision: e.PinnedRevision,
	}
}

// Release is the part of a Plan that may go out now, because the rollouts of its Fleets let it through. Its key is the
// name of the cluster. Package publish writes it.
type Release struct {
	Applications []Entry                  `json:"applications"` // sorted by name
	Pending      []bundle.ApplicationName `json:"pending,omitempty"`
	Incomplete   bool                     `json:"incomplete,omitempty"`
	Removals     []bundle.Removal         `json:"removals,omitempty"`
	Handovers    []bundle.Handover        `json:"handovers,omitempty"`
	Questions    []bundle.ShapeQuestion   `json:"questions,omitempty"`
	// Restored are the applications of a pin that the plan does not have any more. When the pin ends, they become Removals
	// until the spoke has applied those.
	Restored  []bundle.ApplicationName `json:"restored,omitempty"`
	ChangedAt time.Time                `json:"changedAt"` // of the Plan
}

// Past is what was released to a cluster, kept for a rollback. Its key is PastKey. Package publish writes it when the
// Applications of a cluster change, and keeps the newest HistoryLimit.
type Past struct {
	Bundle       bundle.ID `json:"bundle"` // the first one with these Applications
	ReleasedAt   time.Time `json:"releasedAt"`
	Applications []Content `json:"applications"`   // sorted by name
	Left         bool      `json:"left,omitempty"` // by a rollback: only one that names it goes there again
}

// HistoryLimit is how many releases of a cluster are kept.
const HistoryLimit = 10

// PastKey returns the key of a Past, in the order of the bundles of a cluster.
func PastKey(cluster string, id bundle.ID) string {
	return fmt.Sprintf("%s%020d-%020d", OfCluster(cluster), id.Epoch, id.Sequence)
}

// Pin keeps a cluster at Applications that were released to it before, until the Pin is deleted or an operator deletes
// the Cluster. Its key is the name of the cluster. Package admin writes it.
type Pin struct {
	Past
	PinnedAt time.Time `json:"pinnedAt"`
	By       string    `json:"by"` // the operator
}

// Upgrade is the image that the spoke of a cluster should run, and how far it has come. Its key is the name of the
// cluster. Package upgrade writes it.
type Upgrade struct {
	Image  string   `json:"image,omitempty"`  // empty: Fleets name different ones
	Fleets []string `json:"fleets,omitempty"` // that name it, sorted; none: the Cluster does
	UpgradeProgress
	Since time.Time `json:"since"` // of Reason
}

// UpgradeProgress has the fields of rollout.Upgrade.
type UpgradeProgress struct {
	Reason     string    `json:"reason"`
	Message    string    `json:"message,omitempty"`
	Began      time.Time `json:"began,omitzero"`
	WasHealthy bool      `json:"wasHealthy,omitempty"`
	Arrived    bool      `json:"arrived,omitempty"`
	At         bundle.ID `json:"at,omitzero"`
}

// Offered returns the image that the bundle of the cluster names: from the beginning of an upgrade until the spoke
// reports that it runs it. At any other time, Offered returns "".
func (u Upgrade) Offered() string {
	if u.Began.IsZero() || u.Arrived || u.Reason == condition.SpokeUpgraded {
		return ""
	}
	return u.Image
}

// BundleEntries returns entries as a bundle lists them.
func BundleEntries(entries []Entry) []bundle.Entry {
	listed := make([]bundle.Entry, len(entries))
	for i, e := range entries {
		listed[i] = e.Bundle()
	}
	return listed
}

// Confirmation allows, in the name of an operator, to remove objects of one graph that guards hold. Its key is
// ConfirmationKey. Package admin writes it, package plan deletes it.
type Confirmation struct {
	// Removals are the objects and when each was confirmed. The planner deletes those that are not needed after a while.
	Removals map[string]time.Time `json:"removals,omitempty"` // by api.Key.Path()
	// Prunes are the held deletions of objects within an application that stays, by the path of its Kustomization: the
	// digest of the confirmed objects.
	Prunes map[string]manifest.Digest `json:"prunes,omitempty"`
}

// ConfirmationKey returns the key of the Confirmation of a cluster's graph, or of the hub's own graph for "".
func ConfirmationKey(cluster string) string {
	return api.ClusterKey(cluster).Path()
}

// Repair says that blobs of a cluster are missing from the store or damaged, and names the Applications among them. The
// planner walks the graph of the cluster again, which makes them anew. The key is the name of the cluster. Packages
// publish and dispatch write it, package plan deletes it.
type Repair struct {
	Applications []manifest.Digest `json:"applications"`
}

// SignedBundle is the newest signed bundle of one cluster. Its key is the name of the cluster. Package publish writes
// it.
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

// Refusal says why no bundle can be made of the plan of a cluster. Its key is the name of the cluster. Package publish
// writes it, and deletes it when there is a bundle again.
type Refusal struct {
	Message string    `json:"message"`
	Since   time.Time `json:"since"` // of this Message
}

// Spoke is what the hub knows about the agent of one cluster. Its key is the name of the cluster. Packages registration
// and dispatch write it.
type Spoke struct {
	RegisteredAt      time.Time `json:"registeredAt"`           // by a join token
	Registration      string    `json:"registration,omitempty"` // its name; see Counts
	CertificateExpiry time.Time `json:"certificateExpiry"`
	CertificateIssued time.Time `json:"certificateIssued,omitzero"` // zero: by an older hub
	// Expiring is set if the certificate ends soon and was not renewed; see CertificateEnds.
	Expiring          bool                       `json:"expiring,omitempty"`
	Connected         bool                       `json:"connected"`
	Since             time.Time                  `json:"since"`          // of Connected
	Heard             time.Time                  `json:"heard,omitzero"` // if not connected: the last message, if known
	Version           string                     `json:"version,omitempty"`
	KubernetesVersion string                     `json:"kubernetesVersion,omitempty"`
	Image             string                     `json:"image,omitempty"` // that it runs; empty: none is known
	Acks              map[bundle.Stage]bundle.ID `json:"acks,omitempty"`  // newest of each
	Rejected          string                     `json:"rejected,omitempty"`
	Capabilities      manifest.Digest            `json:"capabilities,omitzero"` // a blob: nave.spoke.v1.Capabilities
	Features          bundle.FeatureSet          `json:"features,omitempty"`    // that it knows; empty: bundle.Baseline
	// Unreported is how many of its applications the spoke reports nothing about, because it has too many.
	Unreported int `json:"unreported,omitempty"`
	// Refused says why its last join token was not accepted, until the spoke opens a session.
	Refused string `json:"refused,omitempty"`
	// Upgrade is what the spoke reported about the image that its bundle names for it; zero: nothing.
	Upgrade UpgradeReport `json:"upgrade,omitzero"`
}

// UpgradeReport is the last report of a spoke about the image that its bundle names for it.
type UpgradeReport struct {
	Image   string    `json:"image"`
	Failure string    `json:"failure,omitempty"` // why the spoke does not run it; empty: it tries
	At      time.Time `json:"at"`
}

// HasRegistered reports whether the spoke has ever registered since an operator added the cluster.
func (s Spoke) HasRegistered() bool {
	return s.Connected || !s.Since.IsZero() || !s.RegisteredAt.IsZero()
}

// Counts reports whether a certificate of a registration, issued at a time, is valid for this cluster. The registration
// must be the cluster's. If the row names no registration, an older hub wrote it; then the certificate must have been
// issued at RegisteredAt or later.
func (s Spoke) Counts(registration string, issued time.Time) bool {
	if s.Registration != "" {
		return s.Registration == registration
	}
	return !issued.Before(s.RegisteredAt.Truncate(time.Second))
}

// expiryNotice is how long before its end a certificate without a known beginning counts as ending.
const expiryNotice = 30 * 24 * time.Hour

// CertificateEnds reports whether the certificate of the spoke should have been renewed long ago, which a spoke does at
// half of its life: less than a third of its life is left.
func (s Spoke) CertificateEnds(now time.Time) bool {
	notice := expiryNotice
	if !s.CertificateIssued.IsZero() {
		notice = s.CertificateExpiry.Sub(s.CertificateIssued) / 3
	}
	return !s.CertificateExpiry.IsZero() && now.After(s.CertificateExpiry.Add(-notice))
}

// Lacks returns the features that a bundle uses and that the spoke does not know. Such a bundle is held back.
func (s Spoke) Lacks(b SignedBundle) bundle.FeatureSet {
	return b.Features.Without(cmp.Or(s.Features, bundle.Baseline))
}

// Knows reports whether the spoke knows features.
func (s Spoke) Knows(f bundle.FeatureSet) bool {
	return f.Without(cmp.Or(s.Features, bundle.Baseline)) == ""
}

// CanRelease reports whether the spoke carries out releases of Helm.
func (s Spoke) CanRelease() bool { return s.Knows(bundle.Releases) }

// Report is the latest report of a spoke about one application. Its key is cluster/Kind/namespace/name. Package
// dispatch writes it.
type Report struct {
	Value      []byte          `json:"value"` // bytes of nave.spoke.v1.ApplicationReport
	ReceivedAt time.Time       `json:"receivedAt"`
	Healthy    manifest.Digest `json:"healthy,omitzero"` // of the Application that was last healthy
}

// JoinToken is a one-time secret of a cluster. Its key is TokenKey; the token itself is never stored. Packages admin
// and registration write it.
type JoinToken struct {
	Cluster   string          `json:"cluster"`
	CreatedAt time.Time       `json:"createdAt,omitzero"`
	ExpiresAt time.Time       `json:"expiresAt"`
	UsedAt    time.Time       `json:"usedAt,omitzero"`
	UsedBy    manifest.Digest `json:"usedBy,omitzero"` // of the public key it was used for
}

// TokenKey returns the key of a join token: its digest, so that the store does not have the token.
func TokenKey(token string) string { return manifest.DigestOf([]byte(token)).String() }

// Event is something that happened, for people to read. Its key is a time and a counter, which order the events. Every
// package writes events, by Record.
type Event struct {
	Time    time.Time `json:"time"`
	Object  api.Key   `json:"object"`
	Type    string    `json:"type"` // Normal or Warning
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// Secret is a credential that the hub itself needs, encrypted at rest. Its key is namespace/name. Package admin writes
// it.
type Secret struct {
	Sealed  []byte    `json:"sealed"` // nonce and AES-256-GCM ciphertext of the data map's JSON
	Keys    []string  `json:"keys"`   // names of the data's keys
	Type    string    `json:"type"`
	Created time.Time `json:"created"`
	// Binding is what it may be used for.
	Binding api.Binding `json:"binding,omitzero"`
}
