package session

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wait"
)

const (
	firstPause = time.Second
	longPause  = 120 * time.Second
	livedLong  = 10 * time.Second // after a session of this length the pauses start short again
)

// backoff computes the pauses between sessions: full jitter over a range that doubles from 1 s to 120 s.
type backoff struct{ wait.Backoff }

func newBackoff(jitter func() float64) *backoff {
	return &backoff{wait.Backoff{First: firstPause, Most: longPause, Spread: 1, Chance: jitter}}
}

// next returns the pause after a session that ended with err and lived so long.
func (b *backoff) next(err error, lived time.Duration) time.Duration {
	if lived >= livedLong {
		b.Reset()
	}
	if asked, ok := askedDelay(err); ok {
		return min(asked, longPause) + time.Duration(b.Chance()*float64(firstPause))
	}
	if refused(err) {
		// The hub refuses this cluster or this version. Only an operator can change that.
		return longPause/2 + time.Duration(b.Chance()*float64(longPause/2))
	}
	return b.Next()
}

// refused reports whether the hub refused the cluster, so that trying again soon is useless.
func refused(err error) bool {
	if errors.Is(err, identity.ErrNone) {
		return true
	}
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.Unimplemented:
		return true
	}
	return false
}

// askedDelay returns the delay that a busy hub asked for.
func askedDelay(err error) (time.Duration, bool) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}
