package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
	"github.com/navefleet/nave/spoke/internal/release/objects"
	"github.com/navefleet/nave/spoke/internal/state"
)

// maxRooms bounds the releases of Helm that have a record or objects in memory at the same time.
const maxRooms = 2

// Releases has the parts that releases of Helm are carried out with.
type Releases struct {
	Applier *apply.Applier
	Client  *kube.Client
}

var errNoReleases = errors.New("this spoke carries out no releases of Helm")

// carrier carries out the release that an application is, in a goroutine of its own. If the goroutine ends at any
// point, the next carrier goes on.
type carrier struct {
	*Agent
	name    bundle.ApplicationName
	run     uint64
	loader  *loader           // nil: the release is removed
	guard   *apply.GuardError // of the uninstall for another name or chart; nil: it may be uninstalled
	client  *kube.Client
	objects *objects.Objects
	desired release.Desired
}

// release brings the release of an application to what it should be, as far as that can be done now.
func (a *Agent) release(ctx context.Context, act start, previous *inventory.Inventory) (*apply.ChangeSet, input) {
	in := applied{name: act.name, run: act.run, mark: act.success(time.Now()), request: act.entry.RequestedAt}
	c := &carrier{Agent: a, name: act.name, run: act.run, loader: a.newLoader(ctx, act.app)}
	defer c.loader.close()
	err := a.saveMark(act.name, act.remember)
	if err == nil {
		in.mark.Inputs, err = c.prepare(ctx, act, previous)
	}
	if err != nil {
		in.failure = failureOf(nil, err, loadReason(err))
		return nil, in
	}
	executor := c.executor()
	executor.Storage.Known = act.revisions
	journal := a.journal(act.name)
	r, err := executor.Run(ctx, c.desired, journal)
	if slices.Contains(r.Done, release.Rollback) {
		a.redactors.forgetGenerated(act.name) // the cluster has those of an earlier revision
	}
	in.failure, in.retryAt = c.outcome(ctx, r, err)
	if err == nil {
		in.release = c.status(r)
	}
	changes := c.objects.Changes()
	if slices.Contains(r.Done, release.Uninstall) && r.Journal.Failed != release.Uninstall {
		in.uninstalled = describeUninstall(journal.Subject(c.desired), changes)
	}
	if changes != nil {
		in.repaired, in.drifts = len(repaired(changes)), driftsOf(changes, time.Now())
	}
	return changes, in
}

// prepare reads the inputs of the release, and returns their digest.
func (c *carrier) prepare(ctx context.Context, act start, previous *inventory.Inventory) (inputs manifest.Digest,
	err error) {
	app := act.app
	if err := c.connect(app.ServiceAccount); err != nil {
		return inputs, err
	}
	pinned := act.entry.PinnedRevision != 0
	inputs, unread := c.loader.inputs(ctx)
	if unread != nil && !pinned {
		return inputs, unread
	}
	if c.desired, err = desiredRelease(app, act.entry, inputs); err != nil {
		return inputs, err
	}
	if c.guard = apply.DefaultGuard.CheckAll(previous, act.confirmed); c.guard != nil {
		c.desired.Guarded = c.guard
	}
	set := c.setOf(ctx, act, previous)
	if unread == nil {
		set.Objects, unread = c.loader.releaseObjects(ctx, inputs != act.remember.Inputs)
	}
	switch {
	case unread != nil && !pinned:
		return inputs, unread
	case unread != nil: // a rollback needs nothing of it
		c.desired.Digest = manifest.Digest{}
	}
	c.objects = &objects.Objects{Applier: c.Releases.Applier, Client: c.client, Release: app.Release, Set: set,
		Definitions: c.loader.definitions()}
	return inputs, nil
}

// setOf returns how the objects of a release are applied, without the objects.
func (c *carrier) setOf(ctx context.Context, act start, previous *inventory.Inventory) apply.Set {
	app := act.app
	return apply.Set{
		Target: apply.Target{Application: act.name, Previous: previous, ServiceAccount: app.ServiceAccount,
			Claimed: c.claimedFrom(act.name, app.ServiceAccount), Redact: c.loader.redactor(ctx, nil), Save: c.saveInventory},
		Keep: act.entry.KeepsObjects, Guard: apply.DefaultGuard, Confirmed: act.confirmed, Ignore: app.Ignore,
		Drift:   act.entry.Drift,
		Reapply: act.reapply && (act.entry.Drift == bundle.CorrectDrift || act.remember.OtherAccount),
	}
}

// connect sets the client with the rights of a service account.
func (c *carrier) connect(account string) (err error) {
	if c.Releases == nil {
		return errNoReleases
	}
	if c.client = c.Releases.Client; account != "" {
		c.client, err = c.client.As(c.name.Namespace, account)
	}
	return err
}

// desiredRelease returns the release that an application should be.
func desiredRelease(app *bundle.Application, e bundle.Entry, inputs manifest.Digest) (release.Desired, error) {
	digest, err := app.ReleaseDigest()
	if err != nil {
		return release.Desired{}, err
	}
	if !inputs.IsZero() {
		digest = manifest.DigestOf(append(digest[:], inputs[:]...))
	}
	d := release.Desired{Release: app.Release, Digest: digest, Forced: e.ForceRequestedAt, Reset: e.ResetRequestedAt,
		Tested: e.TestRequestedAt, Pinned: int(e.PinnedRevision), RetryInterval: retryIntervalOf(app)}
	for _, h := range app.Hooks {
		for _, event := range h.Events {
			d.HasTests = d.HasTests || event == bundle.TestHook
		}
	}
	return d, nil
}

func (c *carrier) executor() *release.Executor {
	return &release.Executor{
		Storage: &release.Storage{Client: c.client, Now: time.Now}, Cluster: c.objects,
		Hooks:   &release.HookRunner{Client: c.client, Allow: c.objects.AllowHook, Now: time.Now},
		Content: c.content, Save: c.save, Now: time.Now, Room: c.room, Permit: c.yield,
	}
}

// journal returns the journal of a release. Without one that can be read, the records tell enough.
func (a *Agent) journal(name bundle.ApplicationName) (j release.Journal) {
	data, err := a.Store.Journal(name)
	if errors.Is(err, state.ErrNotFound) {
		return j
	}
	if err == nil {
		err = json.Unmarshal(data, &j)
	}
	if err != nil {
		a.warn("the journal of a release is not used", name, err)
		return release.Journal{}
	}
	return j
}

// save stores the journal, and lets the model know how far the release is.
func (c *carrier) save(j release.Journal) error {
	data, err := json.Marshal(j)
	if err == nil {
		err = c.Store.PutJournal(c.name, data)
	}
	c.inform(progressed{c.name, c.run, j})
	return err
}

// inform gives an input to the loop, unless the loop has ended.
func (c *carrier) inform(in input) {
	select {
	case c.inputs <- in:
	case <-c.base.Done():
	}
}

// roomTaken is the input that a release begins or ends to have records or objects in memory.
type roomTaken struct {
	name  bundle.ApplicationName
	taken bool
}

func (roomTaken) advance(*model) []action { return nil }

// room waits for memory, and ends a preview. The returned function gives the memory back, with that of sealed files.
// The wait holds none, because a release that has a room may wait for the memory of sealed files.
func (c *carrier) room(ctx context.Context) (func(), error) {
	c.closeFiles()
	select {
	case c.rooms <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.inform(roomTaken{c.name, true})
	return func() {
		c.closeFiles()
		c.inform(roomTaken{c.name, false})
		<-c.rooms
	}, nil
}

// closeFiles gives back the memory of sealed files, which are opened again when they are needed.
func (c *carrier) closeFiles() {
	if c.loader != nil {
		c.loader.close()
	}
}

// interruptReleases ends the work on releases. The next process goes on with it.
func (a *Agent) interruptReleases() {
	for name, stop := range a.cancels {
		if n := a.model.nodes[name]; n != nil && n.isRelease() {
			stop()
		}
	}
}

// outcome returns the failure after a run, and when the next attempt follows.
func (c *carrier) outcome(ctx context.Context, r release.Result, err error) (f failure, retryAt time.Time) {
	switch {
	case err != nil:
		return failureOf(nil, err, loadReason(err)), retryAt
	case r.Last.State == release.StateInSync && r.Last.Action == release.NoAction:
		return c.repair(ctx), retryAt
	case c.desired.Pinned > 0:
		if f := c.repairPinned(ctx, r); f.reason != "" {
			return f, retryAt
		}
		return c.pinned(r)
	}
	f = failureOf(c.objects.Changes(), nil, condition.ReconciliationFailed)
	f.held = nil
	f.reason, f.message = explainRelease(r.Found.Conditions(c.desired), r.Last)
	if r.Last.Stalled == release.Guarded {
		f.held = c.guard
	}
	if r.Last.Stalled != "" {
		return f, time.Now().Add(intervalOf(c.loader.app))
	}
	return f, r.Last.NotBefore
}

// explainRelease returns the reason and the message of a release that is not as it should be.
func explainRelease(conditions []release.Condition, last release.Decision) (reason, message string) {
	for _, c := range conditions {
		switch {
		case c.Type != condition.Remediated && c.Status == condition.False:
			reason, message = c.Reason, c.Message
		case c.Type == condition.Remediated && message != "":
			message += "; " + c.Message
		}
	}
	if reason == "" {
		reason, message = condition.Progressing, fmt.Sprintf("%s: %s", last.State, last.Why)
	}
	if last.Stalled != "" {
		reason = string(last.Stalled)
	}
	return reason, message
}

// repair applies objects again that drifted.
func (c *carrier) repair(ctx context.Context) failure {
	done, err := c.room(ctx)
	if err != nil {
		return failureOf(nil, err, condition.ReconciliationFailed)
	}
	defer done()
	err = c.objects.Repair(ctx)
	return failureOf(c.objects.Last(), err, condition.ReconciliationFailed)
}

// loadReason returns the reason for an error of the values of an application, and ReconciliationFailed for others.
func loadReason(err error) string {
	_, sealed := errors.AsType[*sealedError](err)
	_, unset := errors.AsType[*unsetError](err)
	_, rival := errors.AsType[*rivalError](err)
	switch {
	case rival:
		return condition.ReleaseHeld
	case errors.Is(err, decrypt.ErrService):
		return condition.KeyServiceUnavailable
	case unset:
		return condition.InputNotReady
	case sealed:
		return condition.DecryptionFailed
	}
	return condition.ReconciliationFailed
}

// uninstallRetry is the pause before an uninstall is tried again.
const uninstallRetry = time.Minute

// uninstall uninstalls the release of an application that left the bundle, and deletes what the inventory has besides.
func (a *Agent) uninstall(ctx context.Context, act remove, m apply.Removal) (*apply.ChangeSet, input) {
	in := removed{name: act.name, run: act.run}
	c := &carrier{Agent: a, name: act.name, run: act.run}
	if err := c.connect(act.mark.ServiceAccount); err != nil {
		in.failure = failureOf(nil, err, condition.UninstallFailed)
		return nil, in
	}
	r := act.mark.Release
	c.objects = &objects.Objects{Applier: a.Releases.Applier, Client: c.client, Set: apply.Set{Target: m.Target},
		Release: &bundle.Release{Name: r.Name, Namespace: r.Namespace, StorageNamespace: r.StorageNamespace,
			Uninstall: r.Uninstall}}
	if m.Policy == bundle.WaitForTermination {
		c.objects.Release.Uninstall.DisableWait = false
	}
	j := a.journal(act.name)
	c.desired = release.Desired{Release: c.objects.Release, Digest: j.Of, Removed: true, RetryInterval: uninstallRetry}
	result, err := c.executor().Run(ctx, c.desired, j)
	switch {
	case err != nil:
	case result.Last.Action != release.NoAction:
		err = errors.New(result.Journal.NotRemedied)
	default:
		err = c.clear(ctx, m)
	}
	in.failure = failureOf(nil, err, condition.UninstallFailed)
	changes := c.objects.Changes()
	if slices.Contains(result.Done, release.Uninstall) {
		in.uninstalled = describeUninstall(j.Subject(c.desired), changes)
	}
	in.deleted = describeObjects(changes, apply.Deleted)
	return changes, in
}

// describeUninstall describes that a release was uninstalled, with the objects that were deleted.
func describeUninstall(i release.Identity, changes *apply.ChangeSet) string {
	text := "Helm uninstall succeeded for release " + i.String()
	if deleted := describeObjects(changes, apply.Deleted); deleted != "" {
		text += ": " + deleted
	}
	return text
}

// clear deletes what an uninstall has left of the inventory, such as after the records were lost.
func (c *carrier) clear(ctx context.Context, m apply.Removal) error {
	m.Target = c.objects.Set.Target
	if m.Previous == nil || len(m.Previous.Items) == 0 {
		return nil
	}
	m.Spare = objects.Keeps
	return c.objects.Delete(ctx, m)
}
