package session

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/shared/identity"
)

func TestBackoff(t *testing.T) {
	lost := errors.New("lost")
	b := newBackoff(func() float64 { return 1 })
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 120, 120, 120} {
		if got := b.next(lost, 0); got != want*time.Second {
			t.Errorf("pause %d: %s, want %s", i, got, want*time.Second)
		}
	}
	if got := b.next(lost, time.Minute); got != time.Second {
		t.Errorf("after a session that lived: %s", got)
	}
	b = newBackoff(func() float64 { return 0 })
	if got := b.next(lost, 0); got != 0 {
		t.Errorf("the jitter is not full: at least %s", got)
	}
}

func TestBackoffByHub(t *testing.T) {
	busy, err := status.New(codes.Unavailable,
		"busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(17 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		err  error
		want time.Duration
	}{
		"busy":           {fmt.Errorf("session: %w", busy.Err()), 17 * time.Second},
		"blocked":        {fmt.Errorf("session: %w", status.Error(codes.PermissionDenied, "blocked")), time.Minute},
		"unknown":        {status.Error(codes.Unauthenticated, "token"), time.Minute},
		"other_protocol": {status.Error(codes.FailedPrecondition, "upgrade"), time.Minute},
		"no_identity":    {fmt.Errorf("x: %w", identity.ErrNone), time.Minute},
		"away":           {status.Error(codes.Unavailable, "connection refused"), 0},
	}
	for name, tt := range tests {
		b := newBackoff(func() float64 { return 0 })
		if got := b.next(tt.err, 0); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
