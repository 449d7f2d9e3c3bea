package apply

import (
	"context"
	"errors"
	"testing"
)

// TestSlots_ended waits for a slot only as long as the context is not done.
func TestSlots_ended(t *testing.T) {
	s := make(slots, 1)
	done, err := s.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ended)
	if _, err := s.take(ctx); !errors.Is(err, ended) {
		t.Errorf("error %v", err)
	}
	done()
	if _, err := s.take(t.Context()); err != nil {
		t.Error(err)
	}
}
