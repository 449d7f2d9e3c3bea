package cache

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// A render of a chart depends on facts about the cluster, but only on those that it asks for. Under the row of its
// specification the store keeps what renders asked for. A render is under the row of the specification with the
// answers, so that clusters with the same answers share it.

// maxAsked is how many sets of questions of one specification are remembered: what a chart asks for may depend on the
// answers, and on its version. maxSpecifications is of how many specifications they are in memory.
const (
	maxAsked          = 8
	maxSpecifications = 50_000
)

// questions is the value of the row of a specification.
type questions struct {
	Asked []render.Asked `json:"asked"` // the newest first
}

// turn lets renders of one chart's specification in one artifact run one after the other: the first one may answer the
// others.
type turn struct {
	free  chan struct{} // holds a value while nobody has the turn
	users int
}

// RenderFor is Render for the chart of a release, which may ask for facts. Errors are those of Render, and *SlowError.
func (c *Cache) RenderFor(ctx context.Context, release api.Key, renderer string, spec json.RawMessage,
	a *artifact.Artifact, facts api.ChartFacts) (*Rendering, error) {
	base, err := c.rowKey(renderer, spec, nil)
	if err != nil {
		return nil, err
	}
	p := pending{Cache: c, renderable: release, base: base, artifact: a, facts: &facts,
		request: render.Request{Renderer: renderer, Spec: spec, Root: c.artifacts.Path(*a), Salt: c.salt, Facts: &facts}}
	return p.attend(ctx)
}

// pending is a call of Render or RenderFor.
type pending struct {
	*Cache
	renderable api.Key // without a cluster
	pace       *pace
	base       string
	artifact   *artifact.Artifact
	bases      []Base
	facts      *api.ChartFacts // of RenderFor; nil: the render asks for nothing
	request    render.Request
}

// key returns the key of a render that asked these questions.
func (p *pending) key(asked render.Asked) flightKey {
	if p.facts == nil {
		return flightKey{p.base, p.artifact.Digest}
	}
	return p.keyOf(asked.Answers(*p.facts))
}

func (p *pending) keyOf(answers string) flightKey {
	return flightKey{manifest.DigestOf([]byte(p.base + "\n" + answers)).String(), p.artifact.Digest}
}

// failedKey returns the key of a render that failed. Nobody knows what it asked for, so the key has all facts but the
// name of the cluster, on which no failure depends.
func (p *pending) failedKey() flightKey {
	if p.facts == nil {
		return p.key(render.Asked{})
	}
	facts := *p.facts
	facts.Cluster = ""
	text, _ := json.Marshal(facts) // texts and a boolean: this cannot fail
	return p.keyOf("failed " + string(text))
}

// finished returns the finished render in memory for the facts; nil if there is none.
func (p *pending) finished(asked []render.Asked) *flight {
	keys := []flightKey{p.failedKey()}
	for _, q := range asked {
		keys = append(keys, p.key(q))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock++
	for _, key := range keys {
		if f, ok := p.flights[key]; ok && f.isDone() {
			f.used = p.clock
			return f
		}
	}
	return nil
}

// answer takes the render from memory, from the one of an earlier tree or from the store, or else calls looked and
// renders.
func (p *pending) answer(ctx context.Context, looked func()) (*Rendering, error) {
	asked, err := p.askedBefore(ctx)
	if err != nil {
		return nil, passingError{err}
	}
	if r, err := p.recallAny(ctx, asked); r != nil || err != nil {
		return r, err
	}
	looked()
	if p.facts == nil {
		return p.renderNow(ctx, asked)
	}
	done, err := p.takeTurn(ctx, flightKey{p.base, p.artifact.Digest})
	if err != nil {
		return nil, err
	}
	defer done()
	asked = p.askedOf(p.base)
	if f := p.finished(asked); f != nil { // the last one in turn gave this answer, too
		p.metrics.answers.WithLabelValues("memory").Inc()
		return f.result, f.err
	}
	return p.renderNow(ctx, asked)
}

// renderNow renders, in a slot.
func (p *pending) renderNow(ctx context.Context, asked []render.Asked) (*Rendering, error) {
	limited, leave, err := p.enterSlot(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	start := time.Now()
	result, err := p.render(limited, p.request)
	made := Made{p.renderable, start, time.Now()}
	p.slow.note(p.renderable, p.failedKey(), made.End.Sub(start), err)
	p.doubt(err, p.artifact, p.bases...)
	if err != nil {
		return p.finish(p.failedKey(), nil, err)
	}
	return p.take(asked, result, made)
}

// take remembers the result of a render.
func (p *pending) take(asked []render.Asked, result *render.Result, made Made) (*Rendering, error) {
	key := p.failedKey()
	if p.facts != nil {
		if result.Release == nil {
			result.Release = &render.Release{}
		}
		key = p.key(result.Release.Asked)
	}
	r, err := newRendering(key, result, p.admitted)
	if err != nil {
		return p.finish(p.failedKey(), nil, err)
	}
	r.made = made
	if p.facts != nil {
		p.remember(p.base, withAsked(asked, result.Release.Asked))
	}
	return p.finish(key, r, nil)
}

// askedBefore returns what earlier renders of the specification asked for: nothing, unless it is of a chart.
func (p *pending) askedBefore(ctx context.Context) ([]render.Asked, error) {
	if p.facts == nil {
		return []render.Asked{{}}, nil
	}
	return p.readAsked(ctx, p.base)
}

// recallAny returns the render with the answers to any of the questions from memory, or else as recall does. It waits
// for one of the slots, but not for those of slow renders: it renders nothing.
func (p *pending) recallAny(ctx context.Context, asked []render.Asked) (*Rendering, error) {
	if f := p.finished(asked); f != nil {
		p.metrics.answers.WithLabelValues("memory").Inc()
		return f.result, f.err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, q := range asked {
		if r, err := p.recall(ctx, p.key(q)); r != nil || err != nil {
			return r, err
		}
	}
	return nil, nil
}

// recall returns the render of a key from an earlier tree or from the store; nil if there is none.
func (p *pending) recall(ctx context.Context, key flightKey) (*Rendering, error) {
	probe := tree.NewProbe(p.request.Root)
	defer probe.Close()
	if same := p.sameAsNewest(key, p.artifact, probe); same != nil {
		p.metrics.answers.WithLabelValues("memory").Inc()
		return p.finish(key, same, nil)
	}
	stored, err := p.lookup(ctx, key, probe)
	if err != nil {
		return nil, passingError{err}
	}
	if stored == nil {
		return nil, nil
	}
	p.metrics.answers.WithLabelValues("store").Inc()
	return p.finish(key, stored, nil)
}

// finish remembers a render, or its failure.
func (p *pending) finish(key flightKey, r *Rendering, err error) (*Rendering, error) {
	if r != nil && p.facts != nil {
		r.base = p.base
	}
	f, _ := p.enter(key)
	if f.isDone() { // Mend let the store's render not count
		return r, err
	}
	f.result, f.err = r, err
	p.leave(key, f)
	return r, err
}

// takeTurn waits until nobody else has the turn of the key. Call done at the end of the turn.
func (c *Cache) takeTurn(ctx context.Context, key flightKey) (done func(), err error) {
	c.mu.Lock()
	t := c.turns[key]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		c.turns[key] = t
	}
	t.users++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(c.turns, key)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// askedOf returns the questions of a specification that are in memory.
func (c *Cache) askedOf(base string) []render.Asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q, ok := c.asked.Get(base); ok {
		return q.Asked
	}
	return nil
}

// remember puts the questions of a specification into memory.
func (c *Cache) remember(base string, asked []render.Asked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q, ok := c.asked.Get(base); ok {
		q.Asked = asked
	} else {
		c.asked.Put(base, &questions{asked}, 1)
	}
}

// readAsked returns the questions of a specification, from memory or from the store.
func (c *Cache) readAsked(ctx context.Context, base string) (asked []render.Asked, err error) {
	if asked = c.askedOf(base); asked != nil {
		return asked, nil
	}
	err = c.store.View(ctx, func(tx *store.Tx) error {
		asked, err = askedIn(tx, base)
		return err
	})
	if err != nil || asked == nil {
		return nil, err
	}
	c.remember(base, asked)
	return asked, nil
}

// askedIn returns the questions in the row of a specification. A row that cannot be decoded is of another version and
// counts as none.
func askedIn(tx *store.Tx, base string) ([]render.Asked, error) {
	r, ok, err := readRow(tx, base)
	var q questions
	if err != nil || !ok || json.Unmarshal(r.Value, &q) != nil {
		return nil, err
	}
	return q.Asked, nil
}

// withAsked returns the list with these questions first.
func withAsked(list []render.Asked, asked render.Asked) []render.Asked {
	list = slices.DeleteFunc(slices.Clone(list), asked.SameQuestions)
	list = slices.Insert(list, 0, asked)
	return list[:min(len(list), maxAsked)]
}

// putAsked writes the questions of a chart into the row of its specification, or marks the row as used.
func (r *Rendering) putAsked(tx *store.Tx, now time.Time) error {
	if r.base == "" {
		return nil
	}
	list, err := askedIn(tx, r.base)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, r.variant.Release.Asked.SameQuestions) {
		_, err := touch(tx, r.base, now)
		return err
	}
	return putRow(tx, r.base, questions{withAsked(list, r.variant.Release.Asked)}, now)
}
