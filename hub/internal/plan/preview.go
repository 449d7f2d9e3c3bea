package plan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// errNoFacts is the error of a chart if nothing is known of the cluster.
var errNoFacts = errors.New("what the API server of the cluster serves is not known, and charts may ask for that")

// PreviewConfig configures a Preview.
type PreviewConfig struct {
	// Objects are admitted objects of the hub: Clusters, Fleets, sources, and renderables that give more of them.
	Objects []*api.Object
	// Owned has the owners of the objects that no operator gave. They stay only as long as their owner gives them.
	Owned map[api.Key]api.Key
	// Unapplied are operators' objects that the hub would refuse, because their owners give them.
	Unapplied map[api.Key]bool
	// Suspended are the objects that an operator suspended, in the hub and in clusters, whatever their spec says.
	Suspended map[api.Key]bool
	// HoldSources keeps what is rendered from a suspended source as it is, as a hub does that has fetched the source.
	HoldSources bool
	// Resumed previews what clusters would run if nothing were suspended.
	Resumed bool
	// Tree returns the tree of a source. inputs are the trees of api.Source.Inputs, for a source that is composed of
	// others. A renderable whose source has an error is not rendered. The error is a NoFolder if the caller has no files
	// of the source.
	Tree func(ctx context.Context, source *api.Object, inputs func() ([]Tree, error)) (Tree, error)
	// Bases are the folders of remote bases that are repositories, by api.Remote.String. A renderable that needs another
	// remote base is not rendered.
	Bases    map[string]string
	Renderer render.Renderer
	// Capabilities returns what charts can know of a cluster.
	Capabilities func(ctx context.Context, cluster string) (api.Capabilities, error)
	// Released returns the Application that was released to a cluster; nil if there is none. If Released is nil, nothing
	// was released.
	Released func(ctx context.Context, cluster string, name bundle.ApplicationName) (*bundle.Application, error)
	// Newest returns the newest revision of a release, and its status; 0 if that is not known.
	Newest func(ctx context.Context, cluster string, name bundle.ApplicationName) (revision int, status string, err error)
	// Told returns what the chart of a released Application was told about its release; nil if that is not known.
	Told func(cluster string, name bundle.ApplicationName) *api.ReleaseState
	// Shapes returns the answers of a cluster to the questions with some IDs. If it is nil, no hub is asked.
	Shapes func(ctx context.Context, cluster string, questions []manifest.Digest) (map[manifest.Digest]graph.Shape, error)
	Salt   []byte // of placeholders; see cache.Salt

	NoCrossNamespaceRefs bool
	LenientSubstitution  bool
}

// Tree is the tree of a source on disk.
type Tree struct {
	Dir      string
	Revision string
	// Exclude reports the paths that the source leaves out; nil: none. Rules tells one Exclude of a Dir from another.
	Exclude func(path string, dir bool) bool
	Rules   string
	Git     bool // the tree is of a Git repository
	// Made is the artifact that was made for a source which is made of others; zero: the source is another one.
	Made artifact.Artifact
}

// NoFolder is the error of a source, or of a part of one, that no folder stands for. It is no failure: a hub has the
// files.
type NoFolder struct{ Err error }

// Error returns the text of the error.
func (e *NoFolder) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *NoFolder) Unwrap() error { return e.Err }

// reasonOfTree returns the reason of a condition for an error of PreviewConfig.Tree.
func reasonOfTree(err error) string {
	if _, ok := errors.AsType[*NoFolder](err); ok {
		return condition.ArtifactFailed
	}
	return reasonOf(err)
}

// Preview plans clusters as the Planner does, from objects and trees that the caller has. It has no store: nothing is
// written, and every walk is a first walk. A Preview is safe for concurrent use.
type Preview struct {
	config  PreviewConfig
	planner *Planner // without a store: only the objects that walks read, and the hub's rows
	apps    *compiler
	renders *sync.Map // *previewRender by previewKey
	// suspends: an object of the hub other than a Cluster is suspended.
	suspends bool

	// Holders are what keeps objects of the hub as they are; see Previewed.
	Holders map[api.Key]api.Key
	// Problems are those of the hub's own objects.
	Problems []Problem
}

// HubHas reports whether an operator or the hub's own root gives an object to the hub.
func (v *Preview) HubHas(key api.Key) bool {
	_, has := v.planner.hub.rows[key]
	return has
}

// Problem is the reason why an object is not rendered, or not completely.
type Problem struct {
	Key     api.Key
	Reason  string
	Message string
}

// String returns "object: message".
func (p Problem) String() string { return p.Key.String() + ": " + p.Cause() }

// Cause returns the message without the name of the object, which some messages begin with.
func (p Problem) Cause() string { return strings.TrimPrefix(p.Message, p.Key.Local()+": ") }

// Previewed is what one cluster would run.
type Previewed struct {
	Cluster      string
	Applications []PreviewedApplication // sorted by name
	Problems     []Problem              // sorted
	// Holders are what keeps renderables as they are, so that the cluster goes on with their last Application: they
	// themselves, their Fleets or their sources are suspended.
	Holders map[api.Key]api.Key
	// Nodes are the objects of the graph: sources and renderables.
	Nodes map[api.Key]graph.Node
	// Bases are the remote bases that renderables need, sorted by renderable.
	Bases []PreviewedBase
}

// PreviewedApplication is one Application of a Previewed.
type PreviewedApplication struct {
	Fleet       string // the name of the Fleet that it comes from
	Digest      manifest.Digest
	Application *bundle.Application
	Data        []byte // the encoded Application
	Key         api.Key
	Origin      Origin
	Source      PreviewedSource
	rendered    *cache.Rendering
	// inputs are the renders that the encrypted files of a release may come from, and inputOf finds such a file in an
	// Application that was not rendered.
	inputs  []*cache.Rendering
	inputOf func(manifest.Digest) ([]byte, bool)
}

// PreviewedSource is the source of a render.
type PreviewedSource struct {
	Key  api.Key
	Made artifact.Artifact // as of a Tree
}

// Origin has the files that a render read.
type Origin struct {
	Dir   string   // of the tree
	Files []string // sorted, below Dir
	// Templates are the templates of the objects of a chart, below the folder of the chart's name.
	Templates map[manifest.ID]string
}

// OriginOf returns the files of a tree that were read.
func OriginOf(dir string, reads render.Reads) Origin {
	o := Origin{Dir: dir}
	for path, fact := range reads.Facts {
		if strings.HasPrefix(fact, string(render.Regular)) && fact != string(render.Regular) { // its content was read
			o.Files = append(o.Files, strings.TrimPrefix(path, "/"))
		}
	}
	slices.Sort(o.Files)
	return o
}

// Object returns the JSON of one of the objects, or the bytes of one of the encrypted files. The encrypted files of a
// release are those of the Applications that have its values.
func (a PreviewedApplication) Object(d manifest.Digest) ([]byte, bool) {
	for _, r := range append([]*cache.Rendering{a.rendered}, a.inputs...) {
		if data, ok := r.Fresh(d); ok {
			return data, true
		}
	}
	if a.inputOf == nil || !slices.ContainsFunc(a.Application.SealedFiles,
		func(f bundle.SealedFile) bool { return f.Digest == d }) {
		return nil, false
	}
	return a.inputOf(d)
}

// Rendered returns all objects of the render, with those that belong to the graph.
func (a PreviewedApplication) Rendered() iter.Seq[cache.Object] { return a.rendered.Objects() }

// Depth returns the number of owners above an object of the graph.
func (p *Previewed) Depth(key api.Key) (n int) {
	for seen := map[api.Key]bool{}; !seen[key]; n++ {
		seen[key] = true
		owner := p.Nodes[key].Owner
		if owner == nil {
			return n
		}
		key = *owner
	}
	return n
}

type previewKey struct{ renderer, spec, dir, rules, facts string }

type previewRender struct {
	once     sync.Once
	rendered *cache.Rendering
	origin   Origin
	bases    []PreviewedBase // without Key and Tenant
	err      error
}

// NewPreview walks the graph of the hub, which may give more objects of the hub. If two objects have one key, or an
// object cannot be decoded, NewPreview returns an error.
func NewPreview(ctx context.Context, c PreviewConfig) (*Preview, error) {
	return newPreview(ctx, c, &sync.Map{})
}

// Resume returns the Preview of what clusters would run if nothing were suspended. It shares the renders of v.
func (v *Preview) Resume(ctx context.Context) (*Preview, error) {
	c := v.config
	c.Resumed = true
	return newPreview(ctx, c, v.renders)
}

func newPreview(ctx context.Context, c PreviewConfig, renders *sync.Map) (*Preview, error) {
	v := &Preview{config: c, apps: newCompiler(), renders: renders, planner: &Planner{
		hub: newHub(), objects: lru.New[manifest.Digest, *manifest.Object](objectsSize),
		strict: c.NoCrossNamespaceRefs, lenient: c.LenientSubstitution, salt: c.Salt,
	}}
	v.planner.capabilities = func(ctx context.Context, w *walked) (api.Capabilities, error) {
		if w.cluster == "" {
			return api.Capabilities{}, errReleaseOfHub
		}
		if c.Capabilities == nil {
			return api.Capabilities{}, baseError{errNoFacts, condition.CapabilitiesUnknown}
		}
		w.facts.defaults = true // as for a spoke of this version
		return c.Capabilities(ctx, w.cluster)
	}
	for _, o := range c.Objects {
		if _, twice := v.planner.hub.rows[o.Key]; twice {
			return nil, fmt.Errorf("%s is given twice", o.Key)
		}
		row := store.Resource{Key: o.Key, Object: o, Suspended: c.Suspended[o.Key]}
		if owner, ok := c.Owned[o.Key]; ok {
			row.Owner = &owner
		}
		if err := v.planner.hub.set(row); err != nil {
			return nil, err
		}
	}
	v.suspends = v.hubSuspends()
	return v, v.walkHub(ctx)
}

// walkHub replaces the objects of the hub by those that its graph gives.
func (v *Preview) walkHub(ctx context.Context) error {
	w, hub := newWalked(""), v.planner.hub
	w.rows = maps.Clone(hub.rows)
	var err error
	if v.Holders, err = v.walk(ctx, w, Last{}); err != nil {
		return err
	}
	for key, row := range w.rows {
		n, stays := w.graph.Nodes[key]
		if row.Owner != nil && (!stays || n.Owner == nil) {
			hub.remove(key)
		}
	}
	for key, n := range w.graph.Nodes {
		if n.Owner == nil {
			continue
		}
		owned := store.Resource{Key: key, Object: n.Object, Owner: n.Owner, Confined: n.Confined,
			Suspended: w.rows[key].Suspended}
		if err := hub.set(owned); err != nil {
			return err
		}
	}
	v.Problems, v.suspends = problemsOf(w), v.suspends || v.hubSuspends()
	return nil
}

// Objects returns the objects of the hub, sorted: those that operators gave, and those that its graph gives.
func (v *Preview) Objects() (all []*api.Object) {
	for _, key := range slices.SortedFunc(maps.Keys(v.planner.hub.rows), api.Key.Compare) {
		all = append(all, v.planner.hub.rows[key].Object)
	}
	return all
}

// Clusters returns the names of all clusters, sorted.
func (v *Preview) Clusters() []string { return names(v.planner.hub.clusters) }

// Fleets returns the names of all Fleets, sorted.
func (v *Preview) Fleets() []string { return names(v.planner.hub.fleets) }

// Selected returns the names of the clusters that a Fleet selects, sorted. If there is no such Fleet, or its selector
// is invalid, Selected returns an error.
func (v *Preview) Selected(fleet string) (clusters []string, err error) {
	f := v.planner.hub.fleets[fleet]
	if f == nil {
		return nil, fmt.Errorf("there is no %s", api.FleetKey(fleet))
	}
	for _, name := range v.Clusters() {
		selected, err := f.Selects(api.ClusterLabels(name, v.planner.hub.clusters[name].Labels))
		if err != nil {
			return nil, err
		}
		if selected {
			clusters = append(clusters, name)
		}
	}
	return clusters, nil
}

// Cluster walks the graph of one cluster. What is not rendered, and objects below it, are taken from last. If there is
// no such Cluster, Cluster returns an error.
func (v *Preview) Cluster(ctx context.Context, name string, last Last) (*Previewed, error) {
	if v.planner.hub.clusters[name] == nil {
		return nil, fmt.Errorf("there is no %s", api.ClusterKey(name))
	}
	w := newWalked(name)
	w.rows = map[api.Key]store.Resource{}
	for _, k := range last.Known {
		key := k.Object.Key.In(name)
		w.rows[key] = store.Resource{Key: key, Object: k.Object, Owner: &k.Owner, Suspended: k.Suspended,
			Confined: k.Confined}
	}
	holders, err := v.walk(ctx, w, last)
	if err != nil {
		return nil, err
	}
	w.bundleTooLarge = bundle.FitsBundle(bundleOf(store.Plan{Applications: w.applications(), Pending: w.pending(),
		Questions: bundle.FitQuestions(w.graph.Questions)}))
	applications, err := w.previewedApplications()
	if err != nil {
		return nil, err
	}
	found := &Previewed{Cluster: name, Applications: applications, Problems: problemsOf(w), Holders: holders,
		Nodes: w.graph.Nodes, Bases: w.previewedBases()}
	found.addInputs(ctx, w, last)
	return found, nil
}

// previewedApplications returns the Applications that were rendered, and not those that are taken from the last plan.
func (w *walked) previewedApplications() (all []PreviewedApplication, err error) {
	compiled := map[api.Key]compiled{}
	for _, c := range w.entries {
		compiled[c.key] = c
	}
	for _, app := range w.graph.Applications {
		c, ok := compiled[app.Key]
		if !ok || app.Rendered == nil {
			continue
		}
		decoded, err := bundle.DecodeApplication(c.data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", app.Key, err)
		}
		all = append(all, PreviewedApplication{
			Fleet: c.entry.Fleet, Digest: c.entry.Digest, Application: decoded, Data: c.data, Key: app.Key,
			Origin: w.renderedBy[app.Key].origin, Source: w.madeOf[app.Key], rendered: w.renderedBy[app.Key].rendered,
		})
	}
	return all, nil
}

// addInputs tells releases where their encrypted files are.
func (p *Previewed) addInputs(ctx context.Context, w *walked, last Last) {
	var inputs []*cache.Rendering
	for _, r := range w.renderedBy {
		if len(r.rendered.Sealed()) > 0 {
			inputs = append(inputs, r.rendered)
		}
	}
	for i := range p.Applications {
		if a := &p.Applications[i]; a.Application.Release != nil {
			a.inputs = inputs
			a.inputOf = func(d manifest.Digest) ([]byte, bool) { return last.sealed(ctx, d) }
		}
	}
}

// walk walks a graph, and returns the Holders.
func (v *Preview) walk(ctx context.Context, w *walked, last Last) (holders map[api.Key]api.Key, err error) {
	w.renderedBy, w.bases, w.published = map[api.Key]*previewRender{}, map[api.Key][]PreviewedBase{}, last
	w.madeOf = map[api.Key]PreviewedSource{}
	var in graph.Input
	sources := map[api.Key]api.Key{} // suspended ones, by renderable
	err = w.walk(ctx, v.apps, func() graph.Input {
		in = v.input(ctx, w)
		last.addTo(ctx, &in)
		in.Render = func(works []graph.Work) []graph.Result { return v.renderAll(ctx, w, works, sources) }
		return in
	})
	if err != nil {
		return nil, err
	}
	holders = map[api.Key]api.Key{}
	for key, f := range w.graph.Findings {
		if f.Suspended {
			holders[key] = holderOf(key, in, w.graph, sources)
		}
	}
	return holders, nil
}

// renderOne renders one object from the tree of its source.
func (v *Preview) renderOne(ctx context.Context, w *walked, work graph.Work) graph.Result {
	t, err := v.tree(ctx, api.Given{Key: work.FoundAt, Object: work.Source}, work.Parts)
	if err != nil {
		return graph.Result{Reason: reasonOfTree(err), Err: err}
	}
	r := v.renderNow(ctx, w, work, t)
	w.noteBases(work, r.bases)
	if r.err == nil {
		w.mu.Lock()
		w.renders[r.rendered], w.renderedBy[work.Key] = true, r
		w.madeOf[work.Key] = PreviewedSource{work.FoundAt, t.Made}
		w.mu.Unlock()
	}
	return w.result(work, t.Revision, r.rendered, r.err)
}

// tree returns the tree of a source. parts are Work.Parts, in which no source is a part of itself. No server is asked
// for parts.
func (v *Preview) tree(ctx context.Context, source api.Given, parts map[api.Key][]api.Given) (Tree, error) {
	return v.config.Tree(ctx, source.Object, func() (inputs []Tree, err error) {
		view, err := source.Object.Source()
		if err != nil {
			return nil, err
		}
		for i, part := range parts[source.Key] {
			if i < len(view.Inputs) && view.Inputs[i].Server {
				continue
			}
			t, err := v.tree(ctx, part, parts)
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, t)
		}
		return inputs, nil
	})
}

// renderNow renders an object. A chart is rendered as on the hub; see renderChart.
func (v *Preview) renderNow(ctx context.Context, w *walked, work graph.Work, t Tree) *previewRender {
	if work.Renderable.Release == nil {
		return v.render(ctx, work, t, nil)
	}
	capabilities, err := v.planner.factsOf(ctx, w)
	if err != nil {
		return &previewRender{err: err}
	}
	if err := v.noteDefaults(ctx, w, work.Key.Application()); err != nil {
		return &previewRender{err: err}
	}
	facts := api.ChartFacts{Capabilities: capabilities}
	first := v.render(ctx, work, t, &facts)
	if first.err == nil && !first.rendered.Release().Asked.Upgrade && !first.rendered.Release().Asked.Revision {
		return first
	}
	released, err := v.released(ctx, w, work.Key.Application())
	if err != nil {
		return &previewRender{err: err}
	}
	if released == nil || first.err == nil && isReleaseOf(released, first.rendered) {
		return first
	}
	return v.renderNext(ctx, w, work, t, facts, released)
}

// noteDefaults finds out whether the hub sends the values of charts to the spoke of a walk: whether a release that was
// released has them.
func (v *Preview) noteDefaults(ctx context.Context, w *walked, name bundle.ApplicationName) error {
	w.mu.Lock()
	known := w.facts.defaults
	w.mu.Unlock()
	if known {
		return nil
	}
	released, err := v.released(ctx, w, name)
	if err != nil || released == nil || released.Release == nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts.defaults = w.facts.defaults || len(released.Release.Defaults) > 0
	return nil
}

// renderNext renders a chart that asks about its release, which exists: as it was released, if that is what the
// checkout gives, else for the next revision.
func (v *Preview) renderNext(ctx context.Context, w *walked, work graph.Work, t Tree, facts api.ChartFacts,
	released *bundle.Application) *previewRender {
	newest, status, err := v.config.Newest(ctx, w.cluster, work.Key.Application())
	if err != nil {
		return &previewRender{err: err}
	}
	last := []api.ReleaseState{{Upgrade: true, Last: max(newest-1, 0)}} // right unless attempts failed
	if told := v.config.Told(w.cluster, work.Key.Application()); told != nil {
		last = toldBefore(*told)
	}
	for _, told := range last {
		was := facts.With(told)
		if r := v.render(ctx, work, t, &was); r.err == nil && isReleaseOf(released, r.rendered) {
			return r
		}
	}
	facts = facts.With(stateAfter(newest, status))
	return v.render(ctx, work, t, &facts)
}

// released returns the Application that was released to the cluster of a walk; nil if there is none.
func (v *Preview) released(ctx context.Context, w *walked, name bundle.ApplicationName) (*bundle.Application, error) {
	if v.config.Released == nil {
		return nil, nil
	}
	return v.config.Released(ctx, w.cluster, name)
}

// render renders a specification from a tree, once for all clusters with the same facts.
func (v *Preview) render(ctx context.Context, work graph.Work, t Tree, facts *api.ChartFacts) *previewRender {
	key := previewKey{renderer: work.Renderable.Renderer, spec: string(work.Spec), dir: t.Dir, rules: t.Rules}
	if facts != nil {
		text, _ := json.Marshal(facts) // texts and a boolean: this cannot fail
		key.facts = manifest.DigestOf(text).String()
	}
	found, _ := v.renders.LoadOrStore(key, new(previewRender))
	r := found.(*previewRender)
	r.once.Do(func() {
		var result *render.Result
		result, r.bases, r.err = renderWithBases(ctx, v.config.Renderer, v.config.Bases, render.Request{
			Renderer: work.Renderable.Renderer, Spec: json.RawMessage(key.spec), Root: t.Dir, Salt: v.config.Salt,
			Exclude: t.Exclude, Facts: facts,
		})
		if r.err == nil {
			r.rendered, r.err = cache.NewRendering(result)
		}
		if r.err == nil {
			r.origin = OriginOf(t.Dir, result.Reads)
			r.origin.Templates = result.Release.TemplatesByID()
		}
	})
	return r
}

// problemsOf returns the findings of a walk about objects that are not rendered, or not completely, sorted.
func problemsOf(w *walked) (problems []Problem) {
	for key, f := range w.graph.Findings {
		if !f.Ready && !f.Suspended {
			problems = append(problems, Problem{key, f.Reason, f.Message})
		}
	}
	for name, err := range w.fleets {
		key := api.FleetKey(name)
		if err != nil && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == key }) {
			problems = append(problems, Problem{key, reasonOfFleet(err), err.Error()})
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(w.tooLarge), api.Key.Compare) {
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == key }) {
			problems = append(problems, Problem{key, condition.ApplicationTooLarge, w.tooLarge[key].Error()})
		}
	}
	if w.bundleTooLarge != nil {
		problems = append(problems, Problem{api.ClusterKey(w.cluster), condition.BundleTooLarge, w.condition().Message})
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Message, b.Message))
	})
	return problems
}
