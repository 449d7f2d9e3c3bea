package agent

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
)

// history plays a model with a cluster, in which an applied application exists until it is deleted.
type history struct {
	t      *testing.T
	random *rand.Rand
	m      *model
	bundle *bundle.Bundle
	apps   applications
	id     bundle.ID

	marks   map[bundle.ApplicationName]state.Mark // on disk
	there   map[bundle.ApplicationName]bool       // in the cluster
	held    map[bundle.ApplicationName]bool       // removal held since it was last listed
	starts  []start
	removes []remove
	log     []string
}

const historyObjects = 10 // of each application

func (h *history) take(actions []action) {
	h.t.Helper()
	for _, a := range actions {
		switch a := a.(type) {
		case start:
			h.marks[a.name], h.there[a.name] = a.remember, true
			h.starts = append(h.starts, a)
		case remove:
			r, listed := removalOf(h.bundle, a.name)
			if !listed || h.held[a.name] && !r.Confirmed {
				h.t.Fatalf("%s is deleted: listed %t, held %t\n%s", a.name.Name, listed, h.held[a.name],
					strings.Join(h.log, "\n"))
			}
			h.removes = append(h.removes, a)
		case remember:
			h.marks[a.name] = a.mark
		case forget:
			delete(h.marks, a.name)
			delete(h.there, a.name)
		}
	}
}

// offer makes another bundle: it lists some applications, and others as removed, pending or not at all.
func (h *history) offer(quiet bool) {
	h.t.Helper()
	h.id.Sequence++
	b, apps := &bundle.Bundle{Incomplete: !quiet && h.random.IntN(4) == 0}, applications{}
	gone, objects, count := []bundle.ApplicationName{}, 0, 0
	for _, name := range []string{"a", "b", "c", "d"} {
		o := appNamed(name)
		n := h.m.nodes[o]
		if n != nil {
			count += n.health.Objects()
		}
		switch choice := h.random.IntN(8); {
		case choice < 3:
			app := &bundle.Application{Name: o, Prune: true}
			b.Applications, apps[o] = append(b.Applications,
				bundle.Entry{Name: o, Digest: manifest.DigestOf([]byte(name))}), app
			delete(h.held, o)
		case choice < 6 || quiet:
			r := bundle.Removal{Name: o, Policy: bundle.Delete, Confirmed: h.random.IntN(4) == 0}
			b.Removals = append(b.Removals, r)
			if !r.Confirmed && n != nil && n.work != deleting {
				gone = append(gone, o)
				objects += n.health.Objects()
			}
		case choice == 6:
			b.Pending = append(b.Pending, o)
			delete(h.held, o) // given again
		default:
			delete(h.held, o)
		}
	}
	if objects >= 20 && objects*100 >= count*90 {
		for _, o := range gone {
			h.held[o] = true
		}
	}
	h.log = append(h.log, fmt.Sprintf("bundle %v removed %v pending %v incomplete %t", b.Applications, b.Removals,
		b.Pending, b.Incomplete))
	h.bundle, h.apps, h.m.offer = b, apps, &session.Offer{ID: h.id}
	h.take(h.m.step(epoch, received{id: h.id, bundle: b, apps: apps}))
}

// finish ends all runs.
func (h *history) finish() {
	for len(h.starts)+len(h.removes) > 0 {
		starts, removes := h.starts, h.removes
		h.starts, h.removes = nil, nil
		for _, s := range starts {
			sum := inventory.Summary{Status: health.Current, Current: historyObjects}
			h.take(h.m.step(epoch, applied{name: s.name, run: s.run, mark: s.success(epoch), health: sum}))
		}
		for _, r := range removes {
			h.take(h.m.step(epoch, removed{name: r.name, run: r.run}))
		}
	}
}

// restart makes a new model from the state on disk.
func (h *history) restart() {
	h.log = append(h.log, "restart")
	h.m, h.starts, h.removes = newModel("east", func() float64 { return 0.5 }), nil, nil
	in := restored{id: h.id, bundle: h.bundle, apps: h.apps, left: map[bundle.ApplicationName]*leftover{}}
	for o, mark := range h.marks {
		in.left[o] = &leftover{mark: mark}
	}
	for o := range h.there {
		if in.left[o] == nil {
			in.left[o] = &leftover{}
		}
		in.left[o].health = inventory.Summary{Status: health.Current, Current: historyObjects}
	}
	h.take(h.m.step(epoch, in))
}

// TestHistories plays random bundles and restarts. Only applications that a bundle lists as removed are deleted, held
// ones only after a confirmation, and in the end every application that is not listed is gone or reported as held.
func TestHistories(t *testing.T) {
	for seed := range uint64(300) {
		h := &history{
			t: t, random: rand.New(rand.NewPCG(seed, 1)), m: newModel("east",
				func() float64 { return 0.5 }), id: bundle.ID{Epoch: 1},
			marks: map[bundle.ApplicationName]state.Mark{}, there: map[bundle.ApplicationName]bool{},
			held: map[bundle.ApplicationName]bool{},
		}
		for range 30 {
			h.offer(false)
			if h.random.IntN(3) > 0 {
				h.finish()
			}
			if h.random.IntN(4) == 0 {
				h.restart()
			}
		}
		h.offer(true)
		h.finish()
		for o := range h.there {
			n := h.m.nodes[o]
			if n == nil || n.standing != listed && n.ready.Reason != condition.RemovalHeld {
				t.Fatalf("seed %d: %s is left: %+v\n%s", seed, o.Name, n, strings.Join(h.log, "\n"))
			}
		}
	}
}
