package registration

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// refusal says why a token is not accepted.
type refusal struct {
	label  string // in metrics
	reason string
}

func (r refusal) Error() string { return r.reason }

// Why a token is not accepted. Callers always get errToken, because the reason would help only those who guess.
var (
	errUnknown = refusal{"unknown", "unknown"}
	errExpired = refusal{"expired", "expired"}
	errEarly   = refusal{"early", "made by a clock that was ahead"}
	errUsed    = refusal{"used", "already used with another key"}
	errDenied  = refusal{"denied", "its cluster is blocked or deleted"}
	errStale   = refusal{"stale", "already used, and its cluster has registered with another since"}

	errToken = status.Error(codes.Unauthenticated,
		"the join token is not valid; get a new manifest with `nave cluster add`")
)

// errTooOften is the answer to a spoke that asks for certificates too often.
var errTooOften = status.Error(codes.ResourceExhausted,
	"certificates for this cluster are asked for too often; try again later")

// maxToken is the length of the longest token that the hub looks up, in bytes.
const maxToken = 256

// answer returns the answer to the caller of Register.
func (s *Server) answer(ctx context.Context, cluster string, err error, digest string) error {
	if errors.As(err, new(refusal)) {
		s.refuse(ctx, cluster, err, digest)
		return errToken
	}
	return s.storeError("register a cluster", cluster, err)
}

// storeError returns the answer to a caller for whom the store failed, and logs err unless the caller has gone.
func (s *Server) storeError(what, cluster string, err error) error {
	if ended := status.FromContextError(err); ended.Code() != codes.Unknown {
		return ended.Err()
	}
	//nolint:sloglint // every caller gives a constant
	s.log.Error(what, telemetry.Cluster(cluster), telemetry.Err(err))
	return status.Error(codes.Unavailable, "the hub cannot use its store; try again")
}

// unknownTokens is the object of events about unknown tokens. The store limits the events of one object, so that
// callers who guess displace no other events.
var unknownTokens = api.Key{Kind: "JoinToken", Name: "unknown"}

// refuse logs and records why a token was not accepted, with the first digits of its digest: on its cluster, or on
// unknownTokens. It does so even if the caller has gone.
func (s *Server) refuse(ctx context.Context, cluster string, cause error, digest string) {
	var why refusal
	errors.As(cause, &why)
	s.refused.WithLabelValues(why.label).Inc()
	if !s.recording.Allow(cluster, 1, s.now()) {
		return
	}
	object := api.ClusterKey(cluster)
	if cluster == "" {
		object = unknownTokens
	}
	s.log.Warn("join token refused", telemetry.Cluster(cluster), telemetry.Reason(cause.Error()))
	message := fmt.Sprintf("join token %s was refused: %v; get a new manifest with `nave cluster add`",
		shorten(digest), cause)
	err := s.store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		tx.NamesNoBlobs()
		if err := remember(tx, cluster, message); err != nil {
			return err
		}
		return store.Record(tx, store.Event{
			Time: s.now().UTC(), Object: object, Type: condition.Warning, Reason: condition.RegistrationRefused,
			Message: message,
		})
	})
	if err != nil {
		s.log.Error("an event cannot be recorded", telemetry.Err(err))
	}
}

// remember writes into the cluster's Spoke row why its token was refused, unless the cluster was deleted.
func remember(tx *store.Tx, cluster, message string) error {
	if there, err := store.ClusterExists(tx, cluster); err != nil || !there {
		return err
	}
	row, _, err := store.Spokes.Get(tx, cluster)
	if err != nil {
		return err
	}
	row.Refused = message
	return store.Spokes.Put(tx, cluster, row)
}

// shorten returns the part of a digest that is enough to tell tokens apart.
func shorten(digest string) string {
	const enough = len("sha256:") + 12
	if len(digest) < enough {
		return "malformed"
	}
	return digest[len("sha256:"):enough]
}
