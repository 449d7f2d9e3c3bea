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

// offlineError says that a request waits for a spoke that is offline, or that never registered.
type offlineError struct {
	message string
	never   bool
}

func (e *offlineError) Error() string { return e.message }

// requireSpoke returns an offlineError if only the spoke of a cluster can carry a request out, and that spoke has been
// offline, or has not registered, for longer than it takes to reconnect.
func requireSpoke(ctx context.Context, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	cluster := spokeOf(key)
	if cluster == "" {
		return nil
	}
	for began := time.Now(); ; {
		a, err := absenceOf(ctx, client, cluster)
		switch {
		case err != nil || a == nil:
			return err
		case time.Since(a.since) > reconnects || time.Since(began) > reconnects:
			return &offlineError{fmt.Sprintf("%s waits: cluster %s %s", show(key), cluster, a.text()), a.never}
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

// absence is why a cluster has no connected spoke.
type absence struct {
	message string // of the condition Connected
	since   time.Time
	never   bool // no spoke has registered yet
}

// text says that the cluster has no spoke, and what becomes of a request.
func (a *absence) text() string {
	if a.never {
		return a.state() + ": apply there what nave cluster add prints. The request is kept; a spoke that registers " +
			"carries it out"
	}
	return a.state() + ". The request is kept; a spoke that connects again carries it out"
}

// state says that the cluster has no spoke.
func (a *absence) state() string {
	if a.never {
		return "has no spoke yet"
	}
	return "is offline: " + a.message
}

// absenceOf returns why the spoke of a cluster is not connected; nil if it is connected, or there is no such cluster.
func absenceOf(ctx context.Context, client adminv1.AdminServiceClient, cluster string) (*absence, error) {
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: api.ClusterKind, Name: cluster}})
	if status.Code(err) == codes.NotFound {
		return nil, nil // it is removed meanwhile, which the wait tells
	}
	if err != nil {
		return nil, err
	}
	object, err := decode(answer.GetObject())
	if err != nil {
		return nil, err
	}
	c := api.FindCondition(object, condition.Connected)
	reason := fieldText(c, "reason")
	if reason != condition.Offline && reason != condition.NotRegistered {
		return nil, nil
	}
	since, _ := time.Parse(time.RFC3339, fieldText(c, "lastTransitionTime")) // none: long ago
	return &absence{fieldText(c, "message"), since, reason == condition.NotRegistered}, nil
}
