package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// Limits of a page of the audit log.
const (
	defaultAudit = 500
	maxAuditPage = 1_000
)

// How often the refusals of one caller are recorded.
const (
	denialRate  = 1.0 / 60 // per second
	denialBurst = 20
)

// maxDeniedText is how much of the reason of a refusal is kept, in bytes.
const maxDeniedText = 300

// audit records, in the transaction of the change, what the caller did to objects, and the same change of each.
func (s *Server) audit(ctx context.Context, tx *store.Tx, verb, change string, keys ...api.Key) error {
	objects := make([]store.AuditedObject, len(keys))
	for i, key := range keys {
		objects[i] = store.AuditedObject{Key: key, Change: change}
	}
	return s.auditObjects(ctx, tx, verb, objects)
}

// auditObjects records, in the transaction of the change, what the caller did to objects. If there are none, nothing
// was changed.
func (s *Server) auditObjects(ctx context.Context, tx *store.Tx, verb string, objects []store.AuditedObject) error {
	caller, err := identity.CallerOf(ctx)
	if err != nil || len(objects) == 0 {
		return err
	}
	return store.Audit(tx, store.AuditChange, store.AuditEntry{Time: s.now(), By: caller.String(), Serial: caller.Serial,
		Verb: verb, Objects: objects})
}

// auditConfirmation records that the caller agreed to an impact. The object is the one of the request, or each cluster
// that loses applications.
func (s *Server) auditConfirmation(ctx context.Context, tx *store.Tx, p *adminv1.ObjectKey,
	m *adminv1.ImpactResponse) error {
	var objects []store.AuditedObject
	for _, c := range m.GetClusters() {
		key := api.ClusterKey(c.GetCluster())
		if p.GetKind() != "" {
			key = fold.KeyOf(p)
		}
		objects = append(objects, store.AuditedObject{Key: key, Change: "let go of " + describeLoss(c.GetApplications())})
	}
	return s.auditObjects(ctx, tx, "confirmed", objects)
}

// Denied records that a caller was refused a call, with the object of its request. Each caller is recorded at a
// bounded rate.
func (s *Server) Denied(ctx context.Context, caller identity.Caller, method string, request any, cause error) {
	if status.Code(cause) == codes.PermissionDenied {
		s.recordDenied(ctx, caller, method[strings.LastIndexByte(method, '/')+1:], request, status.Convert(cause).Message())
	}
}

// recordDenied adds a refusal to the audit log, unless the caller had too many lately.
func (s *Server) recordDenied(ctx context.Context, caller identity.Caller, verb string, request any, why string) {
	if !s.denials.Allow(caller.String(), 1, s.now()) {
		return
	}
	e := store.AuditEntry{Time: s.now(), By: caller.String(), Serial: caller.Serial,
		Verb: verb, Denied: why}
	if key, ok := objectOf(request); ok {
		e.Objects = []store.AuditedObject{{Key: key}}
	}
	err := s.store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		tx.NamesNoBlobs()
		return store.Audit(tx, store.AuditDenied, e)
	})
	if err != nil {
		_ = s.fail(err) // logs
	}
}

// objectOf returns the object that a request names, if it names one whose parts are not too long.
func objectOf(request any) (key api.Key, ok bool) {
	switch r := request.(type) {
	case interface{ GetKey() *adminv1.ObjectKey }:
		k := r.GetKey()
		if k == nil {
			return key, false
		}
		key = api.Key{Cluster: k.GetCluster(), Kind: k.GetKind(), Namespace: k.GetNamespace(), Name: k.GetName()}
	case interface{ GetCluster() string }:
		key = api.ClusterKey(r.GetCluster())
	case interface{ GetFleet() string }:
		key = api.FleetKey(r.GetFleet())
	}
	return key, key.Name != "" && len(key.Path()) <= maxDeniedText
}

// changedFields returns the paths of the fields in which two objects differ, in order. The values of fields may be
// secret and are left out, except for switches: true and false.
func changedFields(before, after *api.Object) string {
	if before == nil || after == nil {
		return ""
	}
	var a, b any
	if json.Unmarshal(before.JSON, &a) != nil || json.Unmarshal(after.JSON, &b) != nil {
		return ""
	}
	var paths []string
	compareFields("", a, b, &paths)
	return strings.Join(paths, ", ")
}

// compareFields adds the paths below which two JSON values differ.
func compareFields(path string, a, b any, paths *[]string) {
	before, isMap := a.(map[string]any)
	after, bothMaps := b.(map[string]any)
	if isMap && bothMaps {
		keys := maps.Clone(before)
		maps.Copy(keys, after)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			compareFields(strings.TrimPrefix(path+"."+fieldName(key), "."), before[key], after[key], paths)
		}
		return
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if bytes.Equal(x, y) {
		return
	}
	if on, is := b.(bool); is {
		path += "=" + strconv.FormatBool(on)
	}
	*paths = append(*paths, path)
}

// fieldName returns the name of a field, quoted if it is not a plain word.
func fieldName(key string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_", r)
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !plain(r) }) {
		return strconv.QuoteToASCII(key)
	}
	return key
}

// ListAudit implements adminv1.AdminServiceServer.
func (s *Server) ListAudit(ctx context.Context, r *adminv1.ListAuditRequest) (*adminv1.ListAuditResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	switch {
	case r.GetLimit() < 0:
		return nil, negativeLimit(int64(r.GetLimit()))
	case r.GetObject() != nil && r.GetCluster() != "":
		return nil, status.Error(codes.InvalidArgument, "an object names its cluster: set object or cluster, not both")
	}
	want := auditFilter(r)
	var response *adminv1.ListAuditResponse
	err := s.store.View(ctx, func(tx *store.Tx) error {
		response = &adminv1.ListAuditResponse{}
		entries, next, err := store.AuditAfter(tx, r.GetAfter(),
			min(int(cmp.Or(r.GetLimit(), defaultAudit)), maxAuditPage), want)
		for _, e := range entries {
			response.Entries = append(response.Entries, auditMessage(e))
		}
		response.Next = next
		return err
	})
	return response, s.fail(err)
}

// auditFilter returns a function that chooses the entries that a request wants.
func auditFilter(r *adminv1.ListAuditRequest) func(store.NumberedAuditEntry) bool {
	var since time.Time
	if r.GetSince() != nil {
		since = r.GetSince().AsTime()
	}
	object := fold.KeyOf(r.GetObject())
	return func(e store.NumberedAuditEntry) bool {
		switch {
		case e.Time.Before(since),
			r.GetDenied() && e.Denied == "",
			r.GetOperator() != "" && identity.NameOf(e.By) != r.GetOperator():
			return false
		case r.GetObject() != nil:
			return slices.ContainsFunc(e.Objects, func(o store.AuditedObject) bool { return o.Key == object })
		case r.GetCluster() != "":
			return slices.ContainsFunc(e.Objects, func(o store.AuditedObject) bool {
				return o.Key.Cluster == r.GetCluster() || o.Key == api.ClusterKey(r.GetCluster())
			})
		}
		return true
	}
}

func auditMessage(e store.NumberedAuditEntry) *adminv1.AuditEntry {
	m := &adminv1.AuditEntry{Number: e.Number, Time: timestamppb.New(e.Time), By: e.By, Serial: e.Serial, Verb: e.Verb,
		Denied: e.Denied}
	for _, o := range e.Objects {
		m.Objects = append(m.Objects, &adminv1.AuditedObject{Key: fold.KeyMessage(o.Key), Change: o.Change})
	}
	return m
}
