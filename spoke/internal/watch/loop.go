package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// loop lists objects, and then watches them from the version of the list on.
type loop struct {
	client  *kube.Client
	log     *slog.Logger
	subject fmt.Stringer // for the log
	mapping func(ctx context.Context) (kube.Mapping, error)
	scope   kube.Scope
	list    func(ctx context.Context, m kube.Mapping) (version string, err error)
	// handle handles an event. After an error the objects are listed again, because the event is lost.
	handle  func(ctx context.Context, e kube.Event) error
	version string // resourceVersion to watch from; empty: list first
}

// run lists and watches until the context ends. Failures are repeated after pauses that grow from one second to
// sixteen.
func (l *loop) run(ctx context.Context) {
	retry := wait.Backoff{First: time.Second, Most: 16 * time.Second, Spread: .5}
	for ctx.Err() == nil {
		started := time.Now()
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if !resumable(err) {
			l.version = ""
		}
		if err != nil && kube.ReasonOf(err) != kube.Expired {
			l.log.WarnContext(ctx, "watch interrupted", telemetry.Object(l.subject), telemetry.Err(err))
		}
		if time.Since(started) > retry.Most || err == nil && time.Since(started) > retry.First {
			retry.Reset()
		} else if retry.Pause(ctx) != nil {
			return
		}
	}
}

// resumable reports whether a watch can resume after an error. If the kind was not served, or not to us, the watch
// cannot resume: a CustomResourceDefinition that comes back has another history.
func resumable(err error) bool {
	switch kube.ReasonOf(err) {
	case "", kube.Unreachable, kube.Unavailable, kube.Unauthorized:
		return true
	}
	return false
}

// follow lists if there is no version to resume from, then watches until the stream ends. The end of the stream is no
// error.
func (l *loop) follow(ctx context.Context) error {
	m, err := l.mapping(ctx)
	if err != nil {
		return err
	}
	if l.version == "" {
		version, err := l.list(ctx, m)
		if err != nil {
			return err
		}
		l.version = version
	}
	stream, err := l.client.Watch(ctx, m, l.scope, l.version)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l.version = event.Live.ResourceVersion
		if err := l.handle(ctx, event); err != nil {
			l.version = ""
			return err
		}
	}
}
