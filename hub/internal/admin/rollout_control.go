package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// ControlRollout implements adminv1.AdminServiceServer. Package stages carries the decision out.
func (s *Server) ControlRollout(ctx context.Context, r *adminv1.ControlRolloutRequest) (
	*adminv1.ControlRolloutResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkControl(r); err != nil {
		return nil, err
	}
	var response *adminv1.ControlRolloutResponse
	err = s.update(ctx, func(tx *store.Tx) error {
		p, err := readPaced(tx, r.GetFleet())
		if err != nil {
			return err
		}
		c := rolloutControl{pacedFleet: p, tx: tx, r: r, by: identity.NameOf(who.String()), now: s.now().UTC()}
		response, err = c.decide()
		if err != nil || !response.GetChanged() {
			return err
		}
		reason := condition.RolloutControlled
		if r.GetVerb() == adminv1.RolloutVerb_ROLLOUT_VERB_APPROVE {
			reason = condition.RolloutApproved
		}
		return errors.Join(s.record(tx, p.key, reason, response.Message+" by "+c.by),
			store.Rollouts.Put(tx, store.RolloutKey(p.key.Name, c.latest.Number), c.latest),
			s.audit(ctx, tx, "decided about a rollout", response.Message, p.key))
	})
	if err == nil && response.GetChanged() {
		s.did(who, response.GetMessage(), api.FleetKey(r.GetFleet()))
	}
	return response, s.fail(err)
}

// checkControl returns an error about a request that is not one.
func checkControl(r *adminv1.ControlRolloutRequest) error {
	verb := r.GetVerb()
	ofClusters := verb == adminv1.RolloutVerb_ROLLOUT_VERB_RETRY || verb == adminv1.RolloutVerb_ROLLOUT_VERB_SKIP
	switch {
	case adminv1.RolloutVerb_name[int32(verb)] == "" || verb == adminv1.RolloutVerb_ROLLOUT_VERB_UNSPECIFIED:
		return status.Errorf(codes.InvalidArgument, "the hub does not know the verb %d of rollouts: upgrade the hub", verb)
	case r.GetStage() != "" && verb != adminv1.RolloutVerb_ROLLOUT_VERB_APPROVE:
		return status.Error(codes.InvalidArgument, "only an approval is for a stage: leave out the stage")
	case len(r.GetClusters()) > 0 && !ofClusters:
		return status.Error(codes.InvalidArgument, "this decision is about the whole rollout: leave out the clusters")
	case len(r.GetClusters()) == 0 && verb == adminv1.RolloutVerb_ROLLOUT_VERB_SKIP:
		return status.Error(codes.InvalidArgument, "name the clusters to skip")
	}
	return nil
}

// rolloutControl is one decision of an operator about the newest rollout of a Fleet, in its transaction.
type rolloutControl struct {
	pacedFleet
	tx  *store.Tx
	r   *adminv1.ControlRolloutRequest
	by  string
	now time.Time
}

// decide changes the rollout and the turns of its clusters as the request wants, and returns the answer.
func (c *rolloutControl) decide() (*adminv1.ControlRolloutResponse, error) {
	if seen := c.r.GetNumber(); seen != 0 && seen != c.latest.Number {
		return nil, status.Errorf(codes.Aborted, "nothing was changed: rollout %d of %s has begun meanwhile: look at it "+
			"with nave rollout status %s, and decide again", c.latest.Number, c.key, c.key.Name)
	}
	done, err := c.apply()
	response := &adminv1.ControlRolloutResponse{Number: c.latest.Number, Message: done, Changed: err == nil}
	if errors.Is(err, rollout.ErrNothing) {
		response.Message, err = strings.TrimPrefix(err.Error(), rollout.ErrNothing.Error()+": "), nil
	}
	if err == nil && c.r.GetVerb() != adminv1.RolloutVerb_ROLLOUT_VERB_SUSPEND {
		response.Held = c.held()
	}
	return response, err
}

// apply carries out the verb, and returns what was done.
func (c *rolloutControl) apply() (done string, err error) {
	r := &c.latest.Rollout
	of := fmt.Sprintf(" rollout %d", r.Number)
	switch c.r.GetVerb() {
	case adminv1.RolloutVerb_ROLLOUT_VERB_APPROVE:
		if err := c.requireStage(); err != nil {
			return "", err
		}
		place, err := r.Approve(c.spec, c.r.GetStage(), c.by, c.now)
		return "approved" + of + " " + place, err
	case adminv1.RolloutVerb_ROLLOUT_VERB_SUSPEND:
		return "suspended the rollouts", r.Suspend(true)
	case adminv1.RolloutVerb_ROLLOUT_VERB_RESUME:
		return "resumed the rollouts", r.Suspend(false)
	case adminv1.RolloutVerb_ROLLOUT_VERB_ABORT:
		return "aborted" + of, r.Abort()
	case adminv1.RolloutVerb_ROLLOUT_VERB_ROLL_BACK:
		return "ordered to roll back" + of, r.RollBack()
	case adminv1.RolloutVerb_ROLLOUT_VERB_RELEASE:
		return "released" + of, r.Release()
	case adminv1.RolloutVerb_ROLLOUT_VERB_RETRY:
		done, err := c.eachTurn(func(stage int, t *store.Turn) error { return r.Retry(stage, &t.Progress, c.now) })
		return "retried " + done + " of" + of, err
	}
	done, err = c.eachTurn(func(_ int, t *store.Turn) error { return r.Skip(&t.Progress, c.by, c.now) })
	return "left " + done + " out of" + of, err
}

// requireStage returns an error about a stage that the Fleet does not have.
func (c *rolloutControl) requireStage() error {
	var names []string
	for _, s := range c.spec.AllStages() {
		names = append(names, s.Name)
	}
	if stage := c.r.GetStage(); stage != "" && !slices.Contains(names, stage) {
		return status.Errorf(codes.InvalidArgument, "%s has no stage %q: it has %s", c.key, stage, strings.Join(names, ", "))
	}
	return nil
}

// eachTurn changes the turns of the clusters that the request names, and of those that failed if it names none. It
// returns the clusters that changed. If none did, the error is ErrNothing.
func (c *rolloutControl) eachTurn(change func(stage int, t *store.Turn) error) (done string, err error) {
	turns, err := turnsOf(c.tx, c.key.Name)
	if err != nil {
		return "", err
	}
	clusters := slices.Compact(slices.Sorted(slices.Values(c.r.GetClusters())))
	if len(clusters) == 0 {
		maps.DeleteFunc(turns, func(_ string, t store.Turn) bool { return t.State != rollout.ClusterFailed })
		if clusters = slices.Sorted(maps.Keys(turns)); len(clusters) == 0 {
			return "", fmt.Errorf("%w: no cluster has failed", rollout.ErrNothing)
		}
	}
	var changed []string
	var nothing error
	for _, cluster := range clusters {
		t, is := turns[cluster]
		if !is {
			return "", c.errNoTurn(cluster)
		}
		stage, err := stageOf(c.tx, c.spec, cluster)
		if err != nil {
			return "", err
		}
		if err := change(stage, &t); errors.Is(err, rollout.ErrNothing) {
			nothing = cmp.Or(nothing, fmt.Errorf("%w (%s)", err, cluster))
			continue
		}
		changed = append(changed, cluster)
		if err := store.Turns.Put(c.tx, store.TurnKey(cluster, c.key.Name), t); err != nil {
			return "", err
		}
	}
	if len(changed) == 0 {
		return "", nothing
	}
	return wording.List(changed, len(changed), 20), nil
}

// errNoTurn is the error of a cluster that is not part of the rollout. If there is no such Cluster, it is NOT_FOUND.
func (c *rolloutControl) errNoTurn(cluster string) error {
	if err := requireRow(c.tx, api.ClusterKey(cluster)); err != nil {
		return err
	}
	return status.Errorf(codes.FailedPrecondition, "nothing was changed: cluster %s is not part of the rollout of %s: "+
		"nave rollout status %s lists its clusters", cluster, c.key, c.key.Name)
}

// held says what keeps the rollout from going on; empty: nothing that an operator must end.
func (c *rolloutControl) held() string {
	switch {
	case c.row.IsSuspended():
		return fmt.Sprintf("%s is suspended: nave resume fleet %s", c.key, c.key.Name)
	case c.spec.Suspend:
		return fmt.Sprintf("spec.rollout.suspend of %s is true: set it to false in its manifest", c.key)
	case c.latest.Suspended:
		return fmt.Sprintf("rollouts of %s are suspended: nave rollout resume %s", c.key, c.key.Name)
	}
	return ""
}
