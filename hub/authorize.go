package hub

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/admin"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
)

// rule is the set of callers that may call a method.
type rule int

const (
	nobody rule = iota // of methods that are in no table
	anyone             // without a certificate, too
	certified
	clusters
	operators
)

// A rule by method comes before the rule of its service. A method without a rule is refused. The services check their
// callers again, so that a mistake here, or a path that gRPC reads differently, admits no wrong caller.
var (
	methodRules = map[string]rule{
		registrationv1.RegistrationService_Register_FullMethodName: anyone,
		registrationv1.RegistrationService_Renew_FullMethodName:    clusters,
	}
	serviceRules = map[string]rule{
		spokev1.SpokeService_ServiceDesc.ServiceName: clusters,
		adminv1.AdminService_ServiceDesc.ServiceName: operators,
		"grpc.health.v1.Health":                      certified,
		"grpc.reflection.v1.ServerReflection":        operators,
		"grpc.reflection.v1alpha.ServerReflection":   operators,
	}
)

// ruleOf returns the rule of a path, which must have exactly the form /service/method. For any other path ruleOf
// returns nobody.
func ruleOf(path string) rule {
	if r, ok := methodRules[path]; ok {
		return r
	}
	rest, ok := strings.CutPrefix(path, "/")
	service, method, split := strings.Cut(rest, "/")
	if !ok || !split || method == "" || strings.Contains(method, "/") {
		return nobody
	}
	return serviceRules[service]
}

// operatorCalls knows what each operator may do, and records what was refused. An admin.Server is one.
type operatorCalls interface {
	Begin(ctx context.Context, caller identity.Caller, path string) (*admin.Call, error)
	Denied(ctx context.Context, caller identity.Caller, path string, request any, cause error)
}

// guard intercepts every call: it counts the call, refuses callers that may not make it, and turns a panic into an
// error of that call.
type guard struct {
	trustDomain string
	log         *slog.Logger
	requests    *prometheus.CounterVec
	saw         func(identity.Caller) // is told who may call
	operators   operatorCalls
}

func newRequests(r prometheus.Registerer) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nave_grpc_requests_total", Help: "Finished gRPC calls.",
	}, []string{"method", "code"})
	r.MustRegister(v)
	return v
}

// options returns the options of a server whose calls the guard intercepts, for callers with a certificate and without.
func (g *guard) options(c credentials.TransportCredentials) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(c),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.ReadBufferSize(readBuffer),
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.UnknownServiceHandler(refuseUnknown),
	}
}

func (g *guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo,
	handle grpc.UnaryHandler) (response any, err error) {
	defer func() { g.finish(info.FullMethod, recover(), &err) }()
	defer func() { g.record(ctx, info.FullMethod, request, err) }()
	authorized, err := g.authorize(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	if ruleOf(info.FullMethod) != operators {
		return handle(authorized, request)
	}
	call, err := g.begin(authorized, info.FullMethod)
	if err != nil {
		return nil, err
	}
	defer func() { err = call.End(err) }()
	if err := call.Check(request); err != nil {
		return nil, err
	}
	return handle(call.Context(), request)
}

// begin returns the call of an operator.
func (g *guard) begin(ctx context.Context, path string) (*admin.Call, error) {
	caller, err := identity.CallerOf(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "the caller is unknown")
	}
	return g.operators.Begin(ctx, caller, path)
}

func (g *guard) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo,
	handle grpc.StreamHandler) (err error) {
	defer func() { g.finish(info.FullMethod, recover(), &err) }()
	defer func() { g.record(stream.Context(), info.FullMethod, nil, err) }()
	ctx, err := g.authorize(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	if ruleOf(info.FullMethod) != operators {
		return handle(server, identified{stream, ctx})
	}
	call, err := g.begin(ctx, info.FullMethod)
	if err != nil {
		return err
	}
	defer func() { err = call.End(err) }()
	return handle(server, checked{stream, call})
}

// checked is the stream of an operator. It gives the handler only messages that the operator may send, and sends none
// after the operator may not make the call any more.
type checked struct {
	grpc.ServerStream
	call *admin.Call
}

// Context implements grpc.ServerStream.
func (c checked) Context() context.Context { return c.call.Context() }

// RecvMsg implements grpc.ServerStream.
func (c checked) RecvMsg(m any) error {
	if err := c.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return c.call.Check(m)
}

// SendMsg implements grpc.ServerStream.
func (c checked) SendMsg(m any) error {
	if err := c.call.Context().Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return c.ServerStream.SendMsg(m)
}

// identified is a stream whose context names the caller.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (i identified) Context() context.Context { return i.ctx }

// authorize returns the context of a call. If the method needs a caller, the context names the caller. If the caller
// may not call the method, authorize returns an error.
func (g *guard) authorize(ctx context.Context, method string) (context.Context, error) {
	r := ruleOf(method)
	if r == anyone {
		return ctx, nil
	}
	caller, err := identity.Peer(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "show a certificate of this hub's authority")
	}
	id := caller.ID
	ours := id.TrustDomain == g.trustDomain
	switch {
	case ours && r == certified,
		ours && r == clusters && id.Role == identity.Cluster,
		ours && r == operators && id.Role == identity.Operator:
		g.saw(caller)
		return identity.WithCaller(ctx, caller), nil
	}
	return nil, status.Errorf(codes.PermissionDenied, "%s may not call this method of the hub", id)
}

// record notes in the audit log that a caller with a certificate was refused a call that only operators may make.
func (g *guard) record(ctx context.Context, method string, request any, cause error) {
	if ruleOf(method) != operators || status.Code(cause) != codes.PermissionDenied {
		return
	}
	if caller, err := identity.Peer(ctx); err == nil {
		g.operators.Denied(ctx, caller, method, request, cause)
	}
}

// finish counts the call. If the handler panicked, finish logs that and sets the error of the call, and the hub
// continues.
func (g *guard) finish(method string, panicked any, err *error) {
	if panicked != nil {
		g.log.Error("handler panicked", slog.String("method", method), slog.Any("panic", panicked),
			slog.String("stack", string(debug.Stack())))
		*err = status.Error(codes.Internal, "internal error: the log of the hub has the cause")
	}
	if ruleOf(method) == nobody {
		method = "unknown" // a caller must not choose the metric's labels
	}
	g.requests.WithLabelValues(method, status.Code(*err).String()).Inc()
}

// refuseUnknown answers calls of unknown methods, which the guard refuses before.
func refuseUnknown(any, grpc.ServerStream) error {
	return status.Error(codes.Unimplemented, "no such method")
}
