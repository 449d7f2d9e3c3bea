package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// maxRolloutClusters is how many clusters of a rollout are listed, unless the caller wants another number.
const maxRolloutClusters = 500

// pacedFleet is a Fleet with a rollout, and the newest one.
type pacedFleet struct {
	key    api.Key
	row    store.Resource
	spec   *api.RolloutSpec
	latest store.Rollout
}

// readPaced reads a Fleet with its newest rollout. If it has no spec.rollout, the error is FAILED_PRECONDITION.
func readPaced(tx *store.Tx, name string) (p pacedFleet, err error) {
	p.key = api.FleetKey(name)
	if name == "" {
		return p, status.Error(codes.InvalidArgument, "the name of the Fleet is missing")
	}
	if p.row, err = resource(tx, p.key); err != nil {
		return p, err
	}
	fleet, err := p.row.Object.Fleet()
	if err != nil {
		return p, status.Errorf(codes.FailedPrecondition, "%s cannot be read: %v", p.key, err)
	}
	if p.spec = fleet.Spec.Rollout; p.spec == nil {
		return p, status.Errorf(codes.FailedPrecondition, "%s has no spec.rollout, so a change goes to all of its clusters "+
			"at once: set spec.rollout for rollouts (docs/rollouts.md)", p.key)
	}
	p.latest, _, err = store.LatestRollout(tx, name)
	return p, err
}

// ListRollouts implements adminv1.AdminServiceServer.
func (s *Server) ListRollouts(ctx context.Context, r *adminv1.ListRolloutsRequest) (*adminv1.ListRolloutsResponse,
	error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	response := &adminv1.ListRolloutsResponse{}
	err := s.store.View(ctx, func(tx *store.Tx) error {
		prefix := ""
		if name := r.GetFleet(); name != "" {
			if _, err := readPaced(tx, name); err != nil {
				return err
			}
			prefix = name + "/"
		}
		response.Rollouts = nil
		return store.Rollouts.ScanApart(tx, prefix, func(key string, row store.Rollout) error {
			if fleet, _, _ := strings.Cut(key, "/"); row.Number > 0 {
				response.Rollouts = append(response.Rollouts, rolloutMessage(fleet, row))
			}
			return nil
		}, func(string, error) error { return nil })
	})
	slices.SortFunc(response.Rollouts, func(a, b *adminv1.Rollout) int {
		return cmp.Or(strings.Compare(a.Fleet, b.Fleet), -cmp.Compare(a.Number, b.Number))
	})
	return response, s.fail(err)
}

// GetRollout implements adminv1.AdminServiceServer.
func (s *Server) GetRollout(ctx context.Context, r *adminv1.GetRolloutRequest) (*adminv1.GetRolloutResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	var response *adminv1.GetRolloutResponse
	err := s.store.View(ctx, func(tx *store.Tx) error {
		response = &adminv1.GetRolloutResponse{}
		p, err := readPaced(tx, r.GetFleet())
		if err != nil {
			return err
		}
		if n := r.GetNumber(); n != 0 && n != p.latest.Number {
			response.Rollout, err = pastRollout(tx, p.key, n)
			return err
		}
		response.Rollout = rolloutMessage(p.key.Name, p.latest)
		p.noteApproval(response.Rollout)
		return p.addClusters(tx, response, int(r.GetLimit()))
	})
	return response, s.fail(err)
}

// pastRollout returns a rollout that is not the newest.
func pastRollout(tx *store.Tx, key api.Key, number uint64) (*adminv1.Rollout, error) {
	row, ok, err := store.Rollouts.Get(tx, store.RolloutKey(key.Name, number))
	if err == nil && !ok {
		err = status.Errorf(codes.NotFound, "%s has no rollout %d: nave rollout list %s lists those that are kept", key,
			number, key.Name)
	}
	return rolloutMessage(key.Name, row), err
}

// addClusters adds the clusters of the newest rollout to an answer, those that need a look first.
func (p pacedFleet) addClusters(tx *store.Tx, response *adminv1.GetRolloutResponse, limit int) error {
	turns, err := turnsOf(tx, p.key.Name)
	if err != nil {
		return err
	}
	stages := p.spec.AllStages()
	at := map[string]int{}
	for cluster, turn := range turns {
		stage, err := stageOf(tx, p.spec, cluster)
		if err != nil {
			return err
		}
		at[cluster] = stage
		response.Clusters = append(response.Clusters, turnMessage(cluster, stages[stage].Name, turn))
		if !turn.Offered.IsZero() && !turn.Previous.IsZero() && turn.State != rollout.ClusterRestored &&
			turn.State != rollout.ClusterLeaving {
			response.Restorable++
		}
	}
	slices.SortFunc(response.Clusters, func(a, b *adminv1.RolloutCluster) int {
		return cmp.Or(cmp.Compare(urgency(a.State), urgency(b.State)), cmp.Compare(at[a.Cluster], at[b.Cluster]),
			strings.Compare(a.Cluster, b.Cluster))
	})
	if limit == 0 {
		limit = maxRolloutClusters
	}
	if more := len(response.Clusters) - limit; more > 0 {
		response.Clusters, response.More = response.Clusters[:limit], uint32(more)
	}
	return nil
}

// urgency orders the states of clusters, those that need a look first.
func urgency(state string) int {
	order := []rollout.State{rollout.ClusterFailed, rollout.ClusterUnderWay, rollout.ClusterRestoring,
		rollout.ClusterSkipped, rollout.ClusterLeftOut, rollout.ClusterWaiting, rollout.ClusterLeaving,
		rollout.ClusterRestored, rollout.ClusterDone}
	return slices.Index(order, rollout.State(state))
}

// turnsOf returns the turns of the clusters of a Fleet. A damaged one is left out: package stages makes it anew.
func turnsOf(tx *store.Tx, fleet string) (map[string]store.Turn, error) {
	turns := map[string]store.Turn{}
	for after := ""; ; {
		keys, next, err := store.Turns.PageKeys(tx, "", after, pageRows)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			cluster, of, _ := strings.Cut(key, "/")
			if of != fleet {
				continue
			}
			turn, ok, err := store.Turns.GetIntact(tx, key)
			if err != nil {
				return nil, err
			}
			if ok && turn.State != "" {
				turns[cluster] = turn
			}
		}
		if after = next; next == "" {
			return turns, nil
		}
	}
}

// stageOf returns the index of the stage of a cluster. A cluster that nobody knows any more is in the last one.
func stageOf(tx *store.Tx, spec *api.RolloutSpec, cluster string) (int, error) {
	row, _, err := store.Resources.GetIntact(tx, api.ClusterKey(cluster).Path())
	if err != nil || row.Object == nil {
		return len(spec.Stages), err
	}
	return spec.Stage(api.ClusterLabels(cluster, row.Object.Labels())), nil
}

func rolloutMessage(fleet string, row store.Rollout) *adminv1.Rollout {
	m := &adminv1.Rollout{Fleet: fleet, Number: row.Number, Revision: row.Revision, Phase: string(row.Phase),
		Message: row.Message, Since: timeMessage(row.Since), BeganAt: timeMessage(row.Began),
		EndedAt: timeMessage(row.Ended), Suspended: row.Suspended}
	for _, st := range row.Stages {
		if st.Name != api.RestStage || st.Counts.Clusters > 0 {
			m.Stages = append(m.Stages, stageMessage(st))
		}
	}
	return m
}

func stageMessage(st rollout.Stage) *adminv1.RolloutStage {
	c := st.Counts
	m := &adminv1.RolloutStage{Name: st.Name, State: "Waiting", Clusters: uint32(c.Clusters), Waiting: uint32(c.Waiting),
		UnderWay: uint32(c.UnderWay), Done: uint32(c.Done), Failed: uint32(c.Failed), Skipped: uint32(c.Skipped),
		ApprovedBefore: identity.NameOf(st.Before.By), ApprovedAfter: identity.NameOf(st.After.By)}
	switch {
	case c.Clusters == 0:
		m.State = "Empty"
	case !st.Finished.IsZero():
		m.State = "Finished"
	case !st.Settled.IsZero():
		m.State = "Settled"
	case !st.Begun.IsZero():
		m.State = condition.Progressing
	}
	return m
}

// noteApproval notes the stage that waits for an approval, before or after it.
func (p pacedFleet) noteApproval(m *adminv1.Rollout) {
	next := p.latest.Rollout
	if next.Order != "" {
		return
	}
	next.Stages = slices.Clone(next.Stages)
	if _, err := next.Approve(p.spec, "", "", time.Unix(1, 0)); err != nil {
		return
	}
	for i, st := range next.Stages {
		at := slices.IndexFunc(m.Stages, func(s *adminv1.RolloutStage) bool { return s.Name == st.Name })
		switch was := p.latest.Stages[i]; {
		case at < 0:
		case st.Before != was.Before:
			m.Stages[at].AwaitsApproval = "before"
		case st.After != was.After:
			m.Stages[at].AwaitsApproval = "after"
		}
	}
}

func turnMessage(cluster, stage string, t store.Turn) *adminv1.RolloutCluster {
	return &adminv1.RolloutCluster{Cluster: cluster, Stage: stage, State: string(t.State), Message: t.Message,
		Since: timeMessage(t.Since), OfferedAt: timeMessage(t.Offered), Target: digestText(t.Target),
		Previous: digestText(t.Previous), Joined: t.Joined}
}

// timeMessage returns a time; nil if it is zero.
func timeMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// digestText returns a digest as text; empty if it is zero.
func digestText(d manifest.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}
