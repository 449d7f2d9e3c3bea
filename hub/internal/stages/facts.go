package stages

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// fleet is a Fleet with a rollout.
type fleet struct {
	spec      *api.RolloutSpec
	suspended bool
	latest    store.Rollout // the row
	isStale   bool          // latest must be read again
}

// cluster is what a Cluster says.
type cluster struct {
	labels    labels.Set
	suspended bool
}

// set replaces what a Cluster or Fleet says, or removes it if the row does not have it.
func (l *Loop) set(key api.Key, row store.Resource) {
	switch key.Role() {
	case api.ClusterRole:
		delete(l.clusters, key.Name)
		if c, err := row.Object.Cluster(); err == nil {
			l.clusters[key.Name] = cluster{labels: c.Labels, suspended: row.IsSuspended()}
		}
	case api.FleetRole:
		f, err := row.Object.Fleet()
		if err != nil || f.Spec.Rollout == nil {
			l.left = l.left || l.fleets[key.Name] != nil
			delete(l.fleets, key.Name)
			return
		}
		l.all = l.all || len(l.fleets) == 0 // nothing was kept
		l.fleets[key.Name] = &fleet{spec: f.Spec.Rollout, suspended: row.IsSuspended(), isStale: true}
	}
}

// facts are about one cluster, from its rows.
type facts struct {
	planned   map[string]manifest.Digest // content of Fleets
	revision  map[string]string          // of it, for people
	released  map[string][]store.Entry   // by Fleet
	health    map[string]rollout.Health  // of what is released
	turns     map[string]store.Turn      // by Fleet
	excluded  string                     // the cluster is pinned; empty: it is not
	connected bool
	seen      time.Time // if not connected; zero: never
	received  bool      // the newest bundle
}

// readStale reads the facts that are not known.
func (l *Loop) readStale(ctx context.Context) error {
	err := l.Store.View(ctx, func(tx *store.Tx) error {
		if l.all {
			clear(l.facts)
			mark := func(cluster string, _ int) error {
				l.stale[cluster] = true
				return nil
			}
			if err := errors.Join(store.Plans.Sizes(tx, "", mark), store.Releases.Sizes(tx, "", mark)); err != nil {
				return err
			}
		}
		for name := range l.stale {
			f, err := readFacts(tx, name)
			if err != nil {
				return fmt.Errorf("cluster %s: %w", name, err)
			}
			if l.facts[name] = f; len(f.planned)+len(f.released)+len(f.turns) == 0 {
				delete(l.facts, name)
			}
		}
		for name, f := range l.fleets {
			if !f.isStale {
				continue
			}
			latest, _, err := store.LatestRollout(tx, name)
			if err != nil {
				return err
			}
			f.latest = latest
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.all = false
	clear(l.stale)
	for _, f := range l.fleets {
		f.isStale = false
	}
	return nil
}

// readFacts reads the facts about a cluster. A damaged row is one that is not there, but for a pin: the cluster then
// takes up nothing.
func readFacts(tx *store.Tx, name string) (*facts, error) {
	f := &facts{planned: map[string]manifest.Digest{}, revision: map[string]string{}, released: map[string][]store.Entry{},
		health: map[string]rollout.Health{}, turns: map[string]store.Turn{}}
	plan, _, err := store.Plans.GetIntact(tx, name)
	last, _, err2 := store.Releases.GetIntact(tx, name)
	if err := errors.Join(err, err2, f.readSpoke(tx, name)); err != nil {
		return nil, err
	}
	for _, e := range plan.Applications {
		if _, known := f.planned[e.Fleet]; !known {
			f.planned[e.Fleet] = release.DigestOf(e.Fleet, plan.Applications)
			f.revision[e.Fleet] = e.Revision
		}
	}
	for _, e := range last.Applications {
		f.released[e.Fleet] = append(f.released[e.Fleet], e)
	}
	err = store.Turns.ScanApart(tx, store.OfCluster(name), func(key string, t store.Turn) error {
		f.turns[key[len(store.OfCluster(name)):]] = t
		return nil
	}, func(string, error) error { return nil })
	return f, errors.Join(err, f.readHealth(tx, name))
}

// readSpoke reads what a cluster and its spoke are about.
func (f *facts) readSpoke(tx *store.Tx, name string) error {
	_, pinned, err := store.Pins.Get(tx, name)
	switch {
	case errors.Is(err, store.ErrDamaged):
		f.excluded = "its pin cannot be read"
	case err != nil:
		return err
	case pinned:
		f.excluded = "it is pinned"
	}
	s, _, err := store.Spokes.GetIntact(tx, name)
	last, published, err2 := store.SignedBundles.GetIntact(tx, name)
	if f.connected = s.Connected; !s.Connected && s.HasRegistered() {
		f.seen = s.Since
	}
	f.received = published && s.Acks[bundle.Received] == last.Bundle
	return errors.Join(err, err2)
}

// readHealth reads how what is released of each Fleet is.
func (f *facts) readHealth(tx *store.Tx, name string) error {
	s, _, err := store.Spokes.GetIntact(tx, name)
	refusal, refused, err2 := store.Refusals.GetIntact(tx, name)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	for fleet, entries := range f.released {
		h := rollout.Health{State: rollout.Healthy}
		turn := f.turns[fleet]
		for _, e := range entries {
			if e.Suspended || isRestored(turn) && !has(turn.Before, e.Name) {
				continue // an operator's, or newer than what a rollback restored
			}
			one, err := healthOf(tx, name, e)
			if err != nil {
				return err
			}
			h = worse(h, one)
		}
		switch {
		case refused:
			h = rollout.Health{State: rollout.Failing, Since: refusal.Since, Message: refusal.Message}
		case s.Rejected != "":
			h = rollout.Health{State: rollout.Failing, Message: "the spoke rejected the bundle: " + s.Rejected}
		}
		f.health[fleet] = h
	}
	return nil
}

// healthOf returns how a released application is.
func healthOf(tx *store.Tx, cluster string, e store.Entry) (rollout.Health, error) {
	row, ok, err := store.Reports.GetIntact(tx, api.Key{Cluster: cluster, Kind: e.Name.Kind, Namespace: e.Name.Namespace,
		Name: e.Name.Name}.Path())
	if err != nil || !ok {
		return rollout.Health{State: rollout.InProgress, Message: e.Name.String() + " is not applied yet"}, err
	}
	r, err := reporting.ReadApplication(row.Value)
	if err != nil || !bytes.Equal(r.Digest, e.Digest[:]) { // a damaged report comes again
		return rollout.Health{State: rollout.InProgress, Message: e.Name.String() + " is not applied yet"}, nil
	}
	h := rollout.Health{Since: r.GetSince().AsTime(),
		Message: fmt.Sprintf("%s: %s: %s", e.Name, r.Reason, r.Message)}
	switch {
	case r.Ready == condition.True:
		h.State, h.Message = rollout.Healthy, ""
	case r.Ready != condition.False || r.Reason == condition.DependencyNotReady:
		h.State = rollout.InProgress
	case r.Reason == condition.HealthCheckFailed || r.Reason == condition.InstallFailed ||
		r.Reason == condition.UpgradeFailed:
		h.State = rollout.FailedForGood
	default:
		h.State = rollout.Failing
	}
	return h, nil
}

// worse returns the worse health of two, since the later time.
func worse(a, b rollout.Health) rollout.Health {
	rank := func(h rollout.Health) int {
		return map[rollout.HealthState]int{rollout.Healthy: 0, rollout.InProgress: 1, rollout.Failing: 2,
			rollout.FailedForGood: 3}[h.State]
	}
	w := a
	if rank(b) > rank(a) {
		w = b
	}
	if a.Since.After(b.Since) {
		w.Since = a.Since
	} else {
		w.Since = b.Since
	}
	return w
}

func isRestored(t store.Turn) bool {
	return t.State == rollout.ClusterRestoring || t.State == rollout.ClusterRestored
}

func has(content []store.Content, name bundle.ApplicationName) bool {
	return slices.ContainsFunc(content, func(c store.Content) bool { return c.Name == name })
}

// member returns a cluster as a member of a Fleet. If the Fleet neither gives it content nor gave it some, member
// returns false.
func (l *Loop) member(name string, f *facts, fleetName string,
	stage func(labels.Labels) int) (rollout.Member, bool) {
	c := l.clusters[name]
	turn, released := f.turns[fleetName], f.released[fleetName]
	m := rollout.Member{Cluster: name, Stage: stage(api.ClusterLabels(name, c.labels)), Planned: f.planned[fleetName],
		Released: release.DigestOf(fleetName, released), Health: f.health[fleetName], Connected: f.connected, Seen: f.seen,
		Received: f.received, Excluded: f.excluded, Was: turn.Progress}
	if c.suspended {
		m.Excluded = cmp.Or(m.Excluded, "it is suspended")
	}
	m.Restored = true
	for _, content := range turn.Before {
		m.Restored = m.Restored && hasEntry(released, content)
	}
	return m, !m.Planned.IsZero() || !m.Released.IsZero()
}

func hasEntry(entries []store.Entry, content store.Content) bool {
	return slices.ContainsFunc(entries, func(e store.Entry) bool {
		return e.Name == content.Name && e.Digest == content.Digest
	})
}
