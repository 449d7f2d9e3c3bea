package plan

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

var update = flag.Bool("update", false, "write what the stories came to into their want files")

// TestStories plays testdata/*.txtar. The comment of a story is its script, one command a line:
//
//	apply FILE              an operator applies the objects of the file to the hub
//	delete KEY              an operator deletes an object; KEY is a path: cluster/Kind/namespace/name
//	fetch NAME REVISION DIR the GitRepositories whose URL ends in NAME have this tree now: the files below DIR/
//	fail NAME MESSAGE       the last attempt to fetch failed
//	answer NAME             the last fetch of the RemoteBases whose URL ends in NAME answers their requests
//	suspend KEY, resume KEY, request KEY TOKEN, force KEY TOKEN
//	confirm CLUSTER KEY ... an operator confirms the removal of objects of a cluster's graph; the hub's is -
//	carryout CLUSTER        the spoke acknowledges to have applied a bundle of the plan
//	spoke CLUSTER VERSION API ...  the spoke connects, and reports the version of Kubernetes and the served APIs
//	shaped CLUSTER READER/NAME SHAPE [CONTENT]  the spoke answers a question about an object with a shape; none: -
//	old CLUSTER             an older spoke connects, which carries out no releases
//	applied CLUSTER KEY     the spoke reports that it has applied the planned Application of a renderable
//	wait DURATION           time passes
//	plan                    one round of the planner
//	renders N               so many trees were rendered since the last time
//	quiet                   another round renders nothing and writes nothing; a restarted planner writes nothing
//	lenient                 the hub restarts with --lenient-substitution
//	remotes HOST ...        the hub restarts with --remote-base-host HOST ...; "tenants": --tenant-remote-bases
//	want FILE               the dump of the store equals the file
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newStory(t, archive)
			for n, line := range strings.Split(string(archive.Comment), "\n") {
				if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
					t.Logf("%d: %s", n+1, line)
					s.play(words)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// story is a hub with only a planner. The commands of the story fetch its sources.
type story struct {
	t       *testing.T
	archive *txtar.Archive
	world
	seen    int32 // renders, the last time
	lenient bool
	bases   RemoteBases
}

// world is a store, a planner over it, and a clock that moves a second with each command.
type world struct {
	store    *store.Store
	reads    atomic.Int64 // rows of the store that were read
	planner  *Planner
	watcher  *store.Watcher
	renderer *counting
	now      time.Time
}

// counting is a renderer that counts the renders of another one.
type counting struct {
	render.Renderer
	renders atomic.Int32
}

func (c *counting) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	c.renders.Add(1)
	return c.Renderer.Render(ctx, req)
}

// renderers are the renderers of the hub.
var renderers = render.Renderers{
	kustomize.Name: kustomize.Renderer{}, helm.Name: helm.Renderer{Patch: kustomize.Patch},
}

func newStory(t *testing.T, archive *txtar.Archive) *story {
	s := &story{t: t, archive: archive, world: world{
		renderer: &counting{Renderer: renderers}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}}
	s.store = store.OpenMemory(store.Twice, store.CountReads(&s.reads))
	t.Cleanup(func() { s.store.Close() })
	s.restart()
	return s
}

// restart replaces the planner by a new one over the same store.
func (s *story) restart() {
	if s.watcher != nil {
		s.watcher.Close()
	}
	s.watcher = s.store.Watch(s.t.Context(), watched...)
	s.planner = New(Config{
		Store: s.store, Artifacts: artifact.New("/"), Renderer: s.renderer, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return s.now }, LenientSubstitution: s.lenient, RemoteBases: s.bases,
	})
	s.must(s.planner.load(s.t.Context()))
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) play(words []string) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	switch args := words[1:]; words[0] {
	case "apply":
		s.apply(args[0])
	case "delete":
		s.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, args[0]) })
	case "fetch":
		s.fetch(args[0], args[1], args[2])
	case "fail":
		s.fetched(args[0], func(f *store.Fetched) { f.Error = strings.Join(args[1:], " ") })
	case "answer":
		s.answer(args[0])
	case "suspend":
		s.change(args[0], func(r *store.Resource) { r.Suspended = true })
	case "resume":
		s.change(args[0], func(r *store.Resource) { r.Suspended = false })
	case "request":
		s.change(args[0], func(r *store.Resource) { r.RequestedAt = args[1] })
	case "force":
		s.change(args[0], func(r *store.Resource) { r.RequestedAt, r.Requests.Force = args[1], args[1] })
	case "confirm":
		s.confirm(args[0], args[1:])
	case "carryout":
		s.carryOut(args[0])
	case "spoke":
		s.connect(args[0], args[1], args[2:], bundle.Known)
	case "shaped":
		s.answerShape(args[0], args[1], args[2:])
	case "old":
		s.connect(args[0], "v1.36.0", nil, bundle.Baseline)
	case "applied":
		s.applied(args[0], args[1])
	case "wait":
		wait, err := time.ParseDuration(args[0])
		s.must(err)
		s.now = s.now.Add(wait)
	case "plan":
		s.round()
	case "renders":
		if got := fmt.Sprint(s.renderer.renders.Load() - s.seen); got != args[0] {
			s.t.Errorf("%s renders, want %s", got, args[0])
		}
		s.seen = s.renderer.renders.Load()
	case "quiet":
		s.quiet()
	case "lenient":
		s.lenient = true
		s.restart()
	case "remotes":
		s.bases.Tenants = slices.Contains(args, "tenants")
		s.bases.Hosts = slices.DeleteFunc(args, func(host string) bool { return host == "tenants" })
		s.restart()
	case "want":
		s.want(args[0])
	default:
		s.t.Fatalf("unknown command %s", words[0])
	}
}

func (s *story) update(fn func(*store.Tx) error) {
	s.t.Helper()
	s.must(s.store.Update(s.t.Context(), fn))
}

func (s *story) change(path string, change func(*store.Resource)) {
	s.t.Helper()
	s.update(func(tx *store.Tx) error {
		r, ok, err := store.Resources.Get(tx, path)
		if err != nil || !ok {
			return fmt.Errorf("no %s: %w", path, err)
		}
		change(&r)
		return store.Resources.Put(tx, path, r)
	})
}

// confirm confirms removals as the admin service does for an operator.
func (s *story) confirm(cluster string, paths []string) {
	s.t.Helper()
	key := store.ConfirmationKey(strings.Trim(cluster, "-"))
	c := store.Confirmation{Removals: map[string]time.Time{}}
	for _, path := range paths {
		c.Removals[path] = s.now
	}
	s.update(func(tx *store.Tx) error { return store.Confirmations.Put(tx, key, c) })
}

// carryOut writes the rows that packages publish and dispatch write for an applied bundle.
func (s *story) carryOut(cluster string) {
	s.t.Helper()
	s.update(func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, cluster)
		if err != nil {
			return err
		}
		id := bundle.ID{Epoch: 1, Sequence: uint64(s.now.Unix())}
		acks := map[bundle.Stage]bundle.ID{bundle.Applied: id}
		return errors.Join(
			store.SignedBundles.Put(tx, cluster, store.SignedBundle{Bundle: id, Removals: plan.Removals}),
			store.Releases.Put(tx, cluster, store.Release{Handovers: plan.Handovers}),
			store.Spokes.Put(tx, cluster, store.Spoke{Acks: acks}),
		)
	})
}

// connect writes the row that package dispatch writes for a spoke that connects.
func (s *story) connect(cluster, version string, apis []string, features bundle.FeatureSet) {
	s.t.Helper()
	m := &spokev1.Capabilities{KubernetesVersion: version}
	for _, api := range apis {
		group, version, _ := strings.Cut(api, "/")
		m.GroupVersions = append(m.GroupVersions, &spokev1.GroupVersion{Group: group, Version: version})
	}
	data, err := proto.Marshal(m)
	s.must(err)
	digest, err := s.store.Blobs().Put(s.t.Context(), data)
	s.must(err)
	s.update(func(tx *store.Tx) error {
		return store.Spokes.Put(tx, cluster, store.Spoke{Connected: true, Version: "v1", Capabilities: digest,
			Features: features})
	})
}

// answerShape writes what package dispatch writes for the answer of a spoke to a question.
func (s *story) answerShape(cluster, name string, words []string) {
	s.t.Helper()
	var questions []bundle.ShapeQuestion
	plan := s.plan(cluster)
	questions = append(questions, plan.Questions...)
	for _, e := range plan.Applications {
		app, err := store.ReadApplication(s.t.Context(), s.store.Blobs(), e.Digest)
		s.must(err)
		for _, source := range app.ValueSources {
			questions = append(questions, source.Question)
		}
	}
	i := slices.IndexFunc(questions, func(q bundle.ShapeQuestion) bool { return q.Reader.Name+"/"+q.Name == name })
	if i < 0 {
		s.t.Fatalf("cluster %s is not asked about %s", cluster, name)
	}
	row := store.Shape{By: cluster}
	if words[0] != "-" {
		row.Shape = []byte(words[0])
	}
	if len(words) > 1 {
		row.Content = []byte(words[1])
	}
	s.update(func(tx *store.Tx) error { return store.PutShape(tx, cluster, questions[i], row) })
}

// applied writes the report of a spoke that has applied an Application of the plan.
func (s *story) applied(cluster, path string) {
	s.t.Helper()
	for _, e := range s.plan(cluster).Applications {
		if api.ApplicationKey(cluster, e.Name).Path() != path {
			continue
		}
		data, err := proto.Marshal(&spokev1.ApplicationReport{AppliedDigest: e.Digest[:]})
		s.must(err)
		s.update(func(tx *store.Tx) error { return store.Reports.Put(tx, path, store.Report{Value: data}) })
		return
	}
	s.t.Fatalf("%s is not planned", path)
}

// apply applies operators' objects as the admin service does.
func (s *story) apply(file string) {
	s.t.Helper()
	objects, err := manifest.Parse(s.file(file))
	s.must(err)
	s.update(func(tx *store.Tx) error {
		for _, o := range objects {
			admitted, err := api.Admit(o, api.Hub)
			if err != nil {
				return err
			}
			key := admitted.Key
			row := store.Resource{Key: key, Object: admitted, UID: "operator", Generation: 1, Created: s.now}
			if err := store.Resources.Put(tx, key.Path(), row); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *story) file(name string) []byte {
	s.t.Helper()
	for _, f := range s.archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	s.t.Fatalf("no file %s in the story", name)
	return nil
}

// fetch writes the rows of a fetch as the fetcher does.
func (s *story) fetch(name, revision, dir string) {
	s.t.Helper()
	artifact := s.artifact(revision, dir)
	s.fetched(name, func(f *store.Fetched) { *f = store.Fetched{Artifact: &artifact, CheckedAt: s.now} })
}

// artifact writes a tree of the story to disk.
func (s *story) artifact(revision, dir string) artifact.Artifact {
	s.t.Helper()
	root := s.t.TempDir()
	var all strings.Builder
	for _, f := range s.archive.Files {
		name, ok := strings.CutPrefix(f.Name, dir+"/")
		if !ok {
			continue
		}
		fmt.Fprintf(&all, "%s\x00%s\x00", name, f.Data)
		s.must(os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		s.must(os.WriteFile(filepath.Join(root, name), f.Data, 0o644))
	}
	return artifact.Artifact{Revision: revision, Digest: manifest.DigestOf([]byte(all.String())), Dir: root,
		FetchedAt: s.now}
}

// fetched changes the rows of the GitRepositories whose URL ends in the name.
func (s *story) fetched(name string, change func(*store.Fetched)) {
	s.t.Helper()
	found := false
	s.update(func(tx *store.Tx) error {
		return store.Resources.ScanApart(tx, "", func(_ string, r store.Resource) error {
			source, err := r.Object.Source()
			if err != nil || path.Base(source.URL) != name {
				return nil
			}
			found = true
			key := source.FetchKey(r.Bound())
			f, _, err := store.Sources.Get(tx, key)
			if err != nil {
				return err
			}
			change(&f)
			return store.Sources.Put(tx, key, f)
		}, func(string, error) error { return nil })
	})
	if !found {
		s.t.Fatalf("no GitRepository %s", name)
	}
}

// answer writes the rows of a fetch that answers requests as the fetcher does.
func (s *story) answer(name string) {
	s.t.Helper()
	s.fetched(name, func(f *store.Fetched) { f.CheckedAt = s.now })
	s.update(func(tx *store.Tx) error {
		return store.ResourcesByKind.Scan(tx, api.RemoteBaseKind+"/", func(key string, r store.Resource) error {
			if source, err := r.Object.Source(); err != nil || path.Base(source.URL) != name {
				return err
			}
			o, _, err := store.Conditions.Get(tx, key)
			o.HandledRequest = r.Requested()
			return errors.Join(err, store.Conditions.Put(tx, key, o))
		})
	})
}

func (s *story) round() {
	s.t.Helper()
	s.must(s.planner.note(s.t.Context(), s.watcher.Take()))
	s.must(s.planner.round(s.t.Context()))
}

// quiet checks that another round does not render, and that neither it nor a restarted planner writes to the store.
func (s *story) quiet() {
	s.t.Helper()
	before := s.renderer.renders.Load()
	all := s.store.Watch(s.t.Context())
	defer all.Close()
	s.round()
	if len(s.planner.dirty) > 0 {
		s.t.Errorf("still to be walked: %v", s.planner.dirty)
	}
	if got := s.renderer.renders.Load(); got != before {
		s.t.Errorf("a round without a change rendered %d trees", got-before)
	}
	s.restart()
	s.round()
	if changes := all.Take(); len(changes) > 0 {
		s.t.Errorf("a round without a change wrote %v", changes)
	}
}

func (s *story) want(file string) {
	s.t.Helper()
	s.encodeAll()
	got := s.dump()
	if *update {
		for i, f := range s.archive.Files {
			if f.Name == file {
				s.archive.Files[i].Data = []byte(got)
				return
			}
		}
		s.archive.Files = append(s.archive.Files, txtar.File{Name: file, Data: []byte(got)})
		return
	}
	if want := string(s.file(file)); got != want {
		s.t.Errorf("%s: the store says\n%s\nwant\n%s", file, got, want)
	}
}

// dump returns the store in the form of a story.
func (s *story) dump() string {
	var b strings.Builder
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		b.Reset()
		err := store.Resources.Scan(tx, "", func(path string, r store.Resource) error {
			if r.Owner != nil {
				left := ""
				if r.Orphaned {
					left = ", left"
				}
				if r.Held {
					left = ", removal held"
				}
				fmt.Fprintf(&b, "object %s of %s, generation %d%s\n", path, r.Owner, r.Generation, left)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = store.Conditions.Scan(tx, "", func(path string, o store.Condition) error {
			fmt.Fprintf(&b, "outcome %s: %s %s %q", path, o.Ready, o.Reason, o.Message+o.Notice)
			if o.Held > 0 {
				fmt.Fprintf(&b, " held %d", o.Held)
			}
			if o.HandledRequest != "" {
				fmt.Fprintf(&b, " handled %s", o.HandledRequest)
			}
			r, there, err := store.Resources.Get(tx, path)
			if there && r.Generation != o.ObservedGeneration {
				fmt.Fprintf(&b, " of generation %d", o.ObservedGeneration)
			}
			fmt.Fprintln(&b)
			return err
		})
		if err != nil {
			return err
		}
		err = store.Confirmations.Scan(tx, "", func(key string, c store.Confirmation) error {
			fmt.Fprintf(&b, "confirmation %s: %s\n", key, strings.Join(names(c.Removals), " "))
			return nil
		})
		if err != nil {
			return err
		}
		return store.Plans.Scan(tx, "", func(cluster string, p store.Plan) error {
			fmt.Fprintf(&b, "plan %s\n", cluster)
			for _, e := range p.Applications {
				if err := s.dumpEntry(&b, e); err != nil {
					return err
				}
			}
			dumpLists(&b, p)
			return nil
		})
	}))
	return b.String()
}

func dumpLists(b *strings.Builder, p store.Plan) {
	if p.Incomplete {
		b.WriteString("  incomplete\n")
	}
	for _, o := range p.Pending {
		fmt.Fprintf(b, "  pending %s\n", o)
	}
	var asked []string
	for _, q := range p.Questions {
		asked = append(asked, dumpQuestion(q))
	}
	for _, q := range slices.Sorted(slices.Values(asked)) {
		fmt.Fprintf(b, "  asks %s\n", q)
	}
	for _, r := range p.Removals {
		confirmed := ""
		if r.Confirmed {
			confirmed = ", confirmed"
		}
		fmt.Fprintf(b, "  removed %s: %s%s\n", r.Name, r.Policy, confirmed)
	}
	for _, h := range p.Handovers {
		fmt.Fprintf(b, "  handover %s to %s\n", h.Object, h.To)
	}
	for _, r := range p.Undecided {
		fmt.Fprintf(b, "  undecided %s: %s\n", r.Name, r.Policy)
	}
}

// blob returns the blob of a digest.
func (s *story) blob(d manifest.Digest) []byte {
	s.t.Helper()
	data, err := s.store.Blobs().Get(s.t.Context(), d)
	s.must(err)
	return data
}

func (s *story) dumpEntry(b *strings.Builder, e store.Entry) error {
	fmt.Fprintf(b, "  %s at %s", e.Name, e.Revision)
	if e.Drift != bundle.CorrectDrift && e.Name.Kind == "HelmRelease" {
		fmt.Fprintf(b, ", drift %s", e.Drift)
	}
	if e.Suspended {
		b.WriteString(", suspended")
	}
	if e.Parent != (bundle.ApplicationName{}) {
		fmt.Fprintf(b, ", first after those of %s/%s", e.Parent.Namespace, e.Parent.Name)
	}
	if e.RequestedAt != "" {
		b.WriteString(", requested " + e.RequestedAt)
	}
	if e.ForceRequestedAt != "" {
		b.WriteString(", forced " + e.ForceRequestedAt)
	}
	if bases := e.Bases.List(); len(bases) > 0 {
		b.WriteString(", with " + strings.Join(bases, ", "))
	}
	app, err := bundle.DecodeApplication(s.blob(e.Digest))
	if err != nil {
		return err
	}
	if app.ServiceAccount != "" {
		b.WriteString(", as " + app.ServiceAccount)
	}
	if app.Decryption.Name != "" {
		fmt.Fprintf(b, ", keys in %s/%s", app.Decryption.Namespace, app.Decryption.Name)
	}
	for _, d := range app.DependsOn {
		kind := ""
		if d.Kind != e.Name.Kind {
			kind = d.Kind + " "
		}
		fmt.Fprintf(b, ", after %s%s/%s", kind, d.Namespace, d.Name)
	}
	if r := app.Release; r != nil {
		fmt.Fprintf(b, ", release %s/%s of %s", r.Namespace, r.Name, r.Chart)
	}
	b.WriteString("\n")
	if r := app.Release; r != nil {
		fmt.Fprintf(b, "    values %s\n", evaluatedLater(app, string(r.Values)))
		for _, o := range r.CRDs {
			fmt.Fprintf(b, "    definition %s\n", o.ID())
		}
		for _, h := range app.Hooks {
			fmt.Fprintf(b, "    hook %s %v\n", h.ID(), h.Events)
		}
	}
	for _, v := range app.ValueSources {
		fmt.Fprintf(b, "    values of %s\n", dumpQuestion(v.Question))
	}
	for _, f := range app.SealedFiles {
		fmt.Fprintf(b, "    sealed %s: %d values\n", f.Path, len(f.Values))
	}
	for _, o := range app.Objects {
		var content struct {
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(s.blob(o.Digest), &content); err != nil {
			return err
		}
		fmt.Fprintf(b, "    %s %s\n", o.ID(), evaluatedLater(app, string(content.Data)))
	}
	return nil
}

// dumpQuestion returns a question as text.
func dumpQuestion(q bundle.ShapeQuestion) string {
	text := q.String() + " as " + string(q.Form)
	if q.ServiceAccount != "" {
		text += " with account " + q.ServiceAccount
	}
	if !q.IsLive() {
		text += " of " + q.Giver.String()
	}
	return text + ", reveal [" + strings.Join(q.Reveal, " ") + "]"
}

// evaluatedLater returns a text with <…> in place of the placeholders that the spoke evaluates.
func evaluatedLater(app *bundle.Application, text string) string {
	for _, f := range app.SealedFiles {
		for _, v := range f.Values {
			text = strings.ReplaceAll(text, v.Placeholder, fmt.Sprintf("<%s: %s>", f.Path, strings.Join(v.Path, ".")))
		}
	}
	for _, source := range app.ValueSources {
		for _, v := range source.Values {
			text = strings.ReplaceAll(text, v.Placeholder,
				fmt.Sprintf("<%s: %s>", source.Question.Name, strings.Join(v.Path, ".")))
		}
	}
	if app.Substitution == nil {
		return text
	}
	for _, e := range app.Substitution.Expressions {
		text = strings.ReplaceAll(text, e.Placeholder, "<"+e.Text+">")
	}
	return text
}
