package admin

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// scope says how a method keeps to the clusters of an operator whose role has a selector.
type scope int

const (
	hubWide   scope = iota // it is about the hub's own objects, or all clusters: such an operator may not call it
	ofCluster              // its requests name the clusters that it is about
	filtered               // as ofCluster, or it leaves out what the operator does not see
	harmless               // it says nothing about clusters
)

// right says who may call a method.
type right struct {
	role  store.OperatorRole // the least
	scope scope
}

// rights says what each role may do, by method of the AdminService. A method that is not here may be called by nobody.
var rights = map[string]right{
	"Get":                {store.RoleReadOnly, ofCluster},
	"List":               {store.RoleReadOnly, filtered},
	"Watch":              {store.RoleReadOnly, filtered},
	"Impact":             {store.RoleReadOnly, hubWide},
	"ListEvents":         {store.RoleReadOnly, ofCluster},
	"Tree":               {store.RoleReadOnly, ofCluster},
	"Locate":             {store.RoleReadOnly, hubWide},
	"Explain":            {store.RoleReadOnly, ofCluster},
	"Published":          {store.RoleReadOnly, ofCluster},
	"PublishedContent":   {store.RoleReadOnly, ofCluster},
	"Capabilities":       {store.RoleReadOnly, ofCluster},
	"Shapes":             {store.RoleReadOnly, ofCluster},
	"ListSchemas":        {store.RoleReadOnly, ofCluster},
	"ReadSchema":         {store.RoleReadOnly, ofCluster},
	"Logs":               {store.RoleReadOnly, ofCluster},
	"History":            {store.RoleReadOnly, ofCluster},
	"PreviewRollback":    {store.RoleReadOnly, ofCluster},
	"PreviewRelease":     {store.RoleReadOnly, ofCluster},
	"PreviewImageUpdate": {store.RoleReadOnly, hubWide},
	"ListRollouts":       {store.RoleReadOnly, hubWide},
	"GetRollout":         {store.RoleReadOnly, hubWide},
	"PlanRollout":        {store.RoleReadOnly, hubWide},
	"GetVersion":         {store.RoleReadOnly, harmless},
	"ListAudit":          {store.RoleReadOnly, hubWide},
	"ListOperators":      {store.RoleReadOnly, hubWide},
	"ListSigningKeys":    {store.RoleReadOnly, hubWide},

	"PreviewLive":      {store.RoleOperate, ofCluster}, // asks for the present values in a cluster
	"Confirm":          {store.RoleOperate, ofCluster},
	"Reconcile":        {store.RoleOperate, ofCluster},
	"Suspend":          {store.RoleOperate, ofCluster},
	"Resume":           {store.RoleOperate, ofCluster},
	"Rollback":         {store.RoleOperate, ofCluster},
	"Release":          {store.RoleOperate, ofCluster},
	"PinHelmRelease":   {store.RoleOperate, ofCluster},
	"UnpinHelmRelease": {store.RoleOperate, ofCluster},
	"ControlTags":      {store.RoleOperate, hubWide},
	"ControlRollout":   {store.RoleOperate, hubWide},

	"CreateJoinToken":   {store.RoleAdmin, ofCluster},
	"Apply":             {store.RoleAdmin, hubWide},
	"ApplyAll":          {store.RoleAdmin, hubWide},
	"Delete":            {store.RoleAdmin, hubWide},
	"DeleteAll":         {store.RoleAdmin, hubWide},
	"RotateSigningKey":  {store.RoleAdmin, hubWide},
	"RetireSigningKey":  {store.RoleAdmin, hubWide},
	"AddOperator":       {store.RoleAdmin, hubWide},
	"SetOperator":       {store.RoleAdmin, hubWide},
	"RevokeCertificate": {store.RoleAdmin, hubWide},
}

// access is what a caller may do.
type access struct {
	role     store.OperatorRole
	text     string          // the selector as it was given
	selector labels.Selector // nil: all clusters, and the hub's own objects
}

// accessOf returns what an operator may do. If the certificate was revoked, or the operator removed, the error is
// PERMISSION_DENIED. If a row cannot be read, nothing is allowed.
func accessOf(tx *store.Tx, caller identity.Caller) (access, error) {
	certificate, _, err := store.OperatorCertificates.Get(tx, caller.Serial)
	if err != nil {
		return access{}, err
	}
	if !certificate.RevokedAt.IsZero() {
		return access{}, status.Errorf(codes.PermissionDenied, "certificate %s of operator %s was revoked; %s", caller.Serial,
			caller.Name, wayBack)
	}
	row, ok, err := store.Operators.Get(tx, caller.Name)
	switch {
	case err != nil:
		return access{}, err
	case !ok && caller.Registration == "":
		return access{role: store.RoleAdmin}, nil
	case !ok, caller.Registration != "" && caller.Registration != row.Registration, row.Role == store.RoleNone:
		return access{}, status.Errorf(codes.PermissionDenied, "operator %s was removed; %s", caller.Name, wayBack)
	}
	a := access{role: row.Role, text: row.Selector}
	if row.Selector != "" {
		if a.selector, err = labels.Parse(row.Selector); err != nil {
			return access{}, fmt.Errorf("read the selector of operator %s: %w", caller.Name, err)
		}
	}
	return a, nil
}

// wayBack says how somebody who is not an operator any more becomes one.
const wayBack = "an admin can give another one (nave operator add), and so can who has the hub's data folder " +
	"(nave-hub operator-config)"

// allows returns an error unless the caller may call a method.
func (a access) allows(caller identity.Caller, method string) error {
	r, ok := rights[method]
	switch {
	case !ok || !a.role.Includes(r.role):
		return status.Errorf(codes.PermissionDenied, "operator %s has the role %s, and %s needs %s: ask an admin "+
			"(nave operator set)", caller.Name, a.role, method, r.role)
	case a.selector != nil && r.scope == hubWide:
		return a.needsHub(caller.Name)
	}
	return nil
}

// needsHub is the error of an operator whose role has a selector, for what is not of a cluster that the selector
// chooses.
func (a access) needsHub(name string) error {
	return status.Errorf(codes.PermissionDenied, "operator %s may act for the clusters with %s only, and this is about "+
		"the hub or all clusters: name one of them (--cluster), or ask an admin", name, a.text)
}

// sees reports whether an object is a Cluster that the selector chooses, or of one.
func (a access) sees(tx *store.Tx, key api.Key) (bool, error) {
	if a.selector == nil {
		return true, nil
	}
	name := key.Cluster
	if name == "" && key.Role() == api.ClusterRole {
		name = key.Name
	}
	if name == "" {
		return false, nil
	}
	row, ok, err := store.Resources.GetIntact(tx, api.ClusterKey(name).Path())
	return ok && a.selector.Matches(labelsOf(row)), err
}

// mayDiffer reports whether the selector may choose other clusters after a change.
func (a access) mayDiffer(c store.Change) bool {
	key, ok := fold.OwnRow(c)
	return a.selector != nil && ok && c.Table == store.Resources.Name() && key.Role() == api.ClusterRole
}

// checkClusters returns an error unless the operator sees all of some clusters. It is the same error if there is no
// such cluster.
func (a access) checkClusters(tx *store.Tx, clusters []string) error {
	for _, name := range clusters {
		sees, err := a.sees(tx, api.ClusterKey(name))
		if err != nil {
			return err
		}
		if !sees {
			return noCluster(name)
		}
	}
	return nil
}

// clustersOf returns the clusters that a request is about. If it is about the hub or all clusters, clustersOf returns
// none.
func clustersOf(request any) (names []string) {
	if w, ok := request.(*adminv1.WatchRequest); ok {
		request = w.GetList()
	}
	if r, ok := request.(interface{ GetAllClusters() bool }); ok && r.GetAllClusters() {
		return keyClusters(request)
	}
	if r, ok := request.(interface{ GetCluster() string }); ok && r.GetCluster() != "" {
		names = append(names, r.GetCluster())
	}
	if r, ok := request.(interface{ GetClusters() []string }); ok {
		names = append(names, r.GetClusters()...)
	}
	if r, ok := request.(*adminv1.ListRequest); ok && isCluster(r.GetKind()) && r.GetName() != "" {
		names = append(names, r.GetName())
	}
	return append(names, keyClusters(request)...)
}

// keyClusters returns the clusters of the object that a request names.
func keyClusters(request any) (names []string) {
	r, ok := request.(interface{ GetKey() *adminv1.ObjectKey })
	if !ok {
		return nil
	}
	key := r.GetKey()
	if _, confirm := request.(*adminv1.ConfirmRequest); confirm && key.GetKind() == "" {
		return nil // of the hub, whatever cluster it names
	}
	if key.GetCluster() != "" {
		names = append(names, key.GetCluster())
	}
	if isCluster(key.GetKind()) && key.GetName() != "" {
		names = append(names, key.GetName())
	}
	return names
}

// isCluster reports whether a word means the kind Cluster.
func isCluster(word string) bool {
	kind, err := api.FindKind(word)
	return err == nil && kind.Role == api.ClusterRole
}

// accessFor returns what the caller of a call may do now.
func (s *Server) accessFor(ctx context.Context) (a access, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		a, err = s.accessIn(ctx, tx)
		return err
	})
	return a, err
}

// accessIn is accessFor in a transaction.
func (s *Server) accessIn(ctx context.Context, tx *store.Tx) (access, error) {
	caller, err := identity.CallerOf(ctx)
	if err != nil {
		return access{}, err
	}
	return accessOf(tx, caller)
}

// requireOperate returns an error unless the caller may still change something. Every change asks again in its own
// transaction, so that none is written after the caller's certificate was revoked.
func requireOperate(ctx context.Context, tx *store.Tx) error {
	caller, err := identity.CallerOf(ctx)
	if err != nil {
		return err
	}
	a, err := accessOf(tx, caller)
	if err == nil && !a.role.Includes(store.RoleOperate) {
		err = status.Errorf(codes.PermissionDenied, "operator %s has the role %s and may change nothing", caller.Name, a.role)
	}
	return err
}

// methodsOf returns the methods that a role may call, in order, for messages and tests.
func methodsOf(role store.OperatorRole) (methods []string) {
	for method, r := range rights {
		if role.Includes(r.role) {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	return methods
}
