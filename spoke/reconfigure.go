package spoke

import (
	"context"
	"time"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/membership"
)

// reconfigured ends Run when the settings changed.
type reconfigured struct{ to membership.Settings }

func (*reconfigured) Error() string { return "the settings changed" }

// watchSettings looks at the settings until ctx ends, and returns *reconfigured when they changed and can be used.
// Settings that cannot be used are reported, and the spoke keeps those that it has. A change counts once it has stood
// for a whole look: files of a ConfigMap do not change all at the same moment.
func (s *Spoke) watchSettings(ctx context.Context) error {
	tick := time.NewTicker(s.config.Look)
	defer tick.Stop()
	for before := s.given; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := s.config.Load()
		s.refuse(err)
		if err == nil && now != s.given && now == before {
			s.config.Log.Info("the settings changed: starting anew with them")
			return &reconfigured{now}
		}
		before = now
	}
}

// refuse reports settings that cannot be used, once; nil takes an earlier report back.
func (s *Spoke) refuse(err error) {
	text := ""
	if err != nil {
		text = "new settings cannot be used, the spoke keeps those that it has: " + err.Error()
	}
	if old := s.refused.Swap(&text); *old == text || text == "" {
		return
	}
	s.config.Log.Error("new settings cannot be used, the spoke keeps those that it has", telemetry.Err(err))
	s.warn(condition.SettingsRefused, text)
}
