package rollout

import (
	"errors"
	"strings"
	"testing"
)

// TestControl_nothing says why a decision of an operator changes nothing.
func TestControl_nothing(t *testing.T) {
	failed := &Progress{State: ClusterFailed}
	for name, tt := range map[string]struct {
		r      Rollout
		decide func(r *Rollout) error
		want   string
	}{
		"release_before_first": {Rollout{}, (*Rollout).Release, "the Fleet had no rollout yet"},
		"release_running":      {Rollout{Number: 3, Phase: Waiting}, (*Rollout).Release, "rollout 3 is not held: it is Waiting"},
		"abort_ended":          {Rollout{Number: 3, Phase: Succeeded}, (*Rollout).Abort, "rollout 3 has ended: it is Succeeded"},
		"roll_back_twice": {Rollout{Number: 3, Phase: RollingBack, Order: Rollback}, (*Rollout).RollBack,
			"rollout 3 is RollingBack"},
		"retry_aborted": {Rollout{Number: 3, Phase: Aborted, Order: Abort},
			func(r *Rollout) error { return r.Retry(0, failed, start) }, "rollout 3 is held: release it first"},
		"retry_rolled_back": {Rollout{Number: 3, Phase: RolledBack, Order: Rollback},
			func(r *Rollout) error { return r.Retry(0, failed, start) }, "rollout 3 is held: release it first"},
		"skip_done": {Rollout{Number: 3, Phase: Waiting},
			func(r *Rollout) error { return r.Skip(&Progress{State: ClusterDone}, "ann", start) }, "the cluster is Done"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.decide(&tt.r); !errors.Is(err, ErrNothing) || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if failed.State != ClusterFailed {
		t.Errorf("the cluster became %s", failed.State)
	}
}
