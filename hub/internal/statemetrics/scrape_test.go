package statemetrics

import (
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/shared/telemetry"
)

// large is a collector with the summaries of a fleet of 10,000 clusters with 20 objects each.
type large struct {
	*Collector
	registry *prometheus.Registry
}

func newLarge(t testing.TB) *large {
	l := &large{registry: prometheus.NewRegistry()}
	l.Collector = New(Config{Metrics: l.registry})
	for i := range 10_000 {
		l.state.put(nameOf(i), summaryOf(nameOf(i)))
	}
	l.current, l.at = true, now
	go func() { // a loop that finds nothing new
		for ask := range l.asked {
			_ = ask(t.Context())
			for _, done := range l.pending {
				close(done)
			}
			l.pending = nil
		}
	}()
	t.Cleanup(func() { close(l.asked) })
	return l
}

// summaryOf returns the summary of a cluster that is as it should be.
func summaryOf(name string) *cluster {
	c := &cluster{ClusterSummary: status.ClusterSummary{
		Summary: status.Summary{Key: api.ClusterKey(name), Ready: "True", Reason: "ReconciliationSucceeded",
			Revision: "main@sha1:0123456789abcdef0123456789abcdef01234567"},
		Expected: true, Connected: true, CertificateExpires: now.Add(time.Hour), BundleExpires: now.Add(time.Hour),
	}}
	for n := range 20 {
		c.Objects = append(c.Objects, status.Summary{Key: kustomization(name, "app-"+strconv.Itoa(n)), Ready: "True"})
	}
	return c
}

// page returns what a scrape over HTTP gives.
func (l *large) page() string {
	answer := httptest.NewRecorder()
	telemetry.Handler(l.registry, nil, false).ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(),
		"GET", "/metrics", nil))
	return answer.Body.String()
}

// TestScrape_large: of 10,000 clusters a scrape has less than 4 MB. Objects are counted, and of Clusters only those
// that are not as they should be are described.
func TestScrape_large(t *testing.T) {
	l := newLarge(t)
	bad, suspended := summaryOf("c00007"), summaryOf("c00008")
	bad.Ready, bad.Reason, suspended.Suspended = "False", "Offline", true
	l.state.put("c00007", bad)
	l.state.put("c00008", suspended)
	text := l.page()
	for _, want := range []string{
		"nave_clusters 10000", "nave_unlisted_resources 200000",
		`nave_resources{kind="Kustomization",ready="True",suspended="false"} 200000`,
		`nave_resource_ready{cluster="c00007",kind="Cluster",name="c00007",namespace=""} 0`,
		`nave_resource_ready{cluster="c09999",kind="Cluster",name="c09999",namespace=""} 1`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("a scrape lacks %s", want)
		}
	}
	if n := strings.Count(text, "\nnave_resource_info{"); n != 2 {
		t.Errorf("%d Clusters are described, want the two that are not ready or suspended", n)
	}
	if len(text) > 4_000_000 || strings.Contains(text, "app-1") {
		t.Errorf("a scrape has %d bytes in %d lines", len(text), strings.Count(text, "\n"))
	}
}

func BenchmarkScrape(b *testing.B) {
	l := newLarge(b)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(l.page())))
	}
}
