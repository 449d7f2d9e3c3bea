package spoke

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// surveyTimeout is how long a hello waits for the first survey.
const surveyTimeout = 5 * time.Second

// capabilities are what the API server of the cluster serves, for the hub to know.
type capabilities struct {
	survey *kube.Survey
	latest atomic.Pointer[kube.Capabilities]
	known  func()
	asked  chan struct{} // closed after the first survey, whether it was answered or not
}

func newCapabilities(client *kube.Client) *capabilities {
	c := &capabilities{survey: kube.NewSurvey(client), asked: make(chan struct{})}
	c.latest.Store(&kube.Capabilities{})
	c.known = sync.OnceFunc(func() { close(c.asked) })
	return c
}

// run keeps the capabilities until ctx ends, and returns nil then.
func (c *capabilities) run(ctx context.Context, log *slog.Logger) error {
	c.survey.Run(ctx, func(latest kube.Capabilities) {
		c.latest.Store(&latest)
		c.known()
	}, func(err error) {
		log.Warn("the capabilities of the API server are not known", telemetry.Err(err))
		c.known()
	})
	return nil
}

// version returns the version of the API server; empty if it does not answer.
func (c *capabilities) version(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	select {
	case <-c.asked:
	case <-ctx.Done():
	}
	return c.latest.Load().Version
}
