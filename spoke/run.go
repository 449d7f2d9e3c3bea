package spoke

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/membership"
	"github.com/navefleet/nave/spoke/internal/state"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const (
	firstRecall  = time.Second // after the first failure to read the spoke's Secret and ledger, doubling
	maxRecall    = 30 * time.Second
	flushTimeout = 5 * time.Second // for the last write to the ledger
)

// Run runs the spoke until ctx ends. Then it waits at most ten seconds for running applies, and closes the state. Run
// returns nil after a clean stop, *reconfigured if the settings changed, and state.ErrDamaged if the state is damaged.
func (s *Spoke) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	defer s.flush()
	g, all := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-all.Done()
		return s.http.Close()
	})
	g.Go(func() error { return s.watchSettings(all) })
	g.Go(func() error {
		p, err := s.recall(all)
		if all.Err() != nil {
			return nil // ctx ended meanwhile
		}
		if err != nil {
			return err
		}
		s.start(g, all, p)
		return nil
	})
	return g.Wait()
}

// start runs the parts in a group.
func (s *Spoke) start(g *errgroup.Group, ctx context.Context, p *parts) {
	s.parts.Store(p)
	if p.role.Confused != nil {
		s.warn(condition.WrongCluster, p.role.Confused.Error())
	}
	if p.enrolment != nil {
		g.Go(func() error {
			if p.enrolment.Enroll(ctx); ctx.Err() != nil {
				return nil
			}
			return &reconfigured{s.given} // restart with the new identity
		})
	}
	g.Go(func() error { return p.agent.Run(ctx) })
	g.Go(func() error { return s.awaitDamage(ctx) })
	for _, run := range []func(context.Context){
		p.watcher.Run, p.inputs.Run, p.reporter.Run, p.marker.Run, p.ledger.Run, p.runSession, p.runSurvey, p.keepSettings,
		s.answerSchemas(p), s.answerLogs(p), p.upgrader.Run,
	} {
		g.Go(func() error { run(ctx); return nil })
	}
}

// runSession runs the session after the agent has restored its state, so that the first hello has the stage of the last
// bundle.
func (p *parts) runSession(ctx context.Context) {
	select {
	case <-p.agent.Restored():
		p.session.Run(ctx)
	case <-ctx.Done():
	}
}

// awaitDamage waits until the state on disk is found damaged, and returns state.ErrDamaged. If ctx ends before,
// awaitDamage returns nil.
func (s *Spoke) awaitDamage(ctx context.Context) error {
	select {
	case <-s.state.Damaged():
		return state.ErrDamaged
	case <-ctx.Done():
		return nil
	}
}

// flush writes the changes of the last applies to the ledger.
func (s *Spoke) flush() {
	p := s.parts.Load()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	s.logIf("inventories not kept in the cluster", p.ledger.Flush(ctx))
}

// recall reads the spoke's Secret and ledger, with retries, and makes the parts. If the spoke has no right to read
// them, recall makes the parts without; then there is no session either.
func (s *Spoke) recall(ctx context.Context) (*parts, error) {
	book := ledger.New(ledger.Config{Client: s.client, Namespace: s.config.Namespace, Disk: s.state, Log: s.config.Log})
	for retry := (wait.Backoff{First: firstRecall, Most: maxRecall}); ; {
		entries, err := s.secret().Load(ctx)
		var pages map[bundle.ApplicationName]ledger.Page
		if err == nil {
			pages, err = book.Read(ctx)
		}
		if err == nil || !kube.Retryable(err) {
			s.logIf("the spoke's Secret and inventories in the cluster cannot be read", err)
			return s.identify(entries, book, pages)
		}
		pause := retry.Next()
		s.waitsFor(err.Error())
		s.config.Log.Warn("waiting for the Kubernetes API", telemetry.Err(err), slog.Duration("retry", pause))
		if err := wait.For(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// identify decides the Role of the spoke from the entries of its Secret, seeds the disk, and makes the parts. pages is
// nil if they could not be read.
func (s *Spoke) identify(entries map[string][]byte, book *ledger.Ledger,
	pages map[bundle.ApplicationName]ledger.Page) (*parts, error) {
	kept, err := membership.ReadKept(entries)
	s.logIf("an entry of the spoke's Secret cannot be used", err)
	role := kept.Decide(s.given)
	s.logIf("the spoke keeps its own settings", role.Confused)
	if err := membership.Seed(s.state, kept.Marks, book, pages, s.config.Log); err != nil {
		return nil, err
	}
	return s.build(role, kept, book)
}

// warn sends a warning event to the hub.
func (s *Spoke) warn(reason, message string) {
	if p := s.parts.Load(); p != nil {
		p.reporter.Event(&spokev1.Event{Time: timestamppb.Now(), Type: condition.Warning, Reason: reason, Message: message})
	}
}
