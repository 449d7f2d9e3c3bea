package status

import (
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// advice returns the advice for a reason of the object. If the message of the reason already has the advice, advice
// returns "". A Cluster or Fleet may have the reason of an object of any kind that it covers.
func (f Facts) advice(reason string) string {
	text, kind := advices[reason], f.Resource.Key.Kind
	if f.rollsUp() {
		kind = "object"
	}
	if own, ok := api.FindReason(reason); ok {
		text = own.Advice
	}
	if reason == condition.DecryptionFailed && f.lacksDecryption() {
		text = decryptionAdvice
	}
	field, input := f.input()
	words := strings.NewReplacer("KIND", kind, "CONFIRM", f.confirmation(), "RELEASE", f.releasing(),
		"RESUME", command("resume", f.Resource.Key), "NAME", f.name(), "CREDENTIALS", f.credentials(), "FIELD", field,
		"INPUT", input)
	return words.Replace(text)
}

// input returns the field in which the object names the source that it needs, and the name of that source in a command,
// with its flags.
func (f Facts) input() (field, name string) {
	if f.role() == api.SourceRole {
		if view, err := f.Resource.Object.Source(); err == nil && len(view.Inputs) > 0 {
			in := view.Inputs[0]
			return in.Field, in.Key.Name + FlagsOf(in.Key.In(f.Resource.Key.Cluster))
		}
	}
	return "spec.sourceRef", "NAME"
}

// credentials names the Secret with which a source asks its server. A source that asks the server of its input does so
// with the Secret of the input, and may have another one for a signature.
func (f Facts) credentials() string {
	if f.role() == api.SourceRole {
		if view, err := f.Resource.Object.Source(); err == nil && view.Upstream && len(view.Inputs) > 0 {
			return "the message names; spec.secretRef is that of " + view.Inputs[0].Key.Local()
		}
	}
	return "spec.secretRef names"
}

// name returns the name of a source or a release in a command that the advice has, with its flags. For a Cluster or
// Fleet the message names the object.
func (f Facts) name() string {
	view, err := f.Resource.Object.Renderable()
	if f.role() != api.SourceRole && (err != nil || view.Release == nil) {
		return "NAME"
	}
	return f.Resource.Key.Name + FlagsOf(f.Resource.Key)
}

// decryptionAdvice is the advice about an application with encrypted files and without spec.decryption.
const decryptionAdvice = "Set spec.decryption of the KIND: provider: sops, and in secretRef the Secret with the keys"

// lacksDecryption reports whether the object is an application without spec.decryption.
func (f Facts) lacksDecryption() bool {
	if f.role() != api.RenderableRole {
		return false
	}
	view, err := f.Resource.Object.Renderable()
	return err == nil && view.Decryption == (bundle.SecretReference{})
}

// awaitAdvice is the advice about an application that waits for the health of objects.
const awaitAdvice = "No action is needed while the named objects start. If one of them is NotFound, create it, or " +
	"correct spec.healthChecks; if one stays as it is, look at it in the cluster: kubectl describe"

// confirmation returns the command that confirms the held removals of the object. For a Cluster or Fleet the message
// names the object.
func (f Facts) confirmation() string {
	if f.rollsUp() {
		return "nave confirm, for the named object and cluster"
	}
	k := f.Resource.Key
	return fmt.Sprintf("nave confirm %s %s -n %s --cluster %s", strings.ToLower(k.Kind), k.Name, k.Namespace, k.Cluster)
}

// advices has the advice for each reason of shared/condition; api.Kind has that of the other reasons. KIND stands for
// the kind of the object, CONFIRM for the command that confirms its held removals, RELEASE for the command that ends
// the pin of its cluster, RESUME for the command that ends its suspension, CREDENTIALS for what names the Secret of a
// source, FIELD and INPUT for the source that the object needs: the field that names it, and its name.
var advices = map[string]string{
	// of the hub
	condition.BuildFailed: "Correct the files in Git; nave build shows the same error without a push, unless it is in " +
		"a remote base, which only the hub fetches. Until then the cluster keeps what it has",
	condition.InputUnreadable: "Correct the object that the message names, in Git or in the cluster; if a key is " +
		"missing, give it to the cluster. The chart is rendered when the cluster can read the values. Until then the " +
		"cluster keeps what it has",
	condition.ApplicationTooLarge: "Split the KIND into several, each with a path of its own. Until then " +
		"the cluster keeps what it has",
	condition.CapabilitiesUnknown: "Wait for the spoke to connect: nave get clusters shows whether it does. A chart may " +
		"ask what the API server of the cluster serves",
	condition.BundleTooLarge: "Let fewer objects of this cluster render more each. Until then the cluster keeps " +
		"its last bundle",
	condition.PathNotFound:   "Correct spec.path, or push the files it names. Until then the cluster keeps what it has",
	condition.ArtifactFailed: "Fix the source first: nave describe shows the error of its last attempt",
	condition.SourceNotReady: "If the source exists, correct what its own message says; else create it, or correct " +
		"FIELD. A source that is new is fetched within moments",
	condition.SourceUnstable:     "Keep the source out of what is rendered from it, or give one of the two another name",
	condition.GraphUnstable:      "Let one of the named objects come from an object that the others cannot change",
	condition.AccessDenied:       "Do what the message says, or let an operator allow it: see docs/tenancy.md",
	condition.Refused:            "Correct the object where it is written",
	condition.ObjectRefused:      "Correct the named object in Git; everything else goes on",
	condition.ObjectConflict:     "Let one object alone give what the message names",
	condition.DependencyNotFound: "Create the KIND that dependsOn names, or correct the name",
	condition.DependencyCycle:    "Take one of the named objects out of the circle",
	condition.SelfRenderEndless:  "Let the KIND's own file in Git name the path and the source it is in",
	condition.TemplateFailed: "Set the variable in spec.vars of the Cluster, or give it a default in the Fleet's " +
		"template",
	condition.NotRegistered: "Apply what nave cluster add prints to the cluster, and look at the logs of nave-spoke " +
		"there",
	condition.JoinTokenRefused: "Make a new join manifest with nave cluster add, and apply it to the cluster. The " +
		"cluster keeps repairing what it has meanwhile",
	condition.Offline: "Look at the nave-spoke Pod in the cluster and at its connection to the hub. How the cluster is " +
		"since then is not known; a spoke that runs goes on repairing what it has",
	condition.BundleRejected: "Compare the clock, the trust domain and the signing key of the spoke with the hub's",
	condition.BundleRefused: "If the message names a limit, let fewer objects of this cluster render more each. If it " +
		"names a damaged row, restore the hub's store from a backup: see docs/operations.md. Until then the cluster keeps " +
		"its last bundle",
	condition.ReportsLimited: "Let fewer objects of this cluster render more each. What the cluster runs is not affected",
	condition.BundleHeldBack: "Upgrade nave-spoke in the cluster to the version of the hub. The cluster keeps what it " +
		"runs meanwhile",
	condition.SpokeUpgradePending: "It is upgraded when it is connected and has its turn. If another " +
		"cluster has failed, correct that one first; if the cluster is suspended or pinned, resume or release it",
	condition.SpokeUpgrading: "No action is needed: the spoke tries the image, restarts with it, and applies everything " +
		"once; the next clusters follow when it is done",
	condition.SpokeUpgradeFailed: "Set another image, or mend what the message says: the spoke tries again every ten " +
		"minutes while it is connected. No other cluster begins until then. To pass this cluster over, let its own " +
		"spec.spoke.image name what it runs. If it is offline, look at the Pod of nave-spoke there",
	condition.SpokeNotUpgradable: "Upgrade nave-spoke in the cluster as it was installed: nave cluster add prints the " +
		"manifest; or let spec.spoke.image of the Cluster name what it runs",
	condition.SpokeImageConflict: "Do what the message says. The spoke stays as it is meanwhile",
	condition.RolloutProgressing: "No action is needed: the next clusters follow when these are healthy",
	condition.RolloutWaiting: "Do what the message names: nave rollout approve; or wait. A cluster that is offline for " +
		"good: nave rollout skip",
	condition.RolloutSuspended: "To go on: nave rollout resume, or set spec.rollout.suspend: false",
	condition.RolloutFailed: "Correct in Git what the message names: the next change begins a new rollout. If only this " +
		"cluster is at fault: nave rollout retry, or skip. To go back: nave rollout rollback",
	condition.RolloutRollingBack: "Correct in Git what failed: nave rollout status names it. Clusters get back what " +
		"they had before meanwhile",
	condition.RolloutRolledBack: "Correct in Git what failed: the next change begins a new rollout. To try the same " +
		"once more: nave rollout release",
	condition.RolloutAborted: "The next change in Git begins a new rollout. To go on with this one: nave rollout release",
	condition.DriftDetected: "Put the fields back, or ask for it: nave reconcile; or let Git say what the cluster has. " +
		"Drift is left as it is because of spec.driftDetection of a HelmRelease, the annotation fleet.nave.io/drift, or " +
		"spec.drift of the Cluster or Fleet",
	condition.DriftHeld: "Stop whoever changes the object, or leave the field to them: take it out of Git, or, for " +
		"replicas that are scaled, annotate the object kustomize.toolkit.fluxcd.io/ssa: Merge",
	condition.NoClusters:  "Compare spec.clusterSelector with the labels of the Clusters: nave get clusters -o wide",
	condition.Blocked:     "Take spec.blocked out of the Cluster to let its spoke in again",
	condition.Suspended:   "To go on: RESUME, or take suspend: true out of its spec",
	condition.Pinned:      "To go on with what is in Git: RELEASE",
	condition.Progressing: "No action is needed: the object should become ready by itself",
	// of sources
	condition.FetchFailed: "Check the address, the host and the network; nave reconcile of the Kustomization that " +
		"names it tries at once. Until then the last content stays in use",
	condition.AuthenticationFailed: "Check the Secret that CREDENTIALS",
	condition.VerificationError: "Give the Secret of spec.verify.secretRef the public keys of those who sign, or let " +
		"them sign; the message says which is missing",
	condition.RateLimited: "No action is needed: the hub asks again at that time, and sends no other request to the " +
		"server before. If it comes often: set a longer spec.interval, or credentials with a higher limit. Until then the " +
		"last content stays in use",
	condition.StorageOperationFailed: "Check the free space on the disk of the hub and the permissions of its data folder",
	// of the spoke
	condition.DependencyNotReady: "Fix the objects that it depends on first",
	condition.InputNotReady: "If the cluster has not told keys yet: see whether it is connected. Else give the cluster " +
		"the named ConfigMap or Secret, or set optional: true " +
		"where the KIND names it. A variable that nothing gives wants a value in postBuild.substitute, or a default",
	condition.HealthCheckFailed: "Look at the named objects and their events in the cluster: kubectl describe",
	condition.ReconciliationFailed: "Look at the named objects: the cluster does not take them, and the message has " +
		"the cause of each. If they are forbidden: see whether the service account of the KIND exists, and what it may do",
	condition.DecryptionFailed: "If the message names a cause in the file, correct the file with sops. If a key is " +
		"missing, give the cluster the Secret with the key that the file was encrypted for, or encrypt the file for its " +
		"key too",
	condition.KeyServiceUnavailable: "Look at the key service beside nave-spoke in the cluster: kubectl -n nave-system " +
		"logs deploy/nave-spoke -c key-service. The spoke asks again by itself",
	condition.InstallFailed: "Correct the chart or the values; the release is tried again as spec.install says, or at " +
		"once: nave reconcile helmrelease NAME --force",
	condition.UpgradeFailed: "Correct the chart or the values; the release is tried again as spec.upgrade says, or at " +
		"once: nave reconcile helmrelease NAME --force",
	condition.TestFailed: "Look at the Pods of the tests in the cluster: kubectl logs",
	condition.RetriesExceeded: "Correct the chart or the values, or let the spoke try again: nave reconcile helmrelease " +
		"NAME --reset, or --force for one attempt",
	condition.MissingRollbackTarget: "Correct the chart or the values, or let the spoke try again: nave " +
		"reconcile helmrelease NAME --force",
	condition.RollbackFailed: "Look at the named objects in the cluster: the rollback is tried again",
	condition.ReleaseHeld:    "Let only one program manage the release: the message says how",
	condition.UninstallFailed: "Look at the named objects and hooks in the cluster: mostly a finalizer or a hook does " +
		"not end. The uninstall is tried again",
	condition.PruneHeld:   "Bring the objects back in Git, or let them go: CONFIRM",
	condition.PruneFailed: "Look at the named objects: the cluster does not let them go",
}
