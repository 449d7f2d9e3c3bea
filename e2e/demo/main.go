// Command demo shows Nave at work on this machine: a hub, two real Kubernetes clusters with a spoke each, and a git
// repository served over HTTP with a small app and a release of Helm per cluster. It stays until Ctrl-C, or
// ends with an error when the hub or a spoke ends. With -once it plays the story of a commit by itself and exits 0 only
// if every step was seen on the API servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/sopstest"
)

func main() {
	once := flag.Bool("once", false, "play the story and exit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

// run plays or shows the demo. If it is interrupted while it is shown, or before, that is no error.
func run(ctx context.Context, once bool) (err error) {
	d := &demo{start: time.Now()}
	defer func() { err = errors.Join(err, d.close()) }()
	if err = d.show(ctx, once); ctx.Err() != nil && !once {
		d.say("stopping")
		return nil
	}
	return err
}

// close stops what was started.
func (d *demo) close() error {
	var errs []error
	if d.fleet != nil {
		errs = append(errs, d.fleet.Close())
	}
	if d.lab != nil {
		errs = append(errs, d.lab.Close())
	}
	return errors.Join(errs...)
}

// show starts everything, and plays the story or waits until ctx ends.
func (d *demo) show(ctx context.Context, once bool) (err error) {
	d.say("building nave, starting two Kubernetes clusters")
	if d.lab, err = harness.NewLab(ctx, harness.Options{Clusters: []string{"east", "west"}}); err != nil {
		return err
	}
	d.say("starting a hub and a git server")
	if d.fleet, err = d.lab.NewFleet(ctx); err != nil {
		return err
	}
	if err := d.setUp(ctx); err != nil {
		return err
	}
	if once {
		return d.play(ctx)
	}
	d.hints()
	return d.await(ctx)
}

// await waits until ctx ends. If the hub or a spoke ends before, await returns an error with the end of its log.
func (d *demo) await(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.fleet.Hub.Wait(ctx) })
	for _, s := range d.fleet.Spokes {
		group.Go(func() error { return s.Wait(ctx) })
	}
	return group.Wait()
}

// demo is the state of one run.
type demo struct {
	start time.Time
	lab   *harness.Lab
	fleet *harness.Fleet
	key   *sopstest.Key
}

func (d *demo) say(format string, args ...any) {
	fmt.Printf("[%6.1fs] %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

// hints says what to try next.
func (d *demo) hints() {
	fmt.Printf(`
Everything runs. In another terminal:

  export NAVE_CONFIG=%s PATH=%s:$PATH
  nave cluster list
  nave get kustomizations -A
  nave tree kustomization root --cluster east
  nave explain

Change something and watch it go live on both clusters:

  cd %s
  sed -i 's/welcome/hello/' apps/base/config.yaml && git commit -qam 'say hello' && git push -q
  nave reconcile kustomization app --cluster east --with-source

See a release of Helm, test it, change it (values in clusters/east/greeter.yaml) and see its history:

  nave get helmreleases -A
  nave test greeter -n app --cluster east
  nave history helmrelease greeter -n app
  nave rollback helmrelease greeter -n app --cluster east # once there are two; nave release helmrelease ends it

Look into the clusters (with kubectl), edit something by hand and see it repaired:

  kubectl --kubeconfig %s get all,secrets -n app
  kubectl --kubeconfig %s get all,secrets -n app

Ctrl-C ends the demo and leaves nothing running.

`, d.fleet.Config(), filepath.Join(d.lab.Dir, "bin"), d.fleet.Repo.WorkTree(), d.lab.Clusters[0].Kubeconfig,
		d.lab.Clusters[1].Kubeconfig)
}
