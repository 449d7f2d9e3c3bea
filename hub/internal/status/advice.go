package status

// advice is what to do about a reason. Reasons that are not here explain themselves by their message.
func advice(reason string) string { return advices[reason] }

var advices = map[string]string{
	// of the hub
	"BuildFailed": "Correct the files in Git; nave build kustomization shows the same error without a push. " +
		"Until then the cluster keeps what it has",
	"ApplicationTooLarge": "Split the Kustomization into several, each with a path of its own. Until then the cluster " +
		"keeps what it has",
	"BundleTooLarge": "Let fewer Kustomizations of this cluster render more. Until then the cluster keeps its last " +
		"bundle",
	"PathNotFound":       "Correct spec.path, or push the files it names. Until then the cluster keeps what it has",
	"ArtifactFailed":     "See to the source first: nave describe source git NAME shows what the last attempt met",
	"SourceNotReady":     "Create the source, or correct spec.sourceRef; a source that is new is fetched within moments",
	"SourceUnstable":     "Keep the source out of what is rendered from it, or give one of the two another name",
	"GraphUnstable":      "Let one of the named objects come from a Kustomization that the others cannot change",
	"AccessDenied":       "Do what the message says, or let an operator allow it: see docs/tenancy.md",
	"Refused":            "Correct the object where it is written",
	"ObjectRefused":      "Correct the named object in Git; everything else goes on",
	"ObjectConflict":     "Let one Kustomization alone hold the object",
	"DependencyNotFound": "Create the Kustomization that dependsOn names, or correct the name",
	"DependencyCycle":    "Take one of the named Kustomizations out of the circle",
	"SelfRenderEndless":  "Let the Kustomization's own file in Git name the path and the source it is in",
	"TemplateFailed":     "Set the variable in spec.vars of the Cluster, or give it a default in the Fleet's template",
	reasonNotRegistered:  "Apply what nave cluster add prints to the cluster, and look at the logs of nave-spoke there",
	reasonTokenRefused: "Make a new join manifest with nave cluster add, and apply it to the cluster. The cluster " +
		"keeps repairing what it has meanwhile",
	reasonOffline: "Look at the nave-spoke Pod in the cluster and at its way to the hub. The cluster keeps " +
		"repairing what it has meanwhile",
	reasonBundleRejected: "Compare the clock, the trust domain and the signing key of the spoke with the hub's",
	reasonNoClusters:     "Compare spec.clusterSelector with the labels of the Clusters: nave get clusters -o wide",
	reasonBlocked:        "Take spec.blocked out of the Cluster to let its spoke in again",
	reasonSuspended:      "To go on: nave resume, or take suspend: true out of its spec",
	reasonProgressing:    "Nothing: this should pass by itself",
	// of sources
	"GitOperationFailed":     "Check the URL, the reference and the network; nave reconcile source git NAME tries at once",
	"AuthenticationFailed":   "Check the Secret that spec.secretRef names",
	"StorageOperationFailed": "See to the room on the disk of the hub and to the rights on its data folder",
	// of the spoke
	"DependencyNotReady": "See to what it depends on first",
	"HealthCheckFailed":  "Look at the named objects in the cluster",
	"ReconciliationFailed": "Look at the named objects: the cluster's API server refused them. If they are forbidden: " +
		"see whether the service account " +
		"of the Kustomization exists, and what it may do",
	"DecryptionFailed": "Give the cluster the Secret with the key that the file was encrypted for, or encrypt the file " +
		"for its key too",
	"PruneHeld":   "Bring the objects back in Git, or let them go: nave confirm kustomization",
	"PruneFailed": "Look at the named objects: the cluster does not let them go",
}
