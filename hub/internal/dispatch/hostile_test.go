package dispatch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/e2e/level"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// countLines counts the warnings that are logged.
type countLines struct {
	slog.Handler
	n *atomic.Int64
}

func (countLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (c countLines) Handle(context.Context, slog.Record) error {
	c.n.Add(1)
	return nil
}

// count makes the server's log one that is counted.
func (r *rig) count() *atomic.Int64 {
	n := &atomic.Int64{}
	r.server.Log = slog.New(countLines{slog.DiscardHandler, n})
	return n
}

// attack gives do a client of the cluster, and holds the hub to having nothing left of it when the client has gone.
func (r *rig) attack(cluster string, do func(client spokev1.SpokeServiceClient)) {
	r.t.Helper()
	conn := r.connect(identity.Cluster, cluster)
	client := spokev1.NewSpokeServiceClient(conn)
	_, err := client.Report(context.Background(), &spokev1.ReportRequest{}) // what is made once is there
	must(r.t, err)
	before := level.Take()
	do(client)
	must(r.t, conn.Close())
	must(r.t, before.Return(20*time.Second))
}

// eventsOf counts the events about the Cluster of that name, without those that tell that its spoke came and went.
func (r *rig) eventsOf(cluster string) (n int) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		n = 0
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			presence := e.Reason == condition.Online || e.Reason == condition.Offline
			if e.Object == api.ClusterKey(cluster) && !presence {
				n++
			}
			return nil
		})
	}))
	return n
}

func madeUp(sequence uint64, n int) bundle.ID {
	return bundle.ID{Epoch: 1, Sequence: sequence, Digest: manifest.DigestOf(fmt.Append(nil, n))}
}

// TestHostileAcks sends more acks than a session may send at once, of every kind that a spoke can make up, and then a
// true one, which must count.
func TestHostileAcks(t *testing.T) {
	const n = 3 * messages / 2 // the pace makes this some seconds
	for name, tt := range map[string]struct {
		bundle func(signed bundle.ID, n int) bundle.ID
		stage  spokev1.AckStage
		lines  int
	}{
		"rejections_of_the_newest_number": {func(d bundle.ID, n int) bundle.ID { return madeUp(d.Sequence, n) },
			spokev1.AckStage_ACK_STAGE_REJECTED, warningBurst},
		"rejections_of_older_bundles": {func(_ bundle.ID, n int) bundle.ID { return madeUp(1, n) },
			spokev1.AckStage_ACK_STAGE_REJECTED, warningBurst},
		"acks_of_later_bundles": {func(_ bundle.ID, n int) bundle.ID { return madeUp(1e6, n) },
			spokev1.AckStage_ACK_STAGE_APPLIED, warningBurst},
		"the_same_rejection": {func(d bundle.ID, _ int) bundle.ID { return d },
			spokev1.AckStage_ACK_STAGE_REJECTED, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			row := r.desire("a", 1000)
			lines := r.count()
			r.attack("a", func(client spokev1.SpokeServiceClient) {
				c := r.open(client, bundle.ID{}, 0)
				c.offer()
				began := time.Now()
				for i := range n {
					c.ack(tt.bundle(row.Bundle, i), tt.stage, strings.Repeat("x", 4096))
				}
				c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_HEALTHY, "")
				r.awaitSpoke("a", "the true ack", func(s store.Spoke) bool {
					return s.Acks[bundle.Healthy] == row.Bundle &&
						s.Rejected == ""
				})
				if took, least := time.Since(began), (n-messages)*time.Second/messageRate*9/10; took < least {
					t.Errorf("%d messages were read in %s, want %s", n, took, least)
				}
			})
			if got := lines.Load(); got < 1 || got > int64(tt.lines) {
				t.Errorf("%d lines in the log, want 1 to %d", got, tt.lines)
			}
			if got := r.eventsOf("a"); got > tt.lines {
				t.Errorf("%d events", got)
			}
		})
	}
}

// A spoke that rejects what it was offered, over and over, is heard at the rate of warnings, and others are heard too.
func TestHostileRejections(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	lines := r.count()
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	for n := range uint64(4 * warningBurst) {
		row := r.desire("a", n+1)
		c.offer()
		c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_REJECTED, "no")
		r.awaitSpoke("a", "the newest rejection", func(s store.Spoke) bool {
			return strings.Contains(s.Rejected,
				showID(row.Bundle))
		})
	}
	if n, logged := r.eventsOf("a"), lines.Load(); n != warningBurst || logged != warningBurst {
		t.Errorf("%d events and %d lines, want %d", n, logged, warningBurst)
	}
	row := r.desire("b", 1)
	other := r.open(r.dial(identity.Cluster, "b"), bundle.ID{}, 0)
	other.offer()
	other.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_REJECTED, "no")
	r.await("event about b", func(*store.Tx) (bool, error) { return r.eventsOf("b") == 1, nil })
}

func TestUnofferedAcks(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	row := r.desire("a", 2)
	c.offer()
	c.ack(madeUp(1, 0), spokev1.AckStage_ACK_STAGE_REJECTED, "")
	c.ack(row.Bundle, spokev1.AckStage_ACK_STAGE_RECEIVED, "")
	r.awaitSpoke("a", "the true ack", func(s store.Spoke) bool { return s.Acks[bundle.Received] == row.Bundle })
	count := func(stage string) float64 { return testutil.ToFloat64(r.server.metrics.acks.WithLabelValues(stage)) }
	if count(ackUnoffered) != 1 || count(ackRejected) != 0 {
		t.Errorf("%v unoffered, %v rejected", count(ackUnoffered), count(ackRejected))
	}
}

// A spoke that opens session after session is told when to come back, and the hub says little of it.
func TestHostileHellos(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	r.desire("a", 5)
	lines := r.count()
	r.attack("a", func(client spokev1.SpokeServiceClient) {
		var err error
		for n := range 2 * helloBurst {
			if _, err = r.hello(client, madeUp(9, n), 0).Recv(); err != nil { // each claims another bundle, newer than the hub's
				break
			}
		}
		wantCode(t, err, codes.Unavailable)
		if !asksToWait(err) {
			t.Errorf("it does not say when to come back: %v", err)
		}
	})
	r.written()
	// HubBehind and DuplicateSpoke
	if n, logged := r.eventsOf("a"), lines.Load(); n > 2*warningBurst+1 || logged > 2*warningBurst {
		t.Errorf("%d events, %d lines", n, logged)
	}
	r.open(r.dial(identity.Cluster, "b"), bundle.ID{}, 0)
}

func asksToWait(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration() > 0
		}
	}
	return false
}

// inventory is one of 900 KiB or so that does not compress.
func inventory() (objects []*bundlev1.ObjectIdentity) {
	random := make([]byte, 120)
	text := func() string {
		_, _ = rand.Read(random)
		return hex.EncodeToString(random)
	}
	for range 1850 {
		objects = append(objects, &bundlev1.ObjectIdentity{Namespace: text(), Name: text()})
	}
	return objects
}

func TestHostileReports(t *testing.T) {
	t.Run("bytes_kept", func(t *testing.T) {
		r := newRig(t)
		r.cluster("a", false)
		r.attack("a", func(client spokev1.SpokeServiceClient) {
			var err error
			sent := 0
			for ; err == nil && sent < 40; sent++ {
				a := report(fmt.Sprint("made-up-", sent), "")
				a.Inventory = inventory()
				_, err = client.Report(t.Context(), &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{a}})
			}
			wantCode(t, err, codes.ResourceExhausted)
			if sent < 10 {
				t.Errorf("refused after %d", sent)
			}
		})
		if n := r.stored("a"); n > reporting.MaxStored {
			t.Errorf("%d bytes are kept", n)
		}
		// What the cluster has may change and shrink.
		client := r.dial(identity.Cluster, "a")
		_, err := client.Report(t.Context(),
			&spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{report("made-up-0", "short")}})
		must(t, err)
		_, err = client.Report(t.Context(), &spokev1.ReportRequest{Full: true,
			Applications: []*spokev1.ApplicationReport{report("app", "")}})
		must(t, err)
	})
	t.Run("bytes_per_second", func(t *testing.T) {
		q := newQuotas()
		taken := 0
		for {
			release, err := q.report("a", 1<<20)
			if err != nil {
				wantCode(t, err, codes.ResourceExhausted)
				if !asksToWait(err) {
					t.Errorf("it does not say when to come back: %v", err)
				}
				break
			}
			release()
			if taken += 1 << 20; taken > 2*reportBurst {
				t.Fatal("no end")
			}
		}
		if taken < reportBurst {
			t.Errorf("%d bytes at once", taken)
		}
		if q.reports["a"] != 0 {
			t.Error("a refused report counts as under way")
		}
		if _, err := q.report("b", 1<<20); err != nil {
			t.Errorf("another cluster: %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		b := newBatch(store.OpenMemory(store.Twice), slog.New(slog.DiscardHandler), time.Now) // nobody writes
		kept := &pendingReport{cluster: "b", report: &checkedReport{}, done: make(chan error, 1)}
		b.reports = append(b.reports, kept)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 1000 {
			err := b.report(ctx, &pendingReport{cluster: "a", report: &checkedReport{}, done: make(chan error, 1)})
			wantCode(t, err, codes.Canceled)
		}
		if len(b.reports) != 1 || b.reports[0] != kept {
			t.Errorf("%d reports wait", len(b.reports))
		}
	})
}

// stored is how many bytes the rows of a cluster's reports have.
func (r *rig) stored(cluster string) (n int) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		n = 0
		return store.Reports.Sizes(tx, cluster+"/", func(_ string, bytes int) error {
			n += bytes
			return nil
		})
	}))
	return n
}

func TestWarningQuotas(t *testing.T) {
	q, now := newQuotas(), time.Now()
	for i, step := range []struct {
		cluster, reason string
		after           time.Duration
		due             bool
	}{
		{"a", condition.CertificateRevoked, 0, true}, {"a", condition.CertificateRevoked, 1, false}, {"b",
			condition.CertificateRevoked, 1, true},
		{"a", condition.BundleRejected, 2, true},
		{"a", condition.CertificateRevoked, revokedInterval - 1, false}, {"a", condition.CertificateRevoked, revokedInterval,
			true}, {"a", condition.CertificateRevoked,
			revokedInterval + 1, false},
	} {
		if due := q.warn(step.cluster, step.reason, now.Add(step.after)); due != step.due {
			t.Errorf("%d: %s of %s after %s: %v", i, step.reason, step.cluster, step.after, due)
		}
	}
}
