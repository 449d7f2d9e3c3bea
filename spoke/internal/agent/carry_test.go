package agent

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/release/objects"
)

// TestRoom_memory lets a release wait while two others work. The memory of its sealed files is free meanwhile, because
// one of the two may wait for it.
func TestRoom_memory(t *testing.T) {
	b, budget := blobs{}, newBudget(deployedMemory(t))
	l := newTestLoader(b, budget, &bundle.Application{SealedFiles: []bundle.SealedFile{{Digest: b.put(largestFile())}}})
	defer l.close()
	if _, err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if budget.files.free.TryAcquire(budget.files.size) {
		t.Fatal("the file takes no memory")
	}
	c := &carrier{Agent: &Agent{rooms: make(chan struct{})}, loader: l} // nobody gives a room back
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.room(ctx); err == nil {
		t.Fatal("there is a room")
	}
	if !budget.files.free.TryAcquire(budget.files.size) {
		t.Error("a release that waits for a room holds memory")
	}
}

// TestRepair_unread repairs an object without its key. The failure has the reason of the object, and names it once.
func TestRepair_unread(t *testing.T) {
	server := httptest.NewServer(grown{value: "0"})
	defer server.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := &carrier{Agent: &Agent{rooms: make(chan struct{}, 1), base: ended}}
	applier := apply.New(apply.Config{Client: connect(t, server.URL), Index: inventory.NewIndex()})
	c.objects = &objects.Objects{Applier: applier, Release: &bundle.Release{}, Set: apply.Set{Objects: []apply.Object{{
		ObjectReference: bundle.ObjectReference{ObjectIdentity: bundle.ObjectIdentity{Group: "example.com", Version: "v1",
			Kind: "X", Namespace: "y", Name: "x-1"}},
		Load: func(context.Context) (apply.Loaded, error) {
			return apply.Loaded{}, &sealedError{errors.New("no key")}
		}}}}}
	f := c.repair(t.Context())
	if f.reason != condition.DecryptionFailed || strings.Count(f.message, "no key") != 1 || len(f.objects) != 1 {
		t.Errorf("%s: %q about %d objects", f.reason, f.message, len(f.objects))
	}
}
