package admin

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// Call is a call of an operator that is under way. If the operator may not make it any more, because the certificate
// was revoked or the role changed, the context of the call ends.
type Call struct {
	server *Server
	caller identity.Caller
	method string // without the service; empty: of another service
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	access   access   // its role is empty until it is known
	clusters []string // that the messages named
	named    bool     // a message was checked
}

// calls are the calls under way.
type calls struct {
	mu  sync.Mutex
	set map[*Call]bool
}

// Begin returns a call, or an error if the operator may not make it. The path is that of the gRPC method; methods of
// other services than the AdminService need any role. The caller of Begin must call End.
func (s *Server) Begin(ctx context.Context, caller identity.Caller, path string) (*Call, error) {
	c := &Call{server: s, caller: caller}
	if method, ours := strings.CutPrefix(path, "/"+adminv1.AdminService_ServiceDesc.ServiceName+"/"); ours {
		c.method = method
	}
	c.ctx, c.cancel = context.WithCancelCause(identity.WithCaller(ctx, caller))
	s.calls.mu.Lock()
	s.calls.set[c] = true // before the check, to miss no change
	s.calls.mu.Unlock()
	var a access
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		a, err = c.check(tx)
		return err
	})
	c.mu.Lock()
	c.access = a
	c.mu.Unlock()
	if err == nil {
		err = s.noteCertificate(ctx, caller)
	}
	if err != nil {
		return nil, c.End(s.fail(err))
	}
	return c, nil
}

// check returns what the caller may do, or an error if this call is not part of it.
func (c *Call) check(tx *store.Tx) (access, error) {
	a, err := accessOf(tx, c.caller)
	if err == nil && c.method != "" {
		err = a.allows(c.caller, c.method)
	}
	return a, err
}

// Context returns the context of the call, which names the caller.
func (c *Call) Context() context.Context { return c.ctx }

// Check returns an error if a message of the call is about clusters that the operator does not see.
func (c *Call) Check(message any) error {
	r, a := rights[c.method], c.access // Begin has set it
	if a.selector == nil || c.method == "" || r.scope == harmless {
		return nil
	}
	clusters := clustersOf(message)
	c.mu.Lock()
	first := !c.named
	c.clusters, c.named = append(c.clusters, clusters...), true
	c.mu.Unlock()
	if first && len(clusters) == 0 && r.scope != filtered {
		return a.needsHub(c.caller.Name)
	}
	err := c.server.store.View(c.ctx, func(tx *store.Tx) error { return a.checkClusters(tx, clusters) })
	if status.Code(err) == codes.NotFound { // for all that the caller may know; the audit log may say more
		c.server.recordDenied(c.ctx, c.caller, c.method, message, "not one of the clusters with "+a.text)
	}
	return c.server.fail(err)
}

// End ends the call, and returns its error: that of the handler, or why the call was ended.
func (c *Call) End(err error) error {
	c.server.calls.mu.Lock()
	delete(c.server.calls.set, c)
	c.server.calls.mu.Unlock()
	cause := context.Cause(c.ctx)
	c.cancel(nil)
	if err != nil && status.Code(cause) == codes.PermissionDenied {
		return cause
	}
	return err
}

// Run ends calls whose operator may not make them any more, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	w := s.store.Watch(ctx, store.Operators.Name(), store.OperatorCertificates.Name(), store.Resources.Name())
	defer w.Close()
	for range w.C() {
		changes := w.Take()
		s.endCalls(ctx, onlyResources(changes))
	}
	return nil
}

// onlyResources reports whether no change is of an operator.
func onlyResources(changes []store.Change) bool {
	for _, c := range changes {
		if c.Table != store.Resources.Name() {
			return false
		}
	}
	return true
}

// endCalls ends the calls that are not allowed any more. If only objects changed, those are calls with a selector.
func (s *Server) endCalls(ctx context.Context, onlyScoped bool) {
	s.calls.mu.Lock()
	var open []*Call
	for c := range s.calls.set {
		if !onlyScoped || c.hasSelector() {
			open = append(open, c)
		}
	}
	s.calls.mu.Unlock()
	for _, c := range open {
		err := s.store.View(ctx, func(tx *store.Tx) error { return c.recheck(tx) })
		if err != nil && ctx.Err() == nil {
			if status.Code(err) != codes.PermissionDenied {
				s.log.Error("a call of an operator is ended", telemetry.Err(err))
				err = status.Error(codes.PermissionDenied, "the hub cannot read what operators may do")
			}
			c.cancel(err)
		}
	}
}

// hasSelector reports whether the role of the caller has a selector, as far as the call knows it.
func (c *Call) hasSelector() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.access.selector != nil
}

// recheck returns an error if the call is not allowed any more.
func (c *Call) recheck(tx *store.Tx) error {
	c.mu.Lock()
	clusters, before := c.clusters, c.access
	c.mu.Unlock()
	a, err := c.check(tx)
	switch {
	case err != nil || before.role == "":
		return err
	case a.text != before.text:
		return status.Errorf(codes.PermissionDenied, "the clusters of operator %s changed: try again", c.caller.Name)
	}
	if a.checkClusters(tx, clusters) != nil {
		return status.Errorf(codes.PermissionDenied, "the labels of a cluster changed: operator %s does not see it any more",
			c.caller.Name)
	}
	return nil
}
