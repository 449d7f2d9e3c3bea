package hub

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/telemetry"
)

// Limits of one connection. Spokes send a heartbeat every 20 s, so that the hub pings only those that are silent: after
// at most 40 s without an answer the connection ends. A cluster that does not finish its calls makes the hub keep one
// message in each stream of each connection: 64 MiB.
const (
	maxMessage        = 1 << 20
	maxHeaders        = 16 << 10
	maxStreams        = 16
	handshakeTimeout  = 10 * time.Second
	minPing           = 20 * time.Second
	serverPing        = 25 * time.Second
	serverPingTimeout = 15 * time.Second
	readBuffer        = 4 << 10
	writeBuffer       = 32 << 10

	maxStrangerMessage = 16 << 10 // a join token and a certificate request
	maxStrangerStreams = 2
	strangerWindow     = 64 << 10 // bytes that the hub buffers
)

// connections limits how many connections are open at the same moment.
type connections struct {
	handshakes int           // before their handshake is finished, which takes about a second
	grace      time.Duration // see connLimit
	strangers  int           // without a certificate
	life       time.Duration // of a connection without a certificate, which needs it only to register
	cluster    int           // of one cluster's certificates; a spoke has one
	operator   int           // of one operator's certificates
	http       int           // of metrics and health
}

var defaultConnections = connections{
	handshakes: 2048, grace: 3 * time.Second, strangers: 256, life: 20 * time.Second, cluster: 4, operator: 256, http: 256,
}

// newServers makes the gRPC servers, of callers with a certificate and without, and the HTTP server.
func (h *Hub) newServers(registration registrationv1.RegistrationServiceServer) {
	g := &guard{trustDomain: h.authority.TrustDomain(), log: h.config.Log, requests: newRequests(h.registry),
		saw: h.newExpirations().saw, operators: h.admin}
	tls := h.handshakes()
	h.grpc = grpc.NewServer(append(h.limits(), g.options(h.admit(tls))...)...)
	h.health = health.NewServer()
	spokev1.RegisterSpokeServiceServer(h.grpc, h.dispatch)
	registrationv1.RegisterRegistrationServiceServer(h.grpc, registration)
	adminv1.RegisterAdminServiceServer(h.grpc, h.admin)
	healthv1.RegisterHealthServer(h.grpc, h.health)
	reflection.Register(h.grpc)

	h.strangers = grpc.NewServer(append(strangerLimits(), g.options(handshaken{tls})...)...)
	registrationv1.RegisterRegistrationServiceServer(h.strangers, registration)

	h.http = &http.Server{
		Handler:        telemetry.Handler(h.registry, h.ready, h.config.Profiles),
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: maxHeaders,
	}
}

// admit puts limits on connections around the two listeners and the handshake.
func (h *Hub) admit(tls credentials.TransportCredentials) credentials.TransportCredentials {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nave_connections_refused_total", Help: "Connections refused, or closed to make room for another one, by kind.",
	}, []string{"kind"})
	h.registry.MustRegister(refused)
	limit := func(kind string, b bounds) *connLimit { return newConnLimit(b, refused.WithLabelValues(kind)) }
	c := h.config.connections
	h.listener = limited{h.listener, limit("handshake", bounds{max: c.handshakes, grace: c.grace})}
	h.httpListener = limited{h.httpListener, limit("http", bounds{max: c.http, grace: c.grace})}
	h.passed = newPassed(h.listener.Addr(), c.life)
	return &admission{
		TransportCredentials: tls,
		clusters:             limit("cluster", bounds{perSource: c.cluster}),
		operators:            limit("operator", bounds{perSource: c.operator}),
		strangers:            limit("stranger", bounds{max: c.strangers, grace: c.grace}),
		pass:                 h.passed,
	}
}

// limits returns options that limit the resources a caller can use. A connection ends after half the lifetime of a
// spoke's certificate. Spokes renew at half-life, so a connection does not outlive its certificate.
func (h *Hub) limits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.WriteBufferSize(writeBuffer),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: serverPing, Timeout: serverPingTimeout,
			MaxConnectionAge: max(h.config.CertificateTTL/2, time.Minute), MaxConnectionAgeGrace: drainTime,
		}),
	}
}

// strangerLimits returns options that limit the resources a caller without a certificate can use, beside the life of
// its connection.
func strangerLimits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxStrangerMessage),
		grpc.MaxConcurrentStreams(maxStrangerStreams),
		grpc.WriteBufferSize(readBuffer),
		grpc.StaticStreamWindowSize(strangerWindow),
		grpc.StaticConnWindowSize(strangerWindow),
	}
}

// errNotServing is the answer of /readyz before Run and while the hub drains.
var errNotServing = errors.New("the hub is not serving")

func (h *Hub) ready() error {
	if !h.serving.Load() {
		return errNotServing
	}
	return nil
}
