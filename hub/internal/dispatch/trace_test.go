package dispatch

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

// TestTrace: what a spoke does with a change is in the trace of the change, once, and a bundle that is only signed anew
// adds nothing.
func TestTrace(t *testing.T) {
	var names []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, part := range strings.Split(string(body), `"name":"`)[1:] {
			name, _, _ := strings.Cut(part, `"`)
			names = append(names, name)
		}
	}))
	defer receiver.Close()
	r := newRig(t)
	r.server.Trace = trace.New(trace.Config{URL: receiver.URL})
	r.cluster("a", false)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	live := func(row store.SignedBundle) {
		t.Helper()
		c.offer()
		for _, stage := range []spokev1.AckStage{1, 2, 2, 1, 3} {
			c.ack(row.Bundle, stage, "")
		}
		r.awaitSpoke("a", "healthy", func(s store.Spoke) bool { return s.Acks[bundle.Healthy] == row.Bundle })
	}
	first := r.desire("a", 1)
	live(first)
	again := r.sign("a", 2)
	again.ChangedAt = first.ChangedAt
	r.update(func(tx *store.Tx) error { return store.SignedBundles.Put(tx, "a", again) })
	live(again)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.server.Trace.Run(ended)
	want := []string{"nave", "change", "offer", "apply", "become healthy"}
	if !slices.Equal(names, want) {
		t.Errorf("the scope and spans are %q, want %q", names, want)
	}
}
