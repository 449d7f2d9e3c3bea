package status

import (
	"errors"
	"fmt"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// TestLoad: the world of one cluster has its objects as the world of all clusters has them, and nothing of other
// clusters, however many there are.
func TestLoad(t *testing.T) {
	w := newFleetWorld(t)
	w.since = 7
	gone := api.Key{Cluster: "north", Kind: "Kustomization", Namespace: "flux-system", Name: "left"}
	w.update(func(tx *store.Tx) error {
		return errors.Join(w.report(tx, appsKey, condition.False, condition.HealthCheckFailed, "sick"),
			w.application(tx, rootKey, &fleetKey, `,"wait":true`), w.suspend(tx, rootKey, false), w.push(tx),
			w.report(tx, gone, condition.False, condition.PruneFailed, "a finalizer"))
	})
	err := w.store.View(t.Context(), func(tx *store.Tx) error {
		all, err := Load(tx, "")
		if err != nil {
			return err
		}
		one, err := Load(tx, "east")
		for key, f := range one.facts {
			if c := api.ClusterOf(key.Path()); c != "" && c != "east" {
				t.Errorf("the world of east has %s", key)
			}
			if key.Role() != api.FleetRole && f.verdict() != all.facts[key].verdict() {
				t.Errorf("%s: %+v, in the world of all clusters %+v", key, f.verdict(), all.facts[key].verdict())
			}
		}
		for _, key := range []api.Key{appsKey, rootKey, eastKey, sourceKey} {
			read, _, err := NewReader(tx).Read(key)
			if f, ok := one.facts[key]; err != nil || !ok || fmt.Sprint(f.Waiting, f.verdict()) !=
				fmt.Sprint(read.Waiting, read.verdict()) {
				t.Errorf("%s: %v %v, read alone %v %v, %v", key, f.Waiting, f.verdict(), read.Waiting, read.verdict(), err)
			}
		}
		if f := all.facts[gone]; f.verdict().reason != condition.PruneFailed {
			t.Errorf("of a cluster without a Cluster: %v", f.verdict())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLoad_others: the world of one cluster costs the same however many others there are, so that a trace in all
// clusters, which asks about each, ends.
func TestLoad_others(t *testing.T) {
	w := newFleetWorld(t)
	cost := func() float64 {
		return testing.AllocsPerRun(5, func() {
			err := w.store.View(t.Context(), func(tx *store.Tx) error {
				one, err := Load(tx, "east")
				if _, ok := one.facts[eastKey]; !ok {
					t.Error("the world of east has no Cluster east")
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	before := cost()
	w.update(func(tx *store.Tx) (err error) {
		for i := range 500 {
			err = errors.Join(err, w.cluster(tx, fmt.Sprint("other-", i)), w.cluster(tx, fmt.Sprint("a-", i)))
		}
		return err
	})
	if after := cost(); after > 2*before {
		t.Errorf("%.0f allocations beside 1,000 clusters, %.0f before", after, before)
	}
}

// BenchmarkExplain explains 2,000 clusters, on each of which one failed Kustomization has ten others wait.
func BenchmarkExplain(b *testing.B) {
	w := &fleetWorld{nil, store.OpenMemory(), 0}
	defer w.store.Close()
	for i := range 2000 {
		err := w.store.Update(b.Context(), func(tx *store.Tx) error { return w.waiting(tx, fmt.Sprintf("c%04d", i)) })
		if err != nil {
			b.Fatal(err)
		}
	}
	for name, key := range map[string]api.Key{"all": {}, "one": {Cluster: "c0001"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				err := w.store.View(b.Context(), func(tx *store.Tx) error {
					world, err := Load(tx, key.Cluster)
					if n := len(Explain(world, key)); key.Cluster != "" && n != 1 || key.Cluster == "" && n != 2000 {
						b.Errorf("%d explanations", n)
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// waiting writes a cluster with a failed Kustomization and ten that wait for it.
func (w *fleetWorld) waiting(tx *store.Tx, cluster string) error {
	infra := rootKey
	infra.Cluster, infra.Name = cluster, "infra"
	errs := []error{w.cluster(tx, cluster)}
	var plan store.Plan
	for i := range 11 {
		key, spec := infra, ""
		ready, reason := condition.False, condition.DecryptionFailed
		if i > 0 {
			key.Name, spec, reason = fmt.Sprint("app", i), `,"dependsOn":[{"name":"infra"}]`, condition.DependencyNotReady
		}
		errs = append(errs, w.application(tx, key, nil, spec), w.report(tx, key, ready, reason, "no key"))
		plan.Applications = append(plan.Applications, store.Entry{Content: store.Content{Name: key.Application(),
			Digest: digest, Revision: revision}})
	}
	for _, name := range []string{"apps", "root"} {
		plan.Applications = append(plan.Applications, store.Entry{Content: store.Content{Digest: digest, Revision: revision,
			Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: name}}})
	}
	return errors.Join(append(errs, store.Plans.Put(tx, cluster, plan))...)
}
