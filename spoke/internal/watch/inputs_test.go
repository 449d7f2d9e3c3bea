package watch

import (
	"context"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
)

// changes waits until an object is reported as changed.
func changes(t *testing.T, in *Inputs, name string) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case <-in.C():
			if in.Drain()[id(name)] {
				return
			}
		case <-timeout:
			t.Fatalf("%s is not reported", name)
		}
	}
}

// TestInputs requires one list and one watch of an object, a report of each event, and that a watch resumes where
// it ended.
func TestInputs(t *testing.T) {
	c, w, _ := start(t)
	in := NewInputs(w.Config)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); in.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	a := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"}
	in.Follow([]bundle.ObjectIdentity{a, a})
	changes(t, in, "a")
	events := opened(t, c)
	events <- `{"type":"MODIFIED","object":` + live("a", "101", fields) + `}`
	changes(t, in, "a")
	events <- `{"type":"DELETED","object":` + live("a", "102", fields) + `}`
	changes(t, in, "a")
	close(events)
	events = opened(t, c)
	events <- `{"type":"ADDED","object":` + live("a", "103", fields) + `}`
	changes(t, in, "a")
	c.mu.Lock()
	if c.lists != 1 {
		t.Errorf("%d lists, want 1", c.lists)
	}
	c.gone = true // changes made meanwhile are lost: the object is listed again
	c.mu.Unlock()
	close(events)
	changes(t, in, "a")
	opened(t, c)

	b := a
	b.Name = "b"
	in.Follow([]bundle.ObjectIdentity{b})
	changes(t, in, "b")
}
