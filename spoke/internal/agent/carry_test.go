package agent

import (
	"context"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
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
