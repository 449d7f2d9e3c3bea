package spoke

import (
	"context"
	"time"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/membership"
)

// reconfigured is the error that ends Run after the settings changed.
type reconfigured struct{ to membership.Settings }

func (*reconfigured) Error() string { return "the settings changed" }

// watchSettings polls the settings until ctx ends. If they changed and can be used, it returns *reconfigured. If they
// cannot be used, it reports that, and the spoke keeps the settings in use. A change counts if two polls see the same,
// because the files of a ConfigMap do not change all at the same moment.
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
			s.config.Log.Info("the settings changed: restarting with them")
			return &reconfigured{now}
		}
		before = now
	}
}

// refuse reports once that the settings cannot be used. A nil error withdraws the report.
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
