package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
)

// killer stands between an agent and its API server. The agent is killed at one of its changes: from then on it reaches
// nothing.
type killer struct {
	proxy *httputil.ReverseProxy

	mu     sync.Mutex
	left   int           // changes until the kill; below 0: none follows
	answer bool          // the change that kills is carried out
	dead   chan struct{} // closed at the kill
}

func newKiller(t *testing.T, cluster *kubetest.Cluster) *killer {
	t.Helper()
	config := cluster.Config()
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.Transport, proxy.FlushInterval = transport, -1
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	return &killer{proxy: proxy, left: -1, dead: make(chan struct{})}
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-k.dead:
		panic(http.ErrAbortHandler)
	default:
	}
	if r.Method != http.MethodGet && k.kills() {
		if k.answer {
			k.proxy.ServeHTTP(httptest.NewRecorder(), r)
		} else {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		close(k.dead)
		panic(http.ErrAbortHandler)
	}
	k.proxy.ServeHTTP(w, r)
}

// kills counts a change, and reports whether it is the one that kills.
func (k *killer) kills() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left--
	return k.left == 0
}

// TestRelease_killed kills the spoke at each of its changes in the life of a release, before and after the API server
// carries the change out. The next spoke has the disk as it was then. All lives end alike.
func TestRelease_killed(t *testing.T) {
	for i := 1; ; i++ {
		kills := 0
		for _, answer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d_%t", i, answer), func(t *testing.T) { kills += live(t, i, answer) })
			if t.Failed() {
				return
			}
		}
		if kills == 0 {
			return
		}
	}
}

// live lives the life of a release, and returns how often the spoke was killed.
func live(t *testing.T, at int, answer bool) (kills int) {
	w := newHelmWorld(t)
	w.stop()
	k := newKiller(t, w.cluster)
	k.left, k.answer = at, answer
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	real := w.client
	w.client = connect(t, server.URL)
	w.start()
	next := func() { // a spoke that is not killed goes on
		kills++
		w.dir = snapshot(t, w.dir)
		w.stop()
		w.client = real
		w.start()
	}
	reach := func(what string, check func() error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		w.must(kubetest.Until(ctx, what, func(context.Context) error {
			select {
			case <-k.dead:
				if w.client != real {
					next()
				}
			default:
			}
			return check()
		}))
	}
	history := func(want string) {
		t.Helper()
		reach(want, func() error {
			digest := w.entry.Digest
			r := w.told.of("web")
			if r == nil || string(r.AppliedDigest) != string(digest[:]) || historyOf(r) != want {
				return fmt.Errorf("it is %v", r)
			}
			return nil
		})
	}
	w.entry.Features, w.app.Release.Recipes = "helm-release,recipes", passwordRecipes()
	w.render(lifeConfig + loginText)
	w.hook(hookNamed("before"), nil, bundle.PreInstall, bundle.PreUpgrade)
	w.hook(hookNamed("after"), nil, bundle.PostInstall)
	w.hook(hookNamed("last"), nil, bundle.PreDelete)
	w.send()
	history("1 deployed web@1.2.3")
	password := w.password("db-1")
	w.helm("get manifest web --revision 1", "password: "+password)
	w.render(strings.ReplaceAll(lifeConfig, "greeting: one", "greeting: two") +
		strings.ReplaceAll(loginText, "db-1", "db-2"))
	w.send()
	history("2 deployed web@1.2.3, 1 superseded web@1.2.3")
	w.same("upgraded", w.field("ConfigMap", "config", "data", "greeting"), "two")
	w.same("password", w.password("db-2"), password)
	w.gone = true
	w.send()
	reach("the removal", func() error {
		if w.told.of("web") != nil {
			return errors.New("it is still reported")
		}
		return nil
	})
	w.same("object", w.field("ConfigMap", "config", "kind"), "")
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v2", "kind"), "")
	w.same("hook", w.field("ConfigMap", "last", "kind"), "ConfigMap")
	return kills
}

// snapshot copies the disk of a spoke that waits for an answer.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "spoke.db"))
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.WriteFile(filepath.Join(copied, "spoke.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}
