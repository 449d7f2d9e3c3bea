package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wait"
)

// A spoke that disconnected a moment ago, as after a restart of the hub, is waited for.
const (
	reconnects    = 15 * time.Second
	reconnectLook = 500 * time.Millisecond
)

// offlineError says that a request waits for a spoke that is offline.
type offlineError struct{ message string }

func (e *offlineError) Error() string { return e.message }

// requireSpoke returns an offlineError if only the spoke of a cluster can carry a request out, and that spoke has been
// offline for longer than it takes to reconnect.
func requireSpoke(ctx context.Context, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	cluster := spokeOf(key)
	if cluster == "" {
		return nil
	}
	for began := time.Now(); ; {
		message, since, err := offline(ctx, client, cluster)
		switch {
		case err != nil || message == "":
			return err
		case time.Since(since) > reconnects || time.Since(began) > reconnects:
			return &offlineError{fmt.Sprintf("%s waits: cluster %s is offline: %s. The request is kept; a spoke that connects "+
				"again carries it out", show(key), cluster, message)}
		}
		if err := wait.For(ctx, reconnectLook); err != nil {
			return err
		}
	}
}

// spokeOf returns the cluster whose spoke carries out what is requested of an object; "" if the hub alone does.
func spokeOf(key *adminv1.ObjectKey) string {
	switch (api.Key{Kind: key.GetKind()}).Role() {
	case api.ClusterRole:
		return key.GetName()
	case api.RenderableRole:
		return key.GetCluster()
	}
	return ""
}

// offline returns the message about a spoke that has registered and is not connected, and since when; "" for any other.
func offline(ctx context.Context, client adminv1.AdminServiceClient, cluster string) (message string, since time.Time,
	err error) {
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: api.ClusterKind, Name: cluster}})
	if status.Code(err) == codes.NotFound {
		return "", since, nil // it is removed meanwhile, which the wait tells
	}
	if err != nil {
		return "", since, err
	}
	object, err := decode(answer.GetObject())
	if err != nil {
		return "", since, err
	}
	c := api.FindCondition(object, condition.Connected)
	if c == nil || c["reason"] != condition.Offline {
		return "", since, nil
	}
	since, _ = time.Parse(time.RFC3339, fmt.Sprint(c["lastTransitionTime"])) // none: long ago
	return fmt.Sprint(c["message"]), since, nil
}
