package objects_test

import (
	"context"
	"errors"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/release"
	"github.com/navefleet/nave/spoke/internal/release/objects"
)

// TestMarked_unread keeps the cause of an object that cannot be read.
func TestMarked_unread(t *testing.T) {
	cause := errors.New("no key")
	marked := objects.Marked(&bundle.Release{}, []apply.Object{
		{Load: func(context.Context) (apply.Loaded, error) { return apply.Loaded{}, cause }}})
	_, err := marked[0].Load(t.Context())
	if !errors.Is(err, release.ErrUnread) || !errors.Is(err, cause) {
		t.Error(err)
	}
}
