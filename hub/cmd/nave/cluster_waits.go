package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// clusterWaits waits for the outcomes of changes to clusters.
type clusterWaits struct {
	waiting
	list []clusterWait
	done atomic.Int32
}

// clusterWait is the awaited outcome of a change to a cluster.
type clusterWait struct {
	cluster string
	is      check
}

// add adds a changed cluster.
func (w *clusterWaits) add(cluster string, is check) {
	w.list = append(w.list, clusterWait{cluster, is})
}

// after waits for the clusters that were changed, at most for the timeout, and returns the errors of the changes and of
// the waits. A failure of one does not end the waits for the others. If the hub cannot be asked, after does not wait.
func (w *clusterWaits) after(cmd *cobra.Command, client adminv1.AdminServiceClient, timeout time.Duration,
	changes error) error {
	if _, stopped := errors.AsType[stoppedError](changes); stopped || !w.wanted() {
		return changes
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	p, errs := newProgress(cmd), make([]error, len(w.list))
	var group errgroup.Group
	group.SetLimit(maxWaits)
	for i, one := range w.list {
		group.Go(func() error {
			if errs[i] = w.wait(ctx, p, client, one); errs[i] != nil && len(w.list) > 1 {
				p.printf("✗ %s\n", indent(message(errs[i])))
			}
			return errs[i]
		})
	}
	_ = group.Wait() // errs has all of them
	var failed []string
	for i, one := range w.list {
		if errs[i] != nil {
			failed = append(failed, one.cluster)
		}
	}
	if len(w.list) > 1 && len(failed) > 0 {
		errs = []error{fmt.Errorf("%d of %d clusters are not as they should be: %s", len(failed), len(w.list),
			listed(failed))}
	}
	return joined(append([]error{changes}, errs...))
}

// wait waits for one cluster. If there are several, messages count those that are done. Of a cluster that left Git only
// the pin was left, so nothing is awaited.
func (w *clusterWaits) wait(ctx context.Context, p *progress, client adminv1.AdminServiceClient,
	one clusterWait) error {
	key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: one.cluster}
	if _, err := client.Get(ctx, &adminv1.GetRequest{Key: key}); status.Code(err) == codes.NotFound {
		p.printf("► %s does not exist any more: nothing is awaited\n", show(key))
		return nil
	}
	if err := requireSpoke(ctx, client, key); err != nil {
		return err
	}
	return awaitOutcome(ctx, p, client, key, func(object map[string]any) (bool, string, error) {
		done, message, err := one.is(object)
		if len(w.list) == 1 || err != nil {
			return done, message, err
		}
		count := w.done.Load()
		if done {
			count = w.done.Add(1)
		}
		return done, fmt.Sprintf("%d/%d clusters done, %s", count, len(w.list), message), nil
	})
}

// rolledBack returns a check that a cluster has the applications of its pin, and that they are ready.
func rolledBack(answer *adminv1.RollbackResponse) check {
	return func(object map[string]any) (bool, string, error) {
		pinned, is, _ := unstructured.NestedMap(object, "status", "pinned")
		counts, counted, _ := unstructured.NestedMap(pinned, "applications")
		switch sequence := uint64(intField(pinned, "bundle", "sequence")); {
		case !is:
			return false, "", errors.New("the pin was ended meanwhile")
		case sequence != answer.GetSequence():
			return false, "", fmt.Errorf("it was pinned to bundle %d meanwhile", sequence)
		case !counted:
			return false, "", errTooOld("waiting for a rollback")
		}
		ready, total := intField(counts, "ready"), intField(counts, "total")
		number := fmt.Sprintf("%d/%d applications of bundle %d ready", ready, total, answer.GetSequence())
		failed, waits := fieldText(counts, "failed"), fieldText(counts, "waits")
		switch {
		case failed != "":
			return false, "", fmt.Errorf("%s: %s", number, failed)
		case !follows(object, answer.GetReplaces()):
			return false, number + ", waiting for the bundle of the hub", nil
		case ready < total:
			return false, number + ", waiting for " + waits, nil
		case !hasReceived(object):
			return false, number + ", waiting until the spoke has the bundle of the pin", nil
		}
		return true, number, nil
	}
}

// releasedSince returns a check that a cluster whose pin ended has what is in Git, and that everything there is ready.
func releasedSince(answer *adminv1.ReleaseResponse) check {
	return func(object map[string]any) (bool, string, error) {
		if _, pinned, _ := unstructured.NestedMap(object, "status", "pinned"); pinned {
			return false, "", errors.New("it was pinned again meanwhile")
		}
		done, message, err := handled(object, "")
		switch {
		case answer.GetReleasedAt() == nil:
			return false, "", errTooOld("waiting for a release")
		case err != nil && mayPass(object, answer.GetReleasedAt().AsTime()):
			return false, message, nil
		case done && !follows(object, answer.GetReplaces()):
			return false, "waiting for the bundle of the hub", nil
		}
		return done, message, err
	}
}

// mayPass reports whether a change may end the failure of an object. The status of the object tells full seconds.
func mayPass(object map[string]any, changed time.Time) bool {
	ready := api.FindCondition(object, condition.Ready)
	since, err := time.Parse(time.RFC3339, fieldText(ready, "lastTransitionTime"))
	return err == nil && api.MayPass(fieldText(ready, "reason"), since, changed.Truncate(time.Second))
}

// follows reports whether the newest bundle of a Cluster is newer than the one that a change replaces.
func follows(object map[string]any, replaced uint64) bool {
	return replaced == 0 || uint64(intField(object, "status", "bundle", "sequence")) > replaced
}

// hasReceived reports whether the spoke of a Cluster has its newest bundle.
func hasReceived(object map[string]any) bool {
	newest, _, _ := unstructured.NestedString(object, "status", "bundle", "digest")
	received, _, _ := unstructured.NestedString(object, "status", "acks", "received", "digest")
	return newest == received
}
