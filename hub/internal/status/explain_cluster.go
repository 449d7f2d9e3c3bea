package status

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// explainOffline explains the Clusters that are offline and have applications that key names: what is known about such
// an application is as old as the last report. Clusters that are named or covered themselves are not among them.
func (w *World) explainOffline(key api.Key, covered map[api.Key]bool) (list []*adminv1.Explanation) {
	told := map[api.Key]bool{}
	for _, f := range w.facts {
		cluster := api.ClusterKey(f.Resource.Key.Cluster)
		c, ok := w.facts[cluster]
		if f.role() != api.RenderableRole || !f.named(key) || !ok || told[cluster] || covered[cluster] || c.named(key) {
			continue
		}
		if v := c.sessionVerdict(); v.reason == condition.Offline {
			told[cluster] = true
			list = append(list, &adminv1.Explanation{Object: KeyMessage(cluster), Since: timestamppb.New(v.since),
				Reason: v.reason, Message: v.message, Advice: c.advice(v.reason)})
		}
	}
	return list
}

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

// adviceOf returns the advice about a verdict. An object that has failed objects below it, or is in progress for too
// long, is not expected to become ready by itself.
func (w *World) adviceOf(f Facts, v verdict) string {
	if v.reason != condition.Progressing {
		return f.advice(v.reason)
	}
	deadline := max(f.renderable().Timeout, leastDeadline)
	switch {
	case f.Report.GetFailed() > 0 && !f.behind():
		return f.advice(condition.HealthCheckFailed)
	case !w.now.IsZero() && w.now.Sub(v.since) > deadline:
		return overdueAdvice
	case f.Report == nil || !awaitsHealth(f.Report) || !strings.HasPrefix(v.message, f.Report.Message):
		return f.advice(v.reason)
	}
	if peer, ok := w.facts[f.awaitedPeer()]; ok && peer.verdict().ready == condition.False {
		return "Fix " + nameIn(f, peer) + " first"
	}
	return awaitAdvice
}

// awaitedPeer returns the application that the spoke names as the one whose readiness this application waits for.
func (f Facts) awaitedPeer() api.Key {
	text, _ := strings.CutPrefix(f.Report.Message, "waiting for health: ")
	local, _ := strings.CutSuffix(text, " is not ready")
	kind, name, _ := strings.Cut(local, " ")
	namespace, name, _ := strings.Cut(name, "/")
	return api.Key{Cluster: f.Resource.Key.Cluster, Kind: kind, Namespace: namespace, Name: name}
}
