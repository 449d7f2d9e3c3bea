package status

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// troubles are what may be wrong with a Kustomization of one of the random trees, or wanted by an operator.
var troubles = map[string]func(*Facts){
	"build":     failsAs(condition.BuildFailed, "no such file"),
	"never":     failsAs(condition.ArtifactFailed, "never fetched"),
	"refused":   fails,
	"unhealthy": reported(condition.False, condition.HealthCheckFailed, "health check failed: Deployment.apps default/web"),
	"starts":    reported(condition.Unknown, condition.Progressing, "waiting for health: Deployment.apps default/web"),
	"awaits":    reported(condition.Unknown, condition.Progressing, "waiting for health: Kustomization flux-system/k0 is not ready"),
	"late":      reported(condition.False, condition.HealthCheckFailed, "not healthy after 5m0s: Kustomization flux-system/k0 is not ready"),
	"waits":     reported(condition.False, condition.DependencyNotReady, "waits"),
	"fought":    reported(condition.False, condition.DriftHeld, "ConfigMap a"),
	"drifted":   reported(condition.False, condition.DriftDetected, "ConfigMap a"),
	"pruning":   reported(condition.False, condition.PruneHeld, "3 objects"),
	"unread":    func(f *Facts) { f.Condition = nil },
	"unplanned": func(f *Facts) { f.Entry = nil },
	"behind":    func(f *Facts) { f.Report = nil },
	"held":      func(f *Facts) { f.Condition.Held = 2 },
	"removed":   failsAs(condition.RemovalHeld, "its removal is held"),
	"suspended": func(f *Facts) {
		f.Resource.Suspended, f.Resource.SuspendedAt = true, at(4)
		f.Waiting = []string{"main@sha1:c of GitRepository flux-system/fleet"}
	},
	"damaged": func(f *Facts) { f.Damaged = store.ErrDamaged },
}

// reported returns a change that gives an application a verdict of its spoke.
func reported(ready, reason, message string) func(*Facts) {
	return func(f *Facts) {
		if f.Report == nil {
			return
		}
		f.Report.Ready, f.Report.Reason, f.Report.Message = ready, reason, message
		f.Report.AppliedDigest, f.Report.Since = f.Report.Digest, timestamppb.New(at(5))
		f.Report.Objects = []*spokev1.ObjectReport{{Object: deploymentWeb, Status: "InProgress", Message: "0/1"}}
	}
}

// clusterTroubles are those of a cluster.
var clusterTroubles = map[string]func(cluster *Facts, apps []Facts){
	"offline": func(c *Facts, _ []Facts) { c.Spoke.Connected, c.Spoke.Since = false, at(6) },
	"blocked": func(c *Facts, _ []Facts) {
		c.Resource.Object = api.StoredObject(c.Resource.Key, []byte(`{"spec":{"blocked":true}}`))
	},
	"rejected": func(c *Facts, _ []Facts) { c.Spoke.Rejected = "no signature" },
	"refusal":  func(c *Facts, _ []Facts) { c.Refusal = &store.Refusal{Message: "no bundle"} },
	"upgrade": func(c *Facts, _ []Facts) {
		c.Upgrade = &store.Upgrade{UpgradeProgress: store.UpgradeProgress{Reason: condition.SpokeUpgradeFailed}}
	},
	"unreported": func(c *Facts, _ []Facts) { c.Spoke.Unreported = 3 },
	"unacked":    func(c *Facts, _ []Facts) { c.Spoke.Acks = nil },
	"hub": func(c *Facts, _ []Facts) {
		c.Condition.Ready, c.Condition.Reason, c.Condition.Message = condition.False, condition.BuildFailed, "Failed: k0"
	},
	"suspended": func(c *Facts, _ []Facts) { c.Resource.Suspended, c.Resource.SuspendedAt = true, at(4) },
	"stopped": func(c *Facts, apps []Facts) {
		c.Resource.Suspended, c.Resource.StopRepair, c.Resource.SuspendedAt = true, true, at(4)
		for i := range apps {
			apps[i].Entry.Suspended, apps[i].With = true, &suspension{with: c.Resource.Key, by: "with it", since: at(4)}
		}
	},
	"pinned": func(c *Facts, apps []Facts) {
		c.Pin = &store.Pin{PinnedAt: at(6)}
		for i := range apps {
			apps[i].Pin = c.Pin
		}
	},
}

// clusterReasonOf is with which reason the troubles of a cluster are told, whatever else is wrong there.
var clusterReasonOf = map[string]string{"offline": condition.Offline, "blocked": condition.Blocked,
	"rejected": condition.BundleRejected, "refusal": condition.BundleRefused, "upgrade": condition.SpokeUpgradeFailed,
	"unreported": condition.ReportsLimited, "suspended": condition.Suspended, "stopped": condition.Suspended,
	"pinned": condition.Pinned}

// randomWorld returns a Fleet with clusters and Kustomizations that depend on each other, of which some have troubles,
// and the names of these.
func randomWorld(r *rand.Rand) (w *World, done []string) {
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	troubled := func() bool { return r.IntN(6) == 0 }
	source := Facts{Resource: store.Resource{Key: sourceKey, Object: api.StoredObject(sourceKey, []byte(`{}`))},
		Condition: &store.Condition{Ready: condition.True, Reason: condition.Succeeded}}
	if troubled() {
		done = append(done, "source")
		source.Condition.Ready, source.Condition.Reason = condition.False, condition.AuthenticationFailed
	}
	fleet := Facts{Resource: store.Resource{Key: fleetKey, Object: api.StoredObject(fleetKey, []byte(`{}`))},
		Condition: &store.Condition{Ready: condition.True, Reason: condition.Selected}, Sources: map[api.Key]Facts{}}
	facts := []Facts{source}
	for _, name := range []string{"east", "west"}[:1+r.IntN(2)] {
		g := &clusterGraph{facts: map[api.Key]Facts{}, children: map[api.Key][]api.Key{}}
		var apps []Facts
		for i := range 1 + r.IntN(4) {
			spec := ""
			if r.IntN(2) == 0 {
				spec = fmt.Sprintf(`,"dependsOn":[{"name":"k%d"}]`, r.IntN(4))
			}
			app := application(fmt.Sprint("k", i), spec, nil)
			app.Resource.Key.Cluster = name
			apps = append(apps, app)
		}
		cluster := member(name, apps...)
		id := bundle.ID{Sequence: 1}
		cluster.Bundle = &store.SignedBundle{Bundle: id}
		cluster.Spoke = &store.Spoke{Connected: true, RegisteredAt: at(1),
			Acks: map[bundle.Stage]bundle.ID{bundle.Received: id, bundle.Applied: id, bundle.Healthy: id}}
		if troubled() {
			trouble := pick(sortedKeys(clusterTroubles))
			done = append(done, name+" "+trouble)
			clusterTroubles[trouble](&cluster, apps)
		}
		for i := range apps {
			apps[i].Spoke, apps[i].Refusal, apps[i].Bundle = cluster.Spoke, cluster.Refusal, cluster.Bundle
			if troubled() {
				trouble := pick(sortedKeys(troubles))
				done = append(done, fmt.Sprint(name, " k", i, " ", trouble))
				troubles[trouble](&apps[i])
				if r.IntN(4) == 0 {
					troubles["suspended"](&apps[i])
				}
			}
			g.facts[apps[i].Resource.Key] = apps[i]
		}
		g.link()
		cluster.Covered, cluster.Sources = nil, map[api.Key]Facts{sourceKey: source}
		for _, app := range g.facts {
			cluster.Covered = append(cluster.Covered, app)
		}
		facts = append(append(facts, cluster), cluster.Covered...)
		fleet.Members, fleet.Sources = append(fleet.Members, cluster), cluster.Sources
	}
	return newWorld(append(facts, fleet)...), done
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// isOf returns a check that an explanation is of an object.
func isOf(key api.Key) func(*adminv1.Explanation) bool {
	return func(e *adminv1.Explanation) bool { return KeyOf(e.Object) == key }
}

// TestExplain_no_false_all_clear explains something of random trees if and only if something is wrong with an object or
// an operator wants it so, and something that nobody wants if and only if an object is not ready that is not itself
// suspended or pinned. What is wrong with an object is told at the object or at one that affects it.
func TestExplain_no_false_all_clear(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, done := randomWorld(r)
		list := Explain(w, api.Key{})
		if (len(list) == 0) != (len(done) == 0) {
			t.Fatalf("seed %d: with %q explained\n%s", seed, done, lines(list))
		}
		for _, trouble := range done {
			cluster, name, _ := strings.Cut(trouble, " ")
			reason := clusterReasonOf[name]
			if reason != "" && !slices.ContainsFunc(list, func(e *adminv1.Explanation) bool {
				return isOf(api.ClusterKey(cluster))(e) && e.Reason == reason
			}) {
				t.Fatalf("seed %d: with %q, %s of %s is not told\n%s", seed, done, reason, cluster, lines(list))
			}
		}
		told, suspended := map[api.Key]bool{}, map[api.Key]bool{}
		failure := false
		for _, e := range list {
			suspended[KeyOf(e.Object)] = suspended[KeyOf(e.Object)] || strings.Contains(e.Message, "Suspended by ")
			failure = failure || e.Reason != condition.Suspended && e.Reason != condition.Pinned
			for _, k := range append(e.Affects, e.Object) {
				told[KeyOf(k)] = true
			}
		}
		c := newCauses(w)
		for key, f := range w.facts {
			v := c.verdict(f)
			isOff := v.ready != condition.True || f.suspension() != nil && f.With == nil || f.holds()
			if isOff && !told[key] {
				t.Fatalf("seed %d: with %q, nothing tells of %s: %s %s\n%s", seed, done, key, v.ready, v.message, lines(list))
			}
			if f.suspension() != nil && f.With == nil && !suspended[key] {
				t.Fatalf("seed %d: with %q, the suspension of %s is not told\n%s", seed, done, key, lines(list))
			}
			if v.ready == condition.False && !failure {
				t.Fatalf("seed %d: with %q, %s is not ready, and all is as somebody wants it:\n%s", seed, done, key, lines(list))
			}
			if strings.HasPrefix(key.Kind, "Cluster") || key.Cluster == "" {
				continue
			}
			named := Explain(w, key)
			if isOff && (len(named) == 0 || !slices.ContainsFunc(named, isOf(key))) {
				t.Fatalf("seed %d: with %q, named %s: %s\n%s", seed, done, key, v.message, lines(named))
			}
		}
	}
}

// TestExplain_scope tells what is wrong with the Fleet or Cluster of an object, whatever names the object.
func TestExplain_scope(t *testing.T) {
	fleet := Facts{Resource: store.Resource{Key: fleetKey, Object: api.StoredObject(fleetKey, []byte(`{}`)), Suspended: true},
		Condition: &store.Condition{Ready: condition.True}}
	with := application("apps", "", func(f *Facts) { f.Entry.Suspended, f.With = true, &suspension{with: fleetKey} })
	held := application("apps", "", func(f *Facts) { f.Condition.Held = 2 })
	blocked := member("east", held)
	blocked.Spoke = &store.Spoke{}
	clusterTroubles["blocked"](&blocked, nil)
	keys := map[string]api.Key{"namespace": {Namespace: "flux-system"}, "name": {Kind: "Kustomization", Name: "apps"},
		"cluster": {Cluster: "east"}, "object": appsKey}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			if got := lines(Explain(newWorld(with, fleet), key)); !strings.Contains(got, "Suspended") {
				t.Errorf("suspended: got %q", got)
			}
			if got := lines(Explain(newWorld(held), key)); !strings.Contains(got, "RemovalHeld") {
				t.Errorf("held: got %q", got)
			}
			if got := lines(Explain(newWorld(held, blocked), key)); !strings.Contains(got, "Blocked") {
				t.Errorf("blocked: got %q", got)
			}
		})
	}
}
