package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// clusterKey is where the Cluster of that name is stored.
func clusterKey(name string) api.Key { return api.Key{Kind: "Cluster", Name: name} }

// admitted returns nil when the cluster exists and is not blocked, and PERMISSION_DENIED otherwise.
func admitted(tx *store.Tx, cluster string) error {
	row, ok, err := store.Resources.Get(tx, clusterKey(cluster).Path())
	if err != nil {
		return err
	}
	if !ok {
		return status.Errorf(codes.PermissionDenied, "cluster %s is not registered with this hub", cluster)
	}
	var c api.Cluster
	if err := json.Unmarshal(row.Object, &c); err != nil {
		return fmt.Errorf("read cluster %s: %w", cluster, err)
	}
	if c.Spec.Blocked {
		return status.Errorf(codes.PermissionDenied, "cluster %s is blocked", cluster)
	}
	return nil
}

// enter waits for a slot in which a hello is answered. A spoke that finds none is told when to come back.
func (s *Server) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-s.hellos }
	select {
	case s.hellos <- struct{}{}:
		return leave, nil
	default:
	}
	patience := time.NewTimer(helloPatience)
	defer patience.Stop()
	select {
	case s.hellos <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-patience.C:
		return nil, comeBack()
	}
}

// comeBack is the refusal of a hub that has more callers than it can take, with google.rpc.RetryInfo.
func comeBack() error {
	delay := 5*time.Second + rand.N(25*time.Second)
	st := status.New(codes.Unavailable, "too many spokes call at once")
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil {
		st = detailed
	}
	return st.Err()
}
