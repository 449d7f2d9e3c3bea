package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/kubetest"
)

// TestMigrateRunningFlux forgets to suspend Flux, which goes on applying an older commit. Nave says which objects Flux
// changes back and how to suspend it, and pauses between repairs. Once Flux is suspended, all is as after any
// migration.
func TestMigrateRunningFlux(t *testing.T) {
	needsLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	m := &migration{t: t, cluster: lab.Clusters[0], dir: t.TempDir()}
	m.startFlux(ctx)
	older := filepath.Join(m.dir, "older")
	m.must(os.CopyFS(older, os.DirFS(m.fleet.Repo.WorkTree())))
	scaled := strings.Replace(shop, "\n  replicas: 2", "", 1) // which Flux would scale back
	m.must(os.WriteFile(filepath.Join(older, "shop", "shop.yaml"), []byte(scaled), 0o600))
	lines, after := m.read(), []string{}
	for i, line := range lines {
		if line == "flux suspend kustomization --all --namespace flux-system" {
			lines, after = lines[:i], lines[i+1:]
			break
		}
	}
	m.play(ctx, lines)
	f := m.keepApplying(ctx, older)
	m.play(ctx, after[:1])
	m.shows(ctx, `^✗ Kustomization flux-system/shop on east, for \S+: DriftHeld\n`+
		` +ConfigMap flux-shop/settings was changed by kustomize-controller: /data/removed was added: "1"\n`+
		` +affects Fleet flux\n`+
		` +→ Flux applies it, too: flux suspend kustomization shop --namespace flux-system`)
	repaired := m.repaired(ctx)
	f.await(ctx, 12)
	if n := m.repaired(ctx) - repaired; n > 20 {
		t.Errorf("Nave repaired %v objects while Flux applied twelve times", n)
	}
	f.stop()
	m.must(m.flux.Suspend(ctx, "flux-system"))
	m.must(kubetest.Until(ctx, "a reconciliation", func(ctx context.Context) error {
		_, err := m.fleet.Nave(ctx, "reconcile", "kustomization", "shop", "--cluster=east")
		return err
	}))
	m.play(ctx, after[1:])
	m.check(ctx)
}

// play runs lines of the document.
func (m *migration) play(ctx context.Context, lines []string) {
	m.t.Helper()
	for _, line := range lines {
		if err := m.run(ctx, line); err != nil {
			m.t.Fatalf("%s: %v\nhub: %s", line, err, m.fleet.Hub.Tail())
		}
	}
}

// shows waits until explain shows what a pattern says.
func (m *migration) shows(ctx context.Context, pattern string) {
	m.t.Helper()
	want := regexp.MustCompile("(?m)" + pattern)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m.must(until(ctx, func() error {
		out, err := m.fleet.Nave(ctx, "explain") // it ends with 1
		if !want.MatchString(out) {
			return fmt.Errorf("no match for %q in\n%s\n%w", pattern, out, err)
		}
		return nil
	}))
}

// repaired returns how many objects the spoke has repaired.
func (m *migration) repaired(ctx context.Context) float64 {
	m.t.Helper()
	n, err := m.spoke.Metric(ctx, "nave_spoke_drift_repaired_total")
	m.must(err)
	return n
}

// applying is a Flux that applies a checkout over and over.
type applying struct {
	m      *migration
	rounds chan error
	stop   func()
}

// keepApplying lets Flux apply a checkout over and over, until it is stopped.
func (m *migration) keepApplying(ctx context.Context, checkout string) *applying {
	ctx, cancel := context.WithCancel(ctx)
	f := &applying{m: m, rounds: make(chan error)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			err := m.flux.Reconcile(ctx, checkout, "main@sha1:1")
			select {
			case f.rounds <- err:
			default:
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	f.stop = func() { cancel(); <-ended }
	m.t.Cleanup(f.stop)
	return f
}

// await waits until Flux has applied so many times.
func (f *applying) await(ctx context.Context, rounds int) {
	f.m.t.Helper()
	for range rounds {
		select {
		case err := <-f.rounds:
			f.m.must(err)
		case <-ctx.Done():
			f.m.t.Fatal("Flux does not apply any more")
		}
	}
}
