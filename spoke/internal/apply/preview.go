package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Recreated is the action of a Preview whose object would be deleted and made anew.
const Recreated Action = reporting.Recreated

// Preview is what an apply would do to one object.
type Preview struct {
	Object bundle.ObjectIdentity
	Action Action // Created, Configured, Recreated or Refused
	// Changes are the fields of a configured object, by path: Old is the value that the cluster has, New the one that it
	// would have. No secret value is in them.
	Changes []FieldChange
	More    int   // fields that are left out of Changes
	Err     error // redacted: why the object is refused, or why the API server could not check it
}

// Previews are what an apply would do to the objects of a set. They take little memory: those that the answer has no
// place for are only counted.
type Previews struct {
	Objects []Preview // those that would be refused come first
	More    int       // objects that are left out of Objects, of which some would be refused only if all of Objects are
	refused int       // the first ones of Objects

	size int // bytes of the texts of Objects
}

func (all *Previews) add(p Preview) {
	if p.Action == Refused {
		all.addRefused(p)
		return
	}
	if len(all.Objects) == reporting.MaxPreviewObjects || all.size > reporting.MaxPreview {
		all.More++
		return
	}
	all.size += sizeOf(p)
	all.Objects = append(all.Objects, p)
}

// addRefused adds an object that would be refused, in the place of another one if there is no place left.
func (all *Previews) addRefused(p Preview) {
	if len(all.Objects) == reporting.MaxPreviewObjects {
		all.More++
		if all.refused == len(all.Objects) {
			return
		}
		last := len(all.Objects) - 1
		all.size -= sizeOf(all.Objects[last])
		all.Objects = all.Objects[:last]
	}
	all.Objects = slices.Insert(all.Objects, all.refused, p)
	all.refused++
}

// sizeOf returns the number of bytes of the texts of a Preview.
func sizeOf(p Preview) (size int) {
	for _, c := range p.Changes {
		size += len(c.Path) + len(c.Old) + len(c.New)
	}
	return size
}

// Preview returns what an apply of a set would do to its objects, by dry runs, one at a time. Objects that an apply
// would not send, or that would not change, are left out. Neither the cluster nor the Index is changed. hides reports
// whether the live object may hold secret values that the set does not have. Preview returns an error if it could not
// go on.
func (a *Applier) Preview(ctx context.Context, s Set, hides func(manifest.ID) bool) (all Previews, err error) {
	r, err := a.start(s)
	if err != nil {
		return all, fmt.Errorf("preview %s: %w", s.Application, err)
	}
	r.dropNamespaces(ctx)
	for _, d := range r.Objects {
		if item, known := r.Previous.Items[d.ID()]; known && r.isCurrent(item, d) {
			continue
		}
		p := r.preview(ctx, d, hides(d.ID()))
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		if hopeless(p.Err) {
			return all, fmt.Errorf("preview %s: %w", s.Application, p.Err)
		}
		if p.Action != Unchanged && p.Action != Skipped {
			all.add(p)
		}
	}
	return all, nil
}

// preview finds out what an apply would do to one object.
func (r *run) preview(ctx context.Context, d Object, hidden bool) Preview {
	loaded, err := r.admit(ctx, d)
	if errors.Is(err, ErrMemory) {
		return r.uncompared(ctx, d, err)
	}
	if err != nil {
		return Preview{Object: d.ObjectIdentity, Action: Refused, Err: err}
	}
	defer loaded.release()
	label(loaded.Object, r.Application)
	mode := modeOf(loaded.Object)
	if mode == inventory.Ignore {
		return Preview{Object: d.ObjectIdentity, Action: Skipped}
	}
	r.hold = loaded.Hold
	live, err := r.client.LookWhole(ctx, d.ObjectIdentity, r.hold)
	loaded.Sealed = loaded.Sealed || hidden || r.holdsUnknown(d.ID(), live)
	action, found, err := r.dryRun(ctx, loaded.Object, mode, live, err)
	loaded.release()
	return Preview{Object: d.ObjectIdentity, Action: action, Changes: revealBoth(found, hiderOf(d.ID(), loaded)),
		More: found.more(), Err: redact(err, loaded.Sealed || isSecret(d.ID()), loaded.Redact)}
}

// uncompared returns the preview of an object that is too large to be compared.
func (r *run) uncompared(ctx context.Context, d Object, cause error) Preview {
	p := Preview{Object: d.ObjectIdentity, Action: Configured, Err: cause}
	if _, err := r.client.Look(ctx, d.ObjectIdentity, false); isMissing(err) {
		p.Action = Created
	}
	return p
}

// holdsUnknown reports whether a live object may have values of a version that nobody remembers: it has fields of our
// manager, and the Index does not have the object, or has a version that did not write all of them.
func (r *run) holdsUnknown(id manifest.ID, live kube.Live) bool {
	_, item, owned := r.Index.Application(id)
	written := item.Mode == inventory.Override || item.Mode == inventory.Merge
	ruled := item.Rules == (manifest.Digest{}) || item.Rules == r.rules // fields that were ignored stay ignored
	return !(owned && written && ruled) && len(live.OwnedFields()) > 0
}

// dryRun returns what place would do, and the fields that would change. live and err are the answer about the live
// object.
func (r *run) dryRun(ctx context.Context, o *manifest.Object, mode inventory.Mode, live kube.Live,
	err error) (Action, differences, error) {
	missing := isMissing(err)
	switch {
	case kube.ReasonOf(err) == kube.NoMatch:
		return Created, differences{}, err
	case errors.Is(err, ErrMemory):
		return Configured, differences{}, err
	case err != nil && !missing:
		return Refused, differences{}, err
	case !missing && mode == inventory.IfNotPresent:
		return Unchanged, differences{}, nil
	}
	if !missing && r.isSpared(live) {
		return Refused, differences{}, fmt.Errorf("%s: %w", manifest.IDOf(o), errSpared)
	}
	if err := r.share(ctx, o, mode, r.hold); err != nil {
		return Refused, differences{}, err
	}
	return r.try(ctx, o, mode, live, missing)
}

// try sends the dry run.
func (r *run) try(ctx context.Context, o *manifest.Object, mode inventory.Mode, live kube.Live, missing bool) (Action,
	differences, error) {
	next, err := r.client.Apply(ctx, o, kube.ApplyOptions{Whole: true, DryRun: true, Hold: r.hold})
	owners := mode.Takeover(r.Application)
	switch reason := kube.ReasonOf(err); {
	case missing && (err == nil || isMissing(err) || errors.Is(err, ErrMemory)):
		return Created, differences{}, err // the Namespace may be missing, too
	case errors.Is(err, ErrMemory):
		return Configured, differences{}, err
	case reason == kube.Immutable && forced(o, r.Force) && !holdsOthers(o):
		return Recreated, differences{}, nil
	case reason == kube.Invalid && len(owners.Managers(live)) > 0:
		return Configured, differences{}, err // an apply first takes over what conflicts; see clear
	case err != nil:
		return Refused, differences{}, err
	}
	found := changesOf(o, live, next.Live, owners)
	if found.count == 0 {
		return Unchanged, found, nil
	}
	return Configured, found, nil
}

// changesOf returns the fields that an apply would change: those that differ in next, the result of a dry run, and
// those that the dry run keeps, and that an apply removes because it takes them over.
func changesOf(desired *manifest.Object, live, next kube.Live, t kube.Takeover) differences {
	found := between(live.Object, next.Object)
	for path, value := range leftovers(storedForm(desired), next.Object, live.FieldsOf(t)) {
		found.add(path, difference{want: value, wanted: true})
	}
	return found
}

// isMissing reports whether the object, its Namespace or its kind does not exist.
func isMissing(err error) bool {
	reason := kube.ReasonOf(err)
	return reason == kube.NotFound || reason == kube.NoMatch
}

// between returns the fields in which an object differs from a later version of itself, without its status and the
// fields that the API server counts in. It takes these fields out of both.
func between(was, is *manifest.Object) differences {
	for _, o := range []*manifest.Object{was, is} {
		delete(o.Object, "status")
		metadata, _ := o.Object["metadata"].(map[string]any)
		for _, field := range []string{"resourceVersion", "generation", "managedFields"} {
			delete(metadata, field)
		}
	}
	d := differ{differences: differences{most: reporting.MaxPreviewFields}}
	d.maps(was.Object, is.Object)
	return d.differences
}

// both collects the differences of two values: want is the first, have the second.
func (d *differ) both(was, is any) {
	switch was := was.(type) {
	case map[string]any:
		if is, ok := is.(map[string]any); ok {
			d.maps(was, is)
			return
		}
	case []any:
		if is, ok := is.([]any); ok && d.lists(was, is) {
			return
		}
	}
	if !reflect.DeepEqual(was, is) {
		d.note(was, is, true)
	}
}

func (d *differ) maps(was, is map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(was)) {
		d.below(key, func() {
			if after, ok := is[key]; ok {
				d.both(was[key], after)
			} else {
				d.note(was[key], nil, false)
			}
		})
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if _, ok := was[key]; !ok {
			d.below(key, func() { d.noteNew(is[key]) })
		}
	}
}

// noteNew notes a value that there was not.
func (d *differ) noteNew(have any) { d.add(d.at, difference{have: have, exists: true}) }

// lists compares the elements of two lists by their names, or by their places if the lists have one length. If there is
// neither, lists returns false.
func (d *differ) lists(was, is []any) bool {
	before, named := placesOf(was)
	after, alsoNamed := placesOf(is)
	if !named || !alsoNamed {
		if len(was) != len(is) {
			return false
		}
		for i := range was {
			d.below(strconv.Itoa(i), func() { d.both(was[i], is[i]) })
		}
		return true
	}
	for i, element := range was {
		if now, ok := after[nameOf(element)]; ok {
			d.below(strconv.Itoa(now), func() { d.both(element, is[now]) })
		} else {
			d.below(strconv.Itoa(i), func() { d.note(element, nil, false) })
		}
	}
	for i, element := range is {
		if _, ok := before[nameOf(element)]; !ok {
			d.below(strconv.Itoa(i), func() { d.noteNew(element) })
		}
	}
	return true
}

// placesOf returns the indexes of elements by their names. If an element has no name of its own, placesOf returns
// false.
func placesOf(list []any) (map[string]int, bool) {
	places := make(map[string]int, len(list))
	for i, element := range list {
		name := nameOf(element)
		if _, twice := places[name]; twice || name == "" {
			return nil, false
		}
		places[name] = i
	}
	return places, true
}

// revealBoth returns the differences between two versions as texts, without secret values. hide takes secret values out
// of a text.
func revealBoth(found differences, hide func(string) string) []FieldChange {
	changes := make([]FieldChange, 0, len(found.first))
	for _, d := range found.first {
		was, is := differingLines(hidden(d.want, hide), hidden(d.have, hide))
		c := FieldChange{Path: telemetry.Printable(d.path, reporting.MaxWord)}
		if d.wanted {
			c.Old = textOf(was, reporting.MaxPreviewValue)
		}
		if d.exists {
			c.New = textOf(is, reporting.MaxPreviewValue)
		}
		changes = append(changes, c)
	}
	return changes
}

// differingLines cuts the lines off two texts that both begin or end with. Other values, and equal texts, stay.
func differingLines(was, is any) (any, any) {
	a, isText := was.(string)
	b, bothTexts := is.(string)
	if !isText || !bothTexts || a == b || !strings.Contains(a+b, "\n") {
		return was, is
	}
	before, after := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	return strings.Join(before, ""), strings.Join(after, "")
}
