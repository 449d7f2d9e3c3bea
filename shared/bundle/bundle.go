// Package bundle holds the desired state of a cluster: the Bundle that is signed, its Applications and their references
// to objects. Bundles and Applications are encoded as the messages of proto/nave/bundle/v1.
package bundle

import (
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// PayloadType is the DSSE payload type of a Bundle.
const PayloadType = "application/vnd.nave.bundle.v1+protobuf"

// Bundle is the desired state of one cluster.
type Bundle struct {
	Cluster      string // SPIFFE ID of the cluster
	Epoch        uint64
	Sequence     uint64
	IssuedAt     time.Time
	ExpiresAt    time.Time
	Applications []Entry // sorted by name
	// Pending are the applications that belong to the bundle but could not be rendered yet. The spoke neither applies nor
	// deletes them. Sorted; disjoint from Applications and Removals.
	Pending []ApplicationName
	// Incomplete reports that a parent could not be rendered, so that there may be applications the hub does not know of.
	Incomplete bool
	// Removals are the applications that the hub removed. The spoke deletes no other. Sorted by name; disjoint from
	// Applications and Pending.
	Removals []Removal
	// Handovers are the objects that applications which wait are going to have. No other application deletes them. Sorted
	// by object.
	Handovers []Handover
	// Questions are what the hub has to know to render more. Sorted by CompareQuestions, each once.
	Questions []ShapeQuestion
	// SpokeImage is the image that the spoke itself should run, while the hub upgrades it; empty: it stays as it is.
	SpokeImage string
}

// Removal is an application that the hub removed.
type Removal struct {
	Name ApplicationName `json:"owner"` // the old name of the field, kept for rows on disk
	// Policy is what happens to its objects; MirrorPrune: as the Application said that was applied last.
	Policy DeletionPolicy `json:"policy"`
	// Confirmed reports that an operator confirmed the removal: no guard holds it.
	Confirmed bool `json:"confirmed,omitempty"`
}

// ID names one signed bundle. The digest is over the bundle's bytes.
type ID struct {
	Epoch    uint64          `json:"epoch"`
	Sequence uint64          `json:"sequence"`
	Digest   manifest.Digest `json:"digest"`
}

// Newer reports whether id comes after other. Digests do not order.
func (id ID) Newer(other ID) bool {
	return id.Epoch > other.Epoch || id.Epoch == other.Epoch && id.Sequence > other.Sequence
}

// ApplicationName names the object that an Application is rendered from.
type ApplicationName struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns "Kind namespace/name".
func (o ApplicationName) String() string { return o.Kind + " " + o.Namespace + "/" + o.Name }

// Key returns kind, namespace and name with NULs between them. No two names have the same key, and keys order as
// Compare does, because NUL sorts before all that a name can hold.
func (o ApplicationName) Key() string { return o.Kind + "\x00" + o.Namespace + "\x00" + o.Name }

// Entry is one Application of a bundle: its digest, and the facts that are not part of its content.
type Entry struct {
	Name        ApplicationName `json:"owner"` // the old name of the field, kept for rows on disk
	Digest      manifest.Digest `json:"digest"`
	Revision    string          `json:"revision"`
	Suspended   bool            `json:"suspended,omitempty"`
	RequestedAt string          `json:"requestedAt,omitempty"`
	// ConfirmedPrune is the digest of the set of objects whose deletion was held and then confirmed by an operator; zero:
	// none.
	ConfirmedPrune manifest.Digest `json:"confirmedPrune,omitzero"`
	// Parent is the application that gives this one, where it or one above it depends on others; zero: none. Before it was
	// ever applied, this one waits for what they depend on.
	Parent ApplicationName `json:"parent,omitzero"`
	// Features are those that the Application uses, beyond Baseline.
	Features FeatureSet `json:"features,omitempty"`
	Drift    DriftMode  `json:"drift,omitempty"`
	// KeepsObjects: objects that a later release had and this one does not have stay, and are not forgotten.
	KeepsObjects bool `json:"keepsObjects,omitempty"`
	// ForceRequestedAt, ResetRequestedAt and TestRequestedAt change when an operator asks for one more install or upgrade
	// of a release, that its failures are forgotten, or that it is tested.
	ForceRequestedAt string `json:"forceRequestedAt,omitempty"`
	ResetRequestedAt string `json:"resetRequestedAt,omitempty"`
	TestRequestedAt  string `json:"testRequestedAt,omitempty"`
	// PinnedRevision is the revision that a release returns to, and stays at whatever its Application has; 0: none.
	PinnedRevision uint32 `json:"pinnedRevision,omitempty"`
}

// Application is the result of rendering one object for one cluster.
type Application struct {
	Name           ApplicationName
	Objects        []ObjectReference // in the order in which they are applied
	DependsOn      []ApplicationName
	Prune          bool
	Wait           bool
	Force          bool
	Timeout        time.Duration
	Interval       time.Duration
	RetryInterval  time.Duration
	ServiceAccount string
	Decryption     SecretReference // without a name: the keys of a key service only; zero: nothing is decrypted
	SealedFiles    []SealedFile
	HealthChecks   []ObjectIdentity
	DeletionPolicy DeletionPolicy
	Substitution   *Substitution // nil: the spoke substitutes nothing
	// HealthExpressions say how objects of custom kinds are; no two are for one group and kind.
	HealthExpressions []HealthExpressions
	// ReadyExpressions say when a dependency is ready, in place of its readiness.
	ReadyExpressions []ReadyExpression
	// Ignore names the fields that are left as they are in the cluster.
	Ignore []IgnoreRule
	// Release makes the objects a release of Helm; nil: they are none, and there are no hooks.
	Release *Release
	Hooks   []Hook
	// ValueSources are the entries of ConfigMaps and Secrets of the cluster that values come from.
	ValueSources []ValueSource
}

// ReadyExpression is a CEL expression over two objects: dep, the dependency, and self. Dep and Self are their JSON
// without status, which the spoke adds.
type ReadyExpression struct {
	Dependency ApplicationName // one of DependsOn
	Expression string
	Dep, Self  []byte
}

// HealthExpressions are CEL expressions over a whole object of a kind, or, if Kind is empty, of any kind of the group
// that is not named elsewhere. The first that holds decides, in the order InProgress, Failed, Current; the object is in
// progress if none holds. An empty expression never holds.
type HealthExpressions struct{ Group, Kind, Current, InProgress, Failed string }

// DeletionPolicy is what happens to the objects of an Application that leaves the bundle: Flux's spec.deletionPolicy.
type DeletionPolicy string

// The deletion policies of Flux's Kustomization.
const (
	MirrorPrune        DeletionPolicy = "MirrorPrune" // as Application.Prune says; the default
	Delete             DeletionPolicy = "Delete"
	WaitForTermination DeletionPolicy = "WaitForTermination"
	Orphan             DeletionPolicy = "Orphan"
)

// Resolve returns what happens to the objects of an Application that prunes or not: Delete, WaitForTermination or
// Orphan.
func (p DeletionPolicy) Resolve(prune bool) DeletionPolicy {
	switch {
	case p == Delete || p == WaitForTermination || p == Orphan:
		return p
	case prune:
		return Delete
	}
	return Orphan
}

// PolicyOnRemoval returns what happens to the objects when the application leaves: Delete, WaitForTermination or
// Orphan.
func (a *Application) PolicyOnRemoval() DeletionPolicy { return a.DeletionPolicy.Resolve(a.Prune) }

// SecretReference names a Secret in the spoke's own cluster.
type SecretReference struct{ Namespace, Name string }

// ObjectIdentity names an object and the API version it is written in.
type ObjectIdentity struct{ Group, Version, Kind, Namespace, Name string }

// ID returns the name without the version.
func (o ObjectIdentity) ID() manifest.ID {
	return manifest.ID{Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}

// ObjectReference is one object by the digest of its canonical JSON.
type ObjectReference struct {
	ObjectIdentity
	Digest manifest.Digest
}

// SealedFile is a SOPS file as it was committed, and the placeholders that stand for its values.
type SealedFile struct {
	Path   string // below the artifact's root; for messages only
	Digest manifest.Digest
	Format Format
	Values []SealedValue
	// Parts reports that documents of the file were encrypted each for itself. It is not on the wire: a spoke sees it in
	// the file.
	Parts bool `json:",omitempty"`
}

// Format is the SOPS store that reads a sealed file.
type Format string

// The formats of SOPS.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	Binary Format = "binary"
)

// SealedValue is one encrypted leaf and the placeholder that stands for it.
type SealedValue struct {
	Placeholder string   `json:"Token"` // the old name of the field, kept for rows on disk
	Document    int      // index of the document in a file of several
	Path        []string // map keys, and list indexes in decimal
	Type        string   // as SOPS recorded it: str, int, float, bool, bytes
	// Text is not empty if the value is text as a decrypted file of this format has it: the whole file if Path is empty.
	Text Format `json:",omitempty"`
	// Short is set if the value may be a boolean, a null or a small number where texts are read as such. Its length tells.
	// It is not on the wire: a spoke sees the value.
	Short bool `json:",omitempty"`
}
