package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// history is a story with one cluster and a spoke that carries out bundles. The root of the cluster gives two sides,
// and each side gives a changing set of applications.
type history struct {
	*story
	revision int
	given    [2]map[string]bool // by each side, as Git is now
	last     [2]map[string]bool // by each side, as it was rendered last
	broken   [2]bool            // sides that do not render
	selected bool               // by the Fleet

	held      map[string]bool // by the guard, as the test expects
	confirmed map[string]bool // since they were given last
	absent    map[string]bool // from Git, when all was rendered, since they were given last
	running   map[string]bool // in the cluster
	log       []string
}

// historyHub has one cluster, of an environment, and a Fleet that selects the clusters of prod.
const historyHub = `
apiVersion: fleet.nave.io/v1alpha1
kind: Cluster
metadata: {name: east, labels: {env: %s}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: prod}
spec:
  clusterSelector: {matchLabels: {env: prod}}
  template:
    metadata: {name: root, namespace: flux-system}
    spec: {interval: 10m, prune: true, path: "./root", sourceRef: {kind: GitRepository, name: fleet}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/fleet"}
`

func newHistory(t *testing.T) *history {
	h := &history{
		story: newStory(t, &txtar.Archive{}), selected: true, held: map[string]bool{}, confirmed: map[string]bool{},
		absent: map[string]bool{}, running: map[string]bool{},
	}
	h.label("prod")
	h.plan()
	return h
}

func (h *history) did(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *history) tree(dir string, files map[string]string) {
	for name, text := range files {
		h.archive.Files = append(h.archive.Files, txtar.File{Name: dir + "/" + name, Data: []byte(text)})
	}
}

// commit makes Git give these applications. A broken side does not render.
func (h *history) commit(broken [2]bool, sides [2][]string) {
	h.did("commit %v, broken %v", sides, broken)
	h.revision++
	dir := fmt.Sprint("rev", h.revision)
	h.broken = broken
	files := map[string]string{"root/0.yaml": historyKustomization("side0", "sides/0"),
		"root/1.yaml": historyKustomization("side1", "sides/1")}
	for side, apps := range sides {
		at := fmt.Sprintf("sides/%d/", side)
		files[at+"README.md"] = "side"
		h.given[side] = map[string]bool{}
		for _, app := range apps {
			h.given[side][app] = true
			files[at+app+".yaml"] = historyKustomization(app, "apps/"+app)
			files["apps/"+app+"/cm.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: "+
				"default}\n", app)
		}
		if broken[side] {
			files[at+"broken.yaml"] = "kind: [\n"
		}
	}
	h.tree(dir, files)
	h.now = h.now.Add(time.Second)
	h.fetch("fleet", fmt.Sprint("main@sha1:", h.revision), dir)
}

func historyKustomization(name, path string) string {
	return fmt.Sprintf("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: %s, "+
		"namespace: flux-system}\n"+
		"spec: {interval: 10m, prune: true, path: %s, sourceRef: {kind: GitRepository, name: fleet}}\n", name, path)
}

// gives reports whether a side gives an application. A broken side gives the applications of its last render.
func (h *history) gives(app string) bool { return h.selected && (h.last[0][app] || h.last[1][app]) }

// isApplication reports whether an application has objects. Otherwise it only gives other applications.
func isApplication(name string) bool { return len(name) == 1 }

func (h *history) label(env string) {
	h.did("label %s", env)
	h.selected = env == "prod"
	h.archive.Files = append(h.archive.Files, txtar.File{Name: env + ".yaml", Data: fmt.Appendf(nil, historyHub, env)})
	h.apply(env + ".yaml")
}

// plan plays a round, and computes the applications that the guard has to hold.
func (h *history) plan() {
	h.t.Helper()
	h.did("plan")
	h.now = h.now.Add(time.Second)
	last := h.applications(get(h.story, store.Plans, "east"))
	h.round()
	for side := range h.given {
		if !h.selected {
			h.last[side] = nil
		} else if !h.broken[side] {
			h.last[side] = h.given[side]
		}
	}
	total, lost := 0, 0
	for _, app := range last {
		gone := !h.gives(app)
		if gone && (h.confirmed[app] || h.held[app]) {
			continue
		}
		total++
		if gone {
			lost++
		}
	}
	tooMany := lost > 0 && (lost == total || total >= guardFromFour && lost*2 > total || !h.selected)
	for _, app := range last {
		h.held[app] = h.held[app] || tooMany && !h.gives(app) && !h.confirmed[app]
	}
	for _, app := range historyNames {
		if h.gives(app) {
			h.absent[app], h.held[app], h.confirmed[app] = false, false, false
		} else if !h.selected || !h.blind(0) && !h.blind(1) {
			h.absent[app] = true
		}
	}
	h.check()
}

// blind reports whether a side may give unknown applications: it is broken, and gave some before.
func (h *history) blind(side int) bool { return h.broken[side] && len(h.last[side]) > 0 }

var historyNames = []string{"a", "b", "c", "d", "e", "f"}

// guardFromFour is the number of applications from which on more than half of them are too many.
const guardFromFour = 4

func (h *history) applications(p store.Plan) (names []string) {
	for _, e := range p.Applications {
		if isApplication(e.Name.Name) {
			names = append(names, e.Name.Name)
		}
	}
	return names
}

// check checks that the plan removes only applications that may be removed.
func (h *history) check() {
	h.t.Helper()
	for _, r := range get(h.story, store.Plans, "east").Removals {
		switch name := r.Name.Name; {
		case !isApplication(name):
		case h.gives(name):
			h.fail("%s is removed, and Git gives it", name)
		case h.held[name] && !h.confirmed[name]:
			h.fail("%s is removed, and should be held", name)
		case !h.absent[name] && !h.confirmed[name]:
			h.fail("%s is removed, and what does not render may give it", name)
		}
	}
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("%s\n%s\n%s", fmt.Sprintf(format, args...), strings.Join(h.log, "\n"), h.dump())
}

// carry makes the spoke carry out the plan. If acknowledged, the spoke also reports that to the hub.
func (h *history) carry(acknowledged bool) {
	h.did("carry %t", acknowledged)
	plan := get(h.story, store.Plans, "east")
	for _, app := range h.applications(plan) {
		h.running[app] = true
	}
	for _, r := range plan.Removals {
		delete(h.running, r.Name.Name)
	}
	if acknowledged {
		h.carryOut("east")
		return
	}
	h.update(func(tx *store.Tx) error { // published, and received at most
		return store.SignedBundles.Put(tx, "east", store.SignedBundle{
			Bundle: bundle.ID{Epoch: 1, Sequence: uint64(h.now.Unix())}, Removals: plan.Removals,
		})
	})
}

// word confirms the removals that are held in the rows of the hub: one, or all.
func (h *history) word(one bool) {
	c := get(h.story, store.Confirmations, store.ConfirmationKey("east"))
	if c.Removals == nil {
		c.Removals = map[string]time.Time{}
	}
	for path, row := range h.rows() { // in any order
		if !row.Held {
			continue
		}
		h.did("confirm %s", path)
		c.Removals[path], h.confirmed[row.Key.Name] = h.now, true
		if one {
			break
		}
	}
	if len(c.Removals) > 0 {
		h.update(func(tx *store.Tx) error { return store.Confirmations.Put(tx, store.ConfirmationKey("east"), c) })
	}
}

func (h *history) rows() map[string]store.Resource {
	rows := map[string]store.Resource{}
	h.must(h.store.View(h.t.Context(), func(tx *store.Tx) error {
		return store.Resources.Scan(tx, "east/", func(path string, r store.Resource) error {
			rows[path] = r
			return nil
		})
	}))
	return rows
}

// settled checks that all applications that left are removed or held, and that all given applications run.
func (h *history) settled() {
	h.t.Helper()
	h.did("settle")
	for range 3 {
		h.plan()
		h.carry(true)
	}
	rows := h.rows()
	for _, app := range historyNames {
		held := rows["east/Kustomization/flux-system/"+app].Held
		switch {
		case h.gives(app) && !h.running[app]:
			h.fail("%s is given and does not run", app)
		case !h.gives(app) && h.running[app] && !held:
			h.fail("%s left, runs and is not held", app)
		}
	}
}

// TestHistories plays random histories. An application is removed only if a completely rendered tree of Git does not
// have it. If the guard holds it, it is removed only after a confirmation. In the end all applications that left are
// removed or held.
func TestHistories(t *testing.T) {
	seeds := uint64(50)
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			h := newHistory(t)
			some := func() (sides [2][]string) {
				keep := 1 + random.IntN(6)
				for _, name := range historyNames {
					if random.IntN(6) < keep {
						side := random.IntN(2)
						sides[side] = append(sides[side], name)
					}
				}
				return sides
			}
			h.commit([2]bool{}, [2][]string{historyNames, nil})
			for range 20 {
				h.happens(random, some)
				if random.IntN(3) > 0 {
					h.plan()
					h.carry(random.IntN(2) == 0)
				}
			}
			h.label("prod")
			h.commit([2]bool{}, some())
			h.settled()
		})
	}
}

func (h *history) happens(random *rand.Rand, some func() [2][]string) {
	one := func() bool { return random.IntN(2) == 0 }
	switch random.IntN(9) {
	case 0, 1, 2:
		h.commit([2]bool{}, some())
	case 3, 4:
		h.commit([2]bool{one(), one()}, some())
	case 5:
		h.word(one())
	case 6:
		h.label([]string{"prod", "test"}[random.IntN(2)])
	case 7:
		h.did("restart")
		h.restart()
	case 8:
		h.did("wait")
		h.now = h.now.Add(time.Duration(random.IntN(12)) * time.Minute)
		h.planner.due()
		h.must(h.planner.round(h.t.Context()))
	}
}

// TestPruneWord checks that the confirmation of a prune stays while the spoke holds the prune or has not reached it
// yet, and is deleted after the whole application was applied.
func TestPruneWord(t *testing.T) {
	h := newHistory(t)
	h.commit([2]bool{}, [2][]string{{"a"}, nil})
	h.plan()
	entry := func() store.Entry { return get(h.story, store.Plans, "east").Applications[0] }
	path, word := "east/Kustomization/flux-system/a", manifest.DigestOf([]byte("prune"))
	put := func(report *spokev1.ApplicationReport) {
		value, err := proto.Marshal(report)
		h.must(err)
		h.update(func(tx *store.Tx) error { return store.Reports.Put(tx, path, store.Report{Value: value}) })
	}
	applied, before := entry().Digest, manifest.DigestOf([]byte("before"))
	put(&spokev1.ApplicationReport{AppliedDigest: before[:], HeldPrune: &spokev1.HeldPrune{Digest: word[:]}})
	h.update(func(tx *store.Tx) error {
		return store.Confirmations.Put(tx, store.ConfirmationKey("east"),
			store.Confirmation{Prunes: map[string]manifest.Digest{path: word}})
	})
	for _, step := range []struct {
		name   string
		report *spokev1.ApplicationReport
		stands bool
	}{
		{"held", &spokev1.ApplicationReport{AppliedDigest: before[:], HeldPrune: &spokev1.HeldPrune{Digest: word[:]}}, true},
		{"failing otherwise", &spokev1.ApplicationReport{AppliedDigest: before[:]}, true},
		{"done", &spokev1.ApplicationReport{AppliedDigest: applied[:]}, false},
	} {
		put(step.report)
		h.change(path, func(r *store.Resource) { r.RequestedAt = step.name }) // walk it again
		h.plan()
		_, stands := get(h.story, store.Confirmations, store.ConfirmationKey("east")).Prunes[path]
		if stands != step.stands || (entry().ConfirmedPrune == word) != step.stands {
			t.Errorf("%s: stands %t, in the plan %s", step.name, stands, entry().ConfirmedPrune)
		}
	}
}

// TestUnwalkedHub plans a cluster before the hub's own graph is walked: an unknown Fleet may give the applications that
// left.
func TestUnwalkedHub(t *testing.T) {
	h := newHistory(t)
	h.commit([2]bool{}, [2][]string{historyNames, nil})
	h.plan()
	delete(h.planner.scopes, "")
	h.commit([2]bool{}, [2][]string{historyNames[1:], nil})
	h.round()
	plan := get(h.story, store.Plans, "east")
	if !plan.Incomplete || len(plan.Removals) != 0 || len(plan.Undecided) != 1 {
		t.Errorf("incomplete %t, removed %v, undecided %v", plan.Incomplete, plan.Removals, plan.Undecided)
	}
}

// TestSuspendedInTooLargeBundle suspends an application that leaves with a bundle that is too large. When a bundle can
// be made again, the removal still has the policy of a suspended application.
func TestSuspendedInTooLargeBundle(t *testing.T) {
	h := newHistory(t)
	h.commit([2]bool{}, [2][]string{historyNames, nil})
	h.plan()
	h.change("east/Kustomization/flux-system/a", func(r *store.Resource) { r.Suspended = true })
	h.commit([2]bool{}, [2][]string{historyNames[1:], nil})
	dir := fmt.Sprint("rev", h.revision)
	h.fetch("fleet", "main@sha1:"+strings.Repeat("x", bundle.MaxBundleBytes), dir)
	h.round()
	if removals := get(h.story, store.Plans, "east").Removals; len(removals) != 0 {
		t.Fatalf("removed with a bundle that is too large: %v", removals)
	}
	h.fetch("fleet", "main@sha1:3", dir)
	h.round()
	want := bundle.Removal{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "a"},
		Policy: bundle.Orphan}
	if removals := get(h.story, store.Plans, "east").Removals; len(removals) != 1 || removals[0] != want {
		t.Errorf("removed %v, want %v", removals, want)
	}
}

// TestBoundRemovals checks that of too many removals those stay that the spoke still reports, in any order.
func TestBoundRemovals(t *testing.T) {
	h := newHistory(t)
	var removals []bundle.Removal
	for i := range maxRemovals + 10 {
		removals = append(removals, bundle.Removal{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "n",
			Name: fmt.Sprintf("%05d", i)}})
	}
	last := removals[len(removals)-1]
	h.update(func(tx *store.Tx) error {
		return store.Reports.Put(tx, "east/Kustomization/n/"+last.Name.Name, store.Report{})
	})
	got := h.planner.bound(t.Context(), "east", removals)
	if len(got) != maxRemovals || got[len(got)-1] != last ||
		!slices.IsSortedFunc(got, func(a, b bundle.Removal) int { return a.Name.Compare(b.Name) }) {
		t.Errorf("%d removals, the last is %s", len(got), got[len(got)-1].Name)
	}
}
