package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wait"
)

// target is one watch, of an object or of a selection of a kind.
type target struct {
	*waiter
	request *adminv1.WatchRequest
	key     *adminv1.ObjectKey         // nil: of a selection
	seen    map[api.Key]map[string]any // the objects that the watch has sent
	pending map[api.Key]*pendingObject // nil: not known yet
}

// pendingObject is an object that is not yet as wanted.
type pendingObject struct{ uid, last string }

// follow waits until all objects of the target are as wanted. If the hub goes away meanwhile, follow waits for it.
func (t *target) follow(ctx context.Context) error {
	again := wait.Backoff{First: 500 * time.Millisecond, Most: 10 * time.Second, Spread: 0.5}
	for {
		err := t.watch(ctx)
		switch {
		case err != nil && (ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded):
			return t.unmet(ctx)
		case t.pending != nil && isAway(err):
			t.showHubGone(err)
		case status.Code(err) == codes.NotFound: // the cluster
			return exitError{err, notFound}
		default:
			return err
		}
		if again.Pause(ctx) != nil {
			return t.unmet(ctx)
		}
	}
}

// unmet is the error of a wait that ended before the objects were as wanted.
func (t *target) unmet(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errEnded
	}
	return t.listUnmet("timed out waiting for " + t.goal.name)
}

// watch reads one watch until all objects are as wanted.
func (t *target) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.client.Watch(ctx, t.request)
	if err != nil {
		return err
	}
	t.seen = map[api.Key]map[string]any{}
	for synced := false; ; {
		change, err := stream.Recv()
		if err != nil {
			return err
		}
		key := keyOf(change.GetObject().GetKey())
		switch change.GetType() {
		case adminv1.WatchType_WATCH_TYPE_SYNCED:
			synced = true
			t.endHubGone()
		case adminv1.WatchType_WATCH_TYPE_DELETED:
			delete(t.seen, key)
		case adminv1.WatchType_WATCH_TYPE_CHANGED:
			if t.seen[key], err = decode(change.GetObject()); err != nil {
				return err
			}
		}
		if !synced {
			continue
		}
		if done, err := t.look(ctx); done || err != nil {
			return err
		}
	}
}

// look looks at the objects that are not yet as wanted, and reports whether there are none left.
func (t *target) look(ctx context.Context) (done bool, err error) {
	if err := t.choose(); t.pending == nil || err != nil {
		return false, err
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.pending), api.Key.Compare) {
		p := t.pending[key]
		done, message, err := t.check(ctx, key, p)
		switch {
		case err != nil:
			return false, err
		case done:
			t.end(key.String())
			t.printf("✔ %s: %s\n", oneLine(key.String()), indent(cmp.Or(message, "condition met")))
			delete(t.pending, key)
		case message != p.last:
			t.show(key.String(), message)
			p.last = message
		}
	}
	if len(t.pending) > 0 && t.once {
		return false, t.listUnmet("still waits for " + t.goal.name)
	}
	return len(t.pending) == 0, nil
}

// choose notes which objects are waited for: those that there are at first. A wait for the creation of a selection
// chooses as soon as there is one.
func (t *target) choose() error {
	if t.pending != nil {
		return nil
	}
	chosen := map[api.Key]*pendingObject{}
	for key, object := range t.seen {
		chosen[key] = &pendingObject{uid: uidOf(object)}
	}
	if t.key != nil && len(chosen) == 0 {
		chosen[keyOf(t.key)] = &pendingObject{}
	}
	if len(chosen) > 0 || t.goal.deleted {
		t.pending = chosen
		return nil
	}
	if t.goal.created && !t.once {
		return nil
	}
	kind, _ := api.KindByName(t.request.GetList().GetKind())
	return exitError{fmt.Errorf("no %s found: nave get %s -A lists all", kind.Plural, kind.Plural), notFound}
}

// check reports whether an object is as wanted, with what it waits for.
func (t *target) check(ctx context.Context, key api.Key, p *pendingObject) (done bool, message string, err error) {
	object, exists := t.seen[key]
	if !exists {
		if object, err = t.unlisted(ctx, key); err != nil {
			return false, "", err
		}
	}
	switch {
	case t.goal.deleted && (object == nil || p.uid != "" && uidOf(object) != p.uid):
		return true, "", nil
	case t.goal.deleted:
		return false, "it still exists", nil
	case t.goal.created && object == nil:
		return false, "it does not exist yet", nil
	case t.goal.created:
		return true, "", nil
	}
	if done, message, err = t.goal.is(object); err != nil {
		return false, "", fmt.Errorf("%s: %w", oneLine(key.String()), err)
	}
	return done, message, nil
}

// unlisted returns an object that the watch does not have; nil if there is none. An application that left Git is in no
// list while its spoke still has it. If its deletion is waited for, unlisted waits until nothing is left of it.
func (t *target) unlisted(ctx context.Context, key api.Key) (object map[string]any, err error) {
	for last := ""; ; {
		object, err = t.left(ctx, key)
		if object == nil || err != nil || !t.goal.deleted || t.once {
			return object, err
		}
		message := "it left the hub, and its spoke has not told yet that nothing of it is left"
		if ready := api.FindCondition(object, condition.Ready); ready != nil {
			message = fieldText(ready, "message")
		}
		if message != last {
			t.show(key.String(), message)
			t.pending[key].last, last = message, message
		}
		if err := wait.For(ctx, lookAgain); err != nil {
			return nil, err
		}
	}
}

// lookAgain is the pause between looks at what no watch tells.
const lookAgain = 500 * time.Millisecond

// left returns what there is of an object that is in no list: nil if the hub knows nothing of it.
func (t *target) left(ctx context.Context, key api.Key) (map[string]any, error) {
	name := fold.KeyMessage(key)
	answer, err := t.client.Get(ctx, &adminv1.GetRequest{Key: name})
	switch {
	case err == nil:
		return decode(answer.GetObject())
	case status.Code(err) != codes.NotFound:
		return nil, err
	case !t.goal.deleted && !t.goal.created:
		return nil, exitError{elsewhere(ctx, t.client, name, err), notFound}
	case t.goal.created || key.Cluster == "" || key.Role() != api.RenderableRole:
		return nil, nil
	}
	_, err = t.client.Explain(ctx, &adminv1.ExplainRequest{Key: name}) // which knows what spokes still report
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	return map[string]any{}, err
}

// listUnmet returns an error that names the objects which are not as wanted.
func (t *target) listUnmet(why string) error {
	if t.pending == nil {
		return fmt.Errorf("%s: the hub has not sent the objects yet", why)
	}
	var errs []error
	for _, key := range slices.SortedFunc(maps.Keys(t.pending), api.Key.Compare) {
		last := cmp.Or(t.pending[key].last, "the hub has not sent the object yet")
		errs = append(errs, fmt.Errorf("%s: %s: %s", oneLine(key.String()), why, last))
	}
	return joined(errs)
}

func uidOf(object map[string]any) string {
	uid, _, _ := unstructured.NestedString(object, "metadata", "uid")
	return uid
}
