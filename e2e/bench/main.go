// Bench measures Nave as its users run it: the built binaries as processes, a real API server, a real git server, real
// mTLS. Nothing leaves loopback.
//
//	go run ./e2e/bench [-only NAME-PREFIX] [-spokes N] [-bin DIR] [-json bench.json]
//
// As nave-bench it is a program for operators who want to know what hub their fleet needs (docs/operations.md): with
// -bin it measures the programs of a folder and needs no sources.
//
// It prints a line "name value unit" for each figure as it is found, and writes all of them as a list of {name, value,
// unit}. Progress and causes go to standard error. A benchmark that fails leaves its figures out; the others go on, and
// the exit status is 1.
//
// What a figure means, where its clock starts and where it stops, is said above the function that measures it. Figures
// that compare two ways of doing the same thing take turns on the same machine in the same run, and are the median.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/navefleet/nave/e2e/harness"
)

// benchmark finds some figures together.
type benchmark struct {
	figures []string
	limit   time.Duration // of one run; beyond it the benchmark failed
	run     func(context.Context, *workshop) ([]Result, error)
}

var benchmarks = []benchmark{
	{[]string{"apply.create_ratio", "apply.create_ms", "apply.bare_loop_ms"}, 5 * time.Minute, createRatio},
	{[]string{"apply.noop_requests"}, 3 * time.Minute, noopRequests},
	{[]string{"apply.change_one_ms", "commit_to_live_1000.p50_ms", "commit_to_live_1000.p99_ms"}, 5 * time.Minute,
		commitAmongThousand},
	{[]string{"commit_to_live.p50_ms", "commit_to_live.p99_ms"}, 4 * time.Minute, commitInSmallTree},
	{[]string{"render.repo_cold_ms", "render.repo_warm_ms", "render.one_changed_ms", "render.flux_ms",
		"render.flux_ratio"}, 8 * time.Minute, renderRepository},
	{[]string{"render.helm_ms", "render.helm_again_ms", "render.helm_1000_equal_ms", "render.helm_1000_vars_ms",
		"render.plain_1000_ms", "render.helm_1000_plain_ratio"}, 10 * time.Minute, renderCharts},
	{[]string{"helm.install_to_ready_ms", "helm.cli_ms", "helm.install_to_ready_ratio"}, 5 * time.Minute, installRelease},
	{[]string{"image.scan_10000_ms"}, 3 * time.Minute, scanImage},
	{[]string{"image.tag_to_live_ms", "image.by_hand_ms", "image.tag_to_live_ratio"}, 5 * time.Minute, tagToLive},
	{[]string{"image.update_tree_ms"}, 4 * time.Minute, updateTree},
	{[]string{"drift.repair_p50_ms", "drift.repair_p99_ms"}, 4 * time.Minute, driftRepair},
	{[]string{"spoke.rss_idle_mib", "spoke.rss_1000_mib", "spoke.anon_1000_mib", "hub.rss_1000_mib", "hub.anon_1000_mib",
		"spoke.rss_1000_restarted_mib"}, 8 * time.Minute, memory},
	{[]string{"spoke.rss_20_releases_mib", "spoke.anon_20_releases_mib"}, 5 * time.Minute, releaseMemory},
	{[]string{"spoke.binary_mib"}, 3 * time.Minute, spokeBinary},
	{[]string{"fanout.spokes", "fanout.p99_ms", "fanout.all_ms", "fanout.raw_ms", "fanout.raw_ratio",
		"fanout.hub_rss_mib", "fanout.bytes_per_spoke", "idle.hub_cpu_percent", "list.clusters_ms", "storm.p99_s",
		"storm.lost", "restart.in_sync_s", "restart.renders", "restart.blob_bytes"}, 8 * time.Minute, crowded},
}

// setupLimit is for building the binaries and, the first time on a machine, the control plane.
const setupLimit = 30 * time.Minute

// workshop is what the benchmarks share: built binaries, and somebody to tell how it goes.
type workshop struct {
	lab      *harness.Lab
	only     string // what to measure
	spokes   int    // of the fleet of scripted spokes
	progress io.Writer
}

func (w *workshop) say(format string, args ...any) {
	fmt.Fprintf(w.progress, "# "+format+"\n", args...)
}

func main() {
	only := flag.String("only", "", "measure only what starts with one of these names, separated by commas")
	path := flag.String("json", "", "file to write the figures to")
	spokes := flag.Int("spokes", 1000, fmt.Sprintf("scripted spokes, at most %d", maxSpokes))
	bin := flag.String("bin", "", "folder with nave, nave-hub and nave-spoke; otherwise they are built from the sources")
	raw := flag.String("raw-server", "", "serve the bare broadcast with the certificates of this folder (used by fanout)")
	crew := flag.Bool("crew", false, "play spokes as standard input says (used by fanout)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := errors.New("bench takes no arguments, only flags")
	switch {
	case flag.NArg() > 0:
	case *spokes < 1 || *spokes > maxSpokes:
		err = fmt.Errorf("-spokes is %d: want 1 to %d", *spokes, maxSpokes)
	case *crew:
		err = serveCrew(ctx, os.Stdin, os.Stdout)
	case *raw != "":
		err = serveRaw(ctx, *raw, os.Stdin, os.Stdout)
	default:
		w := &workshop{only: *only, spokes: *spokes, progress: os.Stderr}
		err = w.measure(ctx, *bin, *path)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs the chosen benchmarks one after the other; what one found stays, whatever becomes of the others.
func (w *workshop) measure(ctx context.Context, bin, path string) error {
	chosen := choose(w.only)
	if len(chosen) == 0 {
		return fmt.Errorf("no figure starts with %q", w.only)
	}
	setup, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	lab, err := harness.NewLab(setup, harness.Options{Binaries: bin, Progress: w.progress})
	if err != nil {
		return err
	}
	w.lab = lab
	var all []Result
	var errs []error
	for _, b := range chosen {
		found, err := w.measureOne(ctx, b)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", strings.Join(b.figures, ", "), err))
		}
		all = append(all, found...)
	}
	if path != "" {
		errs = append(errs, writeJSON(path, all))
	}
	return errors.Join(append(errs, lab.Close())...)
}

func (w *workshop) measureOne(ctx context.Context, b benchmark) ([]Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.say("%s", strings.Join(b.figures, ", "))
	limit := b.limit
	if slices.Contains(b.figures, "fanout.spokes") {
		limit += time.Duration(w.spokes/1000) * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %s", limit))
	defer cancel()
	started := time.Now()
	results, err := b.run(ctx, w)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	for _, r := range results {
		fmt.Println(r)
	}
	w.say("took %s", time.Since(started).Round(time.Second))
	return results, err
}

// wants reports whether a figure is measured whose name starts with one of these.
func (w *workshop) wants(names ...string) bool {
	return slices.ContainsFunc(strings.Split(w.only, ","), func(only string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			return strings.HasPrefix(name, only) || strings.HasPrefix(only, name)
		})
	})
}

// choose returns the benchmarks that find a figure whose name starts with one of the prefixes.
func choose(prefixes string) []benchmark {
	var chosen []benchmark
	for _, b := range benchmarks {
		if slices.ContainsFunc(strings.Split(prefixes, ","), func(prefix string) bool {
			return slices.ContainsFunc(b.figures, func(name string) bool { return strings.HasPrefix(name, prefix) })
		}) {
			chosen = append(chosen, b)
		}
	}
	return chosen
}
