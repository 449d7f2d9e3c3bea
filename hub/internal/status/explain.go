package status

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
)

// Explain returns an explanation for each cause for which objects are not ready, or are suspended or pinned, among the
// objects that key names and those that a Cluster or Fleet leads to: failures before waits, what operators want last,
// the oldest first. Each names the objects of the world that it affects. An object that key names by its kind and
// name has an explanation of its own, also if it is only affected. An empty kind, name or namespace names all; an
// empty cluster, the whole fleet.
func Explain(w *World, key api.Key) []*adminv1.Explanation {
	x := &explainer{world: w, key: key, causes: newCauses(w), explained: map[cause][]*entry{}}
	covered := w.covered(key)
	for _, f := range w.facts {
		if f.named(key) || covered[f.Resource.Key] {
			x.explain(f)
		}
	}
	x.addAffected()
	slices.SortFunc(x.all, (*entry).compare)
	list := make([]*adminv1.Explanation, len(x.all))
	bases := w.failedBases()
	for i, e := range x.all {
		list[i] = e.Explanation
		e.Cause = causeOf(e.Explanation, bases)
	}
	w.count(list)
	return list
}

// Names reports whether the world has an object that key names.
func (w *World) Names(key api.Key) bool {
	for _, f := range w.facts {
		if f.named(key) {
			return true
		}
	}
	return false
}

// named reports whether key names the object. A key with a cluster names its Cluster, too.
func (f Facts) named(key api.Key) bool {
	k := f.Resource.Key
	return (key.Cluster == "" || key.Cluster == api.ClusterOf(k.Path()) || k.Cluster == "" && key == k) &&
		(key.Kind == "" || key.Kind == k.Kind) &&
		(key.Namespace == "" || key.Namespace == k.Namespace) &&
		(key.Name == "" || key.Name == k.Name)
}

// covered returns the keys of the objects that a Cluster or Fleet leads to.
func (w *World) covered(key api.Key) map[api.Key]bool {
	keys := map[api.Key]bool{}
	f := w.facts[key]
	for _, c := range append(f.Members, f) {
		for _, object := range c.Covered {
			keys[object.Resource.Key] = true
		}
		keys[c.Resource.Key] = true
	}
	for source := range f.Sources {
		keys[source] = true
	}
	return keys
}

// explain returns the explanations of a source or a renderable that is not ready, or is suspended, pinned or held: main
// is about itself, with one explanation for each drifted object; objects are about those that main does not name.
func (w *World) explain(f Facts, v verdict) (main, objects []*adminv1.Explanation) {
	s := f.suspension()
	switch {
	case f.isPinned() && v.ready == condition.True && s == nil:
		return []*adminv1.Explanation{f.explainPin(v)}, nil
	case s != nil && v.ready != condition.False:
		return []*adminv1.Explanation{f.explainSuspension(s, v)}, nil
	case v.ready == condition.True && f.isIncomplete():
		return []*adminv1.Explanation{f.explainIncomplete(v)}, nil
	case v.ready == condition.True && f.holds():
		v.reason = condition.RemovalHeld
	case v.ready == condition.True:
		return nil, nil
	case s != nil:
		v.message += ". " + s.text(f)
	}
	e := &adminv1.Explanation{
		Object: KeyMessage(f.Resource.Key), Since: timestamppb.New(v.since), Reason: v.reason,
		Message: v.message + f.basesOf(v), Advice: w.adviceOf(f, v),
	}
	switch f.role() {
	case api.RenderableRole:
		w.addWaits(f, e)
	case api.SourceRole:
		w.addInputs(f, e)
	}
	main = []*adminv1.Explanation{e}
	if f.Report == nil {
		return main, nil
	}
	drifts := explainDrifts(f)
	if len(drifts) > 0 && v.reason == f.Report.Reason && len(e.WaitsFor) == 0 && len(drifts) < reporting.MaxDrifts {
		main = nil // its message has the same objects
	}
	return append(main, drifts...), f.explainObjects(e)
}

// explainObjects returns the explanations of the objects of an application that its own explanation does not tell of.
func (f Facts) explainObjects(own *adminv1.Explanation) (list []*adminv1.Explanation) {
	if f.Entry == nil || f.behind() || f.Condition != nil && f.Condition.Ready != condition.True {
		return nil
	}
	for _, o := range f.Report.Objects {
		if each := explainObject(f, o); !mergeObject(own, o, each) {
			list = append(list, each)
		}
	}
	return list
}

// explainPin returns the explanation of a release that an operator keeps at a revision, or of a policy that an operator
// keeps at a tag.
func (f Facts) explainPin(v verdict) *adminv1.Explanation {
	e := &adminv1.Explanation{Object: KeyMessage(f.Resource.Key), Since: timestamppb.New(f.Resource.Pin.At),
		Reason: condition.Pinned, Advice: f.advice(condition.Pinned)}
	if pin := f.Resource.Tags.Pin; pin.Tag != "" {
		e.Since, e.Message = timestamppb.New(pin.At), f.tagPinText()
	} else {
		e.Message = f.releasePinText(v)
	}
	return e
}

// awaiting are the reasons of an application that waits, or waited in vain, for the health of its objects.
var awaiting = []string{condition.HealthCheckFailed, condition.Progressing, condition.InstallFailed,
	condition.UpgradeFailed, condition.RollbackFailed, condition.RetriesExceeded}

// mergeObject reports whether an explanation of an application has that of an object of it, too: if its message has the
// same text, or if the application waits, or waited in vain, for the health of its objects. Then mergeObject adds the
// text about the object as a line of its own, if the message does not have it.
func mergeObject(e *adminv1.Explanation, o *spokev1.ObjectReport, each *adminv1.Explanation) bool {
	switch {
	case strings.Contains(e.Message, each.Message):
	case o.Status != condition.Refused && slices.Contains(awaiting, e.Reason):
		e.Message += "\n" + each.Message
	default:
		return false
	}
	return true
}

// basesOf returns the part of a message about a failure in the cluster that names the remote bases, because one of them
// may have brought what fails. The hub's own messages name them already.
func (f Facts) basesOf(v verdict) string {
	if f.Entry == nil || f.Entry.Bases == "" || f.Report == nil || v.reason != f.Report.Reason {
		return ""
	}
	bases := f.Entry.Bases.List()
	return "; remote bases: " + wording.List(bases, len(bases), 3)
}

// rollsUp reports whether the verdict about the object covers other objects. Then the verdict names the suspension.
func (f Facts) rollsUp() bool {
	return f.role() == api.ClusterRole || f.role() == api.FleetRole
}

// explainSuspension returns the explanation of a suspended object, which is no failure.
func (f Facts) explainSuspension(s *suspension, v verdict) *adminv1.Explanation {
	text, _ := s.now(f)
	e := &adminv1.Explanation{
		Object: KeyMessage(f.Resource.Key), Since: timestamppb.New(s.since), Reason: condition.Suspended,
		Message: strings.TrimSuffix(text+"; "+v.message, "; "), Advice: f.advice(condition.Suspended),
	}
	if with := s.with; with != (api.Key{}) {
		e.Advice = fmt.Sprintf("To go on: nave resume %s %s", strings.ToLower(with.Kind), with.Name)
	}
	return e
}

// explained are the reasons whose advice is about each refused object, too.
var explained = []string{condition.DecryptionFailed, condition.KeyServiceUnavailable, condition.PruneFailed}

// explainObject returns the explanation of an object in the cluster that is not healthy.
func explainObject(f Facts, o *spokev1.ObjectReport) *adminv1.Explanation {
	advice := "Look at the object and its events in the cluster: kubectl describe"
	switch reason := f.Report.Reason; {
	case o.Status == condition.Refused && slices.Contains(explained, reason):
		advice = f.advice(reason)
	case o.Status == condition.Refused:
		advice = "The cluster's API server does not take the object as it is in Git: correct it there; " +
			"if it is forbidden, see whether the service account of the " + f.Resource.Key.Kind + " exists, and give it (or " +
			"the spoke) the rights it lacks"
	}
	return &adminv1.Explanation{
		Object: KeyMessage(f.Resource.Key), Since: o.Since, Reason: o.Status, Advice: advice,
		Message: strings.TrimSuffix(nameOf(o.Object)+": "+o.Message, ": "), Cause: nameOf(o.Object),
	}
}

// addWaits adds the objects that a renderable waits for: its source, or the renderables that it depends on.
func (w *World) addWaits(f Facts, e *adminv1.Explanation) {
	if source, ok := w.source(f); ok && f.Condition != nil && f.Condition.Ready != condition.True &&
		f.Condition.Reason != condition.DependencyNotReady {
		if sv := source.verdict(); sv.ready != condition.True {
			e.WaitsFor = []string{nameIn(f, source)}
			if sv.message == "" || !strings.Contains(e.Message, sv.message) { // a failed fetch is quoted there already
				e.Message += fmt.Sprintf(". It waits for %s, which %s", nameIn(f, source), because(sv))
			}
			e.Advice = "Fix the source first: " + command("describe", source.Resource.Key) +
				" shows the error of the last attempt"
			return
		}
	}
	w.addChain(f, e)
}

// addInputs adds the sources that a source reads and that are not ready.
func (w *World) addInputs(f Facts, e *adminv1.Explanation) {
	if e.Reason != condition.SourceNotReady && !w.failsAsInput(f, f.verdict()) {
		return
	}
	for _, source := range w.inputs(f) {
		if source.verdict().ready != condition.True {
			e.WaitsFor = append(e.WaitsFor, nameIn(f, source))
			e.Advice = "Fix the source first: " + command("describe", source.Resource.Key) +
				" shows the error of the last attempt"
		}
	}
}

// failsAsInput reports whether a source that asks the server of its input fails because the input does: that is so if
// both have one reason or one message.
func (w *World) failsAsInput(f Facts, v verdict) bool {
	view, err := f.Resource.Object.Source()
	if err != nil || !view.Upstream || v.ready == condition.True {
		return false
	}
	return slices.ContainsFunc(w.inputs(f), func(input Facts) bool {
		its := input.verdict()
		return its.ready == condition.False && (its.reason == v.reason || its.message == v.message)
	})
}

// inputs returns the sources that a source reads: each from its cluster or, if the cluster has none, from the hub.
func (w *World) inputs(f Facts) (list []Facts) {
	view, err := f.Resource.Object.Source()
	if err != nil {
		return nil
	}
	for _, in := range view.Inputs {
		source, ok := w.facts[in.Key.In(f.Resource.Key.Cluster)]
		if !ok {
			source, ok = w.facts[in.Key]
		}
		if ok {
			list = append(list, source)
		}
	}
	return list
}

// addChain adds the dependencies that a renderable waits for. If the renderable has a failure of its own, its message
// and advice stay, because the end of the wait would not make it ready.
func (w *World) addChain(f Facts, e *adminv1.Explanation) {
	switch e.Reason {
	case condition.DependencyCycle: // the message names the circle
		return
	case condition.RemovalHeld, condition.Pinned: // no dependency ends the hold or the pin
		return
	}
	chain, circle := w.chain(f)
	if len(chain) == 0 {
		return
	}
	for _, link := range chain {
		e.WaitsFor = append(e.WaitsFor, nameIn(f, link))
	}
	last := chain[len(chain)-1].verdict()
	cause := e.WaitsFor[len(e.WaitsFor)-1]
	waits := fmt.Sprintf("waits for %s, which %s", strings.Join(e.WaitsFor, ", which waits for "), because(last))
	own := f.verdict()
	switch {
	case last.ready == condition.True:
		explainExpression(f, chain, e)
	case own.ready == condition.False && own.reason != condition.DependencyNotReady:
		e.Message += ". It also " + waits
		e.Advice = strings.TrimPrefix(e.Advice+". Fix "+cause+", too", ". ")
	case circle || last.reason == condition.DependencyCycle:
		e.Message = "It " + waits
		e.Advice = f.advice(condition.DependencyCycle)
	default:
		e.Message = "It " + waits
		e.Advice = "Fix " + cause + " first; the others will then become ready by themselves"
	}
}

// explainExpression explains a wait at whose end the readyExpr of a dependency that is ready does not hold. The message
// of the renderable that waits for that dependency says so.
func explainExpression(f Facts, chain []Facts, e *adminv1.Explanation) {
	waiting, dependency := f, chain[len(chain)-1]
	if n := len(chain); n > 1 {
		waiting = chain[n-2]
		e.Message = fmt.Sprintf("It waits for %s: %s", strings.Join(e.WaitsFor, ", which waits for "),
			waiting.verdict().message)
	}
	e.Advice = "Compare the readyExpr of " + nameIn(f, waiting) + " with its dependency, or correct one of them: " +
		command("get", dependency.Resource.Key) + " -o yaml"
}

// because returns the end of the sentence "…, which" about an object that is not ready.
func because(v verdict) string {
	word := "is not ready yet"
	if v.ready == condition.False {
		word = "failed"
	}
	if v.message == "" {
		return word
	}
	return word + " (" + v.reason + "): " + v.message
}

// source returns the source of a renderable. If there is none that the renderable may use, source returns false.
func (w *World) source(f Facts) (Facts, bool) {
	source, ok, _ := f.source(func(key api.Key) (Facts, bool, error) {
		source, ok := w.facts[key]
		return source, ok, nil
	})
	return source, ok
}

// chain returns the renderables that f waits for: along dependsOn from one that is not ready to the next. The last one
// is the one that all others wait for. It may be ready, if a readyExpr about it does not hold. If it waits for one of
// the others, chain reports a circle.
func (w *World) chain(f Facts) (chain []Facts, circle bool) {
	seen := map[api.Key]bool{f.Resource.Key: true}
	for {
		next, ok := w.blocker(f)
		if !ok || seen[next.Resource.Key] {
			return chain, ok
		}
		seen[next.Resource.Key] = true
		chain = append(chain, next)
		f = next
	}
}

// blocker returns the first dependency that is not ready, or whose readyExpr does not hold. If there is none, blocker
// returns false.
func (w *World) blocker(f Facts) (Facts, bool) {
	view := f.renderable()
	for _, key := range view.DependsOn {
		key.Cluster = f.Resource.Key.Cluster
		dependency, ok := w.facts[key]
		switch {
		case !ok:
		case view.ExpressesReady(key) && dependency.hubVerdict().ready == condition.True:
			if f.waitsOnSpoke(key) {
				return dependency, true
			}
		case dependency.verdict().ready != condition.True:
			return dependency, true
		}
	}
	return Facts{}, false
}

// waitsOnSpoke reports whether the spoke, which alone evaluates readyExprs, found that a dependency is not ready. The
// message of its report names the dependency.
func (f Facts) waitsOnSpoke(dependency api.Key) bool {
	v := f.verdict()
	return v.reason == condition.DependencyNotReady && f.Report != nil && v.message == f.spokeVerdict().message &&
		strings.Contains(v.message, "dependency "+dependency.Local()+" ")
}

// nameIn returns the name of other for a message about f: without the cluster if both are of the same cluster.
func nameIn(f, other Facts) string {
	key := other.Resource.Key
	if key.Cluster == f.Resource.Key.Cluster {
		return key.Local()
	}
	return key.String() + " of the hub"
}

// command returns a command of nave about an object, as an operator types it.
func command(verb string, k api.Key) string {
	return strings.Join([]string{"nave", verb, strings.ToLower(k.Kind), k.Name}, " ") + FlagsOf(k)
}

// FlagsOf returns the flags of a command about an object, each with a space before.
func FlagsOf(k api.Key) (flags string) {
	if k.Namespace != "" && k.Namespace != api.DefaultNamespace {
		flags += " -n " + k.Namespace
	}
	if k.Cluster != "" {
		flags += " --cluster " + k.Cluster
	}
	return flags
}

// KeyMessage returns a key as a message of the API for operators.
func KeyMessage(k api.Key) *adminv1.ObjectKey {
	return &adminv1.ObjectKey{Cluster: k.Cluster, Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}
}

// KeyOf returns the key in a message of the API for operators, unchecked.
func KeyOf(p *adminv1.ObjectKey) api.Key {
	return api.Key{Cluster: p.GetCluster(), Kind: p.GetKind(), Namespace: p.GetNamespace(), Name: p.GetName()}
}
