package dispatch

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
)

// logged is a log that a test reads while the server writes.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was logged since the last call.
func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.b.String()
	l.b.Reset()
	return text
}

// TestLogFailed logs the name of an application that fails in its cluster once for each change, and no wait for a
// dependency.
func TestLogFailed(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	log := &logged{}
	r.server.Log = slog.New(slog.NewTextHandler(log, nil))
	client := r.dial(identity.Cluster, "a")
	says := func(name, ready, reason, message, want string) {
		t.Helper()
		_, err := client.Report(t.Context(), &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{{
			Name:  &bundlev1.ApplicationName{Kind: "Kustomization", Namespace: "shop", Name: name},
			Ready: ready, Reason: reason, Message: message,
		}}})
		must(t, err)
		if got := log.take(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	const line = `level=WARN msg="application failed in its cluster" object="Kustomization shop/web on a" ` +
		`reason=ReconciliationFailed err=forbidden`
	says("web", condition.False, "ReconciliationFailed", "forbidden", line)
	says("web", condition.False, "ReconciliationFailed", "forbidden", "")
	says("web", condition.Unknown, "Progressing", "applying", "")
	says("web", condition.False, "ReconciliationFailed", "forbidden", line)
	says("api", condition.False, "DependencyNotReady", "waits", "")
}
