package inventory

import (
	"cmp"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
)

// ObjectHealth is the health of one object, and since when. Message may quote the object. Reason is a single CamelCase
// identifier.
type ObjectHealth struct {
	ID              manifest.ID
	Status          sharedhealth.Status
	Reason, Message string
	Since           time.Time
}

// Summary is the health of the objects of one Application.
type Summary struct {
	Status                      sharedhealth.Status // the worst of all
	Current, InProgress, Failed int                 // InProgress counts everything that is neither of the others
	Unhealthy                   []ObjectHealth      // the objects that are not Current, the worst first
}

// SetHealth notes the health of an object at a resourceVersion (empty: now) and reports whether it is news. Health that
// is older than the noted one is ignored: the answer to an apply may come after the watch has shown the object healthy.
func (x *Index) SetHealth(id manifest.ID, resourceVersion string, s sharedhealth.Status, reason, message string,
	now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.objects[id]
	if e == nil || older(resourceVersion, e.seen) {
		return false
	}
	if resourceVersion != "" {
		e.seen = resourceVersion
	}
	h := ObjectHealth{ID: id, Status: s, Reason: reason, Message: message, Since: e.health.Since}
	if h == e.health {
		return false
	}
	if s != e.health.Status {
		h.Since = now
	}
	e.health = h
	return true
}

// Health returns the health of an object; Unknown if the object is not ours or was not seen yet.
func (x *Index) Health(id manifest.ID) ObjectHealth {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.objects[id]
	if e == nil {
		return ObjectHealth{ID: id, Status: sharedhealth.Unknown}
	}
	return e.health
}

// Objects returns how many objects the summary covers.
func (s Summary) Objects() int { return s.Current + s.InProgress + s.Failed }

// Summarize returns the health of an Application's objects. It lists at most a number of unhealthy ones.
func (x *Index) Summarize(app bundle.ApplicationName, most int) Summary {
	x.mu.Lock()
	defer x.mu.Unlock()
	sum := Summary{Status: sharedhealth.Current}
	var unhealthy []*ObjectHealth
	for _, e := range x.objects {
		if e.app == app && e.item.Mode != Ignore && !e.item.Kept {
			sum.count(e.health)
			if e.health.Status != sharedhealth.Current {
				unhealthy = append(unhealthy, &e.health)
			}
		}
	}
	slices.SortFunc(unhealthy, worstFirst)
	for _, o := range unhealthy[:min(most, len(unhealthy))] {
		sum.Unhealthy = append(sum.Unhealthy, *o)
	}
	return sum
}

func (s *Summary) count(o ObjectHealth) {
	s.Status = sharedhealth.Worst(s.Status, o.Status)
	switch o.Status {
	case sharedhealth.Current:
		s.Current++
	case sharedhealth.Failed, sharedhealth.NotFound:
		s.Failed++
	default:
		s.InProgress++
	}
}

func worstFirst(a, b *ObjectHealth) int {
	return cmp.Or(
		cmp.Compare(sharedhealth.Severity(b.Status), sharedhealth.Severity(a.Status)),
		a.Since.Compare(b.Since),
		manifest.Compare(a.ID, b.ID),
	)
}
