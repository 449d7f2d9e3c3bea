package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// swelling is a renderer that adds to the results of one path.
type swelling struct {
	path string
	more func(*render.Result)
}

func (s *swelling) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	result, err := renderers.Render(ctx, req)
	var spec kustomize.Spec
	if err == nil {
		err = json.Unmarshal(req.Spec, &spec)
	}
	if err == nil && spec.Path == s.path {
		s.more(result)
	}
	return result, err
}

// configMap returns a ConfigMap with size bytes of data.
func configMap(name string, size int) *manifest.Object {
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "default"},
		"data": map[string]any{"value": strings.Repeat("x", size)},
	}}
}

// kustomization returns a Kustomization of the source that both clusters of pair have.
func kustomization(name string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"name": name, "namespace": "flux-system"},
		"spec": map[string]any{"interval": "10m", "prune": true, "path": "./root",
			"sourceRef": map[string]any{"kind": "GitRepository", "name": "fleet"}},
	}}
}

const rootOfFirst = "c0000/Kustomization/flux-system/root"

// pair returns a fleet of two clusters. The first one renders another path of another source with the same trees.
func pair(t *testing.T) *story {
	archive := fleet(2)
	hub := string(archive.Files[0].Data)
	hub = strings.Replace(hub, "metadata: {name: c0000}",
		"metadata: {name: c0000}\nspec: {vars: {path: first, source: other}}", 1)
	hub = strings.Replace(hub, "path: ./root,", "path: './${path:=root}',", 1)
	hub = strings.Replace(hub, "name: fleet}}", "name: '${source:=fleet}'}}", 1)
	hub += "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: other, namespace: " +
		"flux-system}\n" +
		"spec: {interval: 1m, url: \"https://git.example.com/other\"}\n"
	archive.Files[0].Data = []byte(hub)
	for _, f := range archive.Files[1:] {
		archive.Files = append(archive.Files, txtar.File{Name: strings.Replace(f.Name, "/root/", "/first/", 1), Data: f.Data})
	}
	last := archive.Files[len(archive.Files)-1]
	archive.Files = append(archive.Files, txtar.File{Name: "three/first/app.yaml",
		Data: append(bytes.Clone(last.Data), '\n')})
	s := newStory(t, archive)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "fetch other main@sha1:1 one",
		"plan"} {
		s.play(strings.Fields(line))
	}
	if a, b := s.plan("c0000"), s.plan("c0001"); len(a.Applications) != 1 || len(b.Applications) != 1 {
		t.Fatalf("plans %v and %v", a, b)
	}
	return s
}

// swell makes the next renders of the first cluster's path larger, plans a new revision, and plans again.
func (s *story) swell(revision, tree string, more func(*render.Result)) {
	s.t.Helper()
	s.renderer.Renderer = &swelling{path: "./first", more: more}
	s.play([]string{"fetch", "fleet", revision, "two"})
	s.play([]string{"fetch", "other", revision, tree})
	s.play([]string{"plan"})
}

// warnings returns the messages of the warnings about an object.
func (s *story) warnings(key api.Key) (messages []string) {
	s.t.Helper()
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		messages = nil // the store calls the function twice
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Object == key && e.Type == "Warning" {
				messages = append(messages, e.Reason+": "+e.Message)
			}
			return nil
		})
	}))
	return messages
}

// firstAlone checks that the first cluster is held, that a condition has the reason, and that the second one is
// planned.
func (s *story) firstAlone(held store.Entry, blamed string, revision string, words ...string) {
	s.t.Helper()
	if got := s.plan("c0001").Applications; len(got) != 1 || got[0].Revision != revision {
		s.t.Errorf("the other cluster is planned as %v, want %s", got, revision)
	}
	if got := s.plan("c0000").Applications; len(got) != 1 || got[0] != held {
		s.t.Errorf("the cluster is planned as %v, want %v", got, held)
	}
	o := get(s, store.Conditions, blamed)
	for _, word := range words {
		if o.Ready != "False" || !strings.Contains(o.Reason+": "+o.Message, word) {
			s.t.Errorf("%s says %s %s: %.400q, want %q", blamed, o.Ready, o.Reason, o.Message, word)
		}
	}
	before := s.warnings(pathKey(blamed))
	for _, request := range []string{"first", "second"} { // walked again, it says the same
		s.play([]string{"request", rootOfFirst, request})
		s.play([]string{"plan"})
	}
	if after := s.warnings(pathKey(blamed)); len(after) != len(before) ||
		!strings.Contains(after[len(after)-1], words[0]) {
		s.t.Errorf("warnings about %s: %.400q", blamed, after)
	}
	if len(s.planner.dirty) > 0 || len(s.planner.again) > 0 {
		s.t.Errorf("to be walked again: %v, %v", s.planner.dirty, s.planner.again)
	}
}

// healed checks that the first cluster is planned again after the cause is removed.
func (s *story) healed(blamed string) {
	s.t.Helper()
	s.renderer.Renderer = renderers
	s.play([]string{"fetch", "other", "main@sha1:9", "one"})
	s.play([]string{"plan"})
	if got := s.plan("c0000").Applications; len(got) != 1 || got[0].Revision != "main@sha1:9" {
		s.t.Errorf("planned as %v", got)
	}
	if o := get(s, store.Conditions, blamed); o.Ready != "True" {
		s.t.Errorf("%s says %s: %s", blamed, o.Reason, o.Message)
	}
}

// TestObjectTooLarge checks that an object that is too large for a cluster holds only its Kustomization.
func TestObjectTooLarge(t *testing.T) {
	for name, tt := range map[string]struct {
		more func(*render.Result)
		says string
	}{
		"object": {func(r *render.Result) {
			r.Objects = append(r.Objects, configMap("large", bundle.MaxObjectBytes))
		}, "ConfigMap default/large has 31"},
		"blob": {func(r *render.Result) {
			r.Objects = append(r.Objects, configMap("large", bundle.MaxBlobBytes))
		}, "ConfigMap default/large has 16"},
		"sealed_file": {func(r *render.Result) {
			data := make([]byte, bundle.MaxSealedFileBytes+1)
			r.Sealed = append(r.Sealed, render.SealedFile{Data: data,
				SealedFile: bundle.SealedFile{Path: "a.yaml", Digest: manifest.DigestOf(data), Format: bundle.YAML}})
		}, "sealed file a.yaml has 5242881 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := pair(t)
			held := s.plan("c0000").Applications[0]
			s.swell("main@sha1:2", "two", tt.more)
			s.firstAlone(held, rootOfFirst, "main@sha1:2", "BuildFailed", tt.says)
			s.healed(rootOfFirst)
		})
	}
}

// TestApplicationTooLarge checks that only the application that is too large is held.
func TestApplicationTooLarge(t *testing.T) {
	s := pair(t)
	held := s.plan("c0000").Applications[0]
	s.swell("main@sha1:2", "two", func(r *render.Result) {
		for i := range 17 {
			r.Objects = append(r.Objects, configMap(strings.Repeat(string(rune('a'+i)), 1<<20), 1))
		}
	})
	s.firstAlone(held, rootOfFirst, "main@sha1:2", "ApplicationTooLarge",
		"application Kustomization flux-system/root has 17", "split it into several")
	s.healed(rootOfFirst)
}

// TestTooLargeKeepsChildren checks that children of an application that is too large stay.
func TestTooLargeKeepsChildren(t *testing.T) {
	s := pair(t)
	s.swell("main@sha1:2", "two", func(r *render.Result) { r.Objects = []*manifest.Object{kustomization("old")} })
	s.swell("main@sha1:3", "three", func(r *render.Result) {
		r.Objects = []*manifest.Object{kustomization("new")}
		for i := range 17 {
			r.Objects = append(r.Objects, configMap(strings.Repeat(string(rune('a'+i)), 1<<20), 1))
		}
	})
	var names []string
	for _, e := range s.plan("c0000").Applications {
		names = append(names, e.Name.Name+" "+e.Revision)
	}
	if got := strings.Join(names, ", "); got != "old main@sha1:3, root main@sha1:2" {
		t.Errorf("planned %s", got)
	}
}

// TestTooLargeEverywhere checks that an application that is too large is held in every cluster that renders it.
func TestTooLargeEverywhere(t *testing.T) {
	s := planned(t, 3)
	s.renderer.Renderer = &swelling{path: "./root", more: func(r *render.Result) {
		for i := range 17 {
			r.Objects = append(r.Objects, configMap(strings.Repeat(string(rune('a'+i)), 1<<20), 1))
		}
	}}
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.play([]string{"plan"})
	for _, cluster := range []string{"c0000", "c0001", "c0002"} {
		if o := get(s, store.Conditions,
			cluster+"/Kustomization/flux-system/root"); o.Reason != condition.ApplicationTooLarge {
			t.Errorf("%s: %s", cluster, o.Reason)
		}
	}
}

// TestBundleTooLarge checks that only the cluster whose bundle is too large keeps its plan.
func TestBundleTooLarge(t *testing.T) {
	s := pair(t)
	held := s.plan("c0000")
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.play([]string{"fetch", "other", "main@sha1:2" + strings.Repeat("x", bundle.MaxBundleBytes), "two"})
	s.play([]string{"plan"})
	s.firstAlone(held.Applications[0], "/Cluster//c0000", "main@sha1:2", "BundleTooLarge", "1 application",
		"keeps its last bundle")
	if got := s.plan("c0000"); got.Applications[0].RequestedAt != "second" ||
		got.Applications[0].Content != held.Applications[0].Content {
		t.Errorf("a request does not reach the cluster: %+v", got.Applications[0])
	}
	root := get(s, store.Conditions, rootOfFirst)
	if root.Ready != "False" || root.Reason != condition.BundleTooLarge || root.Revision != "main@sha1:1" ||
		!strings.Contains(root.Message, "is not released: 1 application of cluster c0000") {
		t.Errorf("the Kustomization of the cluster: %s %s at %.40s: %.4000q", root.Ready, root.Reason, root.Revision,
			root.Message[len(root.Message)-100:])
	}
	if o := get(s, store.Conditions, "c0001/Kustomization/flux-system/root"); o.Ready != "True" {
		t.Errorf("the Kustomization of the other cluster: %s %s", o.Ready, o.Reason)
	}
	s.healed("/Cluster//c0000")
	if root := get(s, store.Conditions, rootOfFirst); root.Ready != "True" || root.Revision != "main@sha1:9" {
		t.Errorf("the Kustomization afterwards: %s %s", root.Ready, root.Reason)
	}
	for _, warned := range s.warnings(pathKey(rootOfFirst)) {
		if strings.HasPrefix(warned, condition.BundleTooLarge) {
			t.Errorf("an event of each Kustomization: %.200q", warned)
		}
	}
}

// TestBundleTooLarge_control suspends an application and lets a prune go, while no bundle holds the next plan.
func TestBundleTooLarge_control(t *testing.T) {
	for name, stays := range map[string]bool{"stays_in_git": true, "left_git": false} {
		t.Run(name, func(t *testing.T) {
			s := pair(t)
			s.swell("main@sha1:2", "two", func(r *render.Result) { r.Objects = []*manifest.Object{kustomization("child")} })
			before := s.plan("c0000")
			if !stays {
				s.renderer.Renderer = &swelling{path: "./first", more: func(r *render.Result) { r.Objects = nil }}
			}
			s.play([]string{"fetch", "other", "main@sha1:4" + strings.Repeat("x", bundle.MaxBundleBytes), "three"})
			s.play([]string{"plan"})
			prune := manifest.DigestOf([]byte("prune"))
			s.must(s.store.Update(t.Context(), func(tx *store.Tx) error {
				return store.Confirmations.Put(tx, store.ConfirmationKey("c0000"), store.Confirmation{
					Prunes: map[string]manifest.Digest{rootOfFirst: prune}})
			}))
			s.play([]string{"suspend", "c0000/Kustomization/flux-system/child"})
			s.play([]string{"plan"})
			if o := get(s, store.Conditions, "/Cluster//c0000"); o.Reason != condition.BundleTooLarge {
				t.Fatalf("the Cluster: %s", o.Reason)
			}
			want := slices.Clone(before.Applications)
			if len(want) != 2 || want[0].Name.Name != "child" {
				t.Fatalf("planned before: %v", want)
			}
			want[0].Suspended, want[1].ConfirmedPrune = true, prune
			if got := s.plan("c0000"); !slices.Equal(got.Applications, want) || len(got.Removals) > 0 {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestUnreleased finds the renderables of a plan that no bundle holds whose Applications differ from the last plan.
func TestUnreleased(t *testing.T) {
	entry := func(name, content, revision string) store.Entry {
		return store.EntryOf("", bundle.Entry{Name: bundle.ApplicationName{Kind: "Kustomization", Name: name},
			Digest: manifest.DigestOf([]byte(content)), Revision: revision})
	}
	w := newWalked("east")
	for _, e := range []store.Entry{entry("same", "a", "1"), entry("content", "b", "1"), entry("revision", "a", "2"),
		entry("new", "a", "2")} {
		w.entries = append(w.entries, compiled{key: api.ApplicationKey("east", e.Name), entry: e})
	}
	w.last.Applications = []store.Entry{entry("same", "a", "1"), entry("content", "a", "1"), entry("revision", "a", "1")}
	if got := w.unreleased(); len(got) != 0 {
		t.Errorf("of a bundle that is not too large: %v", got)
	}
	w.bundleTooLarge = &bundle.TooLargeError{}
	got := map[string]string{}
	for key, revision := range w.unreleased() {
		got[key.Name] = revision
	}
	if want := map[string]string{"content": "1", "revision": "1", "new": ""}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
