package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// The actions of Apply on an object.
const (
	actionCreated    = "created"
	actionConfigured = "configured"
	actionUnchanged  = "unchanged"
)

// errDryRun undoes the transaction of a dry run.
var errDryRun = errors.New("dry run")

// Apply implements adminv1.AdminServiceServer. It admits all objects before it writes one, and writes them in one
// transaction.
func (s *Server) Apply(ctx context.Context, r *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	c := changeOf(r)
	c.admitted, err = admit(filesOf(r.GetManifest(), r.GetFiles())...)
	if err == nil && len(r.Replaces) > 0 {
		c.replaced, err = admit(api.File{Data: r.Replaces})
	}
	if err != nil {
		return nil, err
	}
	applied, err := s.carryOut(ctx, who, c)
	if err != nil {
		return nil, err
	}
	return &adminv1.ApplyResponse{Objects: applied}, nil
}

// change is what an operator applies.
type change struct {
	admitted, replaced []admittedObject
	dryRun, confirmed  bool
	digest             string // of the impact that the operator agrees to

	asksImpact bool // of a dry run
	impact     *adminv1.ImpactResponse
}

// changeOf returns the change of a request, without its objects.
func changeOf(r interface {
	GetDryRun() bool
	GetConfirmed() bool
	GetDigest() string
}) *change {
	return &change{dryRun: r.GetDryRun(), confirmed: r.GetConfirmed(), digest: r.GetDigest()}
}

// carryOut writes the objects of a change in one transaction, and returns the action on each.
func (s *Server) carryOut(ctx context.Context, who identity.ID, c *change) (applied []*adminv1.AppliedObject,
	err error) {
	err = s.readApplications(ctx, s.update, func(tx *store.Tx, apps *applications) (err error) {
		if err := requireUnchanged(tx, c.replaced); err != nil {
			return err
		}
		if c.confirmed || c.dryRun && c.asksImpact {
			if err := s.judge(tx, apps, c); err != nil {
				return err
			}
		}
		var audited []store.AuditedObject
		if applied, audited, err = s.applyAll(tx, c.admitted); err != nil {
			return err
		}
		if c.dryRun {
			return errDryRun
		}
		return s.auditObjects(ctx, tx, "applied", audited)
	})
	if errors.Is(err, errDryRun) {
		return applied, nil
	}
	if err != nil {
		return nil, s.fail(err)
	}
	for i, a := range c.admitted {
		if action := applied[i].Action; action != actionUnchanged {
			s.did(who, action, a.key)
		}
	}
	return applied, nil
}

// judge computes the impact of a change. If the change is confirmed, judge records that the operator agrees.
func (s *Server) judge(tx *store.Tx, apps *applications, c *change) error {
	i, err := impactOfApply(tx, apps, c.admitted)
	if err != nil {
		return err
	}
	if c.confirmed {
		return s.confirmed(i, c.digest)
	}
	c.impact, err = i.message()
	return err
}

// requireUnchanged returns ABORTED unless the store has each of the objects as it is given.
func requireUnchanged(tx *store.Tx, objects []admittedObject) error {
	for _, a := range objects {
		row, there, err := store.Resources.Get(tx, a.key.Path())
		if err != nil {
			return err
		}
		if a, err = a.withoutDecisions(row); err != nil {
			return err
		}
		if !there || !row.Object.Equal(a.object) {
			return status.Errorf(codes.Aborted, "nothing was changed: %s was changed by somebody else meanwhile; run the "+
				"command again", a.key)
		}
	}
	return nil
}

// applyAll writes objects, and returns the action on each, and those that changed for the audit log.
// The error names all objects that are refused.
func (s *Server) applyAll(tx *store.Tx, admitted []admittedObject) (applied []*adminv1.AppliedObject,
	audited []store.AuditedObject, err error) {
	var refused refusals
	for _, a := range admitted {
		action, changed, err := s.applyOne(tx, a)
		if err = refused.note(a.place, err); err != nil {
			return nil, nil, err
		}
		if action == actionCreated || action == actionConfigured {
			audited = append(audited, store.AuditedObject{Key: a.key, Change: strings.TrimSuffix(action+": "+changed, ": ")})
		}
		applied = append(applied, &adminv1.AppliedObject{Key: fold.KeyMessage(a.key), Action: action})
	}
	return applied, audited, refused.err()
}

// admittedObject is an object that may be written: a resource, or a credential.
type admittedObject struct {
	key    api.Key
	object *api.Object // of a resource; nil: it is of the graph of a cluster
	secret *credential // of a credential
	place  string      // of its file; "": it is of none
}

// filesOf returns the files that a manifest was made of, and what of it belongs to none.
func filesOf(manifests []byte, parts []*adminv1.ManifestFile) (files []api.File) {
	rest := manifests
	for _, f := range parts {
		n := min(f.GetSize(), uint64(len(rest)))
		data := bytes.TrimSuffix(rest[:n], []byte("\n---\n")) // nave ends each so; a file may be in UTF-16
		start := manifest.Start{Documents: int(f.GetDocuments()), Lines: int(f.GetLines())}
		files = append(files, api.File{Name: f.GetName(), Data: data, Start: start})
		rest = rest[n:]
	}
	return append(files, api.File{Data: rest})
}

// admission admits the objects of files that come one after another.
type admission struct {
	*api.Batch
	admitted []admittedObject
}

func newAdmission() *admission {
	a := &admission{}
	a.Batch = api.NewBatch(func(o *manifest.Object) (api.Key, error) {
		one, err := admitOne(o)
		a.admitted = append(a.admitted, one)
		return one.key, err
	})
	return a
}

// Add admits the objects of a file.
func (a *admission) Add(f api.File) {
	before := len(a.admitted)
	a.Batch.Add(f)
	if f.Name == "" {
		return
	}
	for i, one := range a.admitted[before:] {
		a.admitted[before+i].place = a.At(one.key)
	}
}

// result returns the objects of all files. If objects are refused, the error lists all causes.
func (a *admission) result() ([]admittedObject, error) {
	err := a.Err()
	if err == nil && len(a.admitted) == 0 {
		err = errors.New("the manifest has no objects")
	}
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return a.admitted, nil
}

// admit parses manifests and admits their objects. If objects are refused, the error lists all causes.
func admit(files ...api.File) ([]admittedObject, error) {
	a := newAdmission()
	for _, f := range files {
		a.Add(f)
	}
	return a.result()
}

func admitOne(o *manifest.Object) (admittedObject, error) {
	if cluster := graphOf(o); cluster != "" {
		return admittedObject{key: api.KeyOf(o).In(cluster)}, nil
	}
	if manifest.IsEncrypted(o) {
		return admittedObject{}, fmt.Errorf("%s is encrypted with SOPS: the hub has no keys; decrypt it first, or leave it "+
			"in Git for a cluster", manifest.IDOf(o))
	}
	if kind, ok := api.KindOf(o); ok && kind.Role == api.CredentialRole && o.GetAPIVersion() == kind.Version {
		secret, key, err := readSecret(o)
		return admittedObject{key: key, secret: secret}, err
	}
	c, err := api.Admit(o, api.Hub)
	if err != nil {
		return admittedObject{}, err
	}
	return admittedObject{key: c.Key, object: c}, nil
}

// applyOne writes one object, and returns the action and which fields of an object that exists differ.
func (s *Server) applyOne(tx *store.Tx, a admittedObject) (action, changed string, err error) {
	if a.secret != nil {
		action, err = s.applySecret(tx, a.key, a.secret)
		return action, "", err
	}
	row, there, err := operatorsRow(tx, a.key)
	if err == nil {
		a, err = a.withoutDecisions(row)
	}
	if err != nil {
		return "", "", err
	}
	left := row.Orphaned || row.Held // by its owner
	if there && !left && row.Object.Equal(a.object) {
		return actionUnchanged, "", nil
	}
	action, changed = actionConfigured, changedFields(row.Object, a.object)
	if !there {
		action, changed = actionCreated, ""
		row = store.Resource{Key: a.key, UID: store.NewUID(), Created: s.now().UTC()}
	}
	if !there || !row.Object.SameSpec(a.object) {
		row.Generation++
	}
	row.SetObject(a.object)
	row.NoteSuspension(s.now().UTC())
	if there && left && a.key.Role() == api.ClusterRole {
		if err := s.recordTakeover(tx, row); err != nil {
			return "", "", err
		}
	}
	row.Owner, row.Orphaned, row.OrphanOnDelete, row.Held, row.Confined = nil, false, false, false,
		nil // an object that its owner left belongs to the operator now
	return action, changed, store.Resources.Put(tx, a.key.Path(), row)
}

// operatorsRow returns the row of an object, unless it is changed elsewhere. A damaged row counts as missing.
func operatorsRow(tx *store.Tx, key api.Key) (row store.Resource, there bool, err error) {
	if key.Cluster != "" {
		return row, false, refuseGraph(tx, key)
	}
	row, there, err = store.Resources.Get(tx, key.Path())
	if errors.Is(err, store.ErrDamaged) {
		return store.Resource{}, false, nil
	}
	if err == nil {
		err = requireOperators(tx, row, "changed")
	}
	return row, there, err
}

// recordTakeover records that a Cluster that left Git belongs to the operators from now on.
func (s *Server) recordTakeover(tx *store.Tx, row store.Resource) error {
	return s.record(tx, row.Key, condition.TakenOver, fmt.Sprintf("It came from %s, which no longer gives it, and is the "+
		"operators' from now on; its spoke stays joined", row.Owner.Local()))
}
