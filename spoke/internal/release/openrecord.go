package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Observe returns the situation of a release. A newest record that cannot be read counts as one of another program. If
// the records tell that an action has ended, so does the journal.
func (s *Storage) Observe(ctx context.Context, j Journal, d Desired) (Situation, error) {
	found, err := s.observe(ctx, j, d.Test)
	if err == nil {
		found.Journal = found.ended(d, s.Now())
	}
	return found, err
}

func (s *Storage) observe(ctx context.Context, j Journal, t bundle.ReleaseTest) (Situation, error) {
	history, err := s.History(ctx)
	found := Situation{History: history, Journal: j}
	if err != nil || len(history) == 0 {
		return found, err
	}
	newest := &history[len(history)-1]
	record, at, err := s.Read(ctx, newest.Version)
	if errors.Is(err, errMalformed) {
		newest.Digest, newest.Status = manifest.Digest{}, Unknown
		return found, nil
	}
	if err != nil {
		return found, err
	}
	*newest = at
	s.complete(ctx, history[max(0, len(history)-reporting.MaxRevisions):len(history)-1])
	found.Fingerprint, found.Chart, found.Tests = record.Fingerprint(), at.Chart.Name, record.TestResult(t)
	found.FirstDeployed = record.Info.FirstDeployed
	return found, nil
}

// complete reads what only the records of another program tell about revisions. The history shows it and nothing else
// needs it, so a record that cannot be read is left out.
func (s *Storage) complete(ctx context.Context, history []Revision) {
	for i, r := range history {
		if r.Events != (Events{}) {
			continue
		}
		known := slices.IndexFunc(s.Known, func(k Revision) bool {
			return k.Version == r.Version && k.ResourceVersion == r.ResourceVersion
		})
		if known >= 0 {
			history[i].Chart, history[i].Events = s.Known[known].Chart, s.Known[known].Events
		} else if _, read, err := s.Read(ctx, r.Version); err == nil {
			history[i].Chart, history[i].Events = read.Chart, read.Events
		}
	}
}

// ended returns the journal after an action that ended while the spoke was killed.
func (s Situation) ended(d Desired, now time.Time) Journal {
	newest, _ := s.newest()
	running := s.Journal.Running
	if newest.Version != running.Version && newest.Version != 0 {
		return s.Journal
	}
	succeeded, failed := newest.Status == Deployed, newest.Status == Failed
	switch running.Action {
	case NoAction:
		return s.Journal
	case Test:
		succeeded, failed = s.Tests == TestsPassed, s.Tests == TestsFailed
	case Uninstall:
		succeeded, failed = newest.Version == 0 || newest.Status == Uninstalled, false
	case Unlock:
		succeeded, failed = newest.Status == Failed, false
	}
	switch {
	case succeeded:
		return s.Journal.End(d, nil, now)
	case failed:
		return s.Journal.End(d, errors.New("the spoke ended meanwhile; the record of the revision has the cause"), now)
	}
	return s.Journal
}

// open creates the record of a new revision, or reads it if it was created before a crash.
func (c *course) open(ctx context.Context) error {
	if c.journal.Wrote.Version == c.journal.Running.Version {
		r, at, err := c.Storage.Read(ctx, c.journal.Wrote.Version)
		if err == nil {
			c.record, c.at = &r, at
		}
		if kube.ReasonOf(err) != kube.NotFound {
			return err
		}
	}
	r, digest, err := c.content(ctx)
	if err == nil {
		c.begin(&r)
		err = c.makeRoom(ctx)
	}
	if err != nil {
		return err
	}
	at, err := c.create(ctx, &r, digest)
	if kube.ReasonOf(err) == kube.Exists {
		return c.adopt(ctx, &r)
	}
	if err != nil {
		return err
	}
	return c.opened(&r, at)
}

// create creates the record of a new revision, and the namespace of the records if it does not exist. With Flux it
// always does, because the HelmRelease is in it.
func (c *course) create(ctx context.Context, r *Record, digest manifest.Digest) (Revision, error) {
	at, err := c.Storage.Create(ctx, r, digest)
	if kube.ReasonOf(err) != kube.NotFound {
		return at, err
	}
	if err := c.Cluster.CreateNamespace(ctx, c.Storage.Namespace); err != nil {
		return at, err
	}
	return c.Storage.Create(ctx, r, digest)
}

// begin makes a record that of the revision that the action makes.
func (c *course) begin(r *Record) {
	now := c.Now()
	r.Version, r.ApplyMethod = c.journal.Running.Version, ClientSide
	r.Info.FirstDeployed, r.Info.LastDeployed, r.Info.Deleted = c.situation.FirstDeployed, now, time.Time{}
	if r.Info.FirstDeployed.IsZero() {
		r.Info.FirstDeployed = now
	}
	r.Info.Status, r.Info.Description = pendingOf(c.journal.Running, c.desired.Pinned)
	for i := range r.Hooks {
		r.Hooks[i].LastRun = Run{}
	}
}

// content returns what a new revision holds, and the digest of what it is made of.
func (c *course) content(ctx context.Context) (Record, manifest.Digest, error) {
	if c.journal.Running.Action != Rollback {
		r, err := c.Content(ctx)
		if err != nil {
			err = &notOverError{err} // the release itself was not tried
		}
		return r, c.desired.Digest, err
	}
	from, at, err := c.Storage.Read(ctx, c.journal.Running.From)
	if err != nil {
		return Record{}, manifest.Digest{}, err
	}
	digest := at.Digest
	if digest.IsZero() { // what Helm deployed is not the desired release, and is the spoke's from now on
		digest = from.Fingerprint()
	}
	return from, digest, nil
}

// adopt takes up the record that this action created before a crash.
func (c *course) adopt(ctx context.Context, r *Record) error {
	found, at, err := c.Storage.Read(ctx, r.Version)
	if err != nil {
		return err
	}
	if !found.Info.Status.IsPending() || found.Fingerprint() != r.Fingerprint() {
		return fmt.Errorf("revision %d of release %s was made by another program meanwhile", r.Version, r.Name)
	}
	return c.opened(&found, at)
}

// opened notes the open record in the journal.
func (c *course) opened(r *Record, at Revision) error {
	c.record, c.at = r, at
	c.journal.Wrote = Written{Version: r.Version, Digest: at.Digest, Fingerprint: r.Fingerprint()}
	if err := c.Save(c.journal); err != nil {
		return &notOverError{err}
	}
	return nil
}

// makeRoom deletes records that a limited history has no room for.
func (c *course) makeRoom(ctx context.Context) error {
	if c.desired.MaxHistory == 0 {
		return nil
	}
	history := c.situation.History
	if n := len(history); n > 0 && history[n-1].Version == c.journal.Running.Version {
		history = history[:n-1] // created before a crash
	}
	for _, version := range Surplus(history, c.desired.MaxHistory-1) {
		if version == c.journal.Running.From {
			continue
		}
		if err := c.Storage.Delete(ctx, version); err != nil {
			return err
		}
	}
	return nil
}

// pendingOf returns the status and the description of a revision that an action makes. A rollback to a pin names the
// revision of the pin, also if it is made of a later rollback to that revision, because the revision itself is deleted.
func pendingOf(r Running, pinned int) (Status, string) {
	switch r.Action {
	case Install:
		return PendingInstall, "Initial install underway"
	case Rollback:
		return PendingRollback, rolledBack + strconv.Itoa(cmp.Or(pinned, r.From))
	}
	return PendingUpgrade, "Preparing upgrade"
}

// reopen reads the newest record. An uninstall goes on without a record: objects may be left of it.
func (c *course) reopen(ctx context.Context) error {
	uninstalls := c.journal.Running.Action == Uninstall
	if c.journal.Running.Version == 0 && uninstalls {
		return nil
	}
	r, at, err := c.Storage.Read(ctx, c.journal.Running.Version)
	if uninstalls && (kube.ReasonOf(err) == kube.NotFound || errors.Is(err, errMalformed)) {
		return nil
	}
	if err != nil {
		return err
	}
	c.record, c.at = &r, at
	if !uninstalls || r.Info.Status == Uninstalling {
		return nil
	}
	r.Info.Status, r.Info.Deleted = Uninstalling, c.Now()
	r.Info.Description = "Deletion in progress"
	return c.write(ctx)
}

// write writes the open record. If another program wrote the record meanwhile, and did not change what the revision is,
// its notes are lost.
func (c *course) write(ctx context.Context) error {
	at, err := c.Storage.Update(ctx, c.record, c.at)
	if kube.ReasonOf(err) == kube.Conflict {
		found, now, readErr := c.Storage.Read(ctx, c.record.Version)
		if readErr != nil || found.Fingerprint() != c.record.Fingerprint() {
			return err
		}
		now.Digest, now.Tests = c.at.Digest, c.at.Tests
		at, err = c.Storage.Update(ctx, c.record, now)
	}
	if err == nil {
		c.at = at
	}
	return err
}

// deploy makes the open revision the deployed one.
func (c *course) deploy(ctx context.Context) error {
	if err := c.supersede(ctx); err != nil {
		return err
	}
	c.record.Info.Status = Deployed
	switch c.journal.Running.Action {
	case Install:
		c.record.Info.Description = "Install complete"
	case Upgrade:
		c.record.Info.Description = "Upgrade complete"
	}
	return c.write(ctx)
}

// supersede marks the other deployed revisions as superseded.
func (c *course) supersede(ctx context.Context) error {
	history, err := c.Storage.History(ctx)
	if err != nil {
		return err
	}
	for _, v := range history {
		if v.Status != Deployed || v.Version == c.journal.Running.Version {
			continue
		}
		r, at, err := c.Storage.Read(ctx, v.Version)
		if errors.Is(err, errMalformed) {
			continue
		}
		if err != nil {
			return err
		}
		r.Info.Status = Superseded
		if _, err := c.Storage.Update(ctx, &r, at); err != nil {
			return err
		}
	}
	return nil
}

// purge deletes the records of an uninstalled release, the newest last, or keeps them as uninstalled.
func (c *course) purge(ctx context.Context) error {
	if c.desired.Uninstall.KeepHistory && c.record != nil {
		c.record.Info.Status, c.record.Info.Description = Uninstalled, "Uninstallation complete"
		return errors.Join(c.supersede(ctx), c.write(ctx))
	}
	history, err := c.Storage.History(ctx)
	if err != nil {
		return err
	}
	for _, v := range history {
		if err := c.Storage.Delete(ctx, v.Version); err != nil {
			return err
		}
	}
	return nil
}

func (c *course) unlock(ctx context.Context) error {
	c.record.Info.Description = fmt.Sprintf("Release %q failed: its %s did not end", c.record.Name,
		strings.TrimPrefix(string(c.record.Info.Status), "pending-"))
	c.record.Info.Status = Failed
	return c.write(ctx)
}

// clear deletes the objects of the deployed revision of another program that the new revision does not have. What the
// spoke applied itself is in its inventory, and is deleted by Apply.
func (c *course) clear(ctx context.Context) error {
	had := slices.IndexFunc(c.situation.History, func(v Revision) bool {
		return v.Status == Deployed && v.Digest.IsZero() && v.Version < c.journal.Running.Version
	})
	if had < 0 {
		return nil
	}
	before, _, err := c.Storage.Read(ctx, c.situation.History[had].Version)
	if errors.Is(err, errMalformed) {
		return nil // nobody knows its objects
	}
	if err != nil {
		return err
	}
	gone, err := c.gone(ctx, &before)
	if err != nil || len(gone) == 0 {
		return err
	}
	return c.Cluster.Prune(ctx, gone)
}

// gone returns the objects of a record that the open record does not have.
func (c *course) gone(ctx context.Context, before *Record) (gone []bundle.ObjectIdentity, err error) {
	old, err := c.objects(ctx, before)
	if err != nil {
		return nil, err
	}
	has, err := c.objects(ctx, c.record)
	if err != nil {
		return nil, err
	}
	stays := make(map[manifest.ID]bool, len(has))
	for _, o := range has {
		stays[manifest.IDOf(o)] = true
	}
	for _, o := range old {
		if !stays[manifest.IDOf(o)] {
			gone = append(gone, kube.Identify(o))
		}
	}
	return gone, nil
}

// Objects returns the objects of a revision, as its record has them.
func (e *Executor) Objects(ctx context.Context, of Identity, version int) ([]*manifest.Object, error) {
	at := e.at(of)
	r, _, err := at.Storage.Read(ctx, version)
	if err != nil {
		return nil, err
	}
	return at.objects(ctx, &r)
}

// objects returns the objects of a record's manifest.
func (e *Executor) objects(ctx context.Context, r *Record) ([]*manifest.Object, error) {
	objects, err := manifest.Parse([]byte(r.Manifest))
	if err != nil {
		return nil, fmt.Errorf("the manifest of %s cannot be read", r) // the cause may quote it
	}
	for _, o := range objects {
		e.place(ctx, o, r.Namespace)
	}
	return objects, nil
}

// plan returns the hooks of the record.
func (c *course) plan(ctx context.Context) ([]PlannedHook, error) {
	planned := make([]PlannedHook, 0, len(c.record.Hooks))
	for i, h := range c.record.Hooks {
		objects, err := manifest.Parse([]byte(h.Manifest))
		if err != nil || len(objects) != 1 {
			return nil, fmt.Errorf("%s of %s cannot be read", h, c.record) // the cause may quote it
		}
		o := objects[0]
		c.place(ctx, o, c.record.Namespace)
		p := PlannedHook{Index: i, Hook: bundle.Hook{Path: h.Path, Events: h.Events, Weight: h.Weight,
			DeletePolicies: h.DeletePolicies}}
		p.ObjectIdentity = kube.Identify(o)
		p.Load = func(context.Context) (LoadedHook, error) { return LoadedHook{Object: o.DeepCopy(), Sealed: true}, nil }
		planned = append(planned, p)
	}
	return planned, nil
}

// place gives an object of a record the namespace that Helm gives it: that of the release. The spoke writes it into the
// record.
func (e *Executor) place(ctx context.Context, o *manifest.Object, namespace string) {
	if o.GetNamespace() != "" {
		return
	}
	m, err := e.Hooks.Client.Mapping(ctx, o.GroupVersionKind())
	if err == nil && m.Namespaced { // otherwise the request about the object says what is wrong
		o.SetNamespace(namespace)
	}
}
