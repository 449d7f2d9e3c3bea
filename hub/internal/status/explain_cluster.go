package status

import (
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// Clusters returns the clusters that have an object that key names, in order.
func (w *World) Clusters(key api.Key) (names []string) {
	for _, f := range w.facts {
		if f.Resource.Key.Cluster != "" && f.named(key) {
			names = append(names, f.Resource.Key.Cluster)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// CountClusters returns the number of Clusters.
func (w *World) CountClusters() (n int) {
	for key := range w.facts {
		if key.Role() == api.ClusterRole {
			n++
		}
	}
	return n
}

// count notes in each explanation how many clusters have an object of the same name.
func (w *World) count(all []*adminv1.Explanation) {
	clusters := map[api.Key]uint32{}
	for _, f := range w.facts {
		if k := f.Resource.Key; k.Cluster != "" {
			clusters[k.In("")]++
		}
	}
	for _, e := range all {
		if k := KeyOf(e.Object); k.Cluster != "" {
			e.Clusters = clusters[k.In("")]
		}
	}
}

// leastDeadline is how long any object may be in progress, also one with a shorter timeout, or with none, as a Cluster.
const leastDeadline = 5 * time.Minute

// overdueAdvice is the advice about an object that is in progress for longer than its timeout and leastDeadline.
const overdueAdvice = "It takes longer than it should: look at the named objects in the cluster, at nave events, " +
	"and at the logs of nave-spoke there"

// notWaitingAdvice is the advice about an object whose wait others have given up, or that has failed.
const notWaitingAdvice = "It does not become ready by itself: look at the named objects and their events in the " +
	"cluster (kubectl describe), and at nave events"

// waitingAdvice is the beginning of each advice to wait.
const waitingAdvice = "No action is needed"

// notWaiting returns another advice, if this one is to wait.
func notWaiting(advice string) string {
	if strings.HasPrefix(advice, waitingAdvice) {
		return notWaitingAdvice
	}
	return advice
}

// adviceOf returns the advice about a verdict. Nobody is told to wait for an object that has failed, that has failed
// objects below it, or that is in progress for too long.
func (w *World) adviceOf(f Facts, v verdict) string {
	advice := f.advice(v.reason)
	if v.reason == condition.Progressing && f.Report != nil && awaitsHealth(f.Report) &&
		strings.HasPrefix(v.message, f.Report.Message) {
		advice = awaitAdvice
	}
	if !strings.HasPrefix(advice, waitingAdvice) {
		return advice
	}
	deadline := max(f.renderable().Timeout, leastDeadline)
	peer, awaits := w.facts[f.peerOf(v)]
	switch r := f.Report.GetRelease(); {
	case awaits && peer.verdict().ready == condition.False:
		return "Fix " + nameIn(f, peer) + " first"
	case f.Report.GetFailed() > 0 && !f.behind():
		return f.advice(condition.HealthCheckFailed)
	case r.GetUpgradeFailures() > 0 && !f.behind():
		return f.advice(condition.UpgradeFailed)
	case r.GetInstallFailures() > 0 && !f.behind():
		return f.advice(condition.InstallFailed)
	case v.ready == condition.False || v.stalled:
		return notWaitingAdvice
	case !w.now.IsZero() && w.now.Sub(v.since) > deadline:
		return overdueAdvice
	}
	return advice
}

// awaitedPeer returns the application that the spoke names as the one whose readiness this application waits for, or
// waited for in vain.
func (f Facts) awaitedPeer() api.Key {
	_, text, _ := strings.Cut(f.Report.Message, ": ")
	local, ok := strings.CutSuffix(text, " is not ready")
	kind, name, _ := strings.Cut(local, " ")
	namespace, name, _ := strings.Cut(name, "/")
	if !ok {
		return api.Key{}
	}
	return api.Key{Cluster: f.Resource.Key.Cluster, Kind: kind, Namespace: namespace, Name: name}
}
