package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wait"
)

// awaitOutcome waits until an object is as the check wants it, and prints the message of the check.
func awaitOutcome(ctx context.Context, p *progress, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	is check) error {
	text, err := waitFor(ctx, p, client, key, is)
	if err == nil {
		p.printf("✔ %s: %s\n", show(key), indent(text))
	}
	return err
}

// waitFor watches an object until the check is done, shows how far it is, and returns the last message of the check. If
// the hub goes away meanwhile, waitFor waits for it: the hub has stored the request.
func waitFor(ctx context.Context, p *progress, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	is check) (string, error) {
	defer p.end(show(key))
	defer p.endHubGone()
	w := &outcome{progress: p, client: client, key: key, is: is, last: "the hub has not sent the object yet"}
	w.again = wait.Backoff{First: 500 * time.Millisecond, Most: 10 * time.Second, Spread: 0.5}
	for {
		text, err := w.watch(ctx)
		code := statusOf(err).Code()
		switch over := ctx.Err() != nil; {
		case isAway(err) && !over:
			w.away = "; the hub went away meanwhile: " + message(err)
			p.showHubGone(err)
			if w.again.Pause(ctx) != nil {
				return "", w.over(ctx)
			}
		case over && code != codes.OK, code == codes.DeadlineExceeded, code == codes.Canceled:
			return "", w.over(ctx)
		default:
			return text, err
		}
	}
}

// outcome waits for the outcome of a request for one object.
type outcome struct {
	*progress
	client adminv1.AdminServiceClient
	key    *adminv1.ObjectKey
	is     check
	last   string // the last message of the check
	away   string // the text that the hub went away; empty: it is there
	again  wait.Backoff
}

// over returns the error of a wait that ended before the outcome, with the last message.
func (w *outcome) over(ctx context.Context) error {
	why := "not finished in time"
	if errors.Is(ctx.Err(), context.Canceled) {
		why = "the wait was interrupted"
	}
	return fmt.Errorf("%s: %s: %s%s", show(w.key), why, w.last, w.away)
}

// watch reads one watch until the check is done, and returns the message of the check.
func (w *outcome) watch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client.Watch(ctx, &adminv1.WatchRequest{
		List: &adminv1.ListRequest{Kind: w.key.GetKind(), Namespace: w.key.GetNamespace(),
			Cluster: w.key.GetCluster()}, Name: w.key.GetName(),
	})
	if err != nil {
		return "", err
	}
	for exists := false; ; {
		change, err := stream.Recv()
		if err != nil {
			return "", err
		}
		w.again.Reset()
		w.away = ""
		w.endHubGone()
		switch kind := change.GetType(); {
		case kind == adminv1.WatchType_WATCH_TYPE_DELETED, kind == adminv1.WatchType_WATCH_TYPE_SYNCED && !exists:
			if err := requireObject(ctx, w.client, w.key); err != nil {
				return "", err
			}
			continue
		case kind != adminv1.WatchType_WATCH_TYPE_CHANGED:
			continue
		}
		done, text, err := checked(change.GetObject(), w.is)
		if err != nil {
			return "", fmt.Errorf("%s: %w", show(w.key), err)
		}
		if done {
			return text, nil
		}
		w.last, exists = text, true
		w.show(show(w.key), text)
	}
}

// requireObject returns an error if an object that no list has does not exist. An application that left Git is in no
// list while its spoke still has it.
func requireObject(ctx context.Context, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	_, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
	if status.Code(err) == codes.NotFound {
		return exitError{fmt.Errorf("%s does not exist any more: nothing is awaited", show(key)), notFound}
	}
	return err
}

// checked decodes an object and checks whether it has reached the awaited state.
func checked(o *adminv1.Object, is check) (done bool, message string, err error) {
	object, err := decode(o)
	if err != nil {
		return false, "", err
	}
	return is(object)
}
