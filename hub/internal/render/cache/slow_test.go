package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
)

// pacing renders charts for as long as the test says, at most for a minute.
type pacing struct {
	*source
	mu    sync.Mutex
	takes map[string]time.Duration // by the name of the release
}

// Render implements render.Renderer.
func (s *pacing) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	var build api.ChartBuild
	if err := json.Unmarshal(req.Spec, &build); err != nil {
		return nil, err
	}
	s.mu.Lock()
	takes := s.takes[build.Name]
	s.mu.Unlock()
	select {
	case <-time.After(min(takes, time.Minute)):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if takes > time.Minute {
		return nil, confine.ErrTimeout
	}
	return helm.Renderer{}.Render(ctx, req)
}

func (s *pacing) render(release string) error {
	spec, err := json.Marshal(api.ChartBuild{Name: release, Namespace: "b", ReleaseName: "a", ReleaseNamespace: "b"})
	s.must(err)
	_, err = s.cache.RenderFor(s.Context(), named(release), helm.Name, spec, s.last, factsOf("v1.36.0"))
	return err
}

// named returns a release whose namespace is that before a slash.
func named(release string) api.Key {
	namespace, name, found := strings.Cut(release, "/")
	if !found {
		namespace, name = "b", release
	}
	return api.Key{Kind: "HelmRelease", Namespace: namespace, Name: name}
}

func (s *pacing) take(release string, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes[release] = takes
}

// TestRenderFor_slow has charts that never end. They hold up nobody for longer than patience, and the next attempts
// hold up nobody at all.
func TestRenderFor_slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &pacing{source: newSource(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"}),
			takes: map[string]time.Duration{"bad": time.Hour, "worse": time.Hour, "good": time.Millisecond}}
		s.cache = New(Config{Store: s.store, Artifacts: s.artifacts, Renderer: s})
		s.cache.slots = make(chan struct{}, 2) // as on a hub with two CPUs
		s.commit()
		var bad, worse error
		var wait sync.WaitGroup
		wait.Go(func() { bad = s.render("bad") })
		wait.Go(func() { worse = s.render("worse") })
		synctest.Wait()
		begin := time.Now()
		s.must(s.render("good"))
		wait.Wait()
		if took := time.Since(begin); took > patience+time.Second {
			t.Errorf("the good chart waited %s for bad ones", took)
		}
		var slow *SlowError
		for _, err := range []error{bad, worse} { // one of them gives way to the other
			if own, ok := errors.AsType[*SlowError](err); ok && own.Last == nil {
				slow = own
				<-slow.Done
			} else if !errors.Is(err, confine.ErrTimeout) {
				t.Errorf("got %v", err)
			}
		}
		if slow == nil {
			t.Fatalf("no render goes on: %v, %v", bad, worse)
		}
		for _, name := range []string{"bad", "worse"} {
			if err := s.render(name); !errors.Is(err, confine.ErrTimeout) {
				t.Errorf("%s right after its failure: %v", name, err)
			}
		}
		time.Sleep(2 * mostRest)
		for _, name := range []string{"bad", "worse", "bad"} {
			begin := time.Now()
			err := s.render(name)
			again, ok := errors.AsType[*SlowError](err)
			if !ok || again.Last == nil || time.Since(begin) > 0 {
				t.Errorf("%s, after a rest: %v, in %s", name, err, time.Since(begin))
			}
			slow = again
		}
		begin = time.Now()
		s.commitNext("1.0.1")
		if s.must(s.render("good")); time.Since(begin) > time.Second {
			t.Errorf("the good chart waited %s for slow ones", time.Since(begin))
		}
		<-slow.Done
		s.take("bad", time.Second)
		time.Sleep(2 * mostRest)
		if err := s.render("bad"); errors.As(err, &slow) {
			<-slow.Done
		} else {
			t.Errorf("its first attempt after a slow one: %v", err)
		}
		s.must(s.render("bad"))
		s.commitNext("1.0.2")
		s.must(s.render("bad")) // fast again
		if !s.cache.slow.pace(named("worse")).isSlow() {
			t.Error("a chart that never ended is not slow any more")
		}
		time.Sleep(time.Hour) // so that its render ends
	})
}

// slowBuilds builds a kustomization of the path "bad" for an hour, and others at once.
type slowBuilds struct{ *source }

// Render implements render.Renderer.
func (s slowBuilds) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	if strings.Contains(string(req.Spec), `"bad"`) {
		select {
		case <-time.After(time.Minute):
			return nil, confine.ErrTimeout
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return s.source.Render(ctx, req)
}

// TestRender_slow has a kustomization whose build never ends. It holds up nobody for longer than patience, and the next
// attempts hold up nobody at all; a build of the store needs no slot of slow ones.
func TestRender_slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, map[string]string{"good/one.yaml": configMap("one", "1"), "bad/one.yaml": configMap("one", "1")})
		s.commit()
		_, err := s.render("bad")
		s.must(err)
		s.cache = New(Config{Store: s.store, Artifacts: s.artifacts, Renderer: slowBuilds{s}})
		s.files["bad/two.yaml"] = configMap("two", "2")
		s.commit()
		begin := time.Now()
		_, err = s.render("bad")
		slow, ok := errors.AsType[*SlowError](err)
		if took := time.Since(begin); !ok || took > patience {
			t.Fatalf("got %v after %s", err, took)
		}
		if _, err := s.render("good"); err != nil || time.Since(begin) > patience {
			t.Errorf("a good build: %v after %s", err, time.Since(begin))
		}
		if _, err := s.render("bad"); !errors.As(err, &slow) || time.Since(begin) > patience {
			t.Errorf("again: %v after %s", err, time.Since(begin))
		}
		delete(s.files, "bad/two.yaml")
		s.files["good/one.yaml"] = configMap("one", "2")
		s.commit()
		if _, err := s.render("bad"); err != nil || time.Since(begin) > patience {
			t.Errorf("what the store has: %v after %s", err, time.Since(begin))
		}
		<-slow.Done
		s.files["bad/two.yaml"] = configMap("two", "2")
		delete(s.files, "good/one.yaml")
		s.files["good/two.yaml"] = configMap("one", "2")
		s.commit()
		begin = time.Now()
		if _, err := s.render("bad"); !errors.As(err, &slow) || time.Since(begin) > 0 {
			t.Errorf("the next commit: %v after %s", err, time.Since(begin))
		}
		<-slow.Done
		if _, err := s.render("bad"); !errors.Is(err, confine.ErrTimeout) {
			t.Errorf("right after its failure: %v", err)
		}
	})
}

// TestRenderFor_namespace has a namespace with many charts that never end. The charts of others wait for a few of them.
func TestRenderFor_namespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &pacing{source: newSource(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"}),
			takes: map[string]time.Duration{"good/new": time.Millisecond}}
		s.cache = New(Config{Store: s.store, Artifacts: s.artifacts, Renderer: s})
		s.cache.slots = make(chan struct{}, 2)
		s.commit()
		begin := time.Now()
		var wait sync.WaitGroup
		for i := range 40 {
			release := fmt.Sprintf("bad/%d", i)
			s.take(release, time.Hour)
			wait.Go(func() {
				if err := s.render(release); err == nil {
					t.Errorf("%s is rendered", release)
				}
			})
		}
		synctest.Wait()
		err := s.render("good/new")
		if slow, ok := errors.AsType[*SlowError](err); ok {
			<-slow.Done
			err = s.render("good/new")
		}
		if took := time.Since(begin); err != nil || took > 3*patience {
			t.Errorf("the good chart: %v, after %s", err, took)
		}
		wait.Wait()
		if took := time.Since(begin); took > 3*patience {
			t.Errorf("calls for bad charts waited %s", took)
		}
		begin = time.Now()
		for i := range 40 {
			_ = s.render(fmt.Sprintf("bad/%d", i))
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("further calls waited %s", took)
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestSlowness_forgotten counts no release as slow that was forgotten because there are too many.
func TestSlowness_forgotten(t *testing.T) {
	s := newSlowness()
	old := s.pace(named("bad/old"))
	for i := range maxRemembered {
		s.pace(named(fmt.Sprint("other/", i)))
	}
	s.markSlow(old)
	if len(s.slowIn) > 0 {
		t.Errorf("slow: %v", s.slowIn)
	}
	s.markSlow(s.pace(named("bad/old")))
	s.note(named("bad/old"), flightKey{}, 0, nil)
	if len(s.slowIn) > 0 {
		t.Errorf("still slow: %v", s.slowIn)
	}
}

// commitNext makes an artifact of another version of the chart.
func (s *pacing) commitNext(version string) {
	s.files["Chart.yaml"] = "apiVersion: v2\nname: app\nversion: " + version + "\n"
	s.commit()
}

// TestRenderFor_rest checks that the pauses between attempts grow up to a limit, and end with a success.
func TestRenderFor_rest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := newSlowness(), flightKey{row: "a"}
		for _, want := range []time.Duration{firstRest, 2 * firstRest, 4 * firstRest, 8 * firstRest, mostRest, mostRest} {
			s.note(named("a"), key, time.Minute, confine.ErrTimeout)
			time.Sleep(want - time.Nanosecond)
			if _, early := s.resting(key); !early {
				t.Errorf("no rest after %s", want)
			}
			time.Sleep(time.Nanosecond)
			if err, early := s.resting(key); early || !errors.Is(err, confine.ErrTimeout) {
				t.Errorf("after %s: still a rest, or %v", want, err)
			}
		}
		s.note(named("a"), key, time.Second, nil)
		if err, _ := s.resting(key); err != nil {
			t.Error(err)
		}
	})
}
