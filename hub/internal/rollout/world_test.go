package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// world is a Fleet whose clusters do what Next decides: a cluster that takes up content is healthy after a minute,
// unless the content is bad.
type world struct {
	t       testing.TB
	spec    *api.RolloutSpec
	now, up time.Time
	r       Rollout
	members []*Member
	since   map[string]time.Time // when a cluster got what it has
	bad     map[manifest.Digest]bool
	before  map[string]manifest.Digest // what a rollback restores
	ended   []Rollout                  // that were superseded
	wake    time.Time
	check   func(before []Member, d Decision) // after each decision; nil: nothing
	reason  string                            // of Input.Suspended
	slow    bool                              // nothing is released
}

func newWorld(t testing.TB, spec string) *world {
	return &world{t: t, spec: specOf(t, spec), now: start, since: map[string]time.Time{},
		bad: map[manifest.Digest]bool{}, before: map[string]manifest.Digest{}}
}

// digest is the digest of content; that of "" is zero.
func digest(content string) manifest.Digest {
	if content == "" {
		return manifest.Digest{}
	}
	return manifest.DigestOf([]byte(content))
}

// member returns a cluster, which it adds if there is none.
func (w *world) member(name string) *Member {
	for _, m := range w.members {
		if m.Cluster == name {
			return m
		}
	}
	m := &Member{Cluster: name, Stage: len(w.spec.Stages), Connected: true, Seen: w.now, Received: true,
		Health: Health{State: Healthy}}
	w.members = append(w.members, m)
	slices.SortFunc(w.members, func(a, b *Member) int { return strings.Compare(a.Cluster, b.Cluster) })
	return m
}

// plan gives content to clusters: "a b" or "canary@0", with the index of the stage.
func (w *world) plan(clusters, content string) {
	for _, word := range strings.Fields(clusters) {
		name, stage, ok := strings.Cut(word, "@")
		m := w.member(name)
		if m.Planned = digest(content); ok {
			fmt.Sscan(stage, &m.Stage)
		}
	}
}

// has makes content what clusters have had for long.
func (w *world) has(clusters, content string) {
	w.plan(clusters, content)
	for _, word := range strings.Fields(clusters) {
		name, _, _ := strings.Cut(word, "@")
		m := w.member(name)
		m.Released = m.Planned
		w.since[name] = w.now.Add(-time.Hour)
	}
}

func (w *world) breaks(content string) { w.bad[digest(content)] = true }

// observe says how what a cluster has is now.
func (w *world) observe(m *Member) {
	since := w.since[m.Cluster]
	m.Health = Health{State: InProgress}
	if ends := since.Add(time.Minute); !w.now.Before(ends) {
		m.Health = Health{State: Healthy, Since: ends}
		if w.bad[m.Released] {
			m.Health = Health{State: FailedForGood, Since: ends, Message: "crashes"}
		}
	}
	m.Restored = m.Released == w.before[m.Cluster]
}

// decide decides once, and carries it out.
func (w *world) decide() {
	in := Input{Spec: w.spec, Was: w.r, Suspended: w.reason, Up: w.up, Now: w.now}
	w.members = slices.DeleteFunc(w.members, func(m *Member) bool { return m.Planned.IsZero() && m.Released.IsZero() })
	for _, m := range w.members {
		w.observe(m)
		in.Members = append(in.Members, *m)
	}
	d := Next(in)
	if w.check != nil {
		w.check(in.Members, d)
	}
	if d.Superseded != nil {
		w.ended = append(w.ended, *d.Superseded)
	}
	w.r, w.wake = d.Rollout, d.Wake
	for i, m := range w.members {
		m.Was = d.Progress[i]
		if m.Connected && m.Excluded == "" && !w.slow {
			w.publish(m)
		}
	}
}

// publish releases what a cluster may have.
func (w *world) publish(m *Member) {
	next := m.Released
	switch p := m.Was; {
	case p.State == ClusterRestoring || p.State == ClusterRestored && !p.Previous.IsZero():
		next = p.Previous
		w.before[m.Cluster] = p.Previous
	case p.State == ClusterLeaving && !p.Offered.IsZero():
		next = manifest.Digest{}
	case !p.Offered.IsZero() && p.Target == m.Planned:
		next = m.Planned
	}
	if next != m.Released {
		m.Released = next
		w.since[m.Cluster] = w.now
	}
}

// run lets time pass, and decides whenever something happens.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); ; {
		w.decide()
		next := end
		for _, m := range w.members {
			if t := w.since[m.Cluster].Add(time.Minute); t.After(w.now) && t.Before(next) {
				next = t
			}
		}
		if w.wake.After(w.now) && w.wake.Before(next) {
			next = w.wake
		}
		if !next.After(w.now) {
			return
		}
		w.now = next
		if w.now.Equal(end) {
			w.decide()
			return
		}
	}
}

// String prints the rollout and its clusters: "2 Progressing a:Done b:UnderWay".
func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", w.r.Number, w.r.Phase)
	for _, m := range w.members {
		fmt.Fprintf(&b, " %s:%s", m.Cluster, m.Was.State)
	}
	return strings.Replace(b.String(), "  ", " ", 1)
}

// want fails unless the world prints so.
func (w *world) want(want string) {
	w.t.Helper()
	if got := w.String(); got != want {
		w.t.Errorf("at %s: %s (%s), want %s", w.now.Sub(start), got, w.r.Message, want)
	}
}

func shareOf(text string) *intstr.IntOrString {
	share := intstr.Parse(text)
	return &share
}
