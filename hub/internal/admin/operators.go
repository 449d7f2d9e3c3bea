package admin

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// Issuer issues the certificates of operators. An identity.Authority is one.
type Issuer interface {
	IssueRegistered(pub crypto.PublicKey, id identity.ID, ttl time.Duration, registration string) ([][]byte, error)
}

// Lifetimes of the certificates of operators.
const (
	defaultOperatorTTL = 365 * 24 * time.Hour
	maxOperatorTTL     = 5 * 365 * 24 * time.Hour
)

// The kinds of objects in the audit log that are no objects of the hub.
const (
	operatorKind    = "Operator"
	certificateKind = "OperatorCertificate"
)

// noteCertificate records a certificate of an operator that the hub sees for the first time.
func (s *Server) noteCertificate(ctx context.Context, caller identity.Caller) error {
	if _, seen := s.seen.Load(caller.Serial); seen {
		return nil
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		tx.NamesNoBlobs()
		_, ok, err := store.OperatorCertificates.Get(tx, caller.Serial)
		if err != nil || ok {
			return err
		}
		return store.OperatorCertificates.Put(tx, caller.Serial, store.OperatorCertificate{Operator: caller.Name,
			IssuedAt: caller.IssuedAt, ExpiresAt: caller.ExpiresAt.UTC()})
	})
	if err == nil {
		s.seen.Store(caller.Serial, true)
	}
	if errors.Is(err, store.ErrFull) {
		return nil // it is listed later; nobody is locked out of a hub with a full disk
	}
	return err
}

// ListOperators implements adminv1.AdminServiceServer.
func (s *Server) ListOperators(ctx context.Context, _ *adminv1.ListOperatorsRequest) (*adminv1.ListOperatorsResponse,
	error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	var response *adminv1.ListOperatorsResponse
	err := s.store.View(ctx, func(tx *store.Tx) error {
		response = &adminv1.ListOperatorsResponse{}
		byName := map[string]*adminv1.Operator{}
		add := func(name string, row store.Operator) *adminv1.Operator {
			o := &adminv1.Operator{Name: name, Role: string(row.Role), Selector: row.Selector}
			response.Operators, byName[name] = append(response.Operators, o), o
			return o
		}
		err := store.Operators.Scan(tx, "", func(name string, row store.Operator) error {
			add(name, row)
			return nil
		})
		if err != nil {
			return err
		}
		return store.OperatorCertificates.Scan(tx, "", func(serial string, row store.OperatorCertificate) error {
			o := byName[row.Operator]
			if o == nil {
				o = add(row.Operator, store.Operator{Role: store.RoleAdmin})
			}
			c := &adminv1.OperatorCertificate{Serial: serial, IssuedAt: timestamppb.New(row.IssuedAt),
				ExpiresAt: timestamppb.New(row.ExpiresAt), IssuedBy: row.IssuedBy, RevokedBy: row.RevokedBy}
			if !row.RevokedAt.IsZero() {
				c.RevokedAt = timestamppb.New(row.RevokedAt)
			}
			o.Certificates = append(o.Certificates, c)
			return nil
		})
	})
	return response, s.fail(err)
}

// AddOperator implements adminv1.AdminServiceServer. The private key stays with the caller.
func (s *Server) AddOperator(ctx context.Context, r *adminv1.AddOperatorRequest) (*adminv1.AddOperatorResponse, error) {
	caller, err := s.self(ctx)
	if err != nil {
		return nil, err
	}
	id := identity.ID{TrustDomain: s.join.TrustDomain, Role: identity.Operator, Name: r.GetName()}
	key, ttl, err := readOperator(id, r)
	if err != nil {
		return nil, err
	}
	if s.issuer == nil {
		return nil, status.Error(codes.Unimplemented, "this hub issues no certificates of operators")
	}
	fresh := store.NewUID()
	var registration string
	err = s.update(ctx, func(tx *store.Tx) error {
		row, exists, err := operatorToAdd(tx, r)
		if err != nil {
			return err
		}
		if id.Name == caller.Name && !exists {
			return ownRole(caller)
		}
		if !exists || row.Registration == "" {
			row.Registration = fresh
		}
		row.ChangedAt, row.ChangedBy = s.now().UTC(), caller.String()
		registration = row.Registration
		return errors.Join(store.Operators.Put(tx, id.Name, row),
			s.audit(ctx, tx, "added an operator", describe(row), api.Key{Kind: operatorKind, Name: id.Name}))
	})
	if err != nil {
		return nil, s.fail(err)
	}
	chain, err := s.issuer.IssueRegistered(key, id, ttl, registration)
	if err == nil {
		err = s.noteIssued(ctx, caller, id, chain[0])
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return &adminv1.AddOperatorResponse{Certificate: identity.MarshalCertificates(chain...)}, nil
}

// self returns the caller, checked by operator, with the certificate.
func (s *Server) self(ctx context.Context) (identity.Caller, error) {
	if _, err := s.operator(ctx); err != nil {
		return identity.Caller{}, err
	}
	return identity.CallerOf(ctx)
}

// readOperator returns the key and the lifetime of the certificate that a request asks for.
func readOperator(id identity.ID, r *adminv1.AddOperatorRequest) (key crypto.PublicKey, ttl time.Duration, err error) {
	if ttl, err = operatorTTL(r.GetTtlSeconds()); err != nil {
		return nil, 0, err
	}
	if _, err := identity.ParseID(id.String()); err != nil {
		return nil, 0, status.Errorf(codes.InvalidArgument, "operator %q: %v", r.GetName(), err)
	}
	if key, err = identity.ParseCSR(r.GetCsr()); err != nil {
		return nil, 0, status.Error(codes.InvalidArgument, err.Error())
	}
	return key, ttl, nil
}

// operatorToAdd returns the row of the operator that a request adds, or that gets another certificate.
func operatorToAdd(tx *store.Tx, r *adminv1.AddOperatorRequest) (row store.Operator, exists bool, err error) {
	row, ok, err := store.Operators.Get(tx, r.GetName())
	if err != nil {
		return row, false, err
	}
	exists = ok && row.Role != store.RoleNone
	role := store.OperatorRole(r.GetRole())
	switch {
	case exists && role != "":
		return row, true, status.Errorf(codes.AlreadyExists, "operator %s exists: change the role with nave operator set, "+
			"or leave out --role and --selector for another certificate with the present role", r.GetName())
	case exists:
		return row, true, nil
	case role == "" || role == store.RoleNone:
		return row, false, status.Errorf(codes.FailedPrecondition, "operator %s does not exist yet: name the role",
			r.GetName())
	}
	row, err = newOperator(role, r.GetSelector())
	return row, false, err
}

// noteIssued records a certificate that the hub issued, before anybody gets it.
func (s *Server) noteIssued(ctx context.Context, by identity.Caller, id identity.ID, der []byte) error {
	all, err := identity.ParseCertificates(identity.MarshalCertificates(der))
	if err != nil {
		return err
	}
	serial := all[0].SerialNumber.Text(16)
	row := store.OperatorCertificate{Operator: id.Name, IssuedAt: identity.IssuedAt(all[0]),
		ExpiresAt: all[0].NotAfter.UTC(), IssuedBy: by.String()}
	return s.update(ctx, func(tx *store.Tx) error {
		return errors.Join(store.OperatorCertificates.Put(tx, serial, row),
			s.audit(ctx, tx, "issued a certificate", "of operator "+id.Name+" until "+wording.Time(row.ExpiresAt),
				api.Key{Kind: certificateKind, Name: serial}))
	})
}

// SetOperator implements adminv1.AdminServiceServer.
func (s *Server) SetOperator(ctx context.Context, r *adminv1.SetOperatorRequest) (*adminv1.SetOperatorResponse, error) {
	caller, err := s.self(ctx)
	if err != nil {
		return nil, err
	}
	next, err := newOperator(store.OperatorRole(r.GetRole()), r.GetSelector())
	if err != nil {
		return nil, err
	}
	if r.GetName() == caller.Name {
		return nil, ownRole(caller)
	}
	response := &adminv1.SetOperatorResponse{}
	err = s.update(ctx, func(tx *store.Tx) error {
		row, ok, err := store.Operators.Get(tx, r.GetName())
		if errors.Is(err, store.ErrDamaged) {
			row, ok, err = store.Operator{}, true, nil // certificates that the hub issued are refused from now on
		}
		if err == nil && !ok {
			err = requireCertificate(tx, r.GetName())
		}
		if err != nil {
			return err
		}
		response.Changed = row.Role != next.Role || row.Selector != next.Selector
		if !response.Changed {
			return nil
		}
		row.Role, row.Selector, row.ChangedAt, row.ChangedBy = next.Role, next.Selector, s.now().UTC(), caller.String()
		return errors.Join(store.Operators.Put(tx, r.GetName(), row),
			s.audit(ctx, tx, "set an operator", describe(row), api.Key{Kind: operatorKind, Name: r.GetName()}))
	})
	return response, s.fail(err)
}

// requireCertificate returns NOT_FOUND unless the hub knows a certificate of an operator.
func requireCertificate(tx *store.Tx, name string) error {
	found := false
	err := store.OperatorCertificates.Scan(tx, "", func(_ string, row store.OperatorCertificate) error {
		found = found || row.Operator == name
		return nil
	})
	if err == nil && !found {
		err = status.Errorf(codes.NotFound, "operator %q does not exist: nave operator list shows all, and nave operator "+
			"add makes one", name)
	}
	return err
}

// RevokeCertificate implements adminv1.AdminServiceServer.
func (s *Server) RevokeCertificate(ctx context.Context, r *adminv1.RevokeCertificateRequest) (
	*adminv1.RevokeCertificateResponse, error) {
	caller, err := s.self(ctx)
	if err != nil {
		return nil, err
	}
	serial := strings.ToLower(r.GetSerial())
	if serial == caller.Serial {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is the certificate that you use: revoke it with another "+
			"one, so that an admin is left; who has the hub's data folder makes one: nave-hub operator-config --name OTHER",
			serial)
	}
	response := &adminv1.RevokeCertificateResponse{}
	err = s.update(ctx, func(tx *store.Tx) error {
		row, ok, err := store.OperatorCertificates.Get(tx, serial)
		switch {
		case errors.Is(err, store.ErrDamaged):
			row = store.OperatorCertificate{}
		case err != nil:
			return err
		case !ok:
			return status.Errorf(codes.NotFound, "the hub has not seen a certificate %s of an operator: nave operator list "+
				"shows all", serial)
		}
		response.Operator, response.Changed = row.Operator, row.RevokedAt.IsZero()
		if !response.Changed {
			return nil
		}
		row.RevokedAt, row.RevokedBy = s.now().UTC(), caller.String()
		return errors.Join(store.OperatorCertificates.Put(tx, serial, row),
			s.audit(ctx, tx, "revoked a certificate", "of operator "+row.Operator,
				api.Key{Kind: certificateKind, Name: serial}))
	})
	return response, s.fail(err)
}

// ownRole is the error of an admin who changes its own role. As long as nobody can, an admin is left: who made the last
// change.
func ownRole(caller identity.Caller) error {
	return status.Errorf(codes.FailedPrecondition, "you are operator %s: another admin must change your role, so that an "+
		"admin is left; who has the hub's data folder makes one: nave-hub operator-config --name OTHER", caller.Name)
}

// newOperator returns a row, or an error about a role or a selector.
func newOperator(role store.OperatorRole, selector string) (store.Operator, error) {
	if !role.Known() {
		return store.Operator{}, status.Errorf(codes.InvalidArgument, "role %q: want %s, %s or %s", role, store.RoleReadOnly,
			store.RoleOperate, store.RoleAdmin)
	}
	parsed, err := labels.Parse(selector)
	if err != nil {
		return store.Operator{}, status.Errorf(codes.InvalidArgument, "label selector: %v", err)
	}
	if parsed.Empty() && selector != "" {
		return store.Operator{}, status.Errorf(codes.InvalidArgument, "label selector %q chooses all clusters: leave it out "+
			"if the role is for all, and for the hub", selector)
	}
	return store.Operator{Role: role, Selector: parsed.String()}, nil
}

// describe returns a role and its clusters, for the audit log.
func describe(o store.Operator) string {
	if o.Selector == "" {
		return string(o.Role)
	}
	return fmt.Sprintf("%s of clusters with %s", o.Role, o.Selector)
}

func operatorTTL(seconds int64) (time.Duration, error) {
	switch {
	case seconds < 0 || seconds > int64(maxOperatorTTL/time.Second):
		return 0, status.Errorf(codes.InvalidArgument, "ttl of %d seconds: want at most %d", seconds,
			int64(maxOperatorTTL/time.Second))
	case seconds == 0:
		return defaultOperatorTTL, nil
	}
	return time.Duration(seconds) * time.Second, nil
}
