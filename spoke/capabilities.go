package spoke

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/kube"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// surveyTimeout limits how long a hello waits for the first survey.
const surveyTimeout = 5 * time.Second

// capabilities surveys the API server of the cluster: its version, group/versions and kinds.
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

// runSurvey surveys the API server again and again, and gives the capabilities to the session, until ctx ends.
func (p *parts) runSurvey(ctx context.Context) {
	c := p.capabilities
	c.survey.Run(ctx, func(latest kube.Capabilities) {
		c.latest.Store(&latest)
		if err := p.session.Capabilities(wireCapabilities(latest)); err != nil {
			p.log.Warn("the capabilities of the API server are not sent to the hub", telemetry.Err(err))
		}
		c.known()
	}, func(err error) {
		p.log.Warn("the capabilities of the API server are not known", telemetry.Err(err))
		c.known()
	})
}

func wireCapabilities(c kube.Capabilities) *spokev1.Capabilities {
	m := &spokev1.Capabilities{KubernetesVersion: c.Version}
	for _, gv := range c.GroupVersions {
		m.GroupVersions = append(m.GroupVersions,
			&spokev1.GroupVersion{Group: gv.Group, Version: gv.Version, Kinds: gv.Kinds})
	}
	return m
}

// version returns the version of the API server. If the server does not answer, version returns "".
func (c *capabilities) version(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	select {
	case <-c.asked:
	case <-ctx.Done():
	}
	return c.latest.Load().Version
}
