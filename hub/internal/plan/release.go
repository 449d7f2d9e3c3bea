package plan

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// clusterFacts are what charts can know of a cluster, read when the first chart of a walk is rendered.
type clusterFacts struct {
	once  sync.Once
	spoke string // identifies what was read of the spoke's row; see identifyFacts
	api.Capabilities
	err      error // why no chart can be rendered; nil: charts can
	tells    bool  // the spoke can be asked about releases that it did not make
	defaults bool  // the spoke writes the values of charts into records
	unasked  error // why the spoke cannot be asked about shapes; nil: it can
	unmade   error // why the spoke makes no generated values; nil: it does
}

// maxCapabilities is of how many sets of capabilities a Planner remembers the decoded form. Equal clusters share one.
const maxCapabilities = 1000

// identifyFacts returns a text that changes if the facts in a spoke's row change.
func identifyFacts(s store.Spoke) string {
	return fmt.Sprint(s.Capabilities, s.CanRelease(), s.Knows(bundle.Shapes), s.Knows(bundle.ReleaseQuestions),
		s.Knows(bundle.ChartDefaults), s.Knows(bundle.Recipes))
}

// factsOf returns the facts about the cluster of a walk. If charts cannot be rendered for the cluster now, the error
// has the reason of the condition.
func (p *Planner) factsOf(ctx context.Context, w *walked) (api.Capabilities, error) {
	w.facts.once.Do(func() {
		if p.capabilities != nil {
			w.facts.Capabilities, w.facts.err = p.capabilities(ctx, w)
		}
	})
	return w.facts.Capabilities, w.facts.err
}

// errReleaseOfHub is the error of a release in the hub's own graph.
var errReleaseOfHub = baseError{errors.New("a release of Helm is for clusters: put it below the path of a Fleet"),
	condition.Refused}

// readFacts reads the facts that the spoke of a cluster reported.
func (p *Planner) readFacts(ctx context.Context, w *walked) (facts api.Capabilities, err error) {
	if w.cluster == "" {
		return facts, errReleaseOfHub
	}
	var spoke store.Spoke
	err = p.store.View(ctx, func(tx *store.Tx) error {
		spoke, _, err = store.Spokes.GetIntact(tx, w.cluster)
		return err
	})
	w.facts.spoke, w.facts.tells = identifyFacts(spoke), spoke.Knows(bundle.ReleaseQuestions)
	w.facts.defaults = spoke.Knows(bundle.ChartDefaults)
	switch {
	case err != nil:
		return facts, err
	case spoke.Capabilities.IsZero():
		return facts, notYet(condition.CapabilitiesUnknown, "the spoke of cluster %s has not reported yet what its API "+
			"server serves, which charts may ask for; waiting for it", w.cluster)
	case !spoke.CanRelease():
		return facts, baseError{fmt.Errorf("spoke %s of cluster %s does not carry out releases of Helm: upgrade the spoke. "+
			"Everything else is sent to it", spoke.Version, w.cluster), condition.BundleHeldBack}
	case !spoke.Knows(bundle.Shapes):
		w.facts.unasked = fmt.Errorf("spoke %s of cluster %s cannot be asked for the keys of values: upgrade the spoke. "+
			"Everything else is sent to it", spoke.Version, w.cluster)
	}
	if !spoke.Knows(bundle.Recipes) {
		w.facts.unmade = baseError{fmt.Errorf("the chart generates values, such as passwords, and spoke %s of cluster %s "+
			"does not make them: upgrade the spoke. Everything else is sent to it", spoke.Version, w.cluster),
			condition.BundleHeldBack}
	}
	if known, ok := p.served.Get(spoke.Capabilities); ok {
		return known, nil
	}
	if facts, err = store.ReadCapabilities(ctx, p.store.Blobs(), spoke.Capabilities); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.passing = true
		return facts, err
	}
	p.served.Put(spoke.Capabilities, facts, 1)
	return facts, nil
}

// noteSpoke marks a graph with charts if the facts about its cluster changed.
func (p *Planner) noteSpoke(tx *store.Tx, cluster string) error {
	s := p.scopes[cluster]
	if s == nil || s.spoke == "" {
		return nil
	}
	now, _, err := store.Spokes.GetIntact(tx, cluster)
	if err == nil && identifyFacts(now) != s.spoke {
		p.dirty[cluster] = true
	}
	return err
}

// renderNow renders an object: a chart with the facts about the cluster, any other with the remote bases that it needs.
func (p *Planner) renderNow(ctx context.Context, w *walked, work graph.Work, a *artifact.Artifact) (basedRender,
	error) {
	if work.Renderable.Release == nil {
		return p.withBases(ctx, w, work, a)
	}
	r, err := p.renderChart(ctx, w, work, a)
	return basedRender{Rendering: r}, err
}

// isPlannedAs reports whether the Application of the last plan is of a render.
func (p *Planner) isPlannedAs(ctx context.Context, w *walked, key api.Key, r *cache.Rendering) bool {
	i := slices.IndexFunc(w.last.Applications, func(e store.Entry) bool { return e.Name == key.Application() })
	if i < 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last, err := p.planned(ctx, w, w.last.Applications[i].Digest)
	return err == nil && isReleaseOf(last, r)
}

// isReleaseOf reports whether an Application is of the render of a chart.
func isReleaseOf(app *bundle.Application, r *cache.Rendering) bool {
	if app.Release == nil {
		return false
	}
	var objects, hooks, lastHooks []bundle.ObjectReference
	for o := range r.Objects() {
		objects = append(objects, o.Reference)
	}
	for _, h := range r.Release().Hooks {
		hooks = append(hooks, h.ObjectReference)
	}
	for _, h := range app.Hooks {
		lastHooks = append(lastHooks, h.ObjectReference)
	}
	release := r.Release()
	return slices.Equal(objects, app.Objects) && slices.Equal(hooks, lastHooks) &&
		slices.Equal(release.CRDs, app.Release.CRDs) && bytes.Equal(release.Chart.Metadata, app.Release.Chart) &&
		release.Notes == app.Release.Notes
}

// addRequests adds the last requests to a release: an operator's, or those in Git, as Flux's own tools set them.
func (w *walked) addRequests(key api.Key, c *store.Control) {
	r, err := w.graph.Nodes[key].Object.Renderable()
	if err != nil || r.Release == nil {
		return
	}
	row, o := w.rows[key], w.graph.Nodes[key].Object
	row.SetObject(o)
	c.ForceRequestedAt = cmp.Or(row.Requests.Force, o.RequestedWith(api.ForceAnnotation))
	c.ResetRequestedAt = cmp.Or(row.Requests.Reset, o.RequestedWith(api.ResetAnnotation))
	c.TestRequestedAt = row.Requests.Test
}

// sealedOf returns the SOPS files of an Application, and the name of the keys for them.
func (p *Planner) sealedOf(ctx context.Context, w *walked, app graph.Application) ([]bundle.SealedFile,
	bundle.SecretReference, error) {
	if app.Rendered != nil {
		return app.Rendered.Sealed, app.Renderable.Decryption, nil
	}
	last, err := p.planned(ctx, w, app.Last.Digest)
	if err != nil {
		return nil, bundle.SecretReference{}, err
	}
	return last.SealedFiles, last.Decryption, nil
}

// addInputs adds the SOPS files and the entries of the cluster to a release whose placeholders its values have, and the
// keys for the files. The keys must be the same for all files.
func addInputs(app *bundle.Application, inputs []api.InputData) error {
	if app.Release == nil {
		return nil
	}
	at, seen := map[manifest.Digest]int{}, map[string]bool{}
	for _, in := range inputs {
		if in.Source != nil {
			app.ValueSources = append(app.ValueSources, *in.Source)
		}
		if len(in.Sealed) == 0 {
			continue
		}
		if len(app.SealedFiles) > 0 && app.Decryption != in.Decryption {
			return fmt.Errorf("%s: %s is encrypted for other keys than the Secrets before it: give all Secrets of a release "+
				"in Kustomizations with the same spec.decryption", in.Field, in.Input)
		}
		app.Decryption = in.Decryption
		for _, f := range in.Sealed {
			i, known := at[f.Digest]
			if !known {
				i, at[f.Digest] = len(app.SealedFiles), len(app.SealedFiles)
				file := f
				file.Values = nil
				app.SealedFiles = append(app.SealedFiles, file)
			}
			for _, v := range f.Values {
				if !seen[v.Placeholder] {
					app.SealedFiles[i].Values = append(app.SealedFiles[i].Values, v)
				}
				seen[v.Placeholder] = true
			}
		}
	}
	return nil
}

// digestOfInputs returns the digest of what addInputs adds; zero if that is nothing.
func digestOfInputs(inputs []api.InputData) (d manifest.Digest) {
	for _, in := range inputs {
		if in.Source != nil {
			d = manifest.DigestOf(fmt.Append(d[:], *in.Source))
		}
		for _, f := range in.Sealed {
			d = manifest.DigestOf(fmt.Append(d[:], f, in.Decryption))
		}
	}
	return d
}
