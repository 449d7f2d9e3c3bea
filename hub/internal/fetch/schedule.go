package fetch

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/wait"
)

// scheduled is one source and its members.
type scheduled struct {
	key        string
	object     *api.Object // of one member; a fetch reads the same of all members
	view       *api.Source // of object
	tags       api.TagControl
	selects    selector // of its only member, if that selects others
	server     server
	repository repository         // of server
	servers    []server           // of the last inputs: those that may be asked for parts
	inputs     []string           // the keys of what the artifact is composed of; none: it is fetched as it is
	members    map[string]*member // by path
	row        store.Fetched      // as in the store; CheckedAt is newer here
	taken      bool               // row is that of another source: no fetch of this one has ended
	lost       bool               // its input does not exist, so nothing is fetched: row is what it chose last

	next     time.Time // of the next fetch or composition, while none is running
	fetchAt  time.Time // of the next fetch
	running  bool
	again    bool      // fetch at once after the one that is running
	woken    time.Time // when it is due because of what changed while it was running; zero: nothing did
	inputRan bool      // an input was fetched while it was running
	waiting  bool      // for an input that is about to be fetched
	brake    brake
	made     string    // what the artifact was composed of; empty: not by this process
	mended   time.Time // the last time that mend made the source due
	failures int       // since the last success
}

// server is who is asked in a fetch, and with what.
type server struct {
	view     *api.Source // has the URL and the provider: that of the source, or of its input
	secrets  []secret
	bound    bool        // it is not an operators' own source; see store.Resource.Bound
	upstream *api.Object // the input whose server is asked; nil: the source's own server is
}

// repository is what is fetched from a server, and by whom. Fetches of one Git repository share a cache, which only one
// of them uses at a time.
type repository struct {
	account
	url string
}

// serverOf returns who is asked in a fetch of a source.
func serverOf(fetch api.Fetch, view *api.Source, row *store.Resource) (server, error) {
	s := server{view: view, bound: row.Bound()}
	if up := fetch.Upstream; up != nil {
		itsView, err := up.Object.Source()
		if err != nil {
			return s, err
		}
		s = server{view: itsView, bound: up.Bound(), upstream: up.Object}
		for _, ref := range itsView.Secrets {
			s.secrets = append(s.secrets, secret{ref, up.Key.Namespace, up.Bound()})
		}
	}
	for _, ref := range view.Secrets {
		s.secrets = append(s.secrets, secret{ref, row.Key.Namespace, row.Bound()})
	}
	return s, nil
}

// serversOf returns the servers that may be asked for parts in a fetch.
func serversOf(fetch api.Fetch) (found []server, err error) {
	for _, in := range fetch.Servers {
		view, err := in.Object.Source()
		if err != nil {
			return nil, err
		}
		s := server{view: view, bound: in.Bound(), upstream: in.Object}
		for _, ref := range view.Secrets {
			s.secrets = append(s.secrets, secret{ref, in.Key.Namespace, in.Bound()})
		}
		found = append(found, s)
	}
	return found, nil
}

// uses reports whether a source uses the Secret of a row.
func (s *scheduled) uses(row string) bool {
	return slices.ContainsFunc(append([]server{s.server}, s.servers...), func(by server) bool {
		return slices.ContainsFunc(by.secrets, func(secret secret) bool { return slices.Contains(secret.rows(), row) })
	})
}

// member is one object of a source.
type member struct {
	key        api.Key
	confined   *api.Confinement
	labels     map[string]string
	generation int64
	interval   time.Duration
	timeout    time.Duration
	requested  string // the last request to reconcile
	answered   string // the last request that was made before a fetch that ended
	decided    bool   // the request is a decision of an operator about tags
	suspended  bool
}

func newMember(row *store.Resource, view *api.Source) *member {
	return &member{
		key:        row.Key,
		confined:   row.Confined,
		labels:     row.Object.Labels(),
		generation: row.Generation,
		interval:   view.Interval,
		timeout:    view.Timeout,
		requested:  row.Requested(),
		decided:    row.Tags.RequestedAt != "" && row.Tags.RequestedAt == row.Requested(),
		suspended:  row.IsSuspended(),
	}
}

func newScheduled(fetch api.Fetch, server server, view *api.Source, row *store.Resource) *scheduled {
	return &scheduled{
		key: fetch.Key, tags: fetch.Tags, inputs: fetch.Inputs, object: row.Object, view: view,
		server: server, repository: repository{server.account(), server.view.URL},
		members: map[string]*member{}, selects: selector{view.Selects, row.Given()},
	}
}

// takeOver begins with what another source has that the object had before, if both are about one image. So the last
// list of tags stays until there is another one. The chosen image stays until there is a choice, and so does the digest
// of a tag that stays chosen. What writes to the same source as before goes on to know what it has written.
func (s *scheduled) takeOver(from *scheduled) {
	if from != nil && from.row.Artifact != nil && (s.hasImageOf(from) || s.writesLike(from)) {
		s.row, s.taken = from.row, true
	}
}

// writesLike reports whether a source writes to the same one as another one does.
func (s *scheduled) writesLike(from *scheduled) bool {
	return s.view.Writes && from.view.Writes && slices.Equal(s.inputs, from.inputs)
}

// hasImageOf reports whether a source lists the tags of the image that another one lists, or may have chosen what the
// other one chose. A source whose input does not exist may have chosen anything.
func (s *scheduled) hasImageOf(from *scheduled) bool {
	if s.view.ChoosesTag {
		return s.lost || image.ParseReference(from.row.Artifact.Revision).Name == s.server.view.Image
	}
	return s.view.Image != "" && s.view.Image == from.view.Image && s.server.bound == from.server.bound
}

// known reports whether a fetch of the source has ended: it has an artifact or an error of its own.
func (s *scheduled) known() bool { return !s.taken && (s.row.Artifact != nil || s.row.Error != "") }

// active yields the members that are not suspended. A lost source has none.
func (s *scheduled) active() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for _, m := range s.members {
			if !s.lost && !m.suspended && !yield(m) {
				return
			}
		}
	}
}

// first returns the first of the members, by which logs name the source.
func (s *scheduled) first() (first api.Key) {
	for _, m := range s.members {
		if first.Name == "" || m.key.Path() < first.Path() {
			first = m.key
		}
	}
	return first
}

// interval returns the smallest interval of the active members.
func (s *scheduled) interval() time.Duration {
	var least time.Duration
	for m := range s.active() {
		if least == 0 || m.interval < least {
			least = m.interval
		}
	}
	return max(least, leastPause)
}

// timeout returns the largest timeout of the active members; zero if none has one.
func (s *scheduled) timeout() time.Duration {
	var most time.Duration
	for m := range s.active() {
		most = max(most, m.timeout)
	}
	return most
}

// choosesAtOnce reports whether the source does not wait for tags that are being listed: all that it needs is the last
// list, and it has another rule than before, or an operator decided about the tags.
func (s *scheduled) choosesAtOnce() bool {
	if !s.view.ChoosesTag || !s.view.Offline {
		return false
	}
	for m := range s.active() {
		if m.decided && m.requested != m.answered {
			return true
		}
	}
	return s.taken
}

// idle reports whether no member is active.
func (s *scheduled) idle() bool {
	for range s.active() {
		return false
	}
	return true
}

// unproven reports whether the last fetch of the source failed, or there was none.
func (s *scheduled) unproven() bool { return s.failures > 0 || s.row.Artifact == nil }

// hurry makes the source due at once, or right after the fetch that is running.
func (s *scheduled) hurry() {
	s.next, s.again = time.Now(), s.running
	s.fetchAt = s.next
}

// mend makes a source with a damaged artifact due, but at most once in mendEvery.
func (s *scheduled) mend() {
	if now := time.Now(); now.Sub(s.mended) >= mendEvery {
		s.mended = now
		s.hurry()
	}
}

// schedule sets the time of the next fetch after one has ended, or after a composition without a fetch.
func (s *scheduled) schedule(fetched, failed bool) {
	now := time.Now()
	interval := s.interval()
	switch {
	case !fetched:
		s.next = s.fetchAt
	case failed:
		s.failures++
		retry := wait.Backoff{First: firstRetry, Most: interval, Spread: .5}
		s.next = now.Add(retry.After(s.failures))
	default:
		s.failures = 0
		s.next = now.Add(interval - jitter(interval/20))
	}
	if fetched {
		s.fetchAt = s.next
	}
	if s.again {
		s.again, s.fetchAt, s.next = false, now, now
	}
}

// wakeBy makes the source due at a time at the latest. While it is running, that is for the next run.
func (s *scheduled) wakeBy(at time.Time) {
	switch {
	case s.running && (s.woken.IsZero() || at.Before(s.woken)):
		s.woken = at
	case !s.running && at.Before(s.next):
		s.next = at
	}
}

// jitter returns a random time below most.
func jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}

// due returns the sources that are due, the longest overdue first.
func (l *Loop) due(now time.Time) []*scheduled {
	var found []*scheduled
	for _, s := range l.sources {
		if !s.running && !s.idle() && !s.next.After(now) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *scheduled) int { return a.next.Compare(b.next) })
	return found
}

// next returns the time of the next fetch or sweep.
func (l *Loop) next() time.Time {
	next := l.sweepAt
	if l.sweeping {
		next = time.Now().Add(sweepEvery)
	}
	for _, s := range l.sources {
		// A source that must wait starts after a result.
		if !s.running && !s.idle() && !l.mustWait(s) && s.next.Before(next) {
			next = s.next
		}
	}
	return next
}
