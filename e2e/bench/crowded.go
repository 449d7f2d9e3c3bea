package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wait"
)

const (
	maxSpokes    = 50_000
	spareFiles   = 1000 // that a hub opens for other things than spokes
	fanoutRounds = 9
	setupWorkers = 16
	listRounds   = 5
	idleTime     = time.Minute
)

// crowded measures a hub with many spokes, w.spokes of them.
//
// The hub is the built binary. The spokes are scripted and live in processes of their own, up to 2,500 in one. Each has
// registered with a join token of its own through RegistrationService, has its own certificate and its own mTLS
// connection, says hello, and sends heartbeats. Given an offer, it does on the wire what nave-spoke does: it takes the
// blobs that it lacks (the Application and the changed object) from the offer and fetches those that are not in it,
// acknowledges received, applied and healthy, and reports. If its session ends, it comes back after the pauses of
// nave-spoke. It verifies neither signatures nor digests, and applies nothing.
//
//	fanout.spokes           how many there are
//	fanout.all_ms           one changed line for all clusters; push done and reconciliation requested → the last spoke
//	                        has sent its APPLIED; the median of the rounds. The hub's count of them is looked at
//	                        afterwards: the metrics of 10,000 clusters take it longer than their acks
//	fanout.p99_ms           the same for each spoke; over all spokes and rounds
//	fanout.raw_ms           a bare grpc-go server, a process of its own, sends each of as many streams (as many mTLS
//	                        connections, the same TLS configuration, in the processes of the spokes) one message of the
//	                        bytes that a spoke received in a round, and has got one answer from each; the median of
//	                        three each round, and of the rounds
//	fanout.raw_ratio        the median of all ÷ raw, the two taking turns
//	fanout.hub_rss_mib      resident memory of the hub and its workers after that, with all connected, settled
//	fanout.bytes_per_spoke  what a spoke's connection carried in a round, both ways, TLS included; the median
//	idle.hub_cpu_percent    of one CPU, that the hub and its workers use in a minute in which nothing changes
//	list.clusters_ms        `nave get clusters`, from the start of the process to its end; the median of five
//	storm.p99_s             every spoke loses its connection at the same moment → a spoke has been welcomed again
//	storm.lost              calls of spokes meanwhile that ran into a timeout
//	restart.in_sync_s       the hub is killed → it serves again, every spoke has a session and has what the hub has for
//	                        it, and the hub's store says so
//	restart.renders         renders of the hub from then on
//	restart.blob_bytes      bytes of blobs that it sent from then on
func crowded(ctx context.Context, w *workshop) ([]Result, error) {
	f := &fan{workshop: w}
	results, err := f.run(ctx)
	return results, errors.Join(err, f.close())
}

// fan is the stand of this benchmark.
type fan struct {
	*workshop
	fleet *harness.Fleet
	hub   *operator
	crews crews
	raw   *rawServer
}

func (f *fan) close() error {
	var errs []error
	errs = append(errs, f.crews.close())
	if f.raw != nil {
		errs = append(errs, f.raw.close())
	}
	if f.hub != nil {
		errs = append(errs, f.hub.conn.Close())
	}
	if f.fleet != nil {
		errs = append(errs, f.fleet.Close())
	}
	return errors.Join(errs...)
}

func (f *fan) run(ctx context.Context) (results []Result, err error) {
	if err := f.start(ctx); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		figures []string
		measure func(context.Context) ([]Result, error)
	}{
		{[]string{"fanout."}, f.fanout}, {[]string{"idle."}, f.idle}, {[]string{"list."}, f.list},
		{[]string{"storm."}, f.storm}, {[]string{"restart."}, f.restart},
	} {
		if !f.wants(part.figures...) {
			continue
		}
		found, err := part.measure(ctx)
		results = append(results, found...)
		if err != nil {
			return results, fmt.Errorf("%s: %w", part.figures[0], err)
		}
	}
	return results, nil
}

// fanout commits one changed line for all clusters, some times.
func (f *fan) fanout(ctx context.Context) ([]Result, error) {
	err := error(nil)
	if f.raw, err = startRaw(ctx, filepath.Join(f.fleet.Dir, "raw"), f.crews, f.spokes); err != nil {
		return nil, err
	}
	var latencies, all, raw, ratios, bytes []float64
	for round := range fanoutRounds + 1 {
		r, err := f.round(ctx, round)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		bare, err := f.bare(ctx, int(r.received))
		if err != nil {
			return nil, fmt.Errorf("round %d: bare broadcast: %w", round, err)
		}
		f.say("round %d: hub %s (published after %s), bare broadcast %s; %.0f bytes to each spoke, %.0f back", round,
			r.all.Round(time.Millisecond), r.published.Round(time.Millisecond), bare.Round(time.Millisecond), r.received, r.sent)
		if round == 0 {
			continue
		}
		latencies = append(latencies, r.latencies...)
		all, raw = append(all, milliseconds(r.all)), append(raw, milliseconds(bare))
		ratios, bytes = append(ratios, float64(r.all)/float64(bare)), append(bytes, r.received+r.sent)
	}
	if err := f.sayRounds(ctx); err != nil {
		return nil, err
	}
	memory, err := settledMemory(ctx, f.fleet.Hub)
	return []Result{
		figure("fanout.spokes", float64(f.spokes), "spokes"),
		figure("fanout.p99_ms", percentile(latencies, 99), "ms"),
		figure("fanout.all_ms", median(all), "ms"),
		figure("fanout.raw_ms", median(raw), "ms"),
		figure("fanout.raw_ratio", median(ratios), "ratio"),
		figure("fanout.hub_rss_mib", memory.resident, "MiB"),
		figure("fanout.bytes_per_spoke", median(bytes), "bytes"),
	}, err
}

// start brings up the hub and its clusters, and the scripted spokes, and waits until each has its first bundle.
func (f *fan) start(ctx context.Context) (err error) {
	if err := openFiles(f.spokes); err != nil {
		return err
	}
	if f.fleet, err = f.lab.NewFleet(ctx, "--log-level=info", "--pprof"); err != nil {
		return err
	}
	files := below("apps/", tree("default", smallTree, "first"))
	files["hub/fleet.yaml"] = fleetManifest("", true)
	if err := f.fleet.Bootstrap(ctx, files); err != nil {
		return err
	}
	if f.hub, err = newOperator(f.fleet.Config()); err != nil {
		return err
	}
	started := time.Now()
	if err := f.addClusters(ctx); err != nil {
		return fmt.Errorf("add clusters: %w", err)
	}
	if f.crews, err = startCrews(f.spokes); err != nil {
		return err
	}
	if err := f.crews.join(ctx, f.hub); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	f.say("%d spokes registered and connected in %s", f.spokes, time.Since(started).Round(time.Millisecond))
	if _, err := f.crews.do(ctx, order{Await: "@sha1:"}); err != nil {
		return err
	}
	_, err = f.crews.do(ctx, order{Report: true})
	f.say("all have their first bundle after %s", time.Since(started).Round(time.Millisecond))
	return err
}

// openFiles returns an error if a process may not have a connection for each spoke.
func openFiles(spokes int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if needed := uint64(spokes + spareFiles); limit.Max < needed {
		return fmt.Errorf("a process may open %d files, the hub of %d spokes needs %d: raise the hard limit (ulimit -Hn)",
			limit.Max, spokes, needed)
	}
	return nil
}

func spokeName(i int) string { return fmt.Sprintf("c%05d", i) }

func (f *fan) addClusters(ctx context.Context) error {
	var manifest strings.Builder
	for i := range f.spokes {
		fmt.Fprintf(&manifest, "---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s}\n", spokeName(i))
	}
	_, err := f.hub.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(manifest.String())})
	return err
}

// fanRound is what one commit took.
type fanRound struct {
	all            time.Duration
	published      time.Duration // until the hub had signed every bundle
	latencies      []float64     // of each spoke, milliseconds
	received, sent float64       // bytes of a spoke, the median
}

func (f *fan) round(ctx context.Context, n int) (r fanRound, err error) {
	const applied = `nave_acks_total{stage="applied"}`
	before, err := f.fleet.Hub.Metric(ctx, applied)
	if err != nil {
		return r, err
	}
	if err := f.settle(ctx); err != nil {
		return r, err
	}
	offset, err := logSize(f.fleet.Hub)
	if err != nil {
		return r, err
	}
	if _, err := f.crews.do(ctx, order{Reset: true}); err != nil {
		return r, err
	}
	content := configMap("default", 0, fmt.Sprint("round ", n))
	commit, err := f.fleet.Repo.Apply(gittest.Change{Files: map[string]string{"apps/" + objectPath(0): content}})
	if err != nil {
		return r, err
	}
	asked := time.Now()
	if err := f.hub.fetch(ctx); err != nil {
		return r, err
	}
	acked, err := f.crews.do(ctx, order{Await: commit})
	if err != nil {
		return r, err
	}
	if _, err := f.crews.do(ctx, order{Report: true}); err != nil {
		return r, err
	}
	err = kubetest.Until(ctx, "every ack at the hub", func(ctx context.Context) error {
		if now, err := f.fleet.Hub.Metric(ctx, applied); err != nil || now >= before+float64(f.spokes) {
			return err
		}
		return errors.New("some are missing")
	})
	if err != nil {
		return r, err
	}
	for _, at := range acked.Applied {
		r.latencies = append(r.latencies, milliseconds(at.Sub(asked)))
		r.all = max(r.all, at.Sub(asked))
	}
	counted, err := f.crews.do(ctx, order{Count: true})
	if err != nil {
		return r, err
	}
	r.received, r.sent = median(floats(counted.Received)), median(floats(counted.Sent))
	published, err := firstLogged(f.fleet.Hub.Log, offset, "published bundles")
	r.published = published.Sub(asked)
	return r, err
}

// bare is the median of three bare broadcasts: one is over so fast that a busy machine's scheduler decides about it.
func (f *fan) bare(ctx context.Context, bytes int) (time.Duration, error) {
	var samples []float64
	for range 3 {
		took, err := f.raw.broadcast(ctx, bytes)
		if err != nil {
			return 0, err
		}
		samples = append(samples, float64(took))
	}
	return time.Duration(median(samples)), nil
}

// sayRounds tells how long the hub planned and signed, for those who look for where the time went. The rounds in which
// the clusters came are among them.
func (f *fan) sayRounds(ctx context.Context) error {
	for name, what := range map[string]string{"nave_plan_round_seconds": "planning",
		"nave_publish_round_seconds": "signing and writing"} {
		sum, err := f.fleet.Hub.Metric(ctx, name+"_sum")
		if err != nil {
			return err
		}
		count, err := f.fleet.Hub.Metric(ctx, name+"_count")
		if err != nil {
			return err
		}
		f.say("%s took %.2f s in %.0f rounds", what, sum, count)
	}
	return nil
}

// settle lets the hub finish what the last round left to write, and what the look at its metrics has it compute.
func (f *fan) settle(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func floats(numbers []int64) []float64 {
	list := make([]float64, len(numbers))
	for i, n := range numbers {
		list[i] = float64(n)
	}
	return list
}

// idle lets the hub settle and measures what it uses in a minute.
func (f *fan) idle(ctx context.Context) ([]Result, error) {
	if err := wait.For(ctx, 10*time.Second); err != nil {
		return nil, err
	}
	before, err := cpuOf("/proc", f.fleet.Hub.PID())
	if err != nil {
		return nil, err
	}
	started := time.Now()
	if err := wait.For(ctx, idleTime); err != nil {
		return nil, err
	}
	after, err := cpuOf("/proc", f.fleet.Hub.PID())
	percent := 100 * float64(after-before) / float64(time.Since(started))
	return []Result{figure("idle.hub_cpu_percent", percent, "%")}, err
}

// list lists all clusters as an operator does.
func (f *fan) list(ctx context.Context) ([]Result, error) {
	var samples []float64
	for range listRounds {
		started := time.Now()
		out, err := f.fleet.Nave(ctx, "get", "clusters")
		if err != nil {
			return nil, err
		}
		samples = append(samples, milliseconds(time.Since(started)))
		if lines := strings.Count(out, "\n"); lines < f.spokes {
			return nil, fmt.Errorf("%d lines about %d clusters", lines, f.spokes)
		}
	}
	return []Result{figure("list.clusters_ms", median(samples), "ms")}, nil
}

// storm ends the connections of all spokes at the same moment, and waits until all have come back.
func (f *fan) storm(ctx context.Context) ([]Result, error) {
	if _, err := f.crews.do(ctx, order{Reset: true}); err != nil {
		return nil, err
	}
	started := time.Now()
	if _, err := f.crews.do(ctx, order{Drop: true}); err != nil {
		return nil, err
	}
	back, err := f.crews.do(ctx, order{Back: true})
	if err != nil {
		return nil, err
	}
	samples := secondsFrom(started, back.Welcomed)
	f.say("all back after %.1f s; %v", percentile(samples, 100), back.Ended)
	return []Result{figure("storm.p99_s", percentile(samples, 99), "s"),
		figure("storm.lost", float64(back.Lost), "calls")}, nil
}

func secondsFrom(started time.Time, moments []time.Time) (samples []float64) {
	for _, at := range moments {
		samples = append(samples, at.Sub(started).Seconds())
	}
	return samples
}

// restart kills the hub, starts it again, and waits until all spokes are connected, in sync, and known to be.
func (f *fan) restart(ctx context.Context) ([]Result, error) {
	if _, err := f.crews.do(ctx, order{Reset: true}); err != nil {
		return nil, err
	}
	started := time.Now()
	if err := f.fleet.Hub.Kill(); err != nil {
		return nil, err
	}
	if err := f.fleet.Hub.Start(ctx); err != nil {
		return nil, err
	}
	f.say("the hub serves again after %s", time.Since(started).Round(time.Millisecond))
	back, err := f.crews.do(ctx, order{Back: true})
	if err != nil {
		return nil, err
	}
	f.say("all back after %.1f s; %v", percentile(secondsFrom(started, back.Welcomed), 100), back.Ended)
	if err := f.inSync(ctx); err != nil {
		return nil, err
	}
	took := time.Since(started)
	renders, err := f.fleet.Hub.Metric(ctx, "nave_render_seconds_count")
	if err != nil {
		return nil, err
	}
	sent, err := f.fleet.Hub.Metric(ctx, "nave_fetch_bytes_total")
	return []Result{figure("restart.in_sync_s", took.Seconds(), "s"), figure("restart.renders", renders, "renders"),
		figure("restart.blob_bytes", sent, "bytes")}, err
}

// inSync waits until the hub says of each cluster that it is ready, which is that its spoke is connected and healthy
// with the newest bundle.
func (f *fan) inSync(ctx context.Context) error {
	return kubetest.Until(ctx, "all clusters in sync", func(ctx context.Context) error {
		out, err := f.fleet.Nave(ctx, "get", "clusters", "--no-headers")
		if err != nil {
			return err
		}
		ready := 0
		for line := range strings.Lines(out) {
			if slices.Contains(strings.Fields(line), "True") {
				ready++
			}
		}
		if ready < f.spokes {
			return fmt.Errorf("%d of %d clusters are ready", ready, f.spokes)
		}
		return nil
	})
}
