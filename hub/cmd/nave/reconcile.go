package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newReconcileCommand(s *session) *cobra.Command {
	var withSource, noWait bool
	cmd := &cobra.Command{
		Use:     "reconcile KIND NAME",
		Short:   "Look at an object now, and wait for the outcome",
		Example: "  nave reconcile source git fleet\n  nave reconcile kustomization apps --cluster prod-eu-1 --with-source",
		Args:    cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			key, err := s.key(args)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
			defer cancel()
			answer, err := client.Reconcile(ctx, &adminv1.ReconcileRequest{Key: key, WithSource: withSource})
			if err != nil {
				return elsewhere(ctx, client, key, err)
			}
			return waitHandled(ctx, cmd.OutOrStdout(), client, key, answer, noWait)
		}),
	}
	cmd.Flags().BoolVar(&withSource, "with-source", false, "fetch the object's source first")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "ask, and do not wait")
	return cmd
}

// waitHandled waits for the source, if it was asked for too, and then for the object.
func waitHandled(ctx context.Context, out io.Writer, client adminv1.AdminServiceClient, key *adminv1.ObjectKey, asked *adminv1.ReconcileResponse, noWait bool) error {
	keys := []*adminv1.ObjectKey{key}
	if asked.GetSource() != nil {
		keys = []*adminv1.ObjectKey{asked.GetSource(), key}
	}
	for _, k := range keys {
		fmt.Fprintf(out, "► reconciliation of %s requested\n", show(k))
		if noWait {
			continue
		}
		message, err := waitFor(ctx, client, k, asked.GetRequestedAt())
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "✔ %s: %s\n", show(k), message)
	}
	return nil
}

// waitFor follows an object until it has handled the request and says whether it is ready.
func waitFor(ctx context.Context, client adminv1.AdminServiceClient, key *adminv1.ObjectKey, requestedAt string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &adminv1.WatchRequest{
		List: &adminv1.ListRequest{Kind: key.GetKind(), Namespace: key.GetNamespace(), Cluster: key.GetCluster()}, Name: key.GetName(),
	})
	if err != nil {
		return "", err
	}
	last := "nothing was heard of it"
	for {
		change, err := stream.Recv()
		if err != nil {
			if ctx.Err() != nil {
				return "", fmt.Errorf("%s was not ready in time: %s", show(key), last)
			}
			return "", err
		}
		if change.GetType() != adminv1.WatchType_WATCH_TYPE_CHANGED {
			continue
		}
		done, message, err := handled(change.GetObject(), requestedAt)
		if err != nil {
			return "", fmt.Errorf("%s: %w", show(key), err)
		}
		if done {
			return message, nil
		}
		last = message
	}
}

// handled reports whether an object has taken the request in and is ready; a final failure is the error.
func handled(o *adminv1.Object, requestedAt string) (done bool, message string, err error) {
	var object map[string]any
	if err := json.Unmarshal(o.GetJson(), &object); err != nil {
		return false, "", err
	}
	ready := condition(object, "Ready")
	if ready == nil {
		return false, "it has no Ready condition yet", nil
	}
	message = fmt.Sprint(ready["message"])
	seen, _, _ := unstructured.NestedString(object, "status", "lastHandledReconcileAt")
	if requestedAt != "" && !reached(seen, requestedAt) {
		return false, message, nil
	}
	switch ready["status"] {
	case "True":
		return true, message, nil
	case "False":
		return false, message, errors.New(message)
	default:
		return false, message, nil
	}
}

// reached reports whether a request that was handled is the one asked for, or a later one of somebody else.
func reached(handled, requested string) bool {
	if handled == requested {
		return true
	}
	h, err := time.Parse(time.RFC3339Nano, handled)
	r, err2 := time.Parse(time.RFC3339Nano, requested)
	return err == nil && err2 == nil && h.After(r)
}

func newSuspendCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "suspend KIND NAME",
		Short: "Leave an object and what it made as they are, until it is resumed",
		Args:  cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			key, err := s.key(args)
			if err != nil {
				return err
			}
			if _, err := client.Suspend(cmd.Context(), &adminv1.SuspendRequest{Key: key}); err != nil {
				return elsewhere(cmd.Context(), client, key, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "✔ %s suspended\n", show(key))
			return nil
		}),
	}
}

func newResumeCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "resume KIND NAME",
		Short: "End a suspension",
		Args:  cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			key, err := s.key(args)
			if err != nil {
				return err
			}
			if _, err := client.Resume(cmd.Context(), &adminv1.ResumeRequest{Key: key}); err != nil {
				return elsewhere(cmd.Context(), client, key, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "✔ %s resumed\n", show(key))
			return nil
		}),
	}
}

// exists reports whether the hub has the object.
func exists(ctx context.Context, client adminv1.AdminServiceClient, kind, name string) (bool, error) {
	list, err := client.List(ctx, &adminv1.ListRequest{Kind: kind})
	if err != nil {
		return false, err
	}
	for _, o := range list.GetObjects() {
		if o.GetKey().GetName() == name {
			return true, nil
		}
	}
	return false, nil
}
