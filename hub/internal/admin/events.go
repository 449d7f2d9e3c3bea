package admin

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// Limits of requests that wait for an event.
const (
	maxEventWait = time.Minute
	eventsPause  = 50 * time.Millisecond // for the events that are recorded together

	maxGapClusters = 20 // that are named of a gap
)

// ListEvents implements adminv1.AdminServiceServer.
func (s *Server) ListEvents(ctx context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	set, err := eventsOf(r)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Limit < 0:
		return nil, negativeLimit(int64(r.Limit))
	case r.Key != nil && r.Namespace != "":
		return nil, status.Error(codes.InvalidArgument, "a namespace chooses among objects, and the request names one")
	case r.After > 0 && r.GetWait().AsDuration() > 0:
		return s.awaitEvents(ctx, who, set, r)
	}
	response, err := s.findEvents(ctx, set, r)
	if err == nil && len(response.Events) == 0 && r.After == 0 {
		err = s.requireSubject(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	return response, nil
}

// findEvents returns the present events that a request asks for.
func (s *Server) findEvents(ctx context.Context, set store.EventSet, r *adminv1.ListEventsRequest) (
	response *adminv1.ListEventsResponse, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		response = &adminv1.ListEventsResponse{}
		filter := filterOf(r)
		after, gap, err := set.Since(tx, store.EventCursor{Number: r.After, Run: r.Run})
		if err != nil {
			return err
		}
		filter.After, response.Gap = after, gapMessage(gap)
		newest, err := set.Find(tx, filter, min(int(cmp.Or(r.Limit, defaultEvents)), maxEvents))
		for _, e := range newest {
			response.Events = append(response.Events, &adminv1.Event{Time: timestamppb.New(e.Time),
				Object: fold.KeyMessage(e.Object), Type: e.Type, Reason: e.Reason, Message: e.Message})
		}
		if err != nil {
			return err
		}
		last, err := store.LastEvent(tx)
		response.Last, response.Run = last.Number, last.Run
		return err
	})
	if err != nil {
		return nil, s.fail(err)
	}
	return response, nil
}

// gapMessage returns a gap as a message.
func gapMessage(gap *store.EventGap) *adminv1.EventGap {
	if gap == nil {
		return nil
	}
	shown := gap.Clusters[:min(len(gap.Clusters), maxGapClusters)]
	m := &adminv1.EventGap{Restored: gap.Restored, Clusters: shown, More: uint32(len(gap.Clusters) - len(shown))}
	if !gap.Until.IsZero() {
		m.Until = timestamppb.New(gap.Until)
	}
	return m
}

// awaitEvents returns the events that a request asks for as soon as there are any, or events are missing, or the time
// is over. A request that waits counts as a watch.
func (s *Server) awaitEvents(ctx context.Context, who identity.ID, set store.EventSet, r *adminv1.ListEventsRequest) (
	*adminv1.ListEventsResponse, error) {
	if err := s.watches.claim(who, "watches", "nave events --watch"); err != nil {
		return nil, err
	}
	defer s.watches.give(who)
	w := s.store.Watch(ctx, store.Events.Name()) // before the first View, to miss no event
	defer w.Close()
	waiting, cancel := context.WithTimeout(ctx, min(r.GetWait().AsDuration(), maxEventWait))
	defer cancel()
	for {
		response, err := s.findEvents(ctx, set, r)
		if err != nil || len(response.Events) > 0 || response.Gap != nil || response.Last < r.After {
			return response, err
		}
		if _, err := s.waitForChange(waiting, w, eventsPause); waiting.Err() != nil && ctx.Err() == nil {
			return response, nil
		} else if err != nil {
			return nil, err
		}
	}
}
