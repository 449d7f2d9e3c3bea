package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/e2e/sopstest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const renderRounds = 5

// renderRepository measures how long the hub takes from a fetched commit until the bundle of a cluster is signed and
// stored, for a repository of 130 Kustomizations (repository); medians of five rounds. The clock starts with the hub's
// log line about the artifact and stops with the one about the bundle: in between the hub walks the graph, renders,
// seals, stores blobs and rows, and signs.
//
//	render.repo_cold_ms    every manifest of the repository changed, so that everything is built
//	render.repo_warm_ms    the commit changed a file that no Kustomization uses
//	render.one_changed_ms  the commit changed one ConfigMap; the run fails unless the hub built exactly one Kustomization
//	render.flux_ms         Flux's own library builds the files of the cold commit, once they are on disk
//	render.flux_ratio      flux ÷ cold, the two taking turns
//
// Flux's library builds one Kustomization at a time, because kustomize has global state. It has no memory between
// builds: a commit that touches one Kustomization costs Flux the same as one that touches all.
func renderRepository(ctx context.Context, w *workshop) ([]Result, error) {
	r := &repositoryStand{workshop: w}
	err := r.start(ctx)
	var results []Result
	if err == nil {
		results, err = r.measure(ctx)
	}
	return results, errors.Join(err, r.close())
}

// repositoryStand is a hub with one cluster, which needs no spoke, and a repository.
type repositoryStand struct {
	*workshop
	fleet *harness.Fleet
	hub   *operator
	key   *sopstest.Key
}

func (r *repositoryStand) start(ctx context.Context) (err error) {
	if r.key, err = sopstest.NewAge(); err != nil {
		return err
	}
	if r.fleet, err = r.lab.NewFleet(ctx, "--log-level=info"); err != nil {
		return err
	}
	files := map[string]string{
		"hub/fleet.yaml": fleetManifest("", true), "apps/first.yaml": configMap("bench", 0, "first"),
	}
	if err := r.fleet.Bootstrap(ctx, files); err != nil {
		return err
	}
	if r.hub, err = newOperator(r.fleet.Config()); err != nil {
		return err
	}
	cluster := []byte("apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: bench}\n")
	if _, err := r.hub.Apply(ctx, &adminv1.ApplyRequest{Manifest: cluster}); err != nil {
		return err
	}
	return kubetest.Until(ctx, "the first bundle", func(context.Context) error {
		_, err := firstLogged(r.fleet.Hub.Log, 0, "published bundles")
		return err
	})
}

func (r *repositoryStand) close() error {
	var errs []error
	if r.hub != nil {
		errs = append(errs, r.hub.conn.Close())
	}
	if r.fleet != nil {
		errs = append(errs, r.fleet.Close())
	}
	return errors.Join(errs...)
}

func (r *repositoryStand) measure(ctx context.Context) ([]Result, error) {
	var cold, warm, one, flux, ratios []float64
	for round := range renderRounds + 1 {
		t, err := r.round(ctx, round)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		r.say("round %d: cold %s, warm %s, one changed %s; Flux %s", round, t.cold, t.warm, t.one,
			t.flux.Round(time.Millisecond))
		if round == 0 {
			continue
		}
		cold, warm = append(cold, milliseconds(t.cold)), append(warm, milliseconds(t.warm))
		one = append(one, milliseconds(t.one))
		flux, ratios = append(flux, milliseconds(t.flux)), append(ratios, float64(t.flux)/float64(t.cold))
	}
	return []Result{
		figure("render.repo_cold_ms", median(cold), "ms"),
		figure("render.repo_warm_ms", median(warm), "ms"),
		figure("render.one_changed_ms", median(one), "ms"),
		figure("render.flux_ms", median(flux), "ms"),
		figure("render.flux_ratio", median(ratios), "ratio"),
	}, nil
}

// renderTimes are the times of one round.
type renderTimes struct{ cold, warm, one, flux time.Duration }

func (r *repositoryStand) round(ctx context.Context, round int) (t renderTimes, err error) {
	files, err := repository(round, r.key)
	if err != nil {
		return t, err
	}
	files["hub/fleet.yaml"] = fleetManifestAt("./"+repositoryRoot, "", true)
	if t.cold, err = r.commit(ctx, files, repositoryApps); err != nil {
		return t, fmt.Errorf("every manifest changed: %w", err)
	}
	if t.flux, err = r.flux(ctx, files); err != nil {
		return t, err
	}
	readme := map[string]string{"README.md": fmt.Sprint("round ", round)}
	if t.warm, err = r.commit(ctx, readme, 0); err != nil {
		return t, fmt.Errorf("no manifest changed: %w", err)
	}
	i := 11 * (round + 1)
	_, changed := manifestNumber(i, 0, -round-1)
	if t.one, err = r.commit(ctx, map[string]string{changingFile(i): changed}, 1); err != nil {
		return t, fmt.Errorf("one manifest changed: %w", err)
	}
	return t, nil
}

// commit commits files and returns the time from the artifact to the bundle. If the hub built fewer or more
// Kustomizations than expected, commit returns an error; the roots, which the first commit changes, do not count.
func (r *repositoryStand) commit(ctx context.Context, files map[string]string, builds int) (time.Duration, error) {
	before, err := r.builds(ctx)
	if err != nil {
		return 0, err
	}
	offset, err := logSize(r.fleet.Hub)
	if err != nil {
		return 0, err
	}
	if _, err := r.fleet.Repo.Apply(gittest.Change{Files: files}); err != nil {
		return 0, err
	}
	if err := r.hub.fetch(ctx); err != nil {
		return 0, err
	}
	var published time.Time
	err = kubetest.Until(ctx, "a new bundle", func(context.Context) (err error) {
		published, err = firstLogged(r.fleet.Hub.Log, offset, "published bundles")
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, r.fleet.Hub.Tail())
	}
	fetched, err := firstLogged(r.fleet.Hub.Log, offset, "new artifact")
	if err != nil {
		return 0, err
	}
	after, err := r.builds(ctx)
	if err != nil {
		return 0, err
	}
	const roots = 2 // the hub's own and the cluster's
	if done := int(after - before); done < builds || done > builds && (builds < repositoryApps || done > builds+roots) {
		return 0, fmt.Errorf("the hub built %d Kustomizations, want %d\n%s", done, builds, r.fleet.Hub.Tail())
	}
	return published.Sub(fetched), rest(ctx)
}

// builds returns how many Kustomizations the hub has built so far, without those that it remembered.
func (r *repositoryStand) builds(ctx context.Context) (float64, error) {
	return r.fleet.Hub.Metric(ctx, `nave_render_answers_total{by="render"}`)
}

// flux builds files with Flux's library.
func (r *repositoryStand) flux(ctx context.Context, files map[string]string) (time.Duration, error) {
	dir, err := os.MkdirTemp(r.fleet.Dir, "flux-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return 0, err
	}
	t, err := newFluxTree(dir, files)
	if err != nil {
		return 0, err
	}
	return t.build(ctx)
}
