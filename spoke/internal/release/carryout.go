package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Cluster changes the objects of one release. After a crash a call is repeated, and has to come to the same.
type Cluster interface {
	// Define applies the definitions of the chart.
	Define(ctx context.Context, policy bundle.CRDPolicy) error
	// CreateNamespace creates a namespace unless it exists.
	CreateNamespace(ctx context.Context, name string) error
	// Apply applies the desired objects, and deletes those that left. If an object cannot be read, the error is ErrUnread.
	Apply(ctx context.Context, options bundle.ReleaseAction) error
	// Restore applies the objects of a record of a release, and deletes those that it does not have.
	Restore(ctx context.Context, of Identity, objects []*manifest.Object, options bundle.ReleaseAction) error
	// Prune deletes objects that another program applied for the release, if they still belong to the release.
	Prune(ctx context.Context, objects []bundle.ObjectIdentity) error
	// Discard deletes the objects that the last Apply or Restore created.
	Discard(ctx context.Context) error
	// Await waits until the objects are healthy, and Jobs complete if jobs is true.
	Await(ctx context.Context, jobs bool) error
	// Remove deletes the objects, and waits until they are gone unless the options say otherwise.
	Remove(ctx context.Context, options bundle.ReleaseAction) error
}

// ErrUnread is the error of an object whose content cannot be read now, such as a sealed value without its key. The
// release has not failed: the action goes on until its deadline.
var ErrUnread = errors.New("the content cannot be read now")

// Executor carries out actions on one release.
type Executor struct {
	Storage *Storage // Run sets the names in it
	Hooks   *HookRunner
	Cluster Cluster
	// Content returns the desired release as a record has it: chart, values, manifest, hooks and notes, in plaintext.
	Content func(ctx context.Context) (Record, error)
	// Save stores the journal before it returns.
	Save func(Journal) error
	Now  func() time.Time
	// Permit makes the spoke the only one that changes the release, and returns an error if it is not; nil: it is.
	Permit func(context.Context) error
	// Room waits until there is memory for records and objects, and returns the function that gives the memory back. Steps
	// that wait for the cluster have none. nil: memory is not counted.
	Room func(context.Context) (func(), error)
}

const (
	closeTimeout   = 30 * time.Second // for the record of an action that failed
	maxDescription = 1024             // bytes of a cause in a record
)

// Carry carries out a decision that s led to, and returns the journal afterwards. If the action failed, the error says
// why, and the journal counts it. If the context ended, the API server did not answer, an object cannot be read, or the
// journal cannot be saved, the action is not over: the next decision resumes it until its deadline.
func (e *Executor) Carry(ctx context.Context, d Desired, s Situation, n Decision) (Journal, error) {
	c := &course{Executor: e, desired: d, situation: s, journal: s.Journal.Begin(d, n, s.versionOf(n), e.Now())}
	if err := e.Save(c.journal); err != nil {
		return s.Journal, &notOverError{err}
	}
	limited, cancel := context.WithDeadline(ctx, c.journal.Running.Deadline)
	defer cancel()
	err := c.run(limited)
	if err != nil {
		if c.isNotOver(ctx, limited, err) {
			return c.journal, &notOverError{err}
		}
		closing, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		err = errors.Join(err, c.fail(closing, err))
	}
	c.journal = c.journal.End(d, err, e.Now())
	if unsaved := e.Save(c.journal); unsaved != nil {
		return c.journal, &notOverError{errors.Join(err, unsaved)}
	}
	return c.journal, err
}

// isNotOver reports whether an error of a step leaves the action to be resumed. limited is the context with the
// deadline of the action.
func (c *course) isNotOver(ctx, limited context.Context, err error) bool {
	_, unsaved := errors.AsType[*notOverError](err)
	return unsaved || ctx.Err() != nil || limited.Err() == nil && (kube.Uncertain(err) || errors.Is(err, ErrUnread))
}

// notOverError is an error that leaves an action to be resumed.
type notOverError struct{ error }

func (e *notOverError) Unwrap() error { return e.error }

// versionOf returns the revision that a decision makes or changes.
func (s Situation) versionOf(n Decision) int {
	newest, _ := s.newest()
	switch {
	case n.Resume || n.Action == Unlock:
		return n.Version
	case n.Action == Uninstall || n.Action == Test:
		return newest.Version
	}
	return newest.Version + 1
}

// course is one action on its way.
type course struct {
	*Executor
	desired   Desired
	situation Situation
	journal   Journal
	record    *Record // of the revision that the action makes or changes; nil: not open, or shelved
	shelved   bool
	at        Revision
}

// step is a part of an action. After a crash it is repeated.
type step struct {
	name  string
	do    func(*course, context.Context) error
	waits bool // for the cluster, with little in memory
}

var (
	defining  = step{"definitions", (*course).define, true}
	naming    = step{"namespace", (*course).createNamespace, true}
	opening   = step{"record", (*course).open, false}
	applying  = step{"objects", (*course).apply, false}
	clearing  = step{"objects of before", (*course).clear, false}
	restoring = step{"objects", (*course).restore, false}
	awaiting  = step{"health", (*course).await, true}
	removing  = step{"objects", (*course).remove, true}
	testing   = step{"tests", (*course).test, true}
	deploying = step{"history", (*course).deploy, false}
	purging   = step{"history", (*course).purge, false}
	unlocking = step{"record", (*course).unlock, false}
	reopening = step{"record", (*course).reopen, false}
)

func hooks(event string) step {
	return step{event + " hooks", func(c *course, ctx context.Context) error { return c.runHooks(ctx, event) }, true}
}

// steps are those of each action, in order.
var steps = map[Action][]step{
	Install: {defining, naming, opening, hooks(bundle.PreInstall), applying, awaiting,
		hooks(bundle.PostInstall), deploying},
	Upgrade: {defining, naming, opening, hooks(bundle.PreUpgrade), applying, clearing, awaiting,
		hooks(bundle.PostUpgrade), deploying},
	Rollback: {opening, hooks(bundle.PreRollback), restoring, awaiting, hooks(bundle.PostRollback), deploying},
	Uninstall: {reopening, hooks(bundle.PreDelete), removing, hooks(bundle.PostDelete),
		purging},
	Test:   {reopening, testing},
	Unlock: {reopening, unlocking},
}

// run carries out the steps from the one on that the journal names.
func (c *course) run(ctx context.Context) error {
	all := steps[c.journal.Running.Action]
	if i := slices.IndexFunc(all, step.opens); c.journal.Running.Step > i && i >= 0 {
		if err := c.take(ctx, all[i]); err != nil {
			return err
		}
	}
	for i := c.journal.Running.Step; i < len(all); i++ {
		if c.journal.Running.Step != i {
			c.journal.Running.Step, c.journal.Running.Hook = i, 0
			if err := c.Save(c.journal); err != nil {
				return &notOverError{err}
			}
		}
		if err := c.take(ctx, all[i]); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w; the timeout of the %s is over", err, c.journal.Running.Action)
			}
			return fmt.Errorf("%s: %w", all[i].name, err)
		}
	}
	return nil
}

// take takes one step.
func (c *course) take(ctx context.Context, s step) error {
	if !s.waits {
		done, err := c.room(ctx)
		if err != nil {
			return err
		}
		defer done()
	}
	if err := c.unshelve(ctx); err != nil {
		return err
	}
	return s.do(c, ctx)
}

// shelve takes the record out of memory until the next step.
func (c *course) shelve() { c.record, c.shelved = nil, c.record != nil }

// unshelve reads a shelved record again.
func (c *course) unshelve(ctx context.Context) error {
	if !c.shelved {
		return nil
	}
	r, at, err := c.Storage.Read(ctx, c.journal.Running.Version)
	if err != nil {
		return err
	}
	if r.Fingerprint() != c.journal.Wrote.Fingerprint {
		return fmt.Errorf("another program changed %s meanwhile", r)
	}
	at.Digest, at.Tests = c.at.Digest, c.at.Tests // helm test drops them
	c.record, c.at, c.shelved = &r, at, false
	return nil
}

// opens reports whether a step opens the record that later steps need.
func (s step) opens() bool { return s.name == opening.name }

func (c *course) options() bundle.ReleaseAction {
	switch c.journal.Running.Action {
	case Install:
		return c.desired.Install
	case Upgrade:
		return c.desired.Upgrade
	case Rollback:
		return c.desired.Rollback
	}
	return c.desired.Uninstall
}

func (c *course) define(ctx context.Context) error {
	if policy := c.options().CRDs; policy != bundle.SkipCRDs {
		return c.Cluster.Define(ctx, policy)
	}
	return nil
}

func (c *course) createNamespace(ctx context.Context) error {
	if c.desired.CreateNamespace && !c.situation.wasDeployed() {
		return c.Cluster.CreateNamespace(ctx, c.desired.Namespace)
	}
	return nil
}

// wasDeployed reports whether a revision of the release was ever deployed. An upgrade after an install that failed
// creates the namespace, too: createNamespace may be what mends the release.
func (s Situation) wasDeployed() bool {
	return slices.ContainsFunc(s.History, func(r Revision) bool { return r.Status == Deployed || r.Status == Superseded })
}

func (c *course) apply(ctx context.Context) error { return c.Cluster.Apply(ctx, c.options()) }

func (c *course) restore(ctx context.Context) error {
	objects, err := c.objects(ctx, c.record)
	if err != nil {
		return err
	}
	return c.Cluster.Restore(ctx, c.journal.Subject(c.desired), objects, c.options())
}

func (c *course) await(ctx context.Context) error {
	if o := c.options(); !o.DisableWait {
		c.shelve()
		return c.Cluster.Await(ctx, !o.DisableWaitForJobs)
	}
	return nil
}

func (c *course) remove(ctx context.Context) error { return c.Cluster.Remove(ctx, c.options()) }

// fail notes in the record that the action failed, and undoes what the options say.
func (c *course) fail(ctx context.Context, cause error) error {
	var discarded error
	action := c.journal.Running.Action
	if action == Upgrade || action == Rollback {
		if c.options().CleanupOnFail {
			discarded = c.Cluster.Discard(ctx)
		}
	}
	if err := c.unshelve(ctx); err != nil || c.record == nil {
		return errors.Join(discarded, err)
	}
	why := lineOf(cause)
	switch action {
	case Test:
		c.at.Tests = TestsFailed
	case Uninstall:
		c.record.Info.Description = fmt.Sprintf("Uninstall failed: %s", why)
	default:
		c.record.Info.Status = Failed
		c.record.Info.Description = fmt.Sprintf("%s %q failed: %s", failing(action), c.record.Name, why)
	}
	return errors.Join(discarded, c.write(ctx))
}

// failing returns the word that a description of Helm begins with if an action failed.
func failing(action Action) string {
	switch action {
	case Upgrade:
		return "Upgrade"
	case Rollback:
		return "Rollback"
	}
	return "Release"
}

// runHooks runs the hooks of an event.
func (c *course) runHooks(ctx context.Context, event string) error {
	if c.options().DisableHooks || c.record == nil {
		return nil
	}
	return c.runAll(ctx, event, func(all []PlannedHook) []PlannedHook { return HooksOf(all, event) })
}

func (c *course) test(ctx context.Context) error {
	c.at.Tests = NotTested
	return c.runAll(ctx, bundle.TestHook, func(all []PlannedHook) []PlannedHook { return TestsOf(all, c.desired.Test) })
}

// runAll runs chosen hooks of the record. The name of the run is that of no other, also if an action on a revision is
// repeated.
func (c *course) runAll(ctx context.Context, event string, choose func([]PlannedHook) []PlannedHook) error {
	all, err := c.plan(ctx)
	if err != nil {
		return err
	}
	chosen := choose(all)
	name := fmt.Sprintf("%d %s %d", c.journal.Running.Version, event, c.journal.Running.Deadline.UnixMilli())
	note := func(i int, run Run) error {
		if err := c.noteHook(ctx, chosen[i], i, run); err != nil {
			return &notOverError{err}
		}
		return nil
	}
	return c.Hooks.Run(ctx, HookRun{Hooks: chosen, Name: name, From: c.journal.Running.Hook, Note: note})
}

// noteHook notes in the record how a hook ended, and in the journal that it succeeded.
func (c *course) noteHook(ctx context.Context, h PlannedHook, i int, run Run) error {
	c.record.Hooks[h.Index].LastRun = run
	if run.Phase != HookSucceeded {
		return nil // the record of a failure is written when the action fails
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	c.journal.Running.Hook = i + 1
	return c.Save(c.journal)
}
