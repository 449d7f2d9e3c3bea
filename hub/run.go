package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/navefleet/nave/hub/internal/backup"
	"github.com/navefleet/nave/shared/memory"
	"github.com/navefleet/nave/shared/telemetry"
)

// drainTime is how long calls under way may take after the context of Run ends.
const drainTime = 10 * time.Second

// Run serves until ctx ends, then drains for at most ten seconds and closes the hub. It returns nil after a clean
// drain.
func (h *Hub) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, h.close()) }()
	parts, stop := context.WithCancel(context.WithoutCancel(ctx)) // the parts outlive the calls that wait for them
	defer stop()
	g, parts := errgroup.WithContext(parts)
	g.Go(func() error {
		// Recover runs before the planner reads artifacts. Spokes are served meanwhile.
		if err := h.fetch.Recover(parts); err != nil {
			if parts.Err() != nil {
				return nil // Run is ending
			}
			return err
		}
		g.Go(func() error { return h.fetch.Run(parts) })
		return h.plan.Run(parts)
	})
	g.Go(func() error { return h.signer.Run(parts) })
	g.Go(func() error { return h.upgrade.Run(parts) })
	g.Go(func() error { return h.stages.Run(parts) })
	g.Go(func() error { return h.publish.Run(parts) })
	g.Go(func() error { return h.dispatch.Run(parts) })
	g.Go(func() error { return h.admin.Run(parts) })
	g.Go(func() error { return h.states.Run(parts) })
	g.Go(func() error { return h.keepCertificate(parts) })
	g.Go(func() error { memory.Trim(parts); return nil })
	if h.trace != nil {
		g.Go(func() error { h.trace.Run(parts); return nil })
	}
	g.Go(func() error { return serveGRPC(h.grpc, h.listener) })
	g.Go(func() error { return serveGRPC(h.strangers, h.passed) })
	g.Go(h.serveHTTP)
	g.Go(func() error { h.serveBackups(parts); return nil })
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-parts.Done(): // one of the parts failed
		}
		h.drain()
		stop()
		return nil
	})
	h.serving.Store(true)
	h.config.Log.Info("hub serves", telemetry.Address(h.Addr().String()), slog.String("http", h.HTTPAddr().String()))
	return g.Wait()
}

func serveGRPC(server *grpc.Server, listener net.Listener) error {
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) { // stopped before it served
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

func (h *Hub) serveHTTP() error {
	if err := h.http.Serve(h.httpListener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// drain ends every stream, waits for calls to finish, and closes the listeners.
func (h *Hub) drain() {
	h.config.Log.Info("hub drains")
	h.serving.Store(false)
	h.health.Shutdown()
	h.dispatch.Drain()
	h.admin.Drain()
	stop(h.grpc, drainTime)
	stop(h.strangers, time.Second) // a registration takes no longer; a stranger must not keep the hub
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := h.http.Shutdown(ctx); err != nil {
		_ = h.http.Close() // a scraper that does not read
	}
}

// stop stops a server when its calls have finished, or after patience.
func stop(server *grpc.Server, patience time.Duration) {
	hard := time.AfterFunc(patience, server.Stop)
	server.GracefulStop()
	hard.Stop()
}

// close closes everything that New opened: the worker processes, the listeners and the store.
func (h *Hub) close() error {
	var errs []error
	for _, pool := range h.workers {
		errs = append(errs, pool.Close())
	}
	for _, l := range []net.Listener{h.listener, h.httpListener, h.backups} {
		if l != nil {
			_ = l.Close() // the servers have closed theirs already
		}
	}
	if h.backups != nil {
		_ = os.Remove(h.path(backup.SocketName)) // while the store is locked, so that it is no other hub's
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	return errors.Join(errs...)
}
