package hub_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// scripted fetches a folder, or fails. It implements source.Fetcher.
type scripted struct {
	folder string
	mu     sync.Mutex
	open   chan struct{} // fetches wait until it is closed
	err    error
}

func (s *scripted) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return artifact.Artifact{}, ctx.Err()
	case <-open:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return artifact.Artifact{}, s.err
	}
	return putFolder(ctx, r, s.folder)
}

// block lets later fetches wait for answer.
func (s *scripted) block() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = make(chan struct{})
}

// answer ends fetches with an error, or with the folder if it is nil.
func (s *scripted) answer(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.open)
}

// TestReconcile_remote_base requests reconciliations while the last fetch of a remote base failed. Each is answered by
// a fetch after the request: one fails as before, and the next one succeeds.
func TestReconcile_remote_base(t *testing.T) {
	_, repository := gitServer(t)
	commit(t, repository, map[string]string{"kustomization.yaml": "resources: ['https://git.example.com/acme/base']\n"})
	base := &scripted{folder: t.TempDir()}
	base.block()
	for name, text := range map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": cluster} {
		must(t, os.WriteFile(filepath.Join(base.folder, name), []byte(text), 0o644))
	}
	r := start(t, t.TempDir(), func(c *hub.Config) {
		c.Fetchers = map[string]source.Fetcher{api.RemoteBaseKind: base}
		c.RemoteBaseHosts = []string{"git.example.com"}
	})
	r.applyRoot(repository, "./")
	down := errors.New("the server is down")
	base.answer(down)
	r.await("Kustomization", "root", down.Error())
	object, err := api.NewRemoteBase(api.Key{Kind: api.KustomizationKind, Namespace: "flux-system", Name: "root"},
		time.Hour, "", api.Remote{URL: "https://git.example.com/acme/base"})
	must(t, err)
	r.reconcile(sourceKey(api.RemoteBaseKind, object.Key.Name)) // must not hide the later requests of its owner

	for _, err := range []error{down, nil} {
		base.block()
		request, failed := r.admin().Reconcile(t.Context(),
			&adminv1.ReconcileRequest{Key: sourceKey("Kustomization", "root")})
		must(t, failed)
		r.await(api.RemoteBaseKind, object.Key.Name, request.RequestedAt)
		handled := `"lastHandledReconcileAt":"` + request.RequestedAt
		if got := r.get("Kustomization", "root"); strings.Contains(got, handled) {
			t.Errorf("answered before the fetch: %s", got)
		}
		base.answer(err)
		if got := r.await("Kustomization", "root", handled); strings.Contains(got, down.Error()) != (err != nil) {
			t.Errorf("after a fetch with the error %v: %s", err, got)
		}
	}
}

// TestReconcile_annotation requests reconciliations in Git and by an operator in turn. The last one counts, also after
// an annotation with a wrong time.
func TestReconcile_annotation(t *testing.T) {
	const future = "2099-01-02T03:04:05Z"
	_, repository := gitServer(t)
	annotate := func(at string) {
		commit(t, repository, map[string]string{"root/kustomization.yaml": "resources: [child.yaml]\n", "root/child.yaml": `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: child, namespace: flux-system, annotations: {reconcile.fluxcd.io/requestedAt: "` + at + `"}}
spec: {interval: 1h, prune: true, path: ./child, sourceRef: {kind: GitRepository, name: fleet}}
`})
	}
	commit(t, repository, map[string]string{"child/kustomization.yaml": "resources: [a.yaml]\n", "child/a.yaml": cluster})
	annotate("one")
	r := start(t, t.TempDir())
	r.applyRoot(repository, "./root")
	isHandled := func(at string) {
		t.Helper()
		r.await("Kustomization", "child", `"lastHandledReconcileAt":"`+at+`"`)
	}
	isHandled("one")
	for _, at := range []string{"two", future, "one"} {
		request, err := r.admin().Reconcile(t.Context(),
			&adminv1.ReconcileRequest{Key: sourceKey("Kustomization", "child"), WithSource: true})
		must(t, err)
		isHandled(request.RequestedAt)
		annotate(at)
		r.reconcile(sourceKey("GitRepository", "fleet"))
		isHandled(at)
	}
}

// get returns the JSON of an object of flux-system.
func (r *rig) get(kind, name string) string {
	r.t.Helper()
	answer, err := r.admin().Get(r.t.Context(), &adminv1.GetRequest{Key: sourceKey(kind, name)})
	must(r.t, err)
	return string(answer.GetObject().GetJson())
}
