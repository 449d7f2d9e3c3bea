package fetch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// remote plays the fetcher: every URL has a revision or an error. It writes real artifacts.
type remote struct {
	mu         sync.Mutex
	revision   map[string]string
	fails      map[string]error
	breaks     map[string]error  // by URL: after the artifact was made
	notices    map[string]string // by URL, of the artifact
	acts       bool              // each fetch does something, whether or not there is a new revision
	slow       time.Duration
	deaf       bool                     // a fetch goes on when its context ends
	slowly     map[string]time.Duration // by URL, instead of slow
	calls      []call
	running    int
	most       int // that ran at once
	writing    int // of them, Writers
	mostWrites int
	pushes     bool // each fetch of a Writer makes a commit
	commits    int
	// pushedTo and read are the branches in the revisions of a Writer and of what it pushes to; empty: there are none.
	pushedTo, read string
}

type call struct {
	at   time.Time
	auth source.Secret
	last *artifact.Artifact

	selected []source.Selected
	others   []api.Key
	cluster  string
	giver    string
}

func (r *remote) Fetch(ctx context.Context, req source.Request) (artifact.Artifact, error) {
	view, err := req.Object.Source()
	if err != nil {
		return artifact.Artifact{}, err
	}
	address, err := neturl.Parse(view.URL)
	if err == nil {
		_, err = req.HTTP(address)
	}
	if err != nil {
		return artifact.Artifact{}, err
	}
	if req.Preview {
		return r.preview(ctx, view.URL, req)
	}
	revision, slow, err := r.begin(view.URL, call{time.Now(), req.Secrets["spec.secretRef"], req.Last, req.Selected,
		req.Unselected, req.Cluster, req.Giver})
	defer func() {
		r.mu.Lock()
		r.running--
		if view.URL == "" {
			r.writing--
		}
		r.mu.Unlock()
	}()
	ended := ctx.Done()
	if r.deaf {
		ended = nil
	}
	select {
	case <-ended:
		return artifact.Artifact{}, ctx.Err()
	case <-time.After(slow):
	}
	switch {
	case err != nil:
		return artifact.Artifact{}, err
	case req.Last != nil && req.Last.Revision == revision:
		return r.again(view.URL, *req.Last), r.breaks[view.URL]
	}
	files := []artifact.File{
		{Path: "revision", Mode: artifact.Regular, Content: artifact.IdentifyContent([]byte(revision))}}
	a, err := req.Workspace.Put(ctx, "00", artifact.Tree{Revision: revision, Contents: text(revision), Files: files},
		req.Last)
	if failed := r.breaks[view.URL]; err == nil && failed != nil {
		return artifact.Artifact{}, &artifact.Unfinished{Artifact: a, Cause: failed}
	}
	return a, err
}

// preview makes a preview whose message names what was selected.
func (r *remote) preview(ctx context.Context, url string, req source.Request) (a artifact.Artifact, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fails[url]; err != nil {
		return a, err
	}
	commit := source.PreviewedCommit{Targets: []string{"main"}}
	for _, s := range req.Selected {
		commit.Message += s.Key.Name + "=" + s.Revision
	}
	p := source.Preview{Checkout: req.Inputs[0].Revision, Commits: []source.PreviewedCommit{commit}}
	content, err := json.Marshal(p)
	if err != nil {
		return a, err
	}
	req.Last = nil
	return req.PutFiles(ctx, "01", "preview", map[string][]byte{source.PreviewFile: content})
}

// again returns what a fetch gives that brings no new revision.
func (r *remote) again(url string, last artifact.Artifact) artifact.Artifact {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last.Notice = r.notices[url]; r.acts {
		last.FetchedAt = time.Now()
	}
	return last
}

// become changes what the fetches give from now on.
func (r *remote) become(notices map[string]string, acts bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices, r.acts = notices, acts
}

// begin notes a call and returns what comes of it.
func (r *remote) begin(url string, c call) (revision string, slow time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if url == "" && r.pushes {
		r.push()
	}
	r.calls = append(r.calls, c)
	r.running++
	r.most = max(r.most, r.running)
	if url == "" {
		r.writing++
		r.mostWrites = max(r.mostWrites, r.writing)
	}
	if own, ok := r.slowly[url]; ok {
		return r.revision[url], own, r.fails[url]
	}
	return r.revision[url], r.slow, r.fails[url]
}

// push gives a Writer and the source to which it pushes a new commit.
func (r *remote) push() {
	r.commits++
	r.revision[""] = fmt.Sprint(r.pushedTo, "commit ", r.commits)
	r.revision[url] = fmt.Sprint(r.read, "commit ", r.commits)
}

// pushed returns how many commits there are.
func (r *remote) pushed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commits
}

// text is the content of all files of a tree.
type text string

func (t text) Size(artifact.File) (int64, error) { return int64(len(t)), nil }

func (t text) Read(context.Context, artifact.File, int64) ([]byte, error) { return []byte(t), nil }

func (r *remote) set(url, revision string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision[url], r.fails[url] = revision, err
}

// count returns how many fetches there were, and forgets them.
func (r *remote) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.calls)
	r.calls = nil
	return n
}

const url = "https://example.com/fleet.git"

// hub is a store, a vault and a running loop.
type hub struct {
	*testing.T
	store   *store.Store
	reads   atomic.Int64 // rows of the store that were read
	vault   *store.Vault
	dir     string // of artifacts
	disk    *artifact.Store
	remote  *remote
	now     func() time.Time // of the loop; nil: time.Now
	stop    func()
	loop    *fetch.Loop
	plugins func(context.Context, string, bool) (source.Secret, error)
	docker  func(ctx context.Context, name, server string) (source.DockerConfig, error)
	metrics *prometheus.Registry // of the loop
}

// play runs a story in fake time.
func play(t *testing.T, story func(h *hub)) {
	vault, err := store.NewVault(filepath.Join(t.TempDir(), "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := &hub{T: t, vault: vault, dir: t.TempDir(), remote: &remote{
			revision: map[string]string{url: "one"}, fails: map[string]error{},
		}}
		h.store = store.OpenMemory(store.Twice, store.CountReads(&h.reads))
		h.start()
		story(h)
		h.stop()
	})
}

// start starts a loop, as a process does that finds the store of an earlier one.
func (h *hub) start() {
	h.disk, h.metrics = artifact.New(h.dir), prometheus.NewRegistry()
	h.loop = fetch.New(fetch.Config{
		Store: h.store, Vault: h.vault, Artifacts: h.disk, Fetcher: h.remote, Plugins: h.plugins, DockerHelpers: h.docker,
		Log: slog.New(slog.DiscardHandler), Metrics: h.metrics, Now: h.now,
	})
	if err := h.loop.Recover(h.Context()); err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.loop.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			h.Error(err)
		}
	}
	synctest.Wait()
}

func (h *hub) update(change func(tx *store.Tx) error) {
	h.Helper()
	if err := h.store.Update(h.Context(), change); err != nil {
		h.Fatal(err)
	}
	synctest.Wait()
}

type option func(row *store.Resource, spec map[string]any)

func every(interval string) option {
	return func(_ *store.Resource, spec map[string]any) { spec["interval"] = interval }
}
func from(url string) option {
	return func(_ *store.Resource, spec map[string]any) { spec["url"] = url }
}
func secret(name string) option {
	return func(_ *store.Resource, spec map[string]any) { spec["secretRef"] = map[string]any{"name": name} }
}
func requested(at string) option {
	return func(row *store.Resource, _ map[string]any) { row.RequestedAt = at }
}
func suspended(row *store.Resource, _ map[string]any) { row.Suspended = true }
func generation(n int64) option {
	return func(row *store.Resource, _ map[string]any) { row.Generation = n }
}

func key(cluster, name string) api.Key {
	return api.Key{Cluster: cluster, Kind: api.GitRepositoryKind, Namespace: "flux-system", Name: name}
}

// put writes a GitRepository with an interval of a minute.
func (h *hub) put(k api.Key, options ...option) {
	h.Helper()
	h.update(func(tx *store.Tx) error { return put(tx, k, options...) })
}

func put(tx *store.Tx, k api.Key, options ...option) error {
	spec := map[string]any{"url": url, "interval": "1m", "ref": map[string]any{"branch": "main"}}
	row := store.Resource{Key: k, Generation: 1}
	for _, o := range options {
		o(&row, spec)
	}
	labels := spec["labels"] // of the object
	delete(spec, "labels")
	object, err := json.Marshal(map[string]any{
		"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
		"metadata": map[string]any{"name": k.Name, "namespace": k.Namespace, "labels": labels}, "spec": spec,
	})
	if err != nil {
		return err
	}
	row.Object = api.StoredObject(row.Key, object)
	return store.Resources.Put(tx, k.Path(), row)
}

func (h *hub) putSecret(name string, data map[string][]byte) {
	h.Helper()
	sealed, err := h.vault.Seal(name, data)
	if err != nil {
		h.Fatal(err)
	}
	h.update(func(tx *store.Tx) error { return store.Secrets.Put(tx, name, store.Secret{Sealed: sealed}) })
}

func (h *hub) condition(k api.Key) store.Condition {
	h.Helper()
	var o store.Condition
	err := h.store.View(h.Context(), func(tx *store.Tx) (err error) {
		o, _, err = store.Conditions.Get(tx, k.Path())
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return o
}

// sources returns all rows of sources.
func (h *hub) sources() []store.Fetched {
	h.Helper()
	var rows []store.Fetched
	err := h.store.View(h.Context(), func(tx *store.Tx) error {
		rows = nil
		return store.Sources.Scan(tx, "", func(_ string, row store.Fetched) error {
			rows = append(rows, row)
			return nil
		})
	})
	if err != nil {
		h.Fatal(err)
	}
	return rows
}

// path returns where the artifact of the first source is.
func (h *hub) path() string { return artifact.New(h.dir).Path(*h.sources()[0].Artifact) }

func (h *hub) events() []string {
	h.Helper()
	var texts []string
	err := h.store.View(h.Context(), func(tx *store.Tx) error {
		texts = nil
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			texts = append(texts, fmt.Sprintf("%s %s %s", e.Object.Path(), e.Type, e.Reason))
			return nil
		})
	})
	if err != nil {
		h.Fatal(err)
	}
	return texts
}

// pass lets fake time pass.
func (h *hub) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (h *hub) wantFetches(n int, when string) {
	h.Helper()
	if got := h.remote.count(); got != n {
		h.Errorf("%s: %d fetches, want %d", when, got, n)
	}
}

func TestFetch_interval(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "fleet"))
		h.wantFetches(1, "at once")
		if o := h.condition(key("", "fleet")); o.Ready != "True" || o.Reason != "GitOperationSucceeded" ||
			o.Revision != "one" || o.ObservedGeneration != 1 {
			t.Errorf("condition %+v", o)
		}
		if rows := h.sources(); len(rows) != 1 || rows[0].Artifact == nil || rows[0].Artifact.Revision != "one" {
			t.Errorf("sources %+v", rows)
		}
		h.pass(50 * time.Second)
		h.wantFetches(0, "before the interval")
		h.pass(11 * time.Second)
		h.wantFetches(1, "after the interval")
		h.remote.set(url, "two", nil)
		h.pass(time.Minute)
		if o := h.condition(key("", "fleet")); o.Revision != "two" {
			t.Errorf("condition %+v", o)
		}
	})
}

// TestFetch_clock sets the loop's clock years ahead of the process's: every time in the store is the loop's, and the
// interval is not disturbed.
func TestFetch_clock(t *testing.T) {
	play(t, func(h *hub) {
		h.stop()
		first := time.Date(2031, 2, 3, 4, 5, 6, 7, time.UTC)
		second := first.Add(-365 * 24 * time.Hour)
		var set atomic.Bool // to second
		h.now = func() time.Time {
			if set.Load() {
				return second
			}
			return first
		}
		h.start()
		h.put(key("", "fleet"))
		want := func(what string, got, want time.Time) {
			h.Helper()
			if !got.Equal(want) {
				h.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		want("condition", h.condition(key("", "fleet")).Since, first)
		want("checked", h.sources()[0].CheckedAt, first)
		want("artifact", h.sources()[0].Artifact.FetchedAt, first)
		set.Store(true)
		h.pass(61 * time.Second)
		h.wantFetches(2, "after the interval")
		want("the same artifact", h.sources()[0].Artifact.FetchedAt, first)
		h.remote.set(url, "two", nil)
		h.pass(61 * time.Second)
		want("a new artifact", h.sources()[0].Artifact.FetchedAt, second)
		h.update(func(tx *store.Tx) error {
			return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
				if !e.Time.Equal(first) && !e.Time.Equal(second) {
					h.Errorf("event of %s", e.Time)
				}
				return nil
			})
		})
	})
}

func TestFetch_unchanged(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "fleet"))
		w := h.store.Watch(h.Context())
		defer w.Close()
		h.pass(time.Hour)
		if n := h.remote.count(); n < 50 {
			t.Errorf("%d fetches in an hour", n)
		}
		if changes := w.Take(); len(changes) > 0 {
			t.Errorf("written: %v", changes)
		}
	})
}

func TestFetch_shared(t *testing.T) {
	play(t, func(h *hub) {
		h.update(func(tx *store.Tx) error {
			var errs []error
			for i := range 500 {
				errs = append(errs, put(tx, key(fmt.Sprint("c", i), "fleet"), every(fmt.Sprintf("%dm", 2+i))))
			}
			return errors.Join(errs...)
		})
		h.wantFetches(1, "at once")
		if rows := h.sources(); len(rows) != 1 {
			t.Errorf("%d sources, want 1", len(rows))
		}
		h.remote.set(url, "two", nil)
		h.pass(2 * time.Minute)
		h.wantFetches(1, "after the smallest interval")
		for _, i := range []int{0, 7, 499} {
			if o := h.condition(key(fmt.Sprint("c", i), "fleet")); o.Revision != "two" {
				t.Errorf("c%d: %+v", i, o)
			}
		}
		if n := len(h.events()); n != 2*32 {
			t.Errorf("%d events, want one of each of the first 32 for each revision", n)
		}
		h.put(key("late", "fleet"))
		h.wantFetches(0, "for one more of the same source")
		if o := h.condition(key("late", "fleet")); o.Revision != "two" || o.Ready != "True" {
			t.Errorf("the late one: %+v", o)
		}
	})
}

func TestFetch_requested(t *testing.T) {
	play(t, func(h *hub) {
		k := key("", "fleet")
		h.put(k)
		h.remote.slow = time.Second
		h.put(k, requested("first"))
		h.pass(time.Second / 2)
		h.put(k, requested("second"))
		h.pass(time.Second)
		if o := h.condition(k); o.HandledRequest != "first" {
			t.Errorf("after the first fetch %q is handled", o.HandledRequest)
		}
		h.pass(time.Second)
		if o := h.condition(k); o.HandledRequest != "second" {
			t.Errorf("after the second fetch %q is handled", o.HandledRequest)
		}
		h.wantFetches(3, "in all")
	})
}

func TestFetch_failed(t *testing.T) {
	play(t, func(h *hub) {
		k := key("", "fleet")
		h.put(k, every("1m"))
		since := h.condition(k).Since
		h.remote.count()
		h.remote.set(url, "", fmt.Errorf("%w: no answer", source.ErrUnreachable))
		h.pass(time.Minute)
		o := h.condition(k)
		if o.Ready != "False" || o.Reason != "GitOperationFailed" ||
			o.Message != "fetch "+url+": the server cannot be reached: no answer" ||
			o.Revision != "one" || !o.Since.After(since) {
			t.Errorf("condition %+v", o)
		}
		if rows := h.sources(); rows[0].Artifact == nil || rows[0].Error == "" {
			t.Errorf("sources %+v", rows)
		}
		h.pass(4 * time.Minute)
		h.remote.mu.Lock()
		calls := h.remote.calls
		h.remote.mu.Unlock()
		if len(calls) < 7 || len(calls) > 16 {
			t.Errorf("%d attempts in five minutes", len(calls))
		}
		for i := 1; i < len(calls); i++ {
			if wait := calls[i].at.Sub(calls[i-1].at); wait > time.Minute || wait < time.Second/2 {
				t.Errorf("attempt %d after %v", i, wait)
			}
		}
		h.remote.set(url, "two", nil)
		h.pass(time.Minute)
		if o := h.condition(k); o.Ready != "True" || o.Revision != "two" {
			t.Errorf("it did not recover: %+v", o)
		}
		want := []string{"NewArtifact", "GitOperationFailed", "NewArtifact"}
		events := h.events()
		for i := range events {
			if len(events) != len(want) || !strings.HasSuffix(events[i], want[i]) {
				t.Fatalf("events %q", events)
			}
		}
	})
}

func TestSecret_changed(t *testing.T) {
	play(t, func(h *hub) {
		k := key("", "fleet")
		h.put(k, secret("git"), every("1h"))
		o := h.condition(k)
		if o.Reason != "AuthenticationFailed" || !strings.Contains(o.Message, "flux-system/git") {
			t.Errorf("without the Secret: %+v", o)
		}
		h.wantFetches(0, "without the Secret")
		h.putSecret("flux-system/git", map[string][]byte{"username": []byte("u")})
		if o := h.condition(k); o.Reason != "AuthenticationFailed" ||
			!strings.Contains(o.Message, "username without password") {
			t.Errorf("with a wrong Secret: %+v", o)
		}
		h.putSecret("flux-system/git", map[string][]byte{"username": []byte("u"), "password": []byte("p")})
		h.remote.mu.Lock()
		if n := len(h.remote.calls); n != 1 || string(h.remote.calls[0].auth["password"]) != "p" {
			t.Errorf("%d fetches", n)
		}
		h.remote.mu.Unlock()
		if o := h.condition(k); o.Ready != "True" {
			t.Errorf("with the Secret: %+v", o)
		}
		h.remote.count()
		h.putSecret("flux-system/other", map[string][]byte{"a": nil})
		h.wantFetches(0, "after another Secret's change")
	})
}

func TestFetch_suspended(t *testing.T) {
	play(t, func(h *hub) {
		k := key("", "fleet")
		h.put(k, suspended)
		h.pass(time.Hour)
		h.wantFetches(0, "while suspended")
		h.put(k)
		h.wantFetches(1, "when resumed")
		h.put(k, suspended)
		h.remote.set(url, "two", nil)
		h.pass(time.Hour)
		h.wantFetches(0, "while suspended again")
		if o := h.condition(k); o.Revision != "one" {
			t.Errorf("condition %+v", o)
		}
	})
}

func TestFetch_changed(t *testing.T) {
	play(t, func(h *hub) {
		k := key("", "fleet")
		h.put(k)
		h.remote.set("https://example.com/other.git", "two", nil)
		h.put(k, from("https://example.com/other.git"), generation(2))
		if o := h.condition(k); o.Revision != "two" || o.ObservedGeneration != 2 {
			t.Errorf("condition %+v", o)
		}
		if rows := h.sources(); len(rows) != 1 || rows[0].Artifact.Revision != "two" {
			t.Errorf("sources %+v", rows)
		}
	})
}

func TestDelete(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("a", "fleet"))
		h.put(key("b", "fleet"))
		remove := func(k api.Key) {
			h.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, k.Path()) })
		}
		remove(key("a", "fleet"))
		if rows := h.sources(); len(rows) != 1 || h.condition(key("a", "fleet")).Ready != "" ||
			h.condition(key("b", "fleet")).Ready != "True" {
			t.Errorf("after the first: %+v", rows)
		}
		remove(key("b", "fleet"))
		if rows := h.sources(); len(rows) != 0 || h.condition(key("b", "fleet")).Ready != "" {
			t.Errorf("after the second: %+v", rows)
		}
		h.remote.count()
		h.pass(time.Hour)
		h.wantFetches(0, "after it is gone")
	})
}

func TestDelete_stopped(t *testing.T) {
	play(t, func(h *hub) {
		k := key("", "fleet")
		h.put(k)
		h.stop()
		h.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, k.Path()) })
		h.start()
		if rows := h.sources(); len(rows) != 0 || h.condition(k).Ready != "" {
			t.Errorf("sources %+v, condition %+v", rows, h.condition(k))
		}
	})
}

func TestRestart(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "fleet"))
		first := h.sources()[0]
		h.stop()
		h.remote.count()
		h.start()
		h.remote.mu.Lock()
		if len(h.remote.calls) != 1 || h.remote.calls[0].last == nil || *h.remote.calls[0].last != *first.Artifact {
			t.Errorf("calls %+v", h.remote.calls)
		}
		h.remote.mu.Unlock()
		if again := h.sources()[0]; *again.Artifact != *first.Artifact {
			t.Errorf("got %+v, want %+v", again, first)
		}
	})
}

func TestRecover(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "fleet"))
		h.stop()
		if err := os.RemoveAll(h.path()); err != nil {
			t.Fatal(err)
		}
		h.remote.set(url, "", source.ErrUnreachable)
		h.start()
		if row := h.sources()[0]; row.Artifact != nil || row.Error == "" {
			t.Errorf("row %+v", row)
		}
	})
}

func TestWorkers(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.slow = time.Second
		h.update(func(tx *store.Tx) error {
			var errs []error
			for i := range 20 {
				errs = append(errs, put(tx, key("", fmt.Sprint("s", i)), from(fmt.Sprintf("https://example.com/%d.git", i)),
					every("1h")))
			}
			return errors.Join(errs...)
		})
		h.pass(10 * time.Second)
		if h.remote.most != 4 {
			t.Errorf("%d at once, want 4", h.remote.most)
		}
		h.wantFetches(20, "in all")
	})
}

// TestSlowSources has ten servers that answer nothing within the time of a fetch, again and again.
func TestSlowSources(t *testing.T) {
	play(t, func(h *hub) {
		good := key("", "good")
		h.put(good, every("1h"))
		h.pass(time.Second)
		h.remote.mu.Lock()
		h.remote.slowly = map[string]time.Duration{}
		h.remote.mu.Unlock()
		for i := range 10 {
			slow := fmt.Sprintf("https://slow%d.example.com/x.git", i)
			h.remote.mu.Lock()
			h.remote.slowly[slow] = time.Minute
			h.remote.mu.Unlock()
			h.remote.set(slow, "", errors.New("over the time limit"))
			h.put(key("", fmt.Sprint("slow", i)), from(slow), every("1m"))
		}
		for i := range 20 {
			h.pass(17 * time.Second)
			at := fmt.Sprint("request ", i)
			h.put(good, every("1h"), requested(at))
			h.pass(time.Second)
			if o := h.condition(good); o.HandledRequest != at {
				t.Errorf("%s is not handled after a second: %+v", at, o)
			}
		}
		if calls := h.remote.count(); calls < 30 {
			t.Errorf("%d fetches: the slow ones wait for ever", calls)
		}
	})
}

func TestSweep(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "fleet"), every("1m"))
		first := h.path()
		h.remote.set(url, "two", nil)
		h.pass(9 * time.Minute)
		if _, err := os.Stat(first); err != nil {
			t.Errorf("a render may still read it: %v", err)
		}
		h.pass(22 * time.Minute)
		if _, err := os.Stat(first); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the unused artifact is still there: %v", err)
		}
		if _, err := os.Stat(h.path()); err != nil {
			t.Error(err)
		}
	})
}

func TestStop(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.slow = time.Hour
		h.put(key("", "fleet"))
		h.stop()
		if h.remote.running != 0 {
			t.Error("it still runs")
		}
		h.stop = func() {}
	})
}

// TestReads checks that a change of one source reads no more rows if there are many sources.
func TestReads(t *testing.T) {
	reads := map[int]int64{}
	for _, sources := range []int{5, 100} {
		play(t, func(h *hub) {
			for i := range sources {
				h.put(key(fmt.Sprint("c", i), "fleet"), from(fmt.Sprintf("%s-%d", url, i)))
			}
			before := h.reads.Load()
			h.put(key("c3", "fleet"), from(url+"-3"), requested("now"))
			reads[sources] = h.reads.Load() - before
		})
	}
	if reads[5] != reads[100] || reads[5] == 0 {
		t.Errorf("rows are read by the number of sources: %v", reads)
	}
}
