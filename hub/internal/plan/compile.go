package plan

import (
	"errors"
	"fmt"
	"sync"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// compiled is one entry of a plan, and the bytes of its Application if they may be new.
type compiled struct {
	key   api.Key
	entry store.Entry
	data  []byte
}

// compiler encodes Applications. It encodes equal ones of many clusters once. A compiler is safe for concurrent use,
// and is used for one round.
type compiler struct {
	mu   sync.Mutex
	done map[compilerKey]encoded
}

// compilerKey identifies the values that an Application is made of.
type compilerKey struct {
	rendered *graph.Rendered
	object   manifest.Digest
	account  string
	// dependencies is the digest of the objects that ready expressions evaluate; zero: there are no expressions.
	dependencies manifest.Digest
	inputs       manifest.Digest // see digestOfInputs
	defaults     bool            // with the values of the chart
}

type encoded struct {
	digest   manifest.Digest
	data     []byte
	features bundle.FeatureSet
	err      error
}

func newCompiler() *compiler { return &compiler{done: map[compilerKey]encoded{}} }

// errSplit is the advice to the user if an Application is too large.
var errSplit = errors.New("split it into several, each with a path of its own")

// encode returns the bytes of the Application and their digest. Without defaults it lacks the values of the chart,
// because the spoke does not know them. If no spoke would accept the Application, err is set.
func (c *compiler) encode(app graph.Application, ready []bundle.ReadyExpression, defaults bool) encoded {
	key := compilerKey{app.Rendered, app.Object.Digest, app.ServiceAccount, digestOf(ready), digestOfInputs(app.Inputs),
		defaults}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.done[key]; ok {
		return e
	}
	var e encoded
	application := applicationOf(app)
	application.ReadyExpressions = ready
	if r := application.Release; r != nil && (!defaults || len(r.Defaults) > bundle.MaxDefaultsBytes) {
		r.Defaults = nil
	}
	if e.err = addInputs(application, app.Inputs); e.err == nil {
		e.data, e.err = application.Encode()
	}
	if e.err == nil {
		e.digest, e.features = manifest.DigestOf(e.data), application.Features()
	} else if _, large := errors.AsType[*bundle.TooLargeError](e.err); large {
		e.err = fmt.Errorf("%w: %w", e.err, errSplit)
	}
	c.done[key] = e
	return e
}

// compile turns the Applications of a walk into the entries of a plan, sorted by owner. The hub's own graph has none.
// It reports whether there are Applications that cannot be sent: then the graph has to be walked again, with these
// held.
func (w *walked) compile(apps *compiler) (again bool) {
	w.entries = nil
	if w.cluster == "" {
		return false
	}
	for _, app := range w.graph.Applications {
		c, err := w.compileOne(app, apps)
		if err != nil {
			again = again || w.tooLarge[app.Key] == nil // if it is kept already, another walk does not help
			w.tooLarge[app.Key] = err
			continue
		}
		w.entries = append(w.entries, c)
	}
	return again
}

func (w *walked) compileOne(app graph.Application, apps *compiler) (compiled, error) {
	fleet, _ := api.FleetAbove(app.Key, func(k api.Key) *api.Key { return w.graph.Nodes[k].GivenBy() })
	c := compiled{key: app.Key, entry: store.EntryOf(fleet.Name, app.Last)}
	if app.Rendered != nil {
		e := apps.encode(app, w.readyExpressions(app), w.facts.defaults)
		if e.err != nil {
			return c, e.err
		}
		c.entry.Content = store.Content{
			Name: app.Key.Application(), Fleet: fleet.Name, Digest: e.digest, Revision: app.Revision,
			Features: e.features, Chart: w.charts[app.Key],
		}
		c.data = e.data
	}
	c.entry.Drift = w.driftMode(w.graph.Nodes[app.Key].Object, fleet.Name)
	c.entry.Suspended, c.entry.ConfirmedPrune = app.Suspended, w.confirmation.Prunes[app.Key.Path()]
	c.entry.PinnedRevision = w.pinOf(app.Key).Revision
	c.entry.Parent = w.graph.Parent(app.Key).Application()
	if !app.Suspended {
		c.entry.RequestedAt = w.requested(app.Key)
		w.addRequests(app.Key, &c.entry.Control)
	}
	return c, nil
}

// applicationOf returns the Application made of an object and its render.
func applicationOf(a graph.Application) *bundle.Application {
	r := a.Renderable
	app := &bundle.Application{
		Name:    a.Key.Application(),
		Objects: a.Rendered.Payload, SealedFiles: a.Rendered.Sealed, Substitution: a.Rendered.Substitution,
		Prune: r.Prune, Wait: r.Wait, Force: r.Force, Timeout: r.Timeout, Interval: r.Interval,
		RetryInterval: r.RetryInterval, ServiceAccount: a.ServiceAccount, DeletionPolicy: r.DeletionPolicy,
		Decryption: r.Decryption, HealthChecks: healthChecks(a), HealthExpressions: r.HealthExpressions,
		Ignore: r.Ignore,
	}
	if app.Decryption.Name == "" && len(app.SealedFiles) == 0 {
		app.Decryption = bundle.SecretReference{} // a spoke without a key service need not know what it is not used for
	}
	for _, d := range r.DependsOn {
		app.DependsOn = append(app.DependsOn, d.Application())
	}
	if rendered := a.Rendered.Release; r.Release != nil && rendered != nil {
		release := *r.Release
		release.Chart, release.Values, release.Notes = rendered.Chart, rendered.Values, rendered.Notes
		release.CRDs, release.Generated, release.Defaults = rendered.CRDs, rendered.Generated, rendered.Defaults
		release.Recipes = rendered.Recipes
		app.Release, app.Hooks = &release, a.Rendered.Hooks
	}
	return app
}

// healthChecks returns the objects that the readiness of an Application includes beside its own. As with Flux, wait
// replaces spec.healthChecks and covers all rendered objects: the Application's own objects, which the spoke knows, and
// the objects that are Applications of their own.
func healthChecks(a graph.Application) []bundle.ObjectIdentity {
	if !a.Renderable.Wait {
		return a.Renderable.HealthChecks
	}
	var checks []bundle.ObjectIdentity
	for _, child := range a.Rendered.Children {
		if child.Key.Role() == api.RenderableRole && child.Key != a.Itself {
			checks = append(checks, child.Key.Identity())
		}
	}
	return checks
}
