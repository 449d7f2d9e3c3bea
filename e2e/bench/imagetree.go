package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/ocitest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const (
	loopName      = "loop" // of the image objects
	updateRounds  = 9
	markedObjects = 200
)

// updateTree lets an ImageUpdateAutomation change 200 marked values in 200 of 1,000 files. Before each round a commit
// by hand, of which the hub does not know yet, has put the old values back.
//
//	image.update_tree_ms  reconciliation of the automation requested → an operator who watches the automation is told of
//	                      the commit that it has pushed; the median of the rounds. In it: git's fetch of the commit by
//	                      hand, the search for markers, the changes, the commit, the push, the store
func updateTree(ctx context.Context, w *workshop) ([]Result, error) {
	registry, err := ocitest.Start(ocitest.Options{})
	if err != nil {
		return nil, err
	}
	st := &stand{workshop: w}
	results, err := st.updates(ctx, registry)
	return results, errors.Join(err, st.close(), registry.Close())
}

func (st *stand) updates(ctx context.Context, registry *ocitest.Server) (_ []Result, err error) {
	if _, err := registry.Commit("org/app:1.0.0", map[string]string{"version": "1.0.0"}, ""); err != nil {
		return nil, err
	}
	old := oldTree(registry.Host() + "/org/app")
	watch, last, err := st.updated(ctx, registry, old)
	if err != nil {
		return nil, err
	}
	var took []float64
	for round := range updateRounds + 1 {
		var one time.Duration
		if one, last, err = st.update(ctx, watch, old, last); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		if round > 0 {
			took = append(took, milliseconds(one))
		}
	}
	return []Result{figure("image.update_tree_ms", median(took), "ms")}, nil
}

// updated starts a hub whose automation has changed the old tree once. It returns a watch of the automation, and its
// commit.
func (st *stand) updated(ctx context.Context, registry *ocitest.Server, old map[string]string) (watch objects,
	commit string, err error) {
	if st.fleet, err = st.lab.NewFleet(ctx, "--log-level=info"); err != nil {
		return nil, "", err
	}
	if st.hub, err = newOperator(st.fleet.Config()); err != nil {
		return nil, "", err
	}
	if err := st.fleet.Bootstrap(ctx, old); err != nil {
		return nil, "", err
	}
	watch, err = st.hub.Watch(ctx, &adminv1.WatchRequest{Name: loopName,
		List: &adminv1.ListRequest{Kind: "ImageUpdateAutomation", Namespace: "flux-system"}})
	if err != nil {
		return nil, "", err
	}
	if err := st.automate(ctx, registry); err != nil {
		return nil, "", err
	}
	commit, err = untilPushed(watch, "")
	return watch, commit, err
}

// automate gives the hub the objects of a loop for the image org/app, and lets the hub push to its repository.
func (st *stand) automate(ctx context.Context, registry *ocitest.Server) error {
	if err := st.fleet.Repo.Configure("http.receivepack", "true"); err != nil {
		return err
	}
	manifest := []byte(imageManifest(registry.Host() + "/org/app"))
	_, err := st.hub.Apply(ctx, &adminv1.ApplyRequest{Manifest: manifest})
	return err
}

// oldTree is a tree of 1,000 files, 200 of which have a marker and an old tag.
func oldTree(repository string) map[string]string {
	files := map[string]string{"hub/kustomization.yaml": "resources: []\n"}
	for i := range manyObjects {
		text := configMap("default", i, repository+":0.9.0")
		if i%(manyObjects/markedObjects) == 0 {
			text = withMarker(text)
		}
		files["apps/"+objectPath(i)] = text
	}
	return files
}

// update puts the old tree back, and returns how long the automation takes to change it, and its commit.
func (st *stand) update(ctx context.Context, watch objects, old map[string]string, last string) (time.Duration, string,
	error) {
	if err := st.fleet.Repo.Sync(); err != nil {
		return 0, "", err
	}
	if _, err := st.fleet.Repo.Apply(gittest.Change{Files: old}); err != nil {
		return 0, "", err
	}
	if err := rest(ctx); err != nil {
		return 0, "", err
	}
	asked := time.Now()
	if err := st.hub.reconcile(ctx, "ImageUpdateAutomation", loopName); err != nil {
		return 0, "", err
	}
	commit, err := untilPushed(watch, last)
	return time.Since(asked), commit, err
}

// untilPushed waits until an ImageUpdateAutomation has pushed another commit than the last one, and returns that.
func untilPushed(watch objects, last string) (string, error) {
	for {
		seen, err := watch.Recv()
		if err != nil {
			return "", fmt.Errorf("watch the ImageUpdateAutomation: %w", err)
		}
		var o struct {
			Status struct{ LastPushCommit string }
		}
		if json.Unmarshal(seen.GetObject().GetJson(), &o) == nil && o.Status.LastPushCommit != "" &&
			o.Status.LastPushCommit != last {
			return o.Status.LastPushCommit, nil
		}
	}
}

// withMarker marks the value of a ConfigMap.
func withMarker(text string) string {
	before, after, _ := strings.Cut(text, "\n  payload:")
	return before + ` # {"$imagepolicy": "flux-system:` + loopName + `"}` + "\n  payload:" + after
}

// imageManifest is the objects of a loop that writes an image's highest version below apps.
func imageManifest(repository string) string {
	return strings.ReplaceAll(fmt.Sprintf(`apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: NAME, namespace: flux-system}
spec: {image: %s, insecure: true, interval: 1h}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: NAME, namespace: flux-system}
spec: {imageRepositoryRef: {name: NAME}, policy: {semver: {range: 1.x}}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: NAME, namespace: flux-system}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: hub}
  git: {commit: {author: {name: Bench, email: bench@example.com}}}
  update: {path: ./apps}
`, repository), "NAME", loopName)
}
