package status

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// member returns a cluster that runs its bundle, with the objects that a Fleet leads to there. Without objects it
// returns a cluster that never joined.
func member(name string, covered ...Facts) Facts {
	f := Facts{
		Resource: store.Resource{Key: api.ClusterKey(name), Object: api.StoredObject(api.ClusterKey(name), []byte(`{}`)),
			Created: at(1)},
		Condition: &store.Condition{Ready: "True", Reason: "Planned", Since: at(2)}, Covered: covered,
	}
	if len(covered) > 0 {
		f.Spoke = &store.Spoke{Connected: true, Since: at(1)}
	}
	return f
}

// fleetWorld is a store in which Fleet prod leads to root and apps on the clusters east and west, and all is well.
type fleetWorld struct {
	t     *testing.T
	store *store.Store
	since int // of the reports; 0: minute 3
}

var (
	fleetKey   = api.Key{Kind: "Fleet", Name: "prod"}
	eastKey    = api.Key{Kind: "Cluster", Name: "east"}
	sourceKey  = api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	rootKey    = api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "root"}
	appsKey    = api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	otherKey   = api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "other"}
	refusedKey = api.Key{Cluster: "east", Kind: "Alert", Namespace: "flux-system", Name: "chart"}
	revision   = "main@sha1:b"
)

func newFleetWorld(t *testing.T) *fleetWorld {
	w := &fleetWorld{t, store.OpenMemory(store.Twice), 0}
	t.Cleanup(func() { w.store.Close() })
	w.update(func(tx *store.Tx) error {
		return errors.Join(
			w.put(tx, fleetKey, nil,
				`{"kind":"Fleet","metadata":{"name":"prod"},"spec":{"clusterSelector":{"matchLabels":{"env":"prod"}},"template":{}}}`),
			w.put(tx, sourceKey, nil,
				`{"kind":"GitRepository","metadata":{"name":"fleet","namespace":"flux-system"},"spec":{"url":"https://git.example.com/fleet"}}`),
			w.cluster(tx, "east"), w.cluster(tx, "west"),
		)
	})
	return w
}

func (w *fleetWorld) update(fn func(*store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// put writes an object with a Condition of the hub.
func (w *fleetWorld) put(tx *store.Tx, key api.Key, owner *api.Key, object string) error {
	return errors.Join(
		store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Owner: owner, Object: api.StoredObject(key,
			[]byte(object)), Generation: 1,
			Created: at(1)}),
		store.Conditions.Put(tx, key.Path(), store.Condition{ObservedGeneration: 1, Ready: "True", Reason: "Good",
			Since:    at(2),
			Revision: revision}),
	)
}

// cluster writes a cluster that runs its bundle healthy.
func (w *fleetWorld) cluster(tx *store.Tx, name string) error {
	id := bundle.ID{Epoch: 1, Sequence: 4, Digest: digest}
	root, apps := rootKey, appsKey
	root.Cluster, apps.Cluster = name, name
	var plan store.Plan
	for _, key := range []api.Key{apps, root} {
		plan.Applications = append(plan.Applications, store.Entry{Content: store.Content{
			Name: key.Application(), Digest: digest, Revision: revision,
		}})
	}
	return errors.Join(
		w.put(tx, api.Key{Kind: "Cluster", Name: name}, nil,
			fmt.Sprintf(`{"kind":"Cluster","metadata":{"name":%q,"labels":{"env":"prod"}},"spec":{}}`, name)),
		store.Spokes.Put(tx, name, store.Spoke{Connected: true, Since: at(1),
			Acks: map[bundle.Stage]bundle.ID{bundle.Received: id, bundle.Applied: id, bundle.Healthy: id}}),
		store.SignedBundles.Put(tx, name, store.SignedBundle{Bundle: id, ChangedAt: at(3)}),
		store.Plans.Put(tx, name, plan),
		w.application(tx, root, &fleetKey, ""), w.application(tx, apps, &root, ""),
	)
}

// application writes a Kustomization that its spoke reports ready.
func (w *fleetWorld) application(tx *store.Tx, key api.Key, owner *api.Key, spec string) error {
	object := fmt.Sprintf(`{"kind":"Kustomization","metadata":{"name":%q,"namespace":"flux-system"},
		"spec":{"sourceRef":{"kind":"GitRepository","name":"fleet"}%s}}`, key.Name, spec)
	return errors.Join(w.put(tx, key, owner, object), w.report(tx, key, "True", "ReconciliationSucceeded", "Applied"))
}

func (w *fleetWorld) report(tx *store.Tx, key api.Key, ready, reason, message string) error {
	value, err := proto.Marshal(&spokev1.ApplicationReport{
		Digest: digest[:], Revision: revision, AppliedDigest: digest[:], AppliedRevision: revision,
		Ready: ready, Reason: reason, Message: message, Since: timestamppb.New(at(cmp.Or(w.since, 3))),
	})
	return errors.Join(err, store.Reports.Put(tx, key.Path(), store.Report{Value: value}))
}

// outcome makes the hub fail with an object.
func (w *fleetWorld) outcome(tx *store.Tx, key api.Key, reason, message string) error {
	return store.Conditions.Put(tx, key.Path(), store.Condition{
		ObservedGeneration: 1, Ready: "False", Reason: reason, Message: message, Since: at(5), Revision: revision,
	})
}

// spoke changes the row of east's spoke.
func (w *fleetWorld) spoke(tx *store.Tx, change func(*store.Spoke)) error {
	row, _, err := store.Spokes.Get(tx, "east")
	change(&row)
	return errors.Join(err, store.Spokes.Put(tx, "east", row))
}

// ready returns "Ready Reason: message" of an object.
func (w *fleetWorld) ready(key api.Key) (text string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx *store.Tx) error {
		f, ok, err := NewReader(tx).Read(key)
		v := f.verdict()
		text = v.ready + " " + v.reason + ": " + v.message
		if !ok {
			text = "not there"
		}
		w.compareSummary(tx, f, ok)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// pin pins east to a release of its applications and of other, which left Git and which a Fleet gave.
func (w *fleetWorld) pin(tx *store.Tx, fleet string) error {
	pin := store.Pin{PinnedAt: at(6), By: "spiffe://nave/operator/eve"}
	pin.Bundle = bundle.ID{Sequence: 3}
	for _, key := range []api.Key{appsKey, otherKey, rootKey} {
		content := store.Content{Name: key.Application(), Fleet: "prod", Digest: digest, Revision: revision}
		if key == otherKey {
			content.Fleet = fleet
		}
		pin.Applications = append(pin.Applications, content)
	}
	return store.Pins.Put(tx, "east", pin)
}

// TestRead_left reads applications that left Git.
func TestRead_left(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(w *fleetWorld, tx *store.Tx) error
	}{
		{"going", "not there", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, otherKey, "True", "ReconciliationSucceeded", "Applied")
		}},
		{"removal_held", "False RemovalHeld: held", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, otherKey, "False", "RemovalHeld", "held")
		}},
		{"not_deleted", "False PruneFailed: finalizers", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, otherKey, "False", "PruneFailed", "finalizers")
		}},
		{"pinned", "True ReconciliationSucceeded: Applied. Git does not have it any more: it goes with the end of the pin " +
			"(nave release east)", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.pin(tx, "prod"), w.report(tx, otherKey, "True", "ReconciliationSucceeded", "Applied"))
		}},
		{"kept_by_pin", "True ReconciliationSucceeded: Applied. Git does not have it any more: it goes with the end of the " +
			"pin (nave release east)", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.report(tx, otherKey, "True", "ReconciliationSucceeded", "Applied"),
				store.Pins.Put(tx, "east", store.Pin{}))
		}},
		{"pinned_unreported", "Unknown Progressing: The spoke is applying revision main@sha1:b",
			func(w *fleetWorld, tx *store.Tx) error { return w.pin(tx, "prod") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFleetWorld(t)
			w.update(func(tx *store.Tx) error { return tt.change(w, tx) })
			if got := w.ready(otherKey); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// upgrades writes how far the spoke of east has come with the image of a Fleet.
func upgrades(tx *store.Tx, fleet, reason, message string) error {
	return store.Upgrades.Put(tx, "east", store.Upgrade{Image: "r/s:v2", Fleets: []string{fleet}, Since: at(6),
		UpgradeProgress: store.UpgradeProgress{Reason: reason, Message: message}})
}

// rolls puts a rollout of the Fleet prod in a phase. The cluster east has not had its turn with the next revision.
func (w *fleetWorld) rolls(tx *store.Tx, phase rollout.Phase, message string) error {
	plan, _, err := store.Plans.Get(tx, "east")
	for i := range plan.Applications {
		if e := &plan.Applications[i]; e.Name == appsKey.Application() {
			e.Fleet, e.Digest = "prod", manifest.DigestOf([]byte("next"))
		}
	}
	r := store.Rollout{Rollout: rollout.Rollout{Number: 7, Phase: phase, Message: message, Since: at(6)}}
	turn := store.Turn{Progress: rollout.Progress{Rollout: 7, State: rollout.ClusterWaiting, Since: at(6)}}
	return errors.Join(err, store.Plans.Put(tx, "east", plan), store.Rollouts.Put(tx, store.RolloutKey("prod", 7), r),
		store.Turns.Put(tx, store.TurnKey("east", "prod"), turn))
}

// turns puts the cluster east in a state of the rollout.
func (w *fleetWorld) turns(tx *store.Tx, state rollout.State) error {
	p := rollout.Progress{Rollout: 7, State: state, Message: "left out by ann", Since: at(6)}
	return store.Turns.Put(tx, store.TurnKey("east", "prod"), store.Turn{Progress: p})
}

func TestRollUp(t *testing.T) {
	const allWell = "True ReconciliationSucceeded: 2 of 2 clusters are ready"
	const runs = "True ReconciliationSucceeded: Runs bundle 4"
	const pinLeaves = ". Git does not have it any more: it goes with the end of the pin (nave release east)"
	const pinned = ". Pinned to the applications of bundle 3 since 2026-01-02T03:06:00Z by eve: changes in Git wait"
	for _, tt := range []struct {
		name           string
		change         func(w *fleetWorld, tx *store.Tx) error
		fleet, cluster string
	}{
		{"ready", func(*fleetWorld, *store.Tx) error { return nil }, allWell, runs},
		{"root_fails_on_hub", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.outcome(tx, rootKey, "PathNotFound", "path ./east not found\nlong"),
				w.outcome(tx, eastKey, "BuildFailed", "Failed: root"))
		}, "False PathNotFound: 1 of 2 clusters are ready; east: Kustomization flux-system/root: PathNotFound: path ./east " +
			"not found",
			"False PathNotFound: Kustomization flux-system/root: PathNotFound: path ./east not found"},
		{"child_fails_on_spoke", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, appsKey, "False", "HealthCheckFailed", "Deployment web is Failed")
		}, "False HealthCheckFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: HealthCheckFailed: " +
			"Deployment web is Failed",
			"False HealthCheckFailed: Kustomization flux-system/apps: HealthCheckFailed: Deployment web is Failed"},
		{"prune_held", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, appsKey, "False", "PruneHeld", "it would delete 30 objects")
		}, "False PruneHeld: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: PruneHeld: it would delete " +
			"30 objects",
			"False PruneHeld: Kustomization flux-system/apps: PruneHeld: it would delete 30 objects"},
		{"cause_before_wait", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.outcome(tx, rootKey, "BuildFailed", "bad"),
				w.outcome(tx, appsKey, "DependencyNotReady", "root"))
		}, "False BuildFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/root: BuildFailed: bad. The " +
			"cluster keeps main@sha1:b (and 1 more is not ready)",
			"False BuildFailed: Kustomization flux-system/root: BuildFailed: bad. The cluster keeps main@sha1:b (and 1 more " +
				"is not ready)"},
		{"failure_before_wait", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.report(tx, rootKey, "Unknown", "Progressing", "applies"),
				w.report(tx, appsKey, "False", "ReconciliationFailed", "no"))
		}, "False ReconciliationFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: " +
			"ReconciliationFailed: no (and 1 more is not ready)",
			"False ReconciliationFailed: Kustomization flux-system/apps: ReconciliationFailed: no (and 1 more is not ready)"},
		{"rollout", func(w *fleetWorld, tx *store.Tx) error {
			return w.rolls(tx, rollout.Waiting, "it waits for an approval before stage prod")
		}, "Unknown RolloutWaiting: rollout 7 of Fleet prod: Waiting: it waits for an approval before stage prod; 1 of 2 " +
			"clusters are ready; east: Kustomization flux-system/apps: RolloutWaiting: Revision main@sha1:b waits for its " +
			"turn in rollout 7 of Fleet prod: Waiting: it waits for an approval before stage prod. The cluster keeps " +
			"main@sha1:b",
			"Unknown RolloutWaiting: Kustomization flux-system/apps: RolloutWaiting: Revision main@sha1:b waits for its " +
				"turn in rollout 7 of Fleet prod: Waiting: it waits for an approval before stage prod. The cluster keeps " +
				"main@sha1:b"},
		{"rollout_failed", func(w *fleetWorld, tx *store.Tx) error {
			return w.rolls(tx, rollout.Failed, "stage canary failed on west: sick")
		}, "False RolloutFailed: rollout 7 of Fleet prod: Failed: stage canary failed on west: sick; 1 of 2 clusters are " +
			"ready; east: Kustomization flux-system/apps: RolloutFailed: Revision main@sha1:b waits for its turn in " +
			"rollout 7 of Fleet prod: Failed: stage canary failed on west: sick. The cluster keeps main@sha1:b",
			"Unknown RolloutFailed: Kustomization flux-system/apps: RolloutFailed: Revision main@sha1:b waits for its turn " +
				"in rollout 7 of Fleet prod: Failed: stage canary failed on west: sick. The cluster keeps main@sha1:b"},
		{"rollout_and_failure", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.rolls(tx, rollout.Progressing, "stage canary: 0 of 1 done, 1 under way"),
				w.report(tx, appsKey, "False", "HealthCheckFailed", "sick"))
		}, "False HealthCheckFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: HealthCheckFailed: " +
			"sick. Revision main@sha1:b waits for its turn in rollout 7 of Fleet prod: Progressing: stage canary: 0 of 1 " +
			"done, 1 under way",
			"False HealthCheckFailed: Kustomization flux-system/apps: HealthCheckFailed: sick. Revision main@sha1:b waits " +
				"for its turn in rollout 7 of Fleet prod: Progressing: stage canary: 0 of 1 done, 1 under way"},
		{"rollout_left_out", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.rolls(tx, rollout.Succeeded, "1 skipped"), w.turns(tx, rollout.ClusterLeftOut))
		}, "Unknown RolloutWaiting: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: RolloutWaiting: " +
			"Revision main@sha1:b was not given to this cluster: left out by ann; rollout 7 of Fleet prod: Succeeded: 1 " +
			"skipped. The cluster keeps main@sha1:b",
			"Unknown RolloutWaiting: Kustomization flux-system/apps: RolloutWaiting: Revision main@sha1:b was not given to " +
				"this cluster: left out by ann; rollout 7 of Fleet prod: Succeeded: 1 skipped. The cluster keeps main@sha1:b"},
		{"rollout_skipped_offline", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.rolls(tx, rollout.Succeeded, "1 skipped"), w.turns(tx, rollout.ClusterSkipped),
				w.spoke(tx, func(s *store.Spoke) { s.Connected = false }))
		}, "Unknown Offline: 1 of 2 clusters are ready; east: The spoke has been offline since 2026-01-02T03:01:00Z",
			"Unknown Offline: The spoke has been offline since 2026-01-02T03:01:00Z"},
		{"rollout_done", func(w *fleetWorld, tx *store.Tx) error { // and only the revision is another one now
			return errors.Join(w.rolls(tx, rollout.Succeeded, ""), w.turns(tx, rollout.ClusterDone))
		}, "Unknown Progressing: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: Progressing: The spoke " +
			"is applying revision main@sha1:b",
			"Unknown Progressing: Kustomization flux-system/apps: Progressing: The spoke is applying revision main@sha1:b"},
		{"rollout_succeeded", func(_ *fleetWorld, tx *store.Tx) error {
			r := store.Rollout{Rollout: rollout.Rollout{Number: 7, Phase: rollout.Succeeded, Since: at(6)}}
			return store.Rollouts.Put(tx, store.RolloutKey("prod", 7), r)
		}, allWell, runs},
		{"spoke_upgrading", func(_ *fleetWorld, tx *store.Tx) error {
			return upgrades(tx, "prod", "SpokeUpgrading", "the spoke tries the image")
		}, "Unknown SpokeUpgrading: 1 of 2 clusters are ready; east: The spoke is upgraded to r/s:v2: the " +
			"spoke tries the image",
			"Unknown SpokeUpgrading: The spoke is upgraded to r/s:v2: the spoke tries the image"},
		{"spoke_upgraded", func(_ *fleetWorld, tx *store.Tx) error { return upgrades(tx, "prod", "SpokeUpgraded", "") },
			allWell, runs},
		{"spoke_not_upgraded", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(upgrades(tx, "prod", "SpokeUpgradeFailed", "ImagePullBackOff: no such tag"),
				w.report(tx, appsKey, "Unknown", "Progressing", "applies"))
		}, "False SpokeUpgradeFailed: 1 of 2 clusters are ready; east: The spoke was not upgraded to r/s:v2: " +
			"ImagePullBackOff: no such tag",
			"False SpokeUpgradeFailed: The spoke was not upgraded to r/s:v2: ImagePullBackOff: no such tag"},
		{"spoke_of_another_fleet", func(_ *fleetWorld, tx *store.Tx) error {
			return upgrades(tx, "test", "SpokeUpgradeFailed", "no")
		}, allWell, "False SpokeUpgradeFailed: The spoke was not upgraded to r/s:v2: no"},
		{"progressing", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, appsKey, "Unknown", "Progressing", "waits for health")
		}, "Unknown Progressing: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: Progressing: waits for " +
			"health",
			"Unknown Progressing: Kustomization flux-system/apps: Progressing: waits for health"},
		{"unplanned", func(w *fleetWorld, tx *store.Tx) error { return store.Plans.Delete(tx, "east") },
			"Unknown Progressing: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: Progressing: Rendered; " +
				"waiting to be planned (and 1 more is not ready)",
			"Unknown Progressing: Kustomization flux-system/apps: Progressing: Rendered; waiting to be planned " +
				"(and 1 more is not ready)"},
		{"bundle_too_large", func(w *fleetWorld, tx *store.Tx) error {
			return w.outcome(tx, eastKey, "BundleTooLarge",
				"too large")
		},
			"False BundleTooLarge: 1 of 2 clusters are ready; east: too large", "False BundleTooLarge: too large"},
		{"bundle_rejected", func(w *fleetWorld, tx *store.Tx) error {
			return w.spoke(tx, func(s *store.Spoke) { s.Rejected = "the spoke refused bundle 1.5: expired" })
		}, "False BundleRejected: 1 of 2 clusters are ready; east: The spoke refused bundle 1.5: expired",
			"False BundleRejected: The spoke refused bundle 1.5: expired"},
		{"spoke_offline", func(w *fleetWorld, tx *store.Tx) error {
			return w.spoke(tx, func(s *store.Spoke) { s.Connected = false })
		},
			"Unknown Offline: 1 of 2 clusters are ready; east: The spoke has been offline since 2026-01-02T03:01:00Z",
			"Unknown Offline: The spoke has been offline since 2026-01-02T03:01:00Z"},
		{"spoke_offline_and_failure", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.spoke(tx, func(s *store.Spoke) { s.Connected = false }),
				w.outcome(tx, rootKey, "BuildFailed", "bad"))
		}, "False BuildFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/root: BuildFailed: bad. The " +
			"cluster keeps main@sha1:b",
			"False BuildFailed: Kustomization flux-system/root: BuildFailed: bad. The cluster keeps main@sha1:b"},
		{"spoke_never_joined", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(store.Spokes.Delete(tx, "east"), store.Reports.Delete(tx, rootKey.Path()),
				store.Reports.Delete(tx, appsKey.Path()))
		}, "Unknown NotRegistered: 1 of 2 clusters are ready; east: The spoke has not registered yet",
			"Unknown NotRegistered: The spoke has not registered yet"},
		{"source_keeps_artifact", func(w *fleetWorld, tx *store.Tx) error {
			return w.outcome(tx, sourceKey, "GitOperationFailed", "no route to host")
		}, "False GitOperationFailed: 2 of 2 clusters are ready; GitRepository flux-system/fleet: GitOperationFailed: no " +
			"route to host",
			"False GitOperationFailed: GitRepository flux-system/fleet of the hub: GitOperationFailed: no route to host"},
		{"suspended_while_failing", func(w *fleetWorld, tx *store.Tx) error {
			row, _, err := store.Resources.Get(tx, appsKey.Path())
			row.Suspended = true
			return errors.Join(err, store.Resources.Put(tx, appsKey.Path(), row),
				w.report(tx, appsKey, "False", "HealthCheckFailed", "sick"))
		}, "False HealthCheckFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/apps: HealthCheckFailed: " +
			"sick",
			"False HealthCheckFailed: Kustomization flux-system/apps: HealthCheckFailed: sick"},
		{"object_refused", func(w *fleetWorld, tx *store.Tx) error {
			return w.outcome(tx, refusedKey, "Refused",
				"not supported")
		},
			// and, for the Fleet, its root has the reason ObjectRefused
			allWell, "False Refused: Alert flux-system/chart: Refused: not supported"},
		{"object_of_other_fleet", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.application(tx, otherKey, &api.Key{Kind: "Fleet", Name: "other"}, ""),
				w.outcome(tx, otherKey, "BuildFailed", "bad"),
				w.outcome(tx, eastKey, "BuildFailed", "Failed: other"))
		}, allWell, "False BuildFailed: Kustomization flux-system/other: BuildFailed: bad. The cluster keeps main@sha1:b"},
		{"object_of_other_fleet_waits", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.application(tx, otherKey, &api.Key{Kind: "Fleet", Name: "other"}, ""),
				w.outcome(tx, otherKey, "SourceNotReady", "not fetched yet"),
				w.outcome(tx, eastKey, "Progressing", "Waiting: other"))
		}, allWell, "False SourceNotReady: Kustomization flux-system/other: SourceNotReady: not fetched yet. The cluster " +
			"keeps main@sha1:b"},
		{"left_not_deleted", func(w *fleetWorld, tx *store.Tx) error {
			return w.report(tx, otherKey, "False", "PruneFailed", "finalizers")
		}, "False PruneFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/other: PruneFailed: finalizers",
			"False PruneFailed: Kustomization flux-system/other: PruneFailed: finalizers"},
		{"left_of_other_fleet", func(w *fleetWorld, tx *store.Tx) error {
			past := store.Past{Applications: []store.Content{{Name: otherKey.Application(), Fleet: "other"}}}
			return errors.Join(w.report(tx, otherKey, "False", "PruneFailed", "finalizers"),
				store.History.Put(tx, store.PastKey("east", bundle.ID{Epoch: 1, Sequence: 2}), past))
		}, allWell, "False PruneFailed: Kustomization flux-system/other: PruneFailed: finalizers"},
		{"pinned_and_left", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.pin(tx, "prod"), w.report(tx, otherKey, "False", "ReconciliationFailed", "no variable"))
		}, "False ReconciliationFailed: 1 of 2 clusters are ready; east: Kustomization flux-system/other: " +
			"ReconciliationFailed: no variable" + pinLeaves + "; pinned: east",
			"False ReconciliationFailed: Kustomization flux-system/other: ReconciliationFailed: no variable" + pinLeaves +
				pinned},
		{"pinned_and_not_back_yet", func(w *fleetWorld, tx *store.Tx) error { return w.pin(tx, "prod") },
			"Unknown Progressing: 1 of 2 clusters are ready; east: Kustomization flux-system/other: Progressing: The " +
				"spoke is applying revision main@sha1:b; pinned: east",
			"Unknown Progressing: Kustomization flux-system/other: Progressing: The spoke is applying revision " +
				"main@sha1:b" + pinned},
		{"pinned_and_left_of_other_fleet", func(w *fleetWorld, tx *store.Tx) error { return w.pin(tx, "other") },
			allWell + "; pinned: east", "Unknown Progressing: Kustomization flux-system/other: Progressing: The spoke is " +
				"applying revision main@sha1:b" + pinned},
		{"no_root_yet", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(store.Resources.Delete(tx, rootKey.Path()), store.Resources.Delete(tx, appsKey.Path()),
				store.Conditions.Delete(tx, rootKey.Path()), store.Conditions.Delete(tx, appsKey.Path()),
				store.Reports.Delete(tx, rootKey.Path()), store.Reports.Delete(tx, appsKey.Path()))
		}, "Unknown Progressing: 1 of 2 clusters are ready; east: waiting for its root object", runs},
		{"bundle_in_flight", func(w *fleetWorld, tx *store.Tx) error {
			return w.spoke(tx, func(s *store.Spoke) { s.Acks = nil })
		}, allWell, "Unknown Progressing: The hub is sending bundle 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFleetWorld(t)
			w.update(func(tx *store.Tx) error { return tt.change(w, tx) })
			if got := w.ready(fleetKey); got != tt.fleet {
				t.Errorf("Fleet\ngot  %s\nwant %s", got, tt.fleet)
			}
			if got := w.ready(eastKey); got != tt.cluster {
				t.Errorf("Cluster\ngot  %s\nwant %s", got, tt.cluster)
			}
		})
	}
}

func TestAwaited(t *testing.T) {
	waits := func(child string) string { return "Kustomization flux-system/" + child + " is not ready: " }
	for _, tt := range []struct {
		name string
		spec string // of root, which gives apps
		want string
	}{
		{"alone", "", "True ReconciliationSucceeded: Applied"},
		{"wait", `,"wait":true`, "False HealthCheckFailed: " + waits("apps") +
			"BuildFailed: bad. The cluster keeps main@sha1:b"},
		{"health_check",
			`,"healthChecks":[{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","namespace":"flux-system","name":"apps"}]`,
			"False HealthCheckFailed: " + waits("apps") + "BuildFailed: bad. The cluster keeps main@sha1:b"},
		{"health_check_of_other_kind",
			`,"healthChecks":[{"apiVersion":"apps/v1","kind":"Deployment","namespace":"flux-system","name":"apps"}]`,
			"True ReconciliationSucceeded: Applied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFleetWorld(t)
			w.update(func(tx *store.Tx) error {
				return errors.Join(w.application(tx, rootKey, &fleetKey, tt.spec), w.outcome(tx, appsKey, "BuildFailed", "bad"))
			})
			if got := w.ready(rootKey); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got, want := w.ready(fleetKey), "False BuildFailed: 1 of 2 clusters are ready; east: Kustomization "+
				"flux-system/apps: BuildFailed: bad. The cluster keeps main@sha1:b"; !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestUnreadable has objects that cannot be decoded: the status of each has the error, and no other object fails.
func TestUnreadable(t *testing.T) {
	w := newFleetWorld(t)
	westKey, otherFleet := api.ClusterKey("west"), api.FleetKey("other")
	w.update(func(tx *store.Tx) error {
		return errors.Join(
			w.put(tx, westKey, nil, `{"kind":"Cluster","metadata":{"name":"west","labels":{"env":"prod"}},"spec":{"vars":1}}`),
			w.put(tx, otherFleet, nil, `{"kind":"Fleet","metadata":{"name":"other"},"spec":{"clusterSelector":1}}`),
			w.put(tx, otherKey.In(""), nil, `{"kind":"Kustomization","metadata":{"name":"other"},"spec":{"wait":1}}`),
		)
	})
	for key, want := range map[api.Key]string{
		eastKey:              "True ReconciliationSucceeded: Runs bundle 4",
		westKey:              "False Refused: The hub cannot read the object: read Cluster west: ",
		otherFleet:           "False Refused: The hub cannot read the object: read Fleet other: ",
		otherKey.In(""):      "False Refused: The hub cannot read the object: read Kustomization flux-system/other: ",
		api.FleetKey("prod"): "False Refused: 1 of 2 clusters are ready; west: The hub cannot read the object: ",
	} {
		if got := w.ready(key); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	if got := w.explained(); got != "" {
		t.Errorf("suspended: %s", got)
	}
}

// TestAwaited_circle proves that Kustomizations that await each other are as ready as the worst of them.
func TestAwaited_circle(t *testing.T) {
	check := func(name string) string {
		return `,"healthChecks":[{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","namespace":"flux-system","name":"` + name + `"}]`
	}
	w := newFleetWorld(t)
	w.update(func(tx *store.Tx) error {
		return errors.Join(w.application(tx, rootKey, &fleetKey, check("apps")),
			w.application(tx, appsKey, &rootKey, check("other")),
			w.application(tx, otherKey, &rootKey, check("root")))
	})
	w.update(func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, "east")
		plan.Applications = append(plan.Applications, store.Entry{Content: store.Content{
			Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system",
				Name: "other"}, Digest: digest, Revision: revision,
		}})
		return errors.Join(err, store.Plans.Put(tx, "east", plan))
	})
	if got, want := w.ready(fleetKey), "True ReconciliationSucceeded: 2 of 2 clusters are ready"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.update(func(tx *store.Tx) error { return w.outcome(tx, otherKey, "BuildFailed", "bad") })
	for _, key := range []api.Key{rootKey, appsKey, otherKey} {
		if got := w.ready(key); !strings.HasPrefix(got, "False ") {
			t.Errorf("%s: %s", key, got)
		}
	}
}

// suspend makes an operator suspend an object.
func (w *fleetWorld) suspend(tx *store.Tx, key api.Key, stopRepair bool) error {
	row, _, err := store.Resources.Get(tx, key.Path())
	row.Suspended, row.StopRepair, row.SuspendedAt = true, stopRepair, at(6)
	outcome, _, err2 := store.Conditions.Get(tx, key.Path())
	outcome.Frozen = key.Kind == api.ClusterKind
	return errors.Join(err, err2, store.Resources.Put(tx, key.Path(), row), store.Conditions.Put(tx, key.Path(), outcome))
}

// inPlan suspends the entries of the plans, as the planner does.
func (w *fleetWorld) inPlan(tx *store.Tx) error {
	var errs []error
	for _, cluster := range []string{"east", "west"} {
		plan, _, err := store.Plans.Get(tx, cluster)
		for i := range plan.Applications {
			plan.Applications[i].Suspended = true
		}
		errs = append(errs, err, store.Plans.Put(tx, cluster, plan))
	}
	return errors.Join(errs...)
}

// push makes a newer revision of the source.
func (w *fleetWorld) push(tx *store.Tx) error {
	row, _, err := store.Resources.Get(tx, sourceKey.Path())
	if err != nil {
		return err
	}
	source, err := row.Object.Source()
	if err != nil {
		return err
	}
	return store.Sources.Put(tx, source.FetchKey(row.Bound()),
		store.Fetched{Artifact: &artifact.Artifact{Revision: "main@sha1:c", Digest: digest}})
}

func TestSuspended(t *testing.T) {
	const since = "since 2026-01-02T03:06:00Z"
	const waits = ", main@sha1:c of GitRepository flux-system/fleet waits"
	for _, tt := range []struct {
		name      string
		change    func(w *fleetWorld, tx *store.Tx) error
		key       api.Key
		ready     string
		condition string // the message of Suspended
		explained string // the suspended objects of the whole fleet
	}{
		{"cluster", func(w *fleetWorld, tx *store.Tx) error { return errors.Join(w.suspend(tx, eastKey, false), w.push(tx)) },
			eastKey,
			"True ReconciliationSucceeded: Suspended by an operator " + since + ", drift is repaired" + waits +
				"; Runs bundle 4",
			"Suspended by an operator " + since + ", drift is repaired" + waits, "Cluster/east"},
		{"cluster_without_repairs", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, eastKey, true), w.inPlan(tx))
		}, eastKey,
			"True ReconciliationSucceeded: Suspended by an operator " + since + ", drift is not repaired; Runs bundle 4",
			"Suspended by an operator " + since + ", drift is not repaired", "Cluster/east"},
		{"offline_without_repairs", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, eastKey, true), w.inPlan(tx), w.spoke(tx, func(s *store.Spoke) {
				s.Connected, s.Acks[bundle.Received] = false, bundle.ID{}
			}))
		}, eastKey,
			"Unknown Offline: Suspended by an operator " + since + ", its spoke may go on repairing drift until it has " +
				"received that; The spoke has been offline since 2026-01-02T03:01:00Z",
			"Unknown: Suspended by an operator " + since + ", its spoke may go on repairing drift until it has received " +
				"that; the spoke of cluster east has not received it: it has been offline since 2026-01-02T03:01:00Z",
			"Cluster/east"},
		{"in_cluster_without_repairs", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, eastKey, true), w.inPlan(tx))
		}, appsKey,
			"True ReconciliationSucceeded: Applied", "Suspended with Cluster east " + since, "Cluster/east"},
		{"fleet", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, fleetKey, false), w.inPlan(tx), w.push(tx))
		}, fleetKey, "True ReconciliationSucceeded: Suspended by an operator " + since + waits +
			"; 2 of 2 clusters are ready",
			"Suspended by an operator " + since + waits, "Fleet/prod"},
		{"below_fleet", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, fleetKey, false), w.inPlan(tx))
		}, appsKey,
			"True ReconciliationSucceeded: Applied", "Suspended with Fleet prod " + since, "Fleet/prod"},
		{"root_of_fleet", func(w *fleetWorld, tx *store.Tx) error { // the Fleet sets spec.suspend in it
			row, _, err := store.Resources.Get(tx, appsKey.Path())
			row.Owner, row.Object = &fleetKey, api.StoredObject(appsKey, []byte(`{"apiVersion":`+
				`"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"apps","namespace":"flux-system"},`+
				`"spec":{"interval":"10m","prune":true,"path":"./x","suspend":true,`+
				`"sourceRef":{"kind":"GitRepository","name":"fleet"}}}`))
			return errors.Join(err, w.suspend(tx, fleetKey, false), store.Resources.Put(tx, appsKey.Path(), row), w.inPlan(tx))
		}, appsKey,
			"True ReconciliationSucceeded: Applied", "Suspended with Fleet prod " + since, "Fleet/prod"},
		{"fleet_of_suspended_cluster", func(w *fleetWorld, tx *store.Tx) error { return w.suspend(tx, eastKey, false) },
			fleetKey,
			"True ReconciliationSucceeded: 2 of 2 clusters are ready; suspended: east", "", "Cluster/east"},
		{"not_received", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, appsKey, false), w.inPlan(tx),
				w.spoke(tx, func(s *store.Spoke) { s.Acks[bundle.Received] = bundle.ID{} }))
		}, appsKey, "True ReconciliationSucceeded: Applied",
			"Unknown: Suspended by an operator " + since +
				"; the spoke of cluster east has not received it yet", "Kustomization/apps"},
		{"not_published", func(w *fleetWorld, tx *store.Tx) error {
			plan, _, err := store.Plans.Get(tx, "east")
			plan.ChangedAt = at(9)
			return errors.Join(err, store.Plans.Put(tx, "east", plan), w.suspend(tx, appsKey, false), w.inPlan(tx))
		}, appsKey, "True ReconciliationSucceeded: Applied",
			"Unknown: Suspended by an operator " + since +
				"; the spoke of cluster east has not received it yet", "Kustomization/apps"},
		{"not_planned", func(w *fleetWorld, tx *store.Tx) error { return w.suspend(tx, fleetKey, false) }, fleetKey,
			"True ReconciliationSucceeded: Suspended by an operator " + since + "; 2 of 2 clusters are ready",
			"Unknown: Suspended by an operator " + since + "; the hub has not processed it yet", "Fleet/prod"},
		{"source", func(w *fleetWorld, tx *store.Tx) error { return w.suspend(tx, sourceKey, false) }, sourceKey,
			"True Good: ", "Suspended by an operator " + since, "GitRepository/fleet"},
		{"cluster_offline", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(w.suspend(tx, eastKey, false), w.spoke(tx, func(s *store.Spoke) { s.Connected = false }))
		}, eastKey, "Unknown Offline: Suspended by an operator " + since +
			", drift is repaired; The spoke has been offline since 2026-01-02T03:01:00Z",
			"Suspended by an operator " + since + ", drift is repaired", "Cluster/east"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFleetWorld(t)
			w.update(func(tx *store.Tx) error { return tt.change(w, tx) })
			if got := w.ready(tt.key); got != tt.ready {
				t.Errorf("got  %s\nwant %s", got, tt.ready)
			}
			if got := w.suspended(tt.key); got != tt.condition {
				t.Errorf("condition\ngot  %s\nwant %s", got, tt.condition)
			}
			if got := w.explained(); got != tt.explained {
				t.Errorf("explained %s, want %s", got, tt.explained)
			}
		})
	}
}

// suspended returns the message of the condition Suspended. If the object has none, suspended returns "".
func (w *fleetWorld) suspended(key api.Key) (message string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx *store.Tx) error {
		f, _, err := NewReader(tx).Read(key)
		for _, c := range fold(w.t, f).Status.Conditions {
			if c.Type == condition.Suspended {
				message = strings.TrimPrefix(string(c.Status)+": "+c.Message, "True: ")
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return message
}

// explained returns the names of the objects that nave explain lists as suspended.
func (w *fleetWorld) explained() string {
	w.t.Helper()
	var names []string
	err := w.store.View(w.t.Context(), func(tx *store.Tx) error {
		names = nil
		world, err := Load(tx, "")
		for _, e := range Explain(world, api.Key{}) {
			if e.Reason == condition.Suspended {
				names = append(names, e.Object.Kind+"/"+e.Object.Name)
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(names, " ")
}
