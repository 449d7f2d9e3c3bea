// Package condition is the vocabulary of statuses that hub, spoke and CLI share: the types and statuses of conditions,
// their reasons, and the types and reasons of events. If Flux has a word for a state, the word is Flux's, so that
// scripts written for Flux read Nave's objects too. Words that people or scripts see do not change their meaning.
package condition

// Types of conditions.
const (
	Ready             = "Ready"
	Reconciling       = "Reconciling"       // with Ready Unknown: the object is being worked on
	Stalled           = "Stalled"           // with Ready False: only a change of the object ends the failure
	Healthy           = "Healthy"           // of an application: its objects in the cluster
	FetchFailed       = "FetchFailed"       // of a source
	ArtifactInStorage = "ArtifactInStorage" // of a source: there is an artifact to render from
	SourceVerified    = "SourceVerified"    // of a source: its signatures were verified
	Connected         = "Connected"         // of a Cluster: its spoke has a session
	Released          = "Released"          // of a release of Helm: the desired revision is installed
	TestSuccess       = "TestSuccess"       // of a release of Helm
	Remediated        = "Remediated"        // of a release of Helm: a failed revision was rolled back or uninstalled
	Suspended         = "Suspended"         // Unknown until the suspension is in force everywhere; also a reason
)

// Statuses of conditions.
const (
	True    = "True"
	False   = "False"
	Unknown = "Unknown"
)

// Types of events.
const (
	Normal  = "Normal"
	Warning = "Warning"
)

// Reasons that hub and spoke share.
const (
	Progressing             = "Progressing"             // expected to pass without an operator
	ReconciliationSucceeded = "ReconciliationSucceeded" // the cluster runs the revision; also an event of the spoke
	DependencyNotReady      = "DependencyNotReady"      // a Kustomization of dependsOn is not ready
	InputNotReady           = "InputNotReady"           // a variable, or an object that variables come from, is missing
	HealthCheckFailed       = "HealthCheckFailed"       // an awaited object is unhealthy
	BundleRejected          = "BundleRejected"          // the spoke refused a bundle; also an event
	RemovalHeld             = "RemovalHeld"             // no source lists the objects; their removal needs confirmation
	DecryptionFailed        = "DecryptionFailed"        // the spoke has no key for a SOPS file
	KeyServiceUnavailable   = "KeyServiceUnavailable"   // the spoke's key service does not answer
	PruneFailed             = "PruneFailed"             // the cluster did not delete an object
)

// Reasons of sources of several kinds. A reason of one kind is in the kind's file of hub/api.
const (
	AuthenticationFailed   = "AuthenticationFailed"
	RateLimited            = "RateLimited"            // the server asks to wait
	StorageOperationFailed = "StorageOperationFailed" // of the hub's disk, or a damaged row of its store
	Succeeded              = "Succeeded"              // of ArtifactInStorage
	NewArtifact            = "NewArtifact"            // event: a new revision was fetched
	Notice                 = "Notice"                 // event: a source that is ready says what the user should know
	VerificationError      = "VerificationError"      // signatures are to be verified and cannot be
)

// Reasons of Kustomizations that the hub decides.
const (
	BuildSucceeded      = "BuildSucceeded"
	BuildFailed         = "BuildFailed"
	InputUnreadable     = "InputUnreadable" // the cluster was asked for the keys of values and cannot read them
	PathNotFound        = "PathNotFound"
	ArtifactFailed      = "ArtifactFailed"      // the source was never fetched, and the last attempt failed
	SourceNotReady      = "SourceNotReady"      // the source does not exist, or was not fetched yet
	SourceUnstable      = "SourceUnstable"      // renders add and remove the source in turns
	GraphUnstable       = "GraphUnstable"       // renders add and remove each other's objects in turns
	AccessDenied        = "AccessDenied"        // the hub does not allow the reference to another namespace, or the Secret
	Refused             = "Refused"             // the object itself is not valid; also the status of a refused object
	ObjectRefused       = "ObjectRefused"       // a rendered object is not valid, or not allowed there
	ObjectConflict      = "ObjectConflict"      // a rendered object belongs to another owner
	DependencyNotFound  = "DependencyNotFound"  // dependsOn names a Kustomization that does not exist
	DependencyCycle     = "DependencyCycle"     // dependsOn leads back to the Kustomization
	SelfRenderEndless   = "SelfRenderEndless"   // the Kustomization renders itself differently each time
	ApplicationTooLarge = "ApplicationTooLarge" // the last Application stays
	SecretUnreadable    = "SecretUnreadable"    // of a Secret of the hub: the vault's key does not open it
	CapabilitiesUnknown = "CapabilitiesUnknown" // a chart waits for the spoke to report what its API server serves
)

// Reasons of Clusters and Fleets.
const (
	Planned        = "Planned"
	Selected       = "Selected"
	NoClusters     = "NoClusters"     // the Fleet selects no cluster
	TemplateFailed = "TemplateFailed" // the Fleet's template does not work for a cluster
	BundleTooLarge = "BundleTooLarge" // the last bundle stays; also of the Kustomizations that wait
	Pinned         = "Pinned"         // a past release stays until an operator releases it; also a type of condition
	BundleRefused  = "BundleRefused"  // no bundle can be made of the plan; also an event
	BundleHeldBack = "BundleHeldBack" // the spoke does not know a feature; also an event, and of HelmReleases
	ReportsLimited = "ReportsLimited" // the spoke has more applications than a hub takes reports of
	Blocked        = "Blocked"        // by spec.blocked

	// Of the image that spec.spoke names.
	SpokeUpgradePending = "SpokeUpgradePending" // the spoke gets it later
	SpokeUpgrading      = "SpokeUpgrading"      // also an event
	SpokeUpgraded       = "SpokeUpgraded"       // also an event
	SpokeUpgradeFailed  = "SpokeUpgradeFailed"  // also an event
	SpokeNotUpgradable  = "SpokeNotUpgradable"  // the hub cannot upgrade this spoke; also an event
	SpokeImageConflict  = "SpokeImageConflict"  // Fleets name different ones; also an event

	// Of Fleets with a rollout; also events. Each is "Rollout" and the phase.
	RolloutProgressing = "RolloutProgressing" // also of Kustomizations that wait for their turn
	RolloutWaiting     = "RolloutWaiting"     // for a time, an approval, a window or a cluster
	RolloutSuspended   = "RolloutSuspended"
	RolloutFailed      = "RolloutFailed" // too many clusters failed
	RolloutRollingBack = "RolloutRollingBack"
	RolloutRolledBack  = "RolloutRolledBack"
	RolloutAborted     = "RolloutAborted"
	RolloutSucceeded   = "RolloutSucceeded"
	RolloutSuperseded  = "RolloutSuperseded" // of events only
	RolloutApproved    = "RolloutApproved"   // of events only
	RolloutControlled  = "RolloutControlled" // of events only: an operator decided something else

	NotRegistered    = "NotRegistered"    // no spoke has registered yet
	JoinTokenRefused = "JoinTokenRefused" // the spoke cannot register
	Offline          = "Offline"          // the spoke has no session
	Online           = "Online"           // of Connected
)

// Reasons of applications that the spoke decides.
const (
	ReconciliationFailed = "ReconciliationFailed" // the API server refused objects
	PruneHeld            = "PruneHeld"            // a prune needs confirmation
	Pending              = "Pending"              // the bundle does not list the application
)

// Reasons of releases of Helm that the spoke decides.
const (
	InstallSucceeded      = "InstallSucceeded"
	InstallFailed         = "InstallFailed"
	UpgradeSucceeded      = "UpgradeSucceeded"
	UpgradeFailed         = "UpgradeFailed"
	TestSucceeded         = "TestSucceeded"
	TestFailed            = "TestFailed"
	RollbackSucceeded     = "RollbackSucceeded"
	RollbackFailed        = "RollbackFailed"
	UninstallSucceeded    = "UninstallSucceeded"
	UninstallFailed       = "UninstallFailed"
	RetriesExceeded       = "RetriesExceeded"       // no retry is left
	ReleaseHeld           = "ReleaseHeld"           // the release is another program's, which an operator has to stop
	MissingRollbackTarget = "MissingRollbackTarget" // no earlier revision was deployed
)

// Reasons of events that the hub records.
const (
	Registered          = "Registered"
	RegistrationRefused = "RegistrationRefused"
	RemovalConfirmed    = "RemovalConfirmed"
	Adopted             = "Adopted"            // a Cluster of operators comes from Git now
	TakenOver           = "TakenOver"          // a Cluster that left Git is the operators' now
	Resumed             = "Resumed"            // by an operator or in Git; Suspended is the other event
	PinEnded            = "PinEnded"           // by an operator; Pinned is the other event
	TagsExcluded        = "TagsExcluded"       // of an ImagePolicy, by an operator
	TagsIncluded        = "TagsIncluded"       // by an operator; TagsExcluded is the other event
	BundleUnread        = "BundleUnread"       // the hub could not read the last bundle and signed another
	CertificateEnds     = "CertificateEnds"    // the certificate of a spoke ends soon and was not renewed
	CertificateRevoked  = "CertificateRevoked" // a spoke calls with a revoked certificate
	DuplicateSpoke      = "DuplicateSpoke"     // two spokes call as one cluster
	HubBehind           = "HubBehind"          // the spoke has a newer bundle than the hub
	BundleFork          = "BundleFork"         // the spoke has another bundle of the same sequence
	AckUnoffered        = "AckUnoffered"       // the spoke acknowledged a bundle that was not offered
	BlobsUnread         = "BlobsUnread"        // the hub could not read blobs that a spoke fetches
)

// Reasons of events that the spoke records.
const (
	HealthCheckSucceeded = "HealthCheckSucceeded"
	DriftRepaired        = "DriftRepaired"
	DriftDetected        = "DriftDetected" // objects drifted and are left so
	DriftHeld            = "DriftHeld"     // an object was repaired too often; the next repair is delayed
	Deleted              = "Deleted"
	SettingsRefused      = "SettingsRefused"
	SigningKeysRefused   = "SigningKeysRefused" // the hub's statement about its signing keys does not continue the spoke's
	WrongCluster         = "WrongCluster"       // the spoke's state is that of another cluster
)
