// Package admin serves the API for operators and their tools. It shows the objects of the store with the statuses that
// package status computes, and changes what operators may change: objects without an owner, credentials, requests,
// suspensions and join tokens.
//
// If an object comes from Git or from a Fleet, a change is refused with the name of the owner, because the owner would
// undo the change. Credentials go into the vault and are never shown. Every change is logged with the identity of the
// caller.
package admin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/pace"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// Config has the dependencies of a Server. Store, Vault, Keys and Join.TrustDomain must be set.
type Config struct {
	Store   *store.Store
	Vault   *store.Vault
	Join    Join
	Ask     Asker     // nil: no spoke is asked
	Preview Previewer // nil: no run is previewed
	Schemas Schemas   // nil: no spoke is asked
	Logs    Logs      // nil: no spoke is asked
	Records Records   // of the hub's log; nil: none are kept
	Keys    SigningKeys
	Issuer  Issuer           // of operators' certificates; nil: none are issued
	Tags    Tags             // that ImagePolicies choose from; nil: not known
	Log     *slog.Logger     // slog.Default()
	Now     func() time.Time // time.Now
}

// Join has the facts about this hub that a join manifest tells a new spoke.
type Join struct {
	TrustDomain string // SPIFFE trust domain; operators must be of it, too
	CAPin       string // sha256:… of the authority's SubjectPublicKeyInfo
	Address     string // host:port
	SpokeImage  string
}

// Server serves adminv1.AdminService.
type Server struct {
	adminv1.UnimplementedAdminServiceServer

	store   *store.Store
	vault   *store.Vault
	join    Join
	ask     Asker
	preview Previewer
	schemas Schemas
	logs    Logs
	records Records
	keys    SigningKeys
	tags    Tags
	issuer  Issuer
	log     *slog.Logger
	now     func() time.Time

	questions *shares       // of the questions that are open
	silence   time.Duration // maxSilence
	drainOnce sync.Once
	draining  chan struct{}
	computed  atomic.Int64 // objects that watches computed
	changes   *shares      // of the changes of several messages that are received
	watches   *shares      // of the watches that are served
	readers   *shares      // of the logs that are read
	denials   *pace.Paces  // of refusals that are recorded
	calls     calls
	seen      sync.Map // serial numbers of certificates that are recorded

	sweptTokens atomic.Pointer[time.Time] // when old join tokens were deleted last; nil: not yet
}

// New returns a Server.
func New(c Config) *Server {
	s := &Server{store: c.Store, vault: c.Vault, join: c.Join, ask: c.Ask, preview: c.Preview, schemas: c.Schemas,
		logs: c.Logs, records: c.Records, keys: c.Keys, tags: c.Tags, issuer: c.Issuer, log: c.Log, now: c.Now,
		silence:   maxSilence,
		questions: newShares(maxQuestions),
		changes:   newShares(maxLarge), watches: newShares(maxWatches), readers: newShares(maxReaders),
		denials: pace.New(denialRate, denialBurst), calls: calls{set: map[*Call]bool{}},
		draining: make(chan struct{})}
	s.log = cmp.Or(s.log, slog.Default())
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// update runs fn in a transaction. The rows of operators name no blobs: a full disk may have room for these rows when
// it has none for the blobs of the planner.
func (s *Server) update(ctx context.Context, fn func(*store.Tx) error) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		tx.NamesNoBlobs()
		if err := requireOperate(ctx, tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// Drain ends all watches. It returns at once.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.draining) }) }

// operator returns the caller's identity, which an interceptor put into the context (identity.WithCaller). If the
// caller is not an operator of this hub, operator returns an error. Every method begins with operator, so that no
// mistake in an interceptor lets a caller in.
func (s *Server) operator(ctx context.Context) (identity.ID, error) {
	caller, err := identity.CallerOf(ctx)
	if err != nil {
		return identity.ID{}, status.Error(codes.Unauthenticated,
			"the caller is unknown: connect with the certificate of an operator")
	}
	if caller.Role != identity.Operator || caller.TrustDomain != s.join.TrustDomain {
		return identity.ID{}, status.Errorf(codes.PermissionDenied, "%s is not an operator of this hub", caller.ID)
	}
	if _, err := s.accessFor(ctx); err != nil {
		return identity.ID{}, s.fail(err)
	}
	return caller.ID, nil
}

// subject returns the caller's identity, checked by operator, and the key of the object in the request.
func (s *Server) subject(ctx context.Context, p *adminv1.ObjectKey) (identity.ID, api.Key, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return who, api.Key{}, err
	}
	key, err := readKey(p)
	return who, key, err
}

// did logs one change with the caller's identity.
func (s *Server) did(who identity.ID, what string, key api.Key) {
	s.log.Info("operator changed an object", slog.String("verb", what), telemetry.Object(key), telemetry.Peer(who))
}

// fail returns the error for the caller. Statuses stay as they are; a full disk is RESOURCE_EXHAUSTED; any other error
// is logged and becomes INTERNAL.
func (s *Server) fail(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if ended := status.FromContextError(err); ended.Code() != codes.Unknown {
		return ended.Err()
	}
	s.log.Error("an operator's call failed", telemetry.Err(err))
	if errors.Is(err, store.ErrFull) {
		return status.Error(codes.ResourceExhausted, "the hub's disk is full: nothing was changed")
	}
	if errors.Is(err, store.ErrDamaged) {
		return status.Errorf(codes.DataLoss, "%v; an object of the hub can also be applied again: nave apply", err)
	}
	return status.Errorf(codes.Internal, "the hub failed: %v", err)
}
