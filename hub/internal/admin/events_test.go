package admin

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// record records an event of Cluster a.
func (r *rig) record(kind, message string) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		return store.Record(tx, store.Event{Time: time.Unix(1, 0), Object: api.ClusterKey("a"), Type: kind, Reason: "Test",
			Message: message})
	}))
}

// TestListEvents_wait answers when an event is recorded that the request chooses, and at once if there is one.
func TestListEvents_wait(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	r.record("Warning", "first")
	request := func(after uint64, wait time.Duration) *adminv1.ListEventsRequest {
		return &adminv1.ListEventsRequest{After: after, Wait: durationpb.New(wait), Types: []string{"Warning"}}
	}
	type result struct {
		answer *adminv1.ListEventsResponse
		err    error
	}
	ask := func(r2 *adminv1.ListEventsRequest) chan result {
		answered := make(chan result, 1)
		go func() {
			answer, err := r.ListEvents(t.Context(), r2)
			answered <- result{answer, err}
		}()
		return answered
	}
	waits := ask(request(1, time.Minute))
	r.record("Normal", "not chosen")
	select {
	case got := <-waits:
		t.Fatalf("answered before there was an event: %v, %v", got.answer, got.err)
	case <-time.After(200 * time.Millisecond):
	}
	r.record("Warning", "second")
	if got := <-waits; got.err != nil || len(got.answer.Events) != 1 || got.answer.Events[0].Message != "second" ||
		got.answer.Last != 3 {
		t.Errorf("got %v, %v", got.answer, got.err)
	}
	if got := <-ask(request(2, time.Minute)); got.err != nil || len(got.answer.Events) != 1 {
		t.Errorf("a present event: %v, %v", got.answer, got.err)
	}
	got := <-ask(request(3, 10*time.Millisecond))
	if got.err != nil || len(got.answer.Events) != 0 || got.answer.Last != 3 {
		t.Errorf("no event in time: %v, %v", got.answer, got.err)
	}
	if got := <-ask(request(9, time.Minute)); got.err != nil || got.answer.Last != 3 {
		t.Errorf("a restored hub: %v, %v", got.answer, got.err)
	}
}

// TestListEvents_gap says which events after the last one that was seen the hub does not have, and does not wait then.
func TestListEvents_gap(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	r.record("Warning", "first")
	first, err := r.ListEvents(t.Context(), &adminv1.ListEventsRequest{})
	must(t, err)
	request := &adminv1.ListEventsRequest{AllClusters: true, After: first.Last, Run: first.Run, Types: []string{"Normal"},
		Wait: durationpb.New(time.Minute)}
	for range 150 {
		r.record("Warning", "one of many")
	}
	answer, err := r.ListEvents(t.Context(), request)
	must(t, err)
	if g := answer.Gap; g == nil || g.Restored || !slices.Equal(g.Clusters, []string{"a"}) || g.Until == nil {
		t.Errorf("a burst: %v", g)
	}
	request.Run = "of the store before it was restored"
	answer, err = r.ListEvents(t.Context(), request)
	must(t, err)
	if g := answer.Gap; g == nil || !g.Restored || answer.Run != first.Run || answer.Last != 151 {
		t.Errorf("a restored hub: %v, the last is %d", g, answer.Last)
	}
}

// TestListEvents_waitLimits counts requests that wait as watches, and ends them with the hub.
func TestListEvents_waitLimits(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	r.record("Warning", "first")
	request := &adminv1.ListEventsRequest{After: 1, Wait: durationpb.New(time.Minute)}
	own := maxWatches / 2
	ended := make(chan error, own)
	for range own {
		go func() {
			_, err := r.ListEvents(t.Context(), request)
			ended <- err
		}()
	}
	deadline := time.Now().Add(30 * time.Second)
	for taken := 0; taken < own && time.Now().Before(deadline); {
		r.server.watches.mu.Lock()
		taken = r.server.watches.all()
		r.server.watches.mu.Unlock()
	}
	_, err := r.ListEvents(t.Context(), request)
	wantCode(t, err, codes.ResourceExhausted, "nave events --watch")
	r.server.Drain()
	for range own {
		wantCode(t, <-ended, codes.Unavailable, "the hub is stopping")
	}
}
