package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/internal/plan"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// comparison compares what clusters would run with what was released to them.
type comparison struct {
	client adminv1.AdminServiceClient
	chosen selection
	check  *validator     // nil: without --validate
	hub    []plan.Problem // of the hub's own objects

	clusters int
	compared int                 // Applications of the checkout, on all clusters
	unmapped bool                // no folder stands for the source of an Application
	waiting  bool                // the selected Application waits for something that only the cluster can tell
	kept     map[string][]string // clusters by the note about an Application that is not compared
	problems map[string][]string // clusters by problem
	// unreadable has the clusters that are not compared because their release cannot be read, and why.
	unreadable map[string]string
	unasked    map[string][]string // clusters by the reason why their spokes did not answer
	refusals   map[string][]string // clusters by what they would refuse, and why
	within     time.Duration       // how long a spoke may take to answer
	rendered   map[change][]string // the changes of objects that answers of spokes take the place of

	mu      sync.Mutex
	pairs   map[pair]*pairDiff
	changes map[change][]string // clusters
}

// pair is two versions of an Application; a zero digest is none.
type pair struct {
	name     bundle.ApplicationName
	old, new manifest.Digest
	held     string // as of a change
}

// pairDiff is a pair and where to find the two versions.
type pairDiff struct {
	old      publishedApplication
	new      *plan.PreviewedApplication
	held     string
	clusters []string
	chart    madeChart // of the new version; zero: there is none in the checkout

	kept     string              // why the hub does not make the new version; empty: it does
	released *bundle.Application // the old version; empty: there is none
	files    map[pieceID]change  // of the objects of the new version, by object
	// lacking are the objects and encrypted files of the new version that the hub does not have, and size the number of
	// bytes that a spoke is asked with. Only --live needs them.
	lacking []manifest.Digest
	size    int
}

// compare compares all clusters.
func (c *comparison) compare(ctx context.Context, released *published, all []*outlook) error {
	c.clusters = len(all)
	c.kept, c.problems, c.unasked = map[string][]string{}, map[string][]string{}, map[string][]string{}
	c.refusals = map[string][]string{}
	c.pairs, c.changes = map[pair]*pairDiff{}, map[change][]string{}
	for _, p := range c.hub {
		if isUnmapped(p) {
			c.unmapped = true
			c.keep(p.Key.String()+" is not compared, and the hub keeps its objects: "+p.Message, "the hub")
		} else {
			c.problems[p.String()] = append(c.problems[p.String()], "the hub")
		}
	}
	for _, o := range all {
		c.pairUp(o, released.clusters[o.cluster])
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for id, d := range c.pairs {
		group.Go(func() error {
			kept, err := c.keptChart(ctx, d)
			if kept != "" || err != nil {
				d.kept = kept
				return err
			}
			changes, err := c.diffOf(ctx, id, d)
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, x := range changes {
				x.held = d.held
				c.add(x, d.clusters...)
				d.files[x.object] = x
			}
			return err
		})
	}
	err := group.Wait()
	c.dropKept()
	return err
}

// dropKept drops the pairs whose new version the hub does not make, and notes why.
func (c *comparison) dropKept() {
	maps.DeleteFunc(c.pairs, func(_ pair, d *pairDiff) bool {
		if d.kept == "" {
			return false
		}
		for _, cluster := range d.clusters {
			c.keep(d.kept, cluster)
		}
		return true
	})
}

// pairUp finds the versions of the Applications of one cluster that differ: first those that the cluster would run,
// then those that it would run if nothing held them.
func (c *comparison) pairUp(o *outlook, released map[bundle.ApplicationName]publishedApplication) {
	before, effective := released, map[bundle.ApplicationName]publishedApplication(nil)
	if o.now != o.resumed {
		k := newKeeper(o.now, released)
		effective = k.effective(o.now)
		if len(o.stays) == 0 {
			s := stage{comparison: c, walk: o.now, before: released, keeper: k,
				held: func(name bundle.ApplicationName, next manifest.Digest) string {
					return strings.Join(pinnedAt(released[name], next), "; ")
				}}
			s.pairUp()
			s.pairGone()
			s.noteProblems()
			before = effective
		}
	}
	s := stage{comparison: c, walk: o.resumed, before: before, keeper: newKeeper(o.resumed, before), last: true,
		held: func(name bundle.ApplicationName, next manifest.Digest) string {
			reasons := slices.Concat(o.stays, pinnedAt(released[name], next))
			if effective != nil && effective[name].digest != next {
				reasons = append(reasons, heldBy(o.holderOf(name, released)))
			}
			return strings.Join(reasons, "; ")
		}}
	s.pairUp()
	s.noteKept(s.pairGone())
	s.noteProblems()
}

// stage compares what a cluster has with what a walk gives it.
type stage struct {
	*comparison
	walk   *plan.Previewed
	before map[bundle.ApplicationName]publishedApplication
	keeper *keeper
	// held returns why a version of an Application does not reach the cluster; empty: it does.
	held func(bundle.ApplicationName, manifest.Digest) string
	last bool // of the stages of the cluster
}

// pairUp pairs up the Applications that the walk has.
func (s stage) pairUp() {
	for i := range s.walk.Applications {
		a := &s.walk.Applications[i]
		name := a.Application.Name
		if !s.chosen.has(name, a.Fleet, s.keeper.parent) {
			continue
		}
		if s.last {
			s.compared++
		}
		if s.before[name].digest != a.Digest {
			s.pair(name, a)
		}
	}
}

// pairGone pairs up the Applications that the walk does not have, unless they stay. It returns those that stay because
// of themselves, with the number of those below them.
func (s stage) pairGone() map[bundle.ApplicationName]int {
	stay := map[bundle.ApplicationName]int{} // the Applications below each one
	for name, old := range s.before {
		if s.keeper.compared[name] || !s.chosen.has(name, old.fleet, s.keeper.parent) {
			continue
		}
		switch at, kept := s.keeper.keeps(name, 0); {
		case !kept:
			s.pair(name, nil)
		case at == name:
			stay[at] += 0
		default:
			stay[at]++
		}
	}
	for at, below := range stay {
		if s.keeper.reasons[at] == "" {
			s.add(change{application: at.String(), verb: left, text: "left in the cluster, because nothing gives it any more " +
				"and nothing prunes it" + withBelow(below), held: s.held(at, manifest.Digest{})}, s.walk.Cluster)
		}
	}
	return stay
}

// noteKept notes the Applications that stay because they are not compared.
func (s stage) noteKept(stay map[bundle.ApplicationName]int) {
	for at, below := range stay {
		if s.keeper.reasons[at] != "" {
			s.unmapped = s.unmapped || s.keeper.unmapped[at]
			s.keep(s.keeper.note(at, below), s.walk.Cluster)
		}
	}
	for _, problem := range s.walk.Problems {
		name := problem.Key.Application()
		_, noted := stay[name]
		if isUnmapped(problem) && !noted && s.keeper.reasons[name] != "" &&
			s.chosen.has(name, s.keeper.fleet(problem.Key), s.keeper.parent) {
			s.unmapped = true
			s.keep(s.keeper.note(name, 0), s.walk.Cluster)
		}
	}
}

// noteProblems notes what the cluster would not render. What waits for something that only the cluster can tell is not
// compared, because the hub will have it.
func (s stage) noteProblems() {
	for _, problem := range s.walk.Problems {
		name := problem.Key.Application()
		switch {
		case isUnmapped(problem):
		case problem.Reason == condition.InputNotReady && !s.chosen.isAbout(name, s.keeper):
		case problem.Reason == condition.InputNotReady:
			s.waiting = s.waiting || name == s.chosen.application
			s.keep(problem.Key.Local()+" is not compared: "+problem.Cause(), s.walk.Cluster)
		default:
			text := problem.Key.Local() + ": " + problem.Cause()
			s.problems[text] = append(s.problems[text], s.walk.Cluster)
		}
	}
}

// pair pairs up an Application with the version of the walk; nil if the walk has none.
func (s stage) pair(name bundle.ApplicationName, next *plan.PreviewedApplication) {
	old := s.before[name]
	id := pair{name: name, old: old.digest}
	if next != nil {
		id.new = next.Digest
	}
	id.held = s.held(name, id.new)
	if s.pairs[id] == nil {
		s.pairs[id] = &pairDiff{old: old, new: next, held: id.held, released: &bundle.Application{},
			files: map[pieceID]change{}}
		if next != nil {
			s.pairs[id].chart = madeChart{next.Source, s.walk.Nodes[next.Source.Key].Object}
		}
	}
	s.pairs[id].clusters = append(s.pairs[id].clusters, s.walk.Cluster)
}

// add adds a change of a cluster.
func (c *comparison) add(x change, clusters ...string) {
	c.changes[x] = append(c.changes[x], clusters...)
}

// keep notes that something of a cluster is not compared.
func (c *comparison) keep(note, cluster string) { c.kept[note] = append(c.kept[note], cluster) }

// err returns the error that ends the command.
func (c *comparison) err() error {
	switch {
	case len(c.unreadable) > 0:
		name := slices.Min(slices.Collect(maps.Keys(c.unreadable)))
		return fmt.Errorf("not compared with %s, whose releases the hub cannot read: %s: %s",
			wording.Count(len(c.unreadable), "cluster"), name, c.unreadable[name])
	case len(c.problems)+len(c.unasked)+len(c.refusals) > 0 || c.check.err() != nil:
		return errors.Join(failed("not everything could be rendered:", c.problems),
			failed("not every cluster could be asked:", c.unasked),
			failed("not every object would be accepted:", c.refusals), c.check.err())
	case len(c.changes) > 0:
		return errDifferent
	case c.nothingCompared() && c.waiting:
		return errors.New("nothing was compared: the cluster has not told yet what the values need; see the notes above")
	case c.nothingCompared():
		return errors.New("nothing was compared: no folder stands for the sources, or for their remote bases; see the " +
			"notes above")
	}
	return nil
}

// failed returns an error with the clusters of each message; nil if there are none.
func failed(title string, clusters map[string][]string) error {
	if len(clusters) == 0 {
		return nil
	}
	return errors.New(title + "\n" + strings.Join(byClusters(clusters), "\n"))
}

// nothingCompared reports whether nothing was compared because no folder stands for the sources, or because the one
// selected Application waits for the cluster.
func (c *comparison) nothingCompared() bool {
	return c.compared == 0 && len(c.changes) == 0 && (c.unmapped || c.waiting)
}

// notCompared returns the clusters by the notes about what is not compared, and by why their releases cannot be read.
func (c *comparison) notCompared() map[string][]string {
	all := map[string][]string{}
	maps.Copy(all, c.kept)
	for name, why := range c.unreadable {
		text := "not compared, because the hub cannot read the release: " + why
		all[text] = append(all[text], name)
	}
	return all
}

// byClusters returns a line for each text, with its clusters.
func byClusters(texts map[string][]string) (lines []string) {
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		clusters := slices.Compact(slices.Sorted(slices.Values(texts[text])))
		lines = append(lines, "on "+listed(clusters)+": "+text)
	}
	return lines
}
