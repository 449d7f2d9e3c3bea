package hub

import (
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/telemetry"
)

// What one connection may cost the hub. Spokes ping every 30 s.
const (
	maxMessage        = 1 << 20
	maxHeaders        = 16 << 10
	maxStreams        = 64
	handshakeTimeout  = 10 * time.Second
	minPing           = 20 * time.Second
	serverPing        = 2 * time.Minute
	serverPingTimeout = 20 * time.Second
	readBuffer        = 4 << 10
	writeBuffer       = 32 << 10
)

// open makes the servers behind the two doors.
func (h *Hub) open(registration registrationv1.RegistrationServiceServer) {
	g := &guard{trustDomain: h.authority.TrustDomain(), log: h.config.Log, requests: newRequests(h.registry)}
	h.grpc = grpc.NewServer(append(h.limits(),
		grpc.Creds(h.handshakes()),
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.UnknownServiceHandler(refuseUnknown),
	)...)
	h.health = health.NewServer()
	spokev1.RegisterSpokeServiceServer(h.grpc, h.dispatch)
	registrationv1.RegisterRegistrationServiceServer(h.grpc, registration)
	adminv1.RegisterAdminServiceServer(h.grpc, h.admin)
	healthv1.RegisterHealthServer(h.grpc, h.health)
	reflection.Register(h.grpc)

	h.http = &http.Server{
		Handler:           telemetry.Handler(h.registry, h.ready),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeaders,
	}
}

// limits bound what a caller can make the server spend. A spoke renews at half-life, so a connection that ends after half
// a lifetime does not outlive the certificate it was made with.
func (h *Hub) limits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: serverPing, Timeout: serverPingTimeout,
			MaxConnectionAge: max(h.config.CertificateTTL/2, time.Minute), MaxConnectionAgeGrace: drainTime,
		}),
	}
}

// errNotServing is what /readyz says before Run and while draining.
var errNotServing = errors.New("the hub is not serving")

func (h *Hub) ready() error {
	if !h.serving.Load() {
		return errNotServing
	}
	return nil
}
