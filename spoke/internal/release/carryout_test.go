package release_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

// lab is an API server, the objects of a release and the disk of a spoke, all in memory. The spoke is killed at one of
// its requests.
type lab struct {
	objects map[string]*manifest.Object // Secrets and hooks by kind and name
	created map[string]int              // how often
	version int
	applied string // what the objects of the release are
	broken  string // content that does not become healthy
	unread  error  // why the objects of the release cannot be read; nil: they can
	disk    release.Journal

	began  time.Time
	left   int  // requests until the spoke is killed; below 0: it is not
	answer bool // the request that kills is carried out
	outage bool // the request gets no answer, and the spoke is not killed
	kill   func()
}

var errKilled = errors.New("killed")

func newLab() *lab {
	return &lab{objects: map[string]*manifest.Object{}, created: map[string]int{}, began: time.Now(), left: -1,
		kill: func() {}}
}

// request counts a request, and carries it out unless the spoke is dead.
func (l *lab) request(do func() error) error {
	if l.left == 0 && !l.outage {
		return errKilled
	}
	if l.left--; l.left != 0 {
		return do()
	}
	if l.answer {
		_ = do()
	}
	if l.outage {
		return &kube.Error{Reason: kube.Unreachable, Message: "no answer"}
	}
	l.kill()
	return errKilled
}

func keyOf(id bundle.ObjectIdentity) string { return id.Kind + "/" + id.Name }

func (l *lab) live(o *manifest.Object) kube.Live {
	return kube.Live{ID: kube.Identify(o), UID: string(o.GetUID()), ResourceVersion: o.GetResourceVersion(),
		Labels: o.GetLabels(), Annotations: o.GetAnnotations(), Object: o.DeepCopy()}
}

func (l *lab) store(o *manifest.Object) kube.Applied {
	l.version++
	o = o.DeepCopy()
	o.SetResourceVersion(strconv.Itoa(l.version))
	l.objects[keyOf(kube.Identify(o))] = o
	return kube.Applied{Live: l.live(o)}
}

func (l *lab) Create(_ context.Context, o *manifest.Object, _ kube.ApplyOptions) (a kube.Applied, err error) {
	return a, l.request(func() error {
		key := keyOf(kube.Identify(o))
		if l.objects[key] != nil {
			return &kube.Error{Reason: kube.Exists}
		}
		l.created[key]++
		a = l.store(o)
		return nil
	})
}

func (l *lab) Apply(_ context.Context, o *manifest.Object, _ kube.ApplyOptions) (a kube.Applied, err error) {
	return a, l.request(func() error {
		if found := l.objects[keyOf(kube.Identify(o))]; found == nil || found.GetResourceVersion() != o.GetResourceVersion() {
			return &kube.Error{Reason: kube.Conflict}
		}
		a = l.store(o)
		return nil
	})
}

func (l *lab) Get(ctx context.Context, id bundle.ObjectIdentity) (*manifest.Object, error) {
	live, err := l.Look(ctx, id, true)
	return live.Object, err
}

func (l *lab) Look(_ context.Context, id bundle.ObjectIdentity, _ bool) (live kube.Live, err error) {
	return live, l.request(func() error {
		o := l.objects[keyOf(id)]
		if o == nil {
			return &kube.Error{Reason: kube.NotFound}
		}
		live = l.live(o)
		return nil
	})
}

func (l *lab) Delete(_ context.Context, id bundle.ObjectIdentity, _ kube.DeleteOptions) error {
	return l.request(func() error {
		if l.objects[keyOf(id)] == nil {
			return &kube.Error{Reason: kube.NotFound}
		}
		delete(l.objects, keyOf(id))
		return nil
	})
}

func (l *lab) List(_ context.Context, m kube.Mapping, _ kube.Scope, see func(kube.Live) error) (string, error) {
	return "", l.request(func() error {
		for _, o := range l.objects {
			if o.GetKind() == m.Kind {
				if err := see(l.live(o)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (l *lab) Mapping(_ context.Context, gvk schema.GroupVersionKind) (kube.Mapping, error) {
	return kube.Mapping{Version: gvk.Version, Kind: gvk.Kind, Namespaced: true}, nil
}

func (l *lab) Watch(context.Context, kube.Mapping, kube.Scope, string) (*kube.Stream, error) {
	return nil, errors.New("no hook of these tests is awaited")
}

// labCluster is the objects of the release.
type labCluster struct {
	*lab
	content string // of the desired release
}

func (c labCluster) Define(context.Context, bundle.CRDPolicy) error {
	return c.request(func() error { return nil })
}
func (c labCluster) Prune(context.Context, []bundle.ObjectIdentity) error { return nil }
func (c labCluster) CreateNamespace(context.Context, string) error {
	return c.request(func() error { return nil })
}
func (c labCluster) Discard(context.Context) error { return c.request(func() error { return nil }) }

func (c labCluster) Apply(context.Context, bundle.ReleaseAction) error {
	if c.unread != nil {
		return c.unread
	}
	return c.bring(c.content)
}

func (c labCluster) Restore(_ context.Context, _ release.Identity, objects []*manifest.Object,
	_ bundle.ReleaseAction) error {
	return c.bring(objects[0].Object["data"].(map[string]any)["greeting"].(string))
}

func (c labCluster) bring(content string) error {
	return c.request(func() error { c.applied = content; return nil })
}

func (c labCluster) Await(context.Context, bool) error {
	return c.request(func() error {
		if c.applied == c.broken {
			return errors.Join(errors.New("Deployment shop/web is not healthy"), errors.New("nor is Job shop/db"))
		}
		return nil
	})
}

func (c labCluster) Remove(context.Context, bundle.ReleaseAction) error { return c.bring("") }

// digestOf returns the digest of a desired release with a content.
func digestOf(content string) manifest.Digest { return manifest.DigestOf([]byte(content)) }

// contentOf returns the record of a desired release, with hooks that count how often they run.
func contentOf(namespace, content string) release.Record {
	r := deployed("web", namespace, 1, content)
	r.Hooks = nil
	for _, event := range []string{bundle.PreInstall, bundle.PostInstall, bundle.PreUpgrade, bundle.PostUpgrade,
		bundle.PreRollback, bundle.PostRollback, bundle.PreDelete, bundle.PostDelete, bundle.TestHook} {
		name := event + "-" + content
		r.Hooks = append(r.Hooks, release.Hook{Name: name, Kind: "ConfigMap", Events: []string{event},
			DeletePolicies: []string{bundle.BeforeCreation, bundle.HookSucceeded},
			Manifest:       "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"})
	}
	return r
}

func (l *lab) executor(content string) *release.Executor {
	clock := func() time.Time { return l.began }
	storage := &release.Storage{Client: l, Namespace: "shop", Name: "web", Now: clock}
	return &release.Executor{Storage: storage, Cluster: labCluster{l, content}, Now: clock,
		Hooks:   &release.HookRunner{Client: l, Now: clock},
		Content: func(context.Context) (release.Record, error) { return contentOf("shop", content), nil },
		Save:    func(j release.Journal) error { return l.request(func() error { l.disk = reread(j); return nil }) }}
}

// run carries out decisions until nothing is left to do or the spoke is killed. It returns the last decision.
func (l *lab) run(t *testing.T, d release.Desired, content string) release.Decision {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.kill = cancel
	e := l.executor(content)
	d.Digest = digestOf(content)
	r, err := e.Run(ctx, d, l.disk)
	if ctx.Err() != nil {
		return release.Decision{}
	}
	if kube.ReasonOf(err) == kube.Unreachable { // the spoke tries again
		r, err = e.Run(ctx, d, r.Journal)
	}
	if err != nil || len(r.Done) == 10 || r.Failed != nil && !strings.Contains(r.Failed.Error(), "not healthy") {
		t.Fatal(r, err)
	}
	return r.Last
}

// revisions returns the history as "1 superseded, 2 deployed", with the digest of the last one.
func (l *lab) revisions(t *testing.T) string {
	t.Helper()
	storage := &release.Storage{Client: l, Namespace: "shop", Name: "web", Now: time.Now}
	all, err := storage.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, r := range all {
		texts = append(texts, fmt.Sprintf("%d %s", r.Version, r.Status))
		if r.Tests != release.NotTested {
			texts[len(texts)-1] += " tests " + string(r.Tests)
		}
	}
	return strings.Join(texts, ", ")
}

// carryTests are lives of a release. The first content is installed without a kill unless it is the only one.
var carryTests = map[string]struct {
	change   func(*release.Desired)
	contents []string
	broken   string
	state    release.State
	stalled  release.Stall
	history  string
	applied  string
	hooks    string // that run once, whenever the spoke is killed
}{
	"install": {nil, []string{"one"}, "", release.StateInSync, "", "1 deployed", "one", "pre-install-one post-install-one"},
	"upgrade": {nil, []string{"one", "two"}, "", release.StateInSync, "", "1 superseded, 2 deployed", "two",
		"pre-upgrade-two post-upgrade-two"},
	"test": {func(d *release.Desired) { d.Test.Enable = true }, []string{"one"}, "", release.StateInSync, "",
		"1 deployed", "one", "pre-install-one test-one"},
	"install_fails": {nil, []string{"one"}, "one", release.StateFailed, release.RetriesExceeded, "1 failed", "one",
		"pre-install-one"},
	"rollback": {func(d *release.Desired) { d.Upgrade.Remediation.RemediateLastFailure = true }, []string{"one", "two"}, "two",
		release.StateOutOfSync, release.RetriesExceeded, "1 superseded, 2 failed, 3 deployed", "one",
		"pre-upgrade-two pre-rollback-one post-rollback-one"},
	"uninstall": {func(d *release.Desired) { d.Removed = true }, []string{"one", "one"}, "", release.StateAbsent, "", "", "",
		"pre-delete-one post-delete-one"},
	"uninstall_keeps_history": {func(d *release.Desired) { d.Removed, d.Uninstall.KeepHistory = true, true },
		[]string{"one", "one"}, "", release.StateAbsent, "", "1 uninstalled", "", "pre-delete-one post-delete-one"},
	"max_history": {func(d *release.Desired) { d.MaxHistory = 2 }, []string{"one", "two", "three"}, "", release.StateInSync,
		"", "2 superseded, 3 deployed", "three", "post-upgrade-three"},
	"pinned": {func(d *release.Desired) { d.Pinned = 1 }, []string{"one", "two", "two"}, "", release.StatePinned, "",
		"1 superseded, 2 superseded, 3 deployed", "one", "pre-rollback-one post-rollback-one"},
	"pinned_at_last": {func(d *release.Desired) { d.Pinned, d.MaxHistory = 1, 1 }, []string{"one", "two", "two"}, "",
		release.StatePinned, "", "1 superseded, 2 superseded, 3 deployed", "one", "post-rollback-one"},
}

// TestCarry plays each life, and then again with a kill at each request: before the request, and after it was carried
// out and its answer was lost. Then the API server does not answer a request, and the spoke goes on. It ends alike, and
// no hook runs twice.
func TestCarry(t *testing.T) {
	for name, test := range carryTests {
		t.Run(name, func(t *testing.T) {
			for at := -1; ; at++ {
				if testing.Short() && at > 0 {
					at += 3
				}
				for _, how := range []trouble{{}, {answer: true}, {outage: true}, {answer: true, outage: true}} {
					happened := false
					synctest.Test(t, func(t *testing.T) { happened = playLife(t, name, at, how) })
					if !happened && at >= 0 {
						if at < 10 {
							t.Fatalf("only %d requests of %s", at, test.contents)
						}
						return
					}
				}
			}
		})
	}
}

// trouble is what happens at a request: a kill or an outage, before or after it is carried out.
type trouble struct{ answer, outage bool }

// playLife plays a life with one trouble, and reports whether it happened.
func playLife(t *testing.T, name string, at int, how trouble) bool {
	t.Helper()
	test := carryTests[name]
	l := newLab()
	for _, content := range test.contents[:len(test.contents)-1] {
		l.run(t, desired(), content)
	}
	d, last := desired(), test.contents[len(test.contents)-1]
	if test.change != nil {
		test.change(&d)
	}
	l.broken, l.left, l.answer, l.outage = test.broken, at+1, how.answer, how.outage
	if at < 0 {
		l.left = -1
	}
	n := l.run(t, d, last)
	happened := l.left <= 0 && at >= 0
	l.left = -1
	if happened && !how.outage {
		n = l.run(t, d, last)
	}
	where := fmt.Sprintf("at request %d %+v", at, how)
	if n.State != test.state || n.Stalled != test.stalled {
		t.Fatalf("%s: %s %s %s, want %s %s", where, n.State, n.Stalled, n.Why, test.state, test.stalled)
	}
	if got := l.revisions(t); got != test.history || l.applied != test.applied {
		t.Fatalf("%s: %s of %q, want %s of %q", where, got, l.applied, test.history, test.applied)
	}
	for _, hook := range strings.Fields(test.hooks) {
		if l.created["ConfigMap/"+hook] != 1 {
			t.Fatalf("%s: hook %s ran %d times", where, hook, l.created["ConfigMap/"+hook])
		}
	}
	return happened
}

// TestCarry_unread cannot read an object in the middle of an upgrade, as without a key. The upgrade is no failure, and
// goes on once the object can be read.
func TestCarry_unread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab()
		l.run(t, desired(), "one")
		l.unread = fmt.Errorf("Secret shop/db: %w: no key", release.ErrUnread)
		d := desired()
		d.Digest = digestOf("two")
		r, err := l.executor("two").Run(t.Context(), d, l.disk)
		if !errors.Is(err, release.ErrUnread) || r.Failed != nil || l.disk.UpgradeFailures > 0 || l.disk.Failed != "" {
			t.Errorf("error %v, failure %v, journal %+v", err, r.Failed, l.disk)
		}
		if got := l.revisions(t); got != "1 deployed, 2 pending-upgrade" {
			t.Error(got)
		}
		l.unread = nil
		l.run(t, desired(), "two")
		if got := l.revisions(t); got != "1 superseded, 2 deployed" || l.applied != "two" {
			t.Errorf("%s of %q", got, l.applied)
		}
		if n := l.created["ConfigMap/pre-upgrade-two"]; n != 1 {
			t.Errorf("the hook ran %d times", n)
		}
	})
}

// TestCarry_cause tells all errors of a step in one line.
func TestCarry_cause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab()
		l.broken = "one"
		d := desired()
		d.Digest = digestOf("one")
		_, err := l.executor("one").Run(t.Context(), d, l.disk)
		if want := "health: Deployment shop/web is not healthy; nor is Job shop/db"; l.disk.Cause != want {
			t.Errorf("error %v, journal %+v", err, l.disk)
		}
	})
}

// TestCarry_description describes a failed revision as helm does.
func TestCarry_description(t *testing.T) {
	for content, want := range map[string]string{"one": `Release "web" failed: health: `, "two": `Upgrade "web" failed: ` +
		"health: "} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab()
			l.broken = content
			for _, next := range []string{"one", "two"} {
				d := desired()
				d.Digest = digestOf(next)
				_, _ = l.executor(next).Run(t.Context(), d, l.disk)
				if next == content {
					break
				}
			}
			storage := &release.Storage{Client: l, Namespace: "shop", Name: "web", Now: time.Now}
			all, err := storage.History(t.Context())
			if err != nil || len(all) == 0 || !strings.HasPrefix(all[len(all)-1].Events.Description, want) {
				t.Errorf("%s: %+v, %v, want %s", content, all, err, want)
			}
		})
	}
}

// TestRun_lost remembers the name of a release whose journal was lost, so that another name is a move: the release of
// the old name is to be uninstalled first, and its pin stays.
func TestRun_lost(t *testing.T) {
	for name, c := range map[string]struct {
		pinned int
		want   release.Stall
	}{"free": {0, release.Guarded}, "pinned": {1, ""}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d := newLab(), desired()
				l.run(t, d, "one")
				l.disk, d.Pinned = release.Journal{}, c.pinned
				l.run(t, d, "one")
				moved := *d.Release
				moved.Name = "other"
				d.Release, d.Guarded = &moved, errors.New("it must be confirmed")
				if last := l.run(t, d, "one"); last.Stalled != c.want {
					t.Errorf("%+v, want %q", last, c.want)
				}
			})
		})
	}
}

// TestJournal_size keeps a journal small: it is written before each step.
func TestJournal_size(t *testing.T) {
	text, err := json.Marshal(failedOnce(release.Upgrade))
	if err != nil || len(text) > 512 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// TestObserve_history has what happened to each revision, and when: also of records that another program wrote, which
// are read once.
func TestObserve_history(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab()
		l.run(t, desired(), "one")
		first := l.began
		time.Sleep(time.Hour)
		l.began = time.Now()
		l.run(t, desired(), "two")
		storage := &release.Storage{Client: l, Namespace: "shop", Name: "web", Now: time.Now}
		check := func(what string, requests int) {
			t.Helper()
			l.left = 100
			found, err := storage.Observe(t.Context(), l.disk, desired())
			if err != nil || len(found.History) != 2 || 100-l.left != requests {
				t.Fatal(what, found.History, err, 100-l.left)
			}
			storage.Known = found.History
			one, two := found.History[0], found.History[1]
			if one.Events != (release.Events{FirstDeployed: first.UTC(), LastDeployed: first.UTC(),
				Description: "Install complete"}) || one.Chart.Name != "web" {
				t.Errorf("%s: %+v", what, one)
			}
			if two.Events != (release.Events{FirstDeployed: first.UTC(), LastDeployed: l.began.UTC(),
				Description: "Upgrade complete"}) {
				t.Errorf("%s: %+v", what, two)
			}
		}
		check("of the spoke", 2)
		l.objects["Secret/sh.helm.release.v1.web.v1"].SetAnnotations(nil)
		storage.Known = nil
		check("of helm", 3)
		check("again", 2)
	})
}
