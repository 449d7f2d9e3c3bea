package apply

import (
	"context"
	"fmt"
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
	Err     error // redacted: why the object is refused, or why the API server could not check it
}

// Preview returns what an apply of a set would do to its objects, by dry runs, one at a time. Objects that an apply
// would not send, or that would not change, are left out. Neither the cluster nor the Index is changed. hides reports
// whether the live object may hold secret values that the set does not have. Preview returns an error if it could not
// go on.
func (a *Applier) Preview(ctx context.Context, s Set, hides func(manifest.ID) bool) (found []Preview, err error) {
	r, err := a.start(s)
	if err != nil {
		return nil, fmt.Errorf("preview %s: %w", s.Application, err)
	}
	r.dropNamespaces(ctx)
	for _, d := range r.Objects {
		if item, known := r.Previous.Items[d.ID()]; known && r.isCurrent(item, d) {
			continue
		}
		p := r.preview(ctx, d, hides(d.ID()))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if hopeless(p.Err) {
			return nil, fmt.Errorf("preview %s: %w", s.Application, p.Err)
		}
		if p.Action != Unchanged && p.Action != Skipped {
			found = append(found, p)
		}
	}
	return found, nil
}

// preview finds out what an apply would do to one object.
func (r *run) preview(ctx context.Context, d Object, hidden bool) Preview {
	loaded, err := r.admit(ctx, d)
	if err != nil {
		return Preview{Object: d.ObjectIdentity, Action: Refused, Err: err}
	}
	defer loaded.release()
	label(loaded.Object, r.Application)
	mode := modeOf(loaded.Object)
	if mode == inventory.Ignore {
		return Preview{Object: d.ObjectIdentity, Action: Skipped}
	}
	live, err := r.client.Look(ctx, d.ObjectIdentity, true)
	loaded.Sealed = loaded.Sealed || hidden || r.holdsUnknown(d.ID(), live)
	action, found, err := r.dryRun(ctx, loaded.Object, mode, live, err)
	loaded.release()
	return Preview{Object: d.ObjectIdentity, Action: action, Changes: revealBoth(found, hiderOf(d.ID(), loaded)),
		Err: redact(err, loaded.Sealed || isSecret(d.ID()), loaded.Redact)}
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
	err error) (Action, []difference, error) {
	missing := isMissing(err)
	switch {
	case kube.ReasonOf(err) == kube.NoMatch:
		return Created, nil, err
	case err != nil && !missing:
		return Refused, nil, err
	case !missing && mode == inventory.IfNotPresent:
		return Unchanged, nil, nil
	}
	if err := r.share(ctx, o, mode); err != nil {
		return Refused, nil, err
	}
	next, err := r.client.Apply(ctx, o, kube.ApplyOptions{Whole: true, DryRun: true})
	owners := mode.Takeover(r.Application)
	switch reason := kube.ReasonOf(err); {
	case missing && (err == nil || isMissing(err)):
		return Created, nil, err // the Namespace may be missing, too
	case reason == kube.Immutable && forced(o, r.Force) && !holdsOthers(o):
		return Recreated, nil, nil
	case reason == kube.Invalid && len(owners.Managers(live)) > 0:
		return Configured, nil, err // an apply first takes over what conflicts; see clear
	case err != nil:
		return Refused, nil, err
	}
	found := changesOf(o, live, next.Live, owners)
	if len(found) == 0 {
		return Unchanged, nil, nil
	}
	return Configured, found, nil
}

// changesOf returns the fields that an apply would change, by path: those that differ in next, the result of a dry run,
// and those that the dry run keeps, and that an apply removes because it takes them over.
func changesOf(desired *manifest.Object, live, next kube.Live, t kube.Takeover) []difference {
	found := between(live.Object, next.Object)
	for path, value := range leftovers(storedForm(desired), next.Object, live.FieldsOf(t)) {
		found = append(found, difference{path: path, want: value, wanted: true})
	}
	slices.SortStableFunc(found, func(a, b difference) int { return strings.Compare(a.path, b.path) })
	return slices.CompactFunc(found, func(a, b difference) bool {
		return a.path == b.path && a.wanted == b.wanted && a.exists == b.exists
	})
}

// isMissing reports whether the object, its Namespace or its kind does not exist.
func isMissing(err error) bool {
	reason := kube.ReasonOf(err)
	return reason == kube.NotFound || reason == kube.NoMatch
}

// between returns the fields in which an object differs from a later version of itself, without its status and the
// fields that the API server counts in. It takes these fields out of both.
func between(was, is *manifest.Object) []difference {
	for _, o := range []*manifest.Object{was, is} {
		delete(o.Object, "status")
		metadata, _ := o.Object["metadata"].(map[string]any)
		for _, field := range []string{"resourceVersion", "generation", "managedFields"} {
			delete(metadata, field)
		}
	}
	d := differ{}
	d.both("", was.Object, is.Object)
	return d.found
}

// both collects the differences of two values: want is the first, have the second.
func (d *differ) both(path string, was, is any) {
	switch was := was.(type) {
	case map[string]any:
		if is, ok := is.(map[string]any); ok {
			d.maps(path, was, is)
			return
		}
	case []any:
		if is, ok := is.([]any); ok && d.lists(path, was, is) {
			return
		}
	}
	if !reflect.DeepEqual(was, is) {
		d.add(path, was, is, true)
	}
}

func (d *differ) maps(path string, was, is map[string]any) {
	for key, before := range was {
		if after, ok := is[key]; ok {
			d.both(path+"/"+escape(key), before, after)
		} else {
			d.add(path+"/"+escape(key), before, nil, false)
		}
	}
	for key, after := range is {
		if _, ok := was[key]; !ok {
			d.found = append(d.found, difference{path: path + "/" + escape(key), have: after, exists: true})
		}
	}
}

// lists compares the elements of two lists by their names, or by their places if the lists have one length. If there is
// neither, lists returns false.
func (d *differ) lists(path string, was, is []any) bool {
	before, named := placesOf(was)
	after, alsoNamed := placesOf(is)
	if !named || !alsoNamed {
		if len(was) != len(is) {
			return false
		}
		for i := range was {
			d.both(path+"/"+strconv.Itoa(i), was[i], is[i])
		}
		return true
	}
	for name, at := range before {
		if now, ok := after[name]; ok {
			d.both(path+"/"+strconv.Itoa(now), was[at], is[now])
		} else {
			d.add(path+"/"+strconv.Itoa(at), was[at], nil, false)
		}
	}
	for name, now := range after {
		if _, ok := before[name]; !ok {
			d.found = append(d.found, difference{path: path + "/" + strconv.Itoa(now), have: is[now], exists: true})
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
func revealBoth(found []difference, hide func(string) string) []FieldChange {
	changes := make([]FieldChange, 0, len(found))
	for _, d := range found {
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
