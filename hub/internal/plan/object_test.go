package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/cpu"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestReference_many finds each of the many objects of an Application, with work that grows with their number.
func TestReference_many(t *testing.T) {
	const count = 20_000
	rendered := &graph.Rendered{}
	for i := range count {
		rendered.Payload = append(rendered.Payload, bundle.ObjectReference{Digest: manifest.DigestOf([]byte{byte(i)}),
			ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: fmt.Sprint("c", i)}})
	}
	p, w, app := &Planner{}, newWalked("east"), graph.Application{Rendered: rendered}
	took := cpu.Time(func() {
		for i, want := range rendered.Payload {
			if got, err := p.reference(t.Context(), w, app, want.ID()); err != nil || got != want {
				t.Fatalf("object %d: %+v, error %v", i, got, err)
			}
		}
	})
	if took > 2*time.Second {
		t.Errorf("took %s", took)
	}
	if _, err := p.reference(t.Context(), w, app, manifest.ID{Kind: "ConfigMap", Name: "none"}); err == nil {
		t.Error("found an object that the Application does not have")
	}
}
