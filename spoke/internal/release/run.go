package release

import (
	"context"
	"errors"
	"fmt"
)

// mostActions is how many actions one Run carries out: more than the longest course without a pause, which is an
// upgrade, its tests, a rollback, another upgrade and its tests.
const mostActions = 10

// Result is what a Run came to.
type Result struct {
	Journal Journal
	Found   Situation // that Last was decided in
	Last    Decision  // nothing is done before its time, or before something changes
	Done    []Action  // what was carried out, in order
	Failed  error     // why the last action that failed did; nil: none failed
}

// Run decides and carries out, until nothing is left to do now. The error is one of the spoke and not of the release:
// the context ended, the API server did not answer, the journal cannot be saved, or Permit returned it. Then the next
// Run goes on.
func (e *Executor) Run(ctx context.Context, d Desired, j Journal) (Result, error) {
	r := Result{Journal: j}
	for {
		at := e.at(r.Journal.Subject(d))
		found, err := at.observe(ctx, r.Journal, d)
		if err != nil {
			return r, fmt.Errorf("read the records of release %s: %w", r.Journal.Subject(d), err)
		}
		e.Storage.Known = found.History
		if j := found.identified(d); j != found.Journal {
			if err := e.Save(j); err != nil {
				return r, fmt.Errorf("remember release %s: %w", identityOf(d.Release), err)
			}
			found.Journal = j
		}
		now := e.Now()
		r.Journal, r.Last, r.Found = found.Journal, found.Decide(d, now), found
		if r.Last.Action == NoAction || r.Last.NotBefore.After(now) || len(r.Done) == mostActions {
			return r, e.mayStay(ctx, d, r)
		}
		if err := e.permit(ctx); err != nil {
			return r, err
		}
		r.Done = append(r.Done, r.Last.Action)
		if r.Journal, err = at.Carry(ctx, d, found, r.Last); err == nil {
			continue
		}
		if _, over := errors.AsType[*notOverError](err); over || ctx.Err() != nil {
			return r, err
		}
		r.Failed = fmt.Errorf("%s: %w", r.Last.Action, err)
	}
}

// identified returns the journal with the name of the release, which a lost journal does not have. The records say that
// the spoke made the release. Without the name it would stay when the release gets another one.
func (s Situation) identified(d Desired) Journal {
	j := s.Journal
	newest, exists := s.newest()
	if j.Release == (Identity{}) && exists && !newest.Digest.IsZero() && newest.Status != Uninstalled {
		j.Release = identityOf(d.Release)
	}
	return j
}

// permit returns the error of Permit.
func (e *Executor) permit(ctx context.Context) error {
	if e.Permit == nil {
		return nil
	}
	return e.Permit(ctx)
}

// mayStay returns the error of Permit for a release that is as it should be: another controller that may change it
// would not leave it so. An action of the same Run was permitted just now.
func (e *Executor) mayStay(ctx context.Context, d Desired, r Result) error {
	if d.Removed || r.Last.Action != NoAction || r.Last.Stalled != "" || len(r.Done) > 0 {
		return nil
	}
	return e.permit(ctx)
}

// at returns the Executor whose Storage has the records of a release.
func (e *Executor) at(i Identity) *Executor {
	at, storage := *e, *e.Storage
	storage.Namespace, storage.Name = i.StorageNamespace, i.Name
	at.Storage = &storage
	return &at
}

// observe returns the situation of the release.
func (e *Executor) observe(ctx context.Context, j Journal, d Desired) (Situation, error) {
	done, err := e.room(ctx)
	if err != nil {
		return Situation{}, err
	}
	defer done()
	return e.Storage.Observe(ctx, j, d)
}

// room waits for the memory that records and objects take.
func (e *Executor) room(ctx context.Context) (func(), error) {
	if e.Room == nil {
		return func() {}, nil
	}
	return e.Room(ctx)
}
