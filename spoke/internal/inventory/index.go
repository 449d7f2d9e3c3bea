package inventory

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Index holds all inventories of the spoke, by object. It is safe for concurrent use.
type Index struct {
	changed  wait.Signal
	doubtful wait.Signal

	mu      sync.Mutex // guards everything below
	objects map[manifest.ID]*entry
	kinds   map[kube.Mapping]int // how many objects of each
	doubts  map[manifest.ID]bool // to be looked at again
}

// entry is one object of ours. Health comes with the latest observation; drift stays until the object is applied again.
type entry struct {
	app     bundle.ApplicationName
	item    Item
	drift   Drift
	health  ObjectHealth
	seen    string       // the latest resourceVersion that health is from
	busy    int          // running applies
	waiting *observation // the latest observation that came meanwhile
}

type observation struct {
	live    kube.Live
	missing bool
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{
		changed: wait.NewSignal(), doubtful: wait.NewSignal(),
		objects: map[manifest.ID]*entry{}, kinds: map[kube.Mapping]int{}, doubts: map[manifest.ID]bool{},
	}
}

// Changed is signalled after the set of Kinds changed.
func (x *Index) Changed() <-chan struct{} { return x.changed }

// Doubtful is signalled when TakeDoubts has something to return.
func (x *Index) Doubtful() <-chan struct{} { return x.doubtful }

// TakeDoubts returns the objects that seemed to change while they were being applied. The caller must look at them
// again, because it is not known whether the change or the apply came first.
func (x *Index) TakeDoubts() []bundle.ObjectIdentity {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]bundle.ObjectIdentity, 0, len(x.doubts))
	for id := range x.doubts {
		if e := x.objects[id]; e != nil {
			out = append(out, identity(id, e.item.Version))
		}
	}
	clear(x.doubts)
	return out
}

// Doubt adds an object to those that TakeDoubts returns.
func (x *Index) Doubt(id manifest.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.doubts[id] = true
	x.doubtful.Raise()
}

// Replace replaces the items of the inventory's Application. Objects of another Application become those of this one,
// unless the other applied them later: an inventory names an object until the next apply finds that another Application
// took the object over. Observations of objects that stay are kept.
func (x *Index) Replace(v *Inventory) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, e := range x.objects {
		if _, stays := v.Items[id]; e.app == v.Application && !stays {
			x.drop(id)
		}
	}
	for id, item := range v.Items {
		if e := x.objects[id]; e != nil && e.app != v.Application && item.before(e.item) {
			continue
		}
		x.set(v.Application, id, item)
	}
}

// Remove forgets an Application and all its objects.
func (x *Index) Remove(app bundle.ApplicationName) { x.Replace(New(app)) }

// Application returns which Application owns an object, and the object's item.
func (x *Index) Application(id manifest.ID) (bundle.ApplicationName, Item, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.objects[id]
	if e == nil {
		return bundle.ApplicationName{}, Item{}, false
	}
	return e.app, e.item, true
}

// Kinds returns where the API serves the kinds that the index has objects of, in no order.
func (x *Index) Kinds() []kube.Mapping {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.kinds))
}

// Of returns the objects of a kind, in any version, that should exist in the cluster.
func (x *Index) Of(gk schema.GroupKind) []bundle.ObjectIdentity {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []bundle.ObjectIdentity
	for id, e := range x.objects {
		if id.GroupKind() == gk && e.item.UID != "" && e.item.Mode != Ignore {
			out = append(out, identity(id, e.item.Version))
		}
	}
	return out
}

// Begin notes that an object is about to be applied or deleted. Every Begin is followed by one Commit, Abandon or
// Forget.
func (x *Index) Begin(app bundle.ApplicationName, id manifest.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.entry(id)
	e.app = cmp.Or(e.app, app)
	e.busy++
}

// entry returns the entry of an object, a new one if there is none; the caller holds the mutex.
func (x *Index) entry(id manifest.ID) *entry {
	e := x.objects[id]
	if e == nil {
		e = &entry{health: ObjectHealth{ID: id, Status: sharedhealth.Unknown}}
		x.objects[id] = e
	}
	return e
}

// Commit records an object that was applied and clears its drift. If an observation that came meanwhile shows a change,
// the object becomes doubtful.
func (x *Index) Commit(app bundle.ApplicationName, id manifest.ID, item Item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.set(app, id, item)
	e := x.objects[id]
	e.drift = Drift{}
	x.end(id, e)
}

// Abandon notes that an apply or delete did not take place. The object's item stays.
func (x *Index) Abandon(id manifest.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.objects[id]
	if e == nil {
		return
	}
	x.end(id, e)
	if e.busy == 0 && e.item == (Item{}) {
		delete(x.objects, id)
	}
}

// Forget drops an object that is not ours any more.
func (x *Index) Forget(id manifest.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(id)
}

// end ends one Begin and judges the observation that came meanwhile.
func (x *Index) end(id manifest.ID, e *entry) {
	if e.busy > 0 {
		e.busy--
	}
	if e.busy > 0 || e.waiting == nil {
		return
	}
	late := *e.waiting
	e.waiting = nil
	if late.missing || e.item.Judge(late.live, e.app).Any() {
		x.doubts[id] = true
		x.doubtful.Raise()
	}
}

// Observe returns the drift of an object that a watch saw. ours is false for an object that the index does not have.
// Drift is returned once, when it is first seen, and stays noted until the object is applied.
func (x *Index) Observe(l kube.Live) (app bundle.ApplicationName, d Drift, ours bool) {
	return x.observe(observation{live: l})
}

// ObserveMissing is Observe for an object that does not exist in the cluster.
func (x *Index) ObserveMissing(id bundle.ObjectIdentity) (app bundle.ApplicationName, d Drift, ours bool) {
	return x.observe(observation{live: kube.Live{ID: id}, missing: true})
}

func (x *Index) observe(o observation) (bundle.ApplicationName, Drift, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.objects[o.live.ID.ID()]
	if e == nil {
		return bundle.ApplicationName{}, Drift{}, false
	}
	if e.busy > 0 {
		o.live.Object, o.live.Annotations, o.live.Labels = nil, nil, nil
		e.waiting = &o
		return e.app, Drift{}, true
	}
	return e.app, e.judge(o.live, o.missing), true
}

// judge notes drift and returns it if it is news.
func (e *entry) judge(l kube.Live, missing bool) Drift {
	atWork := e.health.Status == sharedhealth.InProgress || e.health.Status == sharedhealth.Terminating
	d := e.item.judgeMissing(atWork)
	if !missing {
		d = e.item.Judge(l, e.app)
	}
	if e.item.Kept {
		return Drift{}
	}
	news := d.Any() && d.Kind != e.drift.Kind
	if d.Any() {
		e.drift = d
	}
	if !news {
		return Drift{}
	}
	return d
}

// Drifted returns the drift of an object that was observed since its last apply.
func (x *Index) Drifted(id manifest.ID) Drift {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.objects[id]; e != nil {
		return e.drift
	}
	return Drift{}
}

// set stores an item; the caller holds the mutex.
func (x *Index) set(app bundle.ApplicationName, id manifest.ID, item Item) {
	e := x.entry(id)
	before, after := mapping(id, e.item), mapping(id, item)
	e.app, e.item = app, item
	if before != after {
		x.count(before, -1)
		x.count(after, +1)
	}
}

func (x *Index) drop(id manifest.ID) {
	if e := x.objects[id]; e != nil {
		x.count(mapping(id, e.item), -1)
		delete(x.objects, id)
	}
}

// count keeps Kinds up to date, and signals if a kind appears or disappears.
func (x *Index) count(m kube.Mapping, by int) {
	if m.Resource == "" {
		return
	}
	before := x.kinds[m]
	x.kinds[m] = before + by
	if before+by <= 0 {
		delete(x.kinds, m)
	}
	if before == 0 || before+by <= 0 {
		x.changed.Raise()
	}
}
