package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const (
	fanoutSpokes = 1000
	fanoutRounds = 9
	setupWorkers = 16
)

// fanout commits one changed line for 1,000 clusters and waits until all have acknowledged it.
//
// The hub is the built binary. The spokes are scripted and live in this process: each has registered with a join token
// of its own through RegistrationService, has its own certificate and its own mTLS connection, and says hello. Given an
// offer, it does on the wire what nave-spoke does: it takes the blobs that it lacks (the Application and the changed
// object) from the offer and fetches those that are not in it, acknowledges received, applied and healthy, and reports.
// It verifies neither signatures nor digests, and applies nothing.
//
//	fanout.all_ms           push done and reconciliation requested → the hub counts the last APPLIED; the median of the
//	                        rounds
//	fanout.p99_ms           the same → a spoke has sent its APPLIED; over all spokes and rounds
//	fanout.raw_ms           a bare grpc-go server, a process of its own, sends each of 1,000 streams (as many mTLS
//	                        connections, the same TLS configuration) one message of the bytes that a spoke received in
//	                        a round, and has got one answer from each; the median of three each round, and of the rounds
//	fanout.raw_ratio        the median of all ÷ raw, the two taking turns
//	fanout.hub_rss_mib      resident memory of the hub and its workers after that, with all connected, settled
//	fanout.bytes_per_spoke  what a spoke's connection carried in a round, both ways, TLS included; the median
func fanout(ctx context.Context, w *workshop) ([]Result, error) {
	f := &fan{workshop: w}
	results, err := f.run(ctx)
	return results, errors.Join(err, f.close())
}

// fan is the stand of this benchmark.
type fan struct {
	*workshop
	fleet *harness.Fleet
	hub   *operator
	crowd *crowd
	raw   *rawServer
}

func (f *fan) close() error {
	var errs []error
	if f.raw != nil {
		errs = append(errs, f.raw.close())
	}
	if f.crowd != nil {
		errs = append(errs, f.crowd.close())
	}
	if f.hub != nil {
		errs = append(errs, f.hub.conn.Close())
	}
	if f.fleet != nil {
		errs = append(errs, f.fleet.Close())
	}
	return errors.Join(errs...)
}

func (f *fan) run(ctx context.Context) ([]Result, error) {
	if err := f.start(ctx); err != nil {
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
		figure("fanout.p99_ms", percentile(latencies, 99), "ms"),
		figure("fanout.all_ms", median(all), "ms"),
		figure("fanout.raw_ms", median(raw), "ms"),
		figure("fanout.raw_ratio", median(ratios), "ratio"),
		figure("fanout.hub_rss_mib", memory.resident, "MiB"),
		figure("fanout.bytes_per_spoke", median(bytes), "bytes"),
	}, err
}

// start brings up the hub and its clusters, the scripted spokes, and the bare server with as many connections.
func (f *fan) start(ctx context.Context) (err error) {
	if f.fleet, err = f.lab.NewFleet(ctx, "--log-level=info"); err != nil {
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
	if f.crowd, err = f.join(ctx); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	f.say("%d spokes registered and connected in %s", fanoutSpokes, time.Since(started).Round(time.Millisecond))
	f.raw, err = startRaw(ctx, filepath.Join(f.fleet.Dir, "raw"))
	return err
}

func spokeName(i int) string { return fmt.Sprintf("c%04d", i) }

func (f *fan) addClusters(ctx context.Context) error {
	var manifest strings.Builder
	for i := range fanoutSpokes {
		fmt.Fprintf(&manifest, "---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s}\n", spokeName(i))
	}
	_, err := f.hub.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(manifest.String())})
	return err
}

// join registers every spoke with a token of its own, connects it, and waits until each has carried out its first
// bundle.
func (f *fan) join(ctx context.Context) (*crowd, error) {
	c := newCrowd(ctx, fanoutSpokes)
	err := registerAll(ctx, f.hub, fanoutSpokes, func(_ context.Context, i int, s *scripted) error { return c.add(i, s) })
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, c.await(ctx, "@sha1:")
}

// fanRound is what one commit took.
type fanRound struct {
	all            time.Duration
	published      time.Duration // until the hub had signed every bundle
	latencies      []float64     // of each spoke, milliseconds
	received, sent float64       // bytes of a spoke, the median
}

func (f *fan) round(ctx context.Context, n int) (r fanRound, err error) {
	if err := f.settle(ctx); err != nil {
		return r, err
	}
	const applied = `nave_acks_total{stage="applied"}`
	before, err := f.fleet.Hub.Metric(ctx, applied)
	if err != nil {
		return r, err
	}
	offset, err := logSize(f.fleet.Hub)
	if err != nil {
		return r, err
	}
	f.crowd.resetBytes()
	content := configMap("default", 0, fmt.Sprint("round ", n))
	commit, err := f.fleet.Repo.Apply(gittest.Change{Files: map[string]string{"apps/" + objectPath(0): content}})
	if err != nil {
		return r, err
	}
	asked := time.Now()
	if err := f.hub.fetch(ctx); err != nil {
		return r, err
	}
	if err := f.crowd.await(ctx, commit); err != nil {
		return r, err
	}
	err = kubetest.Until(ctx, "every ack at the hub", func(ctx context.Context) error {
		if now, err := f.fleet.Hub.Metric(ctx, applied); err != nil || now >= before+fanoutSpokes {
			return err
		}
		return errors.New("some are missing")
	})
	if err != nil {
		return r, err
	}
	r.all = time.Since(asked)
	if err := f.crowd.reported(ctx); err != nil {
		return r, err
	}
	r.latencies = f.crowd.latencies(asked)
	r.received, r.sent = f.crowd.medianBytes()
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

// settle lets the hub finish what the last round left to write.
func (f *fan) settle(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
