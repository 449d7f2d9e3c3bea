package git_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/treetest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// world is a server with one repository, and a fetcher.
type world struct {
	*testing.T
	server  *gittest.Server
	repo    *gittest.Repository
	fetcher fetcher
	dir     string
}

// fetcher fetches into a folder as the hub does.
type fetcher struct {
	artifacts *artifact.Store
	network   dial.Policy
	git.Fetcher
}

// newFetcher returns a fetcher that may dial the servers of these tests.
func newFetcher(dir string, lower ...func(*git.Limits)) fetcher {
	limits := git.DefaultLimits
	for _, change := range lower {
		change(&limits)
	}
	return fetcher{
		artifacts: artifact.New(dir), Fetcher: git.Fetcher{Limits: limits},
		network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
}

// request is what the tests say of a GitRepository, and its Secret.
type request struct {
	URL        string            `json:"url"`
	Ref        reference         `json:"ref"`
	Ignore     *string           `json:"ignore"`
	Secret     map[string]string `json:"-"`
	Provider   string            `json:"provider,omitempty"`
	Sparse     []string          `json:"sparseCheckout,omitempty"`
	Submodules bool              `json:"recurseSubmodules,omitempty"`
	Verify     map[string]any    `json:"verify,omitempty"`
	Keys       map[string]string `json:"-"` // the Secret of spec.verify.secretRef
	Proxy      map[string]string `json:"-"` // the Secret of spec.proxySecretRef
	Timeout    time.Duration     `json:"-"`
}

type reference struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	SemVer string `json:"semver,omitempty"`
	Commit string `json:"commit,omitempty"`
	Name   string `json:"name,omitempty"`
	Any    string `json:"any,omitempty"`
}

func (f fetcher) Fetch(ctx context.Context, req request, last *artifact.Artifact) (artifact.Artifact, error) {
	return f.make(ctx, req, last, source.Limited{Fetcher: f.Fetcher}.Fetch)
}

// make calls do with a source.Request as the hub would make it.
func (f fetcher) make(ctx context.Context, req request, last *artifact.Artifact,
	do func(context.Context, source.Request) (artifact.Artifact, error)) (artifact.Artifact, error) {
	object, err := json.Marshal(map[string]any{"spec": req})
	if err != nil {
		return artifact.Artifact{}, err
	}
	r := source.Request{
		Object: api.StoredObject(api.Key{}, object), Timeout: req.Timeout, Network: f.network,
		Secrets: map[string]source.Secret{},
	}
	if req.Secret != nil {
		r.Secrets["spec.secretRef"] = source.Secret{}
	}
	for k, v := range req.Secret {
		r.Secrets["spec.secretRef"][k] = []byte(v)
	}
	if req.Keys != nil {
		keys := source.Secret{}
		for k, v := range req.Keys {
			keys[k] = []byte(v)
		}
		r.Secrets["spec.verify.secretRef"] = keys
	}
	if req.Proxy != nil {
		proxy := source.Secret{}
		for k, v := range req.Proxy {
			proxy[k] = []byte(v)
		}
		r.Secrets["spec.proxySecretRef"] = proxy
	}
	a, err := f.artifacts.Make(ctx, last, func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
		r.Workspace, r.Last = w, last
		return do(ctx, r)
	})
	if err != nil {
		err = source.Explain(err, req.URL, r.Secrets)
	}
	return a, err
}

func newWorld(t *testing.T, o gittest.Options) *world {
	t.Helper()
	server, err := gittest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo, err := server.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &world{T: t, server: server, repo: repo, dir: dir, fetcher: newFetcher(dir)}
}

func (w *world) commit(files map[string]string) string {
	w.Helper()
	return w.apply(gittest.Change{Files: files})
}

func (w *world) apply(c gittest.Change) string {
	w.Helper()
	hash, err := w.repo.Apply(c)
	if err != nil {
		w.Fatal(err)
	}
	return hash
}

func (w *world) do(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) main() request {
	return request{URL: w.repo.URL(), Ref: reference{Branch: "main"}}
}

func (w *world) fetch(req request, last *artifact.Artifact) artifact.Artifact {
	w.Helper()
	a, err := w.fetcher.Fetch(w.Context(), req, last)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// fails fetches and wants this error, with these words in its message.
func (w *world) fails(req request, want error, words ...string) {
	w.Helper()
	_, err := w.fetcher.Fetch(w.Context(), req, nil)
	if !errors.Is(err, want) {
		w.Fatalf("got %v, want %v", err, want)
	}
	for _, s := range words {
		if !strings.Contains(err.Error(), s) {
			w.Errorf("the message %q does not say %q", err, s)
		}
	}
}

// files reads an artifact: path to content; symlinks as "-> target".
func (f fetcher) files(t *testing.T, a artifact.Artifact) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := f.artifacts.Export(t.Context(), a, dir); err != nil {
		t.Fatal(err)
	}
	return treetest.Files(t, dir)
}

func (f fetcher) holds(t *testing.T, a artifact.Artifact, want map[string]string) {
	t.Helper()
	got := f.files(t, a)
	for name, text := range want {
		if have, ok := got[name]; !ok || have != text {
			t.Errorf("%s is %q, want %q", name, have, text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func TestFetch(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	hash := w.apply(gittest.Change{
		Files:      map[string]string{"app/a.yaml": "a: 1\n", "run.sh": "#!/bin/sh\n", "empty": ""},
		Symlinks:   map[string]string{"app/link": "../run.sh"},
		Executable: []string{"run.sh"},
	})
	a := w.fetch(w.main(), nil)
	if a.Revision != "main@sha1:"+hash {
		t.Errorf("revision %s, want main@sha1:%s", a.Revision, hash)
	}
	if a.Digest.IsZero() || time.Since(a.FetchedAt) > time.Minute {
		t.Errorf("artifact %+v", a)
	}
	w.fetcher.holds(t, a, map[string]string{"app/a.yaml": "a: 1\n", "run.sh": "#!/bin/sh\n", "empty": "",
		"app/link": "-> ../run.sh"})
	dir := t.TempDir()
	w.do(w.fetcher.artifacts.Export(t.Context(), a, dir))
	info, err := os.Stat(filepath.Join(dir, "run.sh"))
	if err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("run.sh has mode %v, %v", info.Mode(), err)
	}
}

func TestFetch_unmoved(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	first := w.fetch(w.main(), nil)
	before := w.server.Requests()
	if again := w.fetch(w.main(), &first); again != first {
		t.Errorf("got %+v, want the last artifact %+v", again, first)
	}
	if n := w.server.Requests() - before; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestFetch_shares(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"same": "same", "other": "1", "gone": "x"})
	first := w.fetch(w.main(), nil)
	w.apply(gittest.Change{Files: map[string]string{"other": "2", "new": "n"}, Remove: []string{"gone"}})
	second := w.fetch(w.main(), &first)
	w.fetcher.holds(t, second, map[string]string{"same": "same", "other": "2", "new": "n"})
	w.fetcher.holds(t, first, map[string]string{"same": "same", "other": "1", "gone": "x"})
	if w.inode(first, "same") != w.inode(second, "same") {
		t.Error("the unchanged file was written again")
	}
	if w.inode(first, "other") == w.inode(second, "other") {
		t.Error("the changed file is shared")
	}
}

// find returns a file of an artifact.
func (w *world) find(a artifact.Artifact, name string) (artifact.File, error) {
	files, err := artifact.Workspace{Dir: w.dir}.Files(a)
	for _, f := range files {
		if f.Path == name {
			return f, nil
		}
	}
	return artifact.File{}, errors.Join(err, fs.ErrNotExist)
}

func (w *world) inode(a artifact.Artifact, name string) uint64 {
	w.Helper()
	f, err := w.find(a, name)
	w.do(err)
	info, err := os.Stat(artifact.Workspace{Dir: w.dir}.FileName(a, f))
	w.do(err)
	return info.Sys().(*syscall.Stat_t).Ino
}

func TestFetch_commits(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	tree := map[string]string{}
	for i := range 300 {
		tree[fmt.Sprintf("d%d/f%d", i%7, i)] = fmt.Sprint("content ", i)
	}
	w.commit(tree)
	last := w.fetch(w.main(), nil)
	for i := range 8 {
		change := map[string]string{fmt.Sprintf("d%d/f%d", i%7, i): fmt.Sprint("changed ", i)}
		for name, text := range change {
			tree[name] = text
		}
		w.commit(change)
		last = w.fetch(w.main(), &last)
		w.fetcher.holds(t, last, tree)
	}
	id := filepath.Base(filepath.Dir(filepath.Dir(last.Dir)))
	text, err := os.ReadFile(filepath.Join(w.dir, "cache", id, "state"))
	w.do(err)
	var state struct{ Packs, Loose int }
	w.do(json.Unmarshal(text, &state))
	if want := 8 * 4; state.Packs != 1 || state.Loose != want { // a commit, the root, a folder and a file each
		t.Errorf("%d packs and %d loose objects were transferred, want 1 and %d", state.Packs, state.Loose, want)
	}
}

// A shallow cache must not make the server leave out what only the missing history has.
func TestFetch_revert(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "one", "b": "b"})
	w.commit(map[string]string{"a": "two"})
	last := w.fetch(w.main(), nil)
	w.commit(map[string]string{"a": "one"})
	last = w.fetch(w.main(), &last)
	w.fetcher.holds(t, last, map[string]string{"a": "one", "b": "b"})
}

func TestFetch_forced(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	first := w.commit(map[string]string{"a": "one"})
	w.commit(map[string]string{"a": "two"})
	last := w.fetch(w.main(), nil)
	w.do(w.repo.Reset(first))
	last = w.fetch(w.main(), &last)
	w.fetcher.holds(t, last, map[string]string{"a": "one"})
	if last.Revision != "main@sha1:"+first {
		t.Errorf("revision %s, want %s", last.Revision, first)
	}
}

func TestFetch_equal(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	first := w.fetch(w.main(), nil)
	w.commit(nil)
	second := w.fetch(w.main(), &first)
	if first.Revision == second.Revision || first.Digest != second.Digest || first.Dir != second.Dir {
		t.Errorf("first %+v, second %+v", first, second)
	}
}

func TestRevision(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	one := w.commit(map[string]string{"v": "one"})
	w.do(w.repo.AnnotatedTag("v1.0.0", "one"))
	w.do(w.repo.Tag("twice"))
	two := w.commit(map[string]string{"v": "two"})
	w.do(w.repo.Tag("v1.2.0"))
	w.do(w.repo.Tag("v2.0.0-rc.1"))
	three := w.commit(map[string]string{"v": "three"})
	w.do(w.repo.Tag("not-a-version"))
	w.do(w.repo.Branch("release/1.x"))
	four := w.commit(map[string]string{"v": "four"})
	if _, err := w.repo.Git("push", "-q", "origin", "HEAD:refs/pull/7/head",
		"HEAD:refs/heads/twice"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ref      reference
		revision string
		content  string
	}{
		"branch":                  {reference{Branch: "main"}, "main@sha1:" + three, "three"},
		"branch_with_a_slash":     {reference{Branch: "release/1.x"}, "release/1.x@sha1:" + four, "four"},
		"lightweight_tag":         {reference{Tag: "v1.2.0"}, "v1.2.0@sha1:" + two, "two"},
		"annotated_tag":           {reference{Tag: "v1.0.0"}, "v1.0.0@sha1:" + one, "one"},
		"range":                   {reference{SemVer: ">=1.0.0 <2.0.0"}, "v1.2.0@sha1:" + two, "two"},
		"range_with_pre-releases": {reference{SemVer: ">=1.0.0-0"}, "v2.0.0-rc.1@sha1:" + two, "two"},
		"full_name":               {reference{Name: "refs/pull/7/head"}, "refs/pull/7/head@sha1:" + four, "four"},
		"full_name_of_a_branch":   {reference{Name: "refs/heads/main"}, "refs/heads/main@sha1:" + three, "three"},
		"commit_at_a_tip":         {reference{Commit: four}, "sha1:" + four, "four"},
		"commit_in_the_history":   {reference{Commit: two}, "sha1:" + two, "two"},
		"commit_of_a_branch":      {reference{Commit: one, Branch: "main"}, "main@sha1:" + one, "one"},
		"tip_of_a_branch":         {reference{Commit: three, Branch: "main"}, "main@sha1:" + three, "three"},
		"name_before_version": {reference{Name: "refs/heads/main", SemVer: "1.0.0"},
			"refs/heads/main@sha1:" + three, "three"},
		"version_before_tag": {reference{SemVer: "1.0.0", Tag: "v1.2.0"}, "v1.0.0@sha1:" + one, "one"},
		"any_tag":            {reference{Any: "v1.0.0"}, "v1.0.0@sha1:" + one, "one"},
		"any_branch":         {reference{Any: "release/1.x"}, "release/1.x@sha1:" + four, "four"},
		"any_tag_first":      {reference{Any: "twice"}, "twice@sha1:" + one, "one"},
		"any_commit":         {reference{Any: two}, "sha1:" + two, "two"},
		"any_full_name":      {reference{Any: "refs/pull/7/head"}, "refs/pull/7/head@sha1:" + four, "four"},
		"any_head":           {reference{Any: "HEAD"}, "HEAD@sha1:" + three, "three"},
		"tag_before_branch":  {reference{Tag: "v1.0.0", Branch: "main"}, "v1.0.0@sha1:" + one, "one"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, cache := range []string{"empty", "filled"} {
				fetcher := newFetcher(t.TempDir())
				if cache == "filled" {
					fetcher = w.fetcher
				}
				req := request{URL: w.repo.URL(), Ref: c.ref}
				a, err := fetcher.Fetch(t.Context(), req, nil)
				if err != nil {
					t.Fatalf("%s cache: %v", cache, err)
				}
				if a.Revision != c.revision {
					t.Errorf("%s cache: revision %s, want %s", cache, a.Revision, c.revision)
				}
				fetcher.holds(t, a, map[string]string{"v": c.content})
				if again, err := fetcher.Fetch(t.Context(), req, &a); err != nil || again != a {
					t.Errorf("%s cache: fetched again %+v, %v", cache, again, err)
				}
			}
		})
	}
}

func TestRevision_newest(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	commit := func(text string, year int) string {
		return w.apply(gittest.Change{Files: map[string]string{"v": text}, Date: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
	newest := commit("new", 2021)
	w.do(w.repo.Tag("1.0.0+a"))
	commit("old", 2020)
	w.do(w.repo.Tag("1.0.0+z"))
	a := w.fetch(request{URL: w.repo.URL(), Ref: reference{SemVer: "1.x"}}, nil)
	if a.Revision != "1.0.0+a@sha1:"+newest {
		t.Errorf("revision %s", a.Revision)
	}
	if again := w.fetch(request{URL: w.repo.URL(), Ref: reference{SemVer: "1.x"}}, &a); again != a {
		t.Errorf("fetched again %+v", again)
	}
}

func TestCommit_allowed(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.do(w.repo.Configure("uploadpack.allowReachableSHA1InWant", "true"))
	one := w.commit(map[string]string{"a": "1"})
	w.commit(map[string]string{"a": "2"})
	a := w.fetch(request{URL: w.repo.URL(), Ref: reference{Commit: strings.ToUpper(one)}}, nil)
	w.fetcher.holds(t, a, map[string]string{"a": "1"})
	w.fails(request{URL: w.repo.URL(), Ref: reference{Commit: strings.Repeat("1", 40)}}, source.ErrReferenceNotFound)
}

func TestReference_missing(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	one := w.commit(map[string]string{"a": "1"})
	w.do(w.repo.Tag("v1.0.0"))
	w.do(w.repo.Branch("release"))
	w.commit(map[string]string{"a": "2"})
	two, err := w.repo.Git("rev-parse", "HEAD")
	w.do(err)
	notFound := source.ErrReferenceNotFound
	for name, c := range map[string]struct {
		ref  reference
		want error
		text string
	}{
		"branch":       {reference{Branch: "mian"}, notFound, `branch "mian" not found; the repository has: main, release`},
		"default":      {reference{}, notFound, `branch "master" not found`},
		"tag":          {reference{Tag: "v1.0"}, notFound, `tag "v1.0" not found; the repository has: v1.0.0`},
		"name":         {reference{Name: "refs/heads/../../config"}, notFound, "refs/heads/main"},
		"version":      {reference{SemVer: ">=3"}, notFound, `the range ">=3"; the repository has: v1.0.0`},
		"commit":       {reference{Commit: strings.Repeat("1", 40)}, notFound, "no branch and no tag leads to"},
		"other_branch": {reference{Commit: two, Branch: "main"}, notFound, two + " is not on branch main"},
		"gone_branch":  {reference{Commit: one, Branch: "gone"}, notFound, `branch "gone" not found`},
		"range":        {reference{SemVer: "what"}, source.ErrRequest, "spec.ref.semver"},
		"short_commit": {reference{Commit: "abc"}, source.ErrRequest, "40 hexadecimal digits"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, repo: w.repo, fetcher: w.fetcher}
			w.fails(request{URL: w.repo.URL(), Ref: c.ref}, c.want, c.text)
		})
	}
	empty, err := w.server.NewRepository("empty")
	w.do(err)
	w.fails(request{URL: empty.URL(), Ref: reference{Branch: "main"}}, source.ErrReferenceNotFound,
		"the repository is empty")
}

func TestServer_broken(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	last := w.fetch(w.main(), nil)
	for _, fault := range []gittest.Fault{gittest.Error, gittest.Drop} {
		w.server.Break(fault)
		w.fails(w.main(), source.ErrUnreachable, "branch main")
		w.server.Heal()
		if again := w.fetch(w.main(), &last); again != last {
			t.Errorf("fault %d: after healing %+v", fault, again)
		}
	}
	w.fails(request{URL: w.server.URL() + "/nothing.git"}, source.ErrRepositoryNotFound)
	w.fails(request{URL: "http://127.0.0.1:1/x.git"}, source.ErrUnreachable)
}

func TestServer_stalled(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	w.server.Break(gittest.Stall)
	req := w.main()
	req.Timeout = 50 * time.Millisecond
	w.fails(req, source.ErrTimeout, "50ms")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the hub ends")
	go cancel(why)
	if _, err := w.fetcher.Fetch(ctx, w.main(), nil); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause of the context's end", err)
	}
}

func TestArtifact_verified(t *testing.T) {
	for name, spoil := range map[string]func(file, folder, root string) error{
		"untouched":            func(_, _, _ string) error { return nil },
		"file_changed":         func(file, _, _ string) error { return os.WriteFile(file, []byte("2"), 0) },
		"file_emptied":         func(file, _, _ string) error { return os.Truncate(file, 0) },
		"file_removed":         func(file, _, _ string) error { return os.Remove(file) },
		"file_added":           func(file, _, _ string) error { return os.WriteFile(file+"0", nil, 0o600) },
		"file_made_executable": func(file, _, _ string) error { return os.Chmod(file, 0o755) },
		"folder_cut":           func(_, folder, _ string) error { return os.Truncate(folder, 3) },
		"folder_gone":          func(_, folder, _ string) error { return os.Remove(folder) },
		"root_cut":             func(_, _, root string) error { return os.Truncate(root, 3) },
		"root_gone":            func(_, _, root string) error { return os.Remove(root) },
		"all_gone":             func(_, _, root string) error { return os.RemoveAll(filepath.Dir(filepath.Dir(root))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.commit(map[string]string{"d/a": "1"})
			last := w.fetch(w.main(), nil)
			f, err := w.find(last, "d/a")
			w.do(err)
			folders, err := filepath.Glob(filepath.Join(w.dir, "artifacts", "*", "folders", "*"))
			w.do(err)
			w.do(spoil(artifact.Workspace{Dir: w.dir}.FileName(last, f), folders[0], w.fetcher.artifacts.Path(last)))
			w.fetcher = newFetcher(w.dir)
			a := w.fetch(w.main(), &last)
			w.fetcher.holds(t, a, map[string]string{"d/a": "1"})
			if a.Digest != last.Digest || a.Dir != last.Dir {
				t.Errorf("got %+v, want %+v", a, last)
			}
		})
	}
}

func TestCache_broken(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1", "d/b": "2"})
	first := w.fetch(w.main(), nil)
	objects, err := filepath.Glob(filepath.Join(w.dir, "cache", "*", "objects", "??", "*"))
	if err != nil || len(objects) == 0 {
		t.Fatalf("no objects: %v", err)
	}
	for _, o := range objects {
		w.do(os.Chmod(o, 0o600))
		w.do(os.Truncate(o, 0))
	}
	w.commit(map[string]string{"a": "3"})
	second := w.fetch(w.main(), &first)
	w.fetcher.holds(t, second, map[string]string{"a": "3", "d/b": "2"})
}

func TestSweep(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	first := w.fetch(w.main(), nil)
	w.commit(map[string]string{"a": "2"})
	second := w.fetch(w.main(), &first)
	keep := func(dir string) bool { return dir == second.Dir }
	w.do(w.fetcher.artifacts.Sweep(t.Context(), keep, time.Hour))
	w.fetcher.holds(t, first, map[string]string{"a": "1"})
	w.do(w.fetcher.artifacts.Sweep(t.Context(), keep, 0))
	if _, err := os.Stat(w.fetcher.artifacts.Path(first)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unused artifact is still there: %v", err)
	}
	w.fetcher.holds(t, second, map[string]string{"a": "2"})
	if left, _ := filepath.Glob(filepath.Join(w.dir, "artifacts", "*", "contents", "*")); len(left) != 1 {
		t.Errorf("the contents are %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(w.dir, "tmp")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestBrokenPack has a cache whose pack or index was spoiled.
func TestBrokenPack(t *testing.T) {
	tree := map[string]string{}
	for i := range 250 { // enough for a pack
		tree[fmt.Sprint("f", i)] = fmt.Sprint("content ", i)
	}
	for name, spoil := range map[string]struct {
		file string
		size int64
	}{
		"no_index": {"*.idx", 0}, "short_index": {"*.idx", 500}, "index_of_one_version": {"*.idx", 8},
		"no_pack": {"*.pack", 0}, "short_pack": {"*.pack", 500},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.commit(tree)
			w.fetch(w.main(), nil)
			found, err := filepath.Glob(filepath.Join(w.dir, "cache", "*", "objects", "pack", spoil.file))
			if err != nil || len(found) != 1 {
				t.Fatalf("found %v, %v", found, err)
			}
			w.do(os.Chmod(found[0], 0o600))
			w.do(os.Truncate(found[0], spoil.size))
			w.commit(map[string]string{"f0": "changed"})
			if a := w.fetch(w.main(), nil); w.fetcher.files(t, a)["f0"] != "changed" || len(w.fetcher.files(t, a)) != len(tree) {
				t.Errorf("the artifact has %d files", len(w.fetcher.files(t, a)))
			}
		})
	}
}

// TestCacheLimit has caches of three repositories and room for one.
func TestCacheLimit(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.fetcher.artifacts.MaxCaches = 30 << 10 // each takes six blocks of 4 KiB
	var requests []request
	for i := range 3 {
		repo, err := w.server.NewRepository(fmt.Sprint("r", i))
		w.do(err)
		_, err = repo.Commit(map[string]string{"a": fmt.Sprint(i), "b/c": "c"}, "change")
		w.do(err)
		requests = append(requests, request{URL: repo.URL(), Ref: reference{Branch: "main"}})
	}
	caches := func() []string {
		found, err := filepath.Glob(filepath.Join(w.dir, "cache", "*"))
		w.do(err)
		return found
	}
	for _, req := range requests {
		w.fetch(req, nil)
	}
	for _, dir := range caches() {
		earlier := time.Now().Add(-time.Minute)
		w.do(os.Chtimes(dir, earlier, earlier))
	}
	last := w.fetch(requests[2], nil)
	keep := func(string) bool { return true }
	w.do(w.fetcher.artifacts.Sweep(t.Context(), keep, time.Hour))
	id := filepath.Base(filepath.Dir(filepath.Dir(last.Dir)))
	if left := caches(); len(left) != 1 || filepath.Base(left[0]) != id {
		t.Errorf("left are %v, want that of %s", left, id)
	}
	for i, req := range requests { // nothing is lost
		w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": fmt.Sprint(i), "b/c": "c"})
	}
}

func TestHalfWritten(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	half := filepath.Join(w.dir, "tmp", "fetch-1", "next")
	w.do(os.MkdirAll(half, 0o700))
	w.fetch(w.main(), nil)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestFetch_together(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "main"})
	w.do(w.repo.Branch("release"))
	w.commit(map[string]string{"a": "release"})
	var group errgroup.Group
	for i := range 12 {
		branch := []string{"main", "release"}[i%2]
		group.Go(func() error {
			req := request{URL: w.repo.URL(), Ref: reference{Branch: branch}}
			a, err := w.fetcher.Fetch(t.Context(), req, nil)
			if err != nil {
				return err
			}
			if text := w.fetcher.files(t, a)["a"]; text != branch {
				return fmt.Errorf("%s: read %q", branch, text)
			}
			return nil
		})
	}
	w.do(group.Wait())
}

func TestStorage(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	dir := filepath.Join(t.TempDir(), "sources")
	w.do(os.WriteFile(dir, nil, 0o600))
	w.fetcher = newFetcher(dir)
	w.fails(w.main(), artifact.ErrStorage, dir)
	w.do(os.Remove(dir))
	w.fetch(w.main(), nil)
	w.do(os.RemoveAll(filepath.Join(dir, "cache")))
	w.do(os.WriteFile(filepath.Join(dir, "cache"), nil, 0o600))
	w.fails(w.main(), artifact.ErrStorage, filepath.Join(dir, "cache"))
}

// BenchmarkChange fetches a commit that changes one file of a tree in folders of 20 files.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n, "_files"), func(b *testing.B) { changeOne(b, n) })
	}
}

func changeOne(b *testing.B, n int) {
	server, err := gittest.Start(gittest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	repo, err := server.NewRepository("fleet")
	if err != nil {
		b.Fatal(err)
	}
	tree := map[string]string{}
	for i := range n {
		tree[fmt.Sprintf("apps/app%d/cm%d.yaml", i/20,
			i)] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm%d}\ndata: {a: b}\n", i)
	}
	if _, err := repo.Commit(tree, "one"); err != nil {
		b.Fatal(err)
	}
	fetcher := newFetcher(b.TempDir())
	req := request{URL: repo.URL(), Ref: reference{Branch: "main"}}
	last, err := fetcher.Fetch(b.Context(), req, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if _, err := repo.Commit(map[string]string{"apps/app0/cm7.yaml": fmt.Sprint("a: ", i)}, "change"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if last, err = fetcher.Fetch(b.Context(), req, &last); err != nil {
			b.Fatal(err)
		}
	}
}
