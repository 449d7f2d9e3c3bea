package session

import (
	"context"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// AnswerShapes sends answers to questions of the bundle. Its errors are those of Report.
func (s *Session) AnswerShapes(ctx context.Context, answers *spokev1.AnswerShapesRequest) error {
	return s.call(ctx, func(ctx context.Context, hub *client) error {
		_, err := hub.AnswerShapes(ctx, answers)
		return err
	})
}
