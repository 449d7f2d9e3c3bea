package dispatch

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// Report implements spokev1.SpokeServiceServer. It returns when the report is on disk.
func (s *Server) Report(ctx context.Context, r *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	cluster := caller.cluster
	release, err := s.quotas.report(cluster, proto.Size(r))
	if err != nil {
		return nil, err
	}
	defer release()
	report, err := checkReport(cluster, r, s.Now().UTC())
	if err != nil {
		return nil, err
	}
	report.events = report.events[:s.quotas.events.Take(cluster, len(report.events), time.Now())]
	changes := false
	err = s.view(ctx, caller, func(tx *store.Tx) (err error) {
		changes, err = report.changes(tx, cluster)
		return err
	})
	if err == nil && changes {
		err = s.batch.report(ctx, &pendingReport{cluster: cluster, report: report, done: make(chan error, 1)})
	}
	if err != nil {
		return nil, refusal(err)
	}
	s.logFailed(cluster, report.failed)
	return &spokev1.ReportResponse{}, nil
}

// checkedReport is a report whose fields are all checked.
type checkedReport struct {
	full       bool
	rows       map[string]store.Report
	removed    []string // keys
	events     []store.Event
	unreported int                  // applications that the spoke reports nothing about
	upgrade    *store.UpgradeReport // nil: the last one stays
	size       int                  // bytes
	failed     []failedApplication
}

// failedApplication is an application that is not ready, and was ready before or for another reason not.
type failedApplication struct {
	key             string
	reason, message string
}

var kindPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,62}$`)

const maxName = 253 // characters

// isName reports whether a namespace or a name can be part of a key. RBAC allows almost anything in names; a key only
// must not be ambiguous. (A regular expression for it would take 6 MB in each process of the hub's binary.)
func isName(s string) bool {
	refused := func(r rune) bool { return r == '/' || r == ' ' || unicode.Is(unicode.C, r) }
	return s != "" && utf8.RuneCountInString(s) <= maxName && !strings.ContainsFunc(s, refused)
}

// applicationKey returns the key of an application of the cluster. If the name could not be a key, the error is
// INVALID_ARGUMENT.
func applicationKey(cluster string, n *bundlev1.ApplicationName) (api.Key, error) {
	switch {
	case !kindPattern.MatchString(n.GetKind()):
		return api.Key{}, invalid("%q is not a kind", clean(n.GetKind(), reporting.MaxWord))
	case n.GetNamespace() != "" && !isName(n.GetNamespace()):
		return api.Key{}, invalid("%q is not a namespace", clean(n.GetNamespace(), reporting.MaxWord))
	case !isName(n.GetName()):
		return api.Key{}, invalid("%q is not a name", clean(n.GetName(), reporting.MaxWord))
	}
	return api.Key{Cluster: cluster, Kind: n.GetKind(), Namespace: n.GetNamespace(), Name: n.GetName()}, nil
}

// checkReport returns the report of a request. It trusts no field, because the spoke's machine may be an attacker's.
func checkReport(cluster string, r *spokev1.ReportRequest, now time.Time) (*checkedReport, error) {
	reporting.ReadRequest(r)
	if n := len(r.Applications) + len(r.Removed); n > reporting.MaxApplications {
		return nil, invalid("%d applications: at most %d", n, reporting.MaxApplications)
	}
	if n := len(r.Events); n > reporting.MaxEvents {
		return nil, invalid("%d events: at most %d", n, reporting.MaxEvents)
	}
	c := &checkedReport{
		full: r.Full, rows: make(map[string]store.Report, len(r.Applications)), unreported: int(r.Unreported),
		size: proto.Size(r),
	}
	if u := r.Upgrade; u != nil || r.Full {
		c.upgrade = &store.UpgradeReport{Image: clean(u.GetImage(), bundle.MaxImageBytes), At: now,
			Failure: clean(u.GetFailure(), reporting.MaxMessage)}
	}
	for _, a := range r.Applications {
		key, value, err := checkApplication(cluster, a)
		if err != nil {
			return nil, err
		}
		healthy, _ := manifest.DigestFromBytes(a.HealthyDigest) // none: zero
		c.rows[key] = store.Report{Value: value, ReceivedAt: now, Healthy: healthy}
	}
	for _, name := range r.Removed {
		key, err := applicationKey(cluster, name)
		if err != nil {
			return nil, err
		}
		if _, reported := c.rows[key.Path()]; !reported {
			c.removed = append(c.removed, key.Path())
		}
	}
	var err error
	c.events, err = checkEvents(cluster, r.Events, now)
	return c, err
}

// checkApplication returns the key and the bytes of the row of one application.
func checkApplication(cluster string, a *spokev1.ApplicationReport) (string, []byte, error) {
	key, err := applicationKey(cluster, a.GetName())
	if err != nil {
		return "", nil, err
	}
	if err := checkFields(a); err != nil {
		return "", nil, invalid("%s: %v", key, err)
	}
	cleanApplication(a)
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
	if err != nil {
		return "", nil, invalid("%s: %v", key, err)
	}
	return key.Path(), value, nil
}

// cleanApplication cuts the texts of a report, and drops the fields that this hub does not know.
func cleanApplication(a *spokev1.ApplicationReport) {
	for _, text := range []*string{&a.Revision, &a.AppliedRevision, &a.HealthyRevision, &a.HandledRequest, &a.Reason} {
		*text = clean(*text, reporting.MaxWord)
	}
	a.Message = clean(a.Message, reporting.MaxMessage)
	a.Name.ProtoReflect().SetUnknown(nil)
	for _, o := range a.Objects {
		o.Status, o.Message = clean(o.Status, reporting.MaxWord), clean(o.Message, reporting.MaxMessage)
		o.ProtoReflect().SetUnknown(nil)
		cleanObjects(o.Object)
	}
	for _, d := range a.Drifts {
		cleanDrift(d)
	}
	if a.HeldPrune != nil {
		a.HeldPrune.ProtoReflect().SetUnknown(nil)
		cleanObjects(a.HeldPrune.Objects...)
	}
	cleanObjects(a.Inventory...)
	if keys := a.Keys; keys != nil {
		keys.ProtoReflect().SetUnknown(nil)
		keys.Missing = clean(keys.Missing, reporting.MaxMessage)
		for i := range keys.Names {
			keys.Names[i] = clean(keys.Names[i], reporting.MaxWord)
		}
	}
	cleanRelease(a.Release)
	a.ProtoReflect().SetUnknown(nil)
}

// cleanDrift cuts the texts about one object that drifted.
func cleanDrift(d *spokev1.DriftReport) {
	d.ProtoReflect().SetUnknown(nil)
	cleanObjects(d.Object)
	d.Kind = clean(d.Kind, reporting.MaxWord)
	for i, by := range d.By {
		d.By[i] = clean(by, reporting.MaxWord)
	}
	for _, c := range d.Changes {
		c.ProtoReflect().SetUnknown(nil)
		c.Path = clean(c.Path, reporting.MaxWord)
		c.Old, c.New = clean(c.Old, reporting.MaxValue), clean(c.New, reporting.MaxValue)
	}
}

// checkDrifts returns an error if a list about drift is over its limit.
func checkDrifts(drifts []*spokev1.DriftReport) error {
	if len(drifts) > reporting.MaxDrifts {
		return fmt.Errorf("%d objects that drifted: at most %d", len(drifts), reporting.MaxDrifts)
	}
	for _, d := range drifts {
		if d.GetObject() == nil {
			return errors.New("drift of an object without an identity")
		}
		if len(d.By) > reporting.MaxChanges || len(d.Changes) > reporting.MaxChanges || slices.Contains(d.Changes, nil) {
			return fmt.Errorf("%d fields that drifted: at most %d", len(d.Changes), reporting.MaxChanges)
		}
	}
	return nil
}

// cleanObjects cuts the names of objects.
func cleanObjects(objects ...*bundlev1.ObjectIdentity) {
	for _, o := range objects {
		o.ProtoReflect().SetUnknown(nil)
		for _, name := range []*string{&o.Group, &o.Version, &o.Kind, &o.Namespace, &o.Name} {
			*name = clean(*name, reporting.MaxWord)
		}
	}
}

// checkFields returns an error if a field is malformed, or a list is over its limit.
func checkFields(a *spokev1.ApplicationReport) error {
	for _, d := range [][]byte{a.Digest, a.AppliedDigest, a.HealthyDigest, a.GetHeldPrune().GetDigest()} {
		if len(d) != 0 && len(d) != 32 {
			return fmt.Errorf("digest of %d bytes, want 32", len(d))
		}
	}
	if !slices.Contains([]string{condition.True, condition.False, condition.Unknown, ""}, a.Ready) {
		return fmt.Errorf("ready is %q: want True, False or Unknown", clean(a.Ready, reporting.MaxWord))
	}
	if len(a.Objects) > reporting.MaxObjects {
		return fmt.Errorf("%d objects: at most %d", len(a.Objects), reporting.MaxObjects)
	}
	for _, o := range a.Objects {
		if o.GetObject() == nil {
			return errors.New("an object without an identity")
		}
	}
	if err := checkDrifts(a.Drifts); err != nil {
		return err
	}
	if held := a.GetHeldPrune().GetObjects(); len(held) > reporting.MaxHeld || slices.Contains(held, nil) {
		return fmt.Errorf("%d objects of a held prune: at most %d", len(held), reporting.MaxHeld)
	}
	if n := len(a.GetKeys().GetNames()); n > reporting.MaxKeys {
		return fmt.Errorf("%d keys: at most %d", n, reporting.MaxKeys)
	}
	if len(a.Inventory) > reporting.MaxInventory || slices.Contains(a.Inventory, nil) {
		return fmt.Errorf("%d objects in the inventory: at most %d", len(a.Inventory), reporting.MaxInventory)
	}
	return checkRelease(a.GetRelease())
}

// checkEvents returns the events of a report. An event whose time is not within the last day gets the time now.
func checkEvents(cluster string, list []*spokev1.Event, now time.Time) ([]store.Event, error) {
	events := make([]store.Event, 0, len(list))
	for _, e := range list {
		key, err := eventKey(cluster, e)
		if err != nil {
			return nil, err
		}
		at, kind := e.GetTime().AsTime(), condition.Normal
		if at.After(now) || now.Sub(at) > 24*time.Hour {
			at = now
		}
		if e.Type == condition.Warning {
			kind = condition.Warning
		}
		events = append(events, store.Event{
			Time: at, Object: key, Type: kind, Reason: clean(e.Reason, reporting.MaxWord),
			Message: clean(e.Message, reporting.MaxMessage),
		})
	}
	return events, nil
}

// eventKey returns the key that an event is about: an object of the cluster, or the cluster itself.
func eventKey(cluster string, e *spokev1.Event) (api.Key, error) {
	if kind := e.GetApplication().GetKind(); kind == "" || (api.Key{Kind: kind}).Role() == api.ClusterRole {
		return api.ClusterKey(cluster), nil
	}
	return applicationKey(cluster, e.GetApplication())
}

// changes reports whether write would change anything; a report of known facts costs no write. If the cluster would
// have more or longer rows than it may have, the error is RESOURCE_EXHAUSTED.
func (c *checkedReport) changes(tx *store.Tx, cluster string) (bool, error) {
	spoke, _, err := store.Spokes.Get(tx, cluster)
	if err != nil {
		return false, err
	}
	differ, grows := len(c.events) > 0 || c.tells(spoke), false
	c.failed = nil
	for key, row := range c.rows {
		old, ok, err := store.Reports.Get(tx, key)
		if err != nil {
			return false, err
		}
		if changed := !ok || !bytes.Equal(old.Value, row.Value); changed {
			differ = true
			c.noteFailure(key, old, row)
		}
		grows = grows || !ok || len(row.Value) > len(old.Value)
	}
	gone, err := c.gone(tx, cluster)
	if err == nil && grows && !c.full { // a full one leaves nothing but itself, which is one message
		err = c.room(tx, cluster, gone)
	}
	return differ || len(gone) > 0, err
}

// room returns RESOURCE_EXHAUSTED if the cluster, without the rows that are gone, would have more or longer rows than
// it may have. Reports under way at the same moment do not see one another, so that a cluster may get maxReports
// messages beyond the limit.
func (c *checkedReport) room(tx *store.Tx, cluster string, gone []string) error {
	rows, size := len(c.rows), 0
	leaves := make(map[string]bool, len(gone))
	for _, key := range gone {
		leaves[key] = true
	}
	for _, row := range c.rows {
		size += base64.StdEncoding.EncodedLen(len(row.Value))
	}
	err := store.Reports.Sizes(tx, store.OfCluster(cluster), func(key string, bytes int) error {
		if _, again := c.rows[key]; !again && !leaves[key] {
			rows++
			size += bytes
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case rows > reporting.MaxApplications:
		return status.Errorf(codes.ResourceExhausted, "%d applications: at most %d; send a full report", rows,
			reporting.MaxApplications)
	case size > reporting.MaxStored:
		return status.Errorf(codes.ResourceExhausted, "reports of %d bytes: at most %d; send shorter inventories", size,
			reporting.MaxStored)
	}
	return nil
}

// gone returns the keys of the stored rows that the report removes: those in removed, or, if the report is full, all
// that it does not have.
func (c *checkedReport) gone(tx *store.Tx, cluster string) ([]string, error) {
	var gone []string
	if c.full {
		err := store.Reports.Sizes(tx, store.OfCluster(cluster), func(key string, _ int) error {
			if _, ok := c.rows[key]; !ok {
				gone = append(gone, key)
			}
			return nil
		})
		return gone, err
	}
	for _, key := range c.removed {
		if _, ok, err := store.Reports.Get(tx, key); err != nil {
			return nil, err
		} else if ok {
			gone = append(gone, key)
		}
	}
	return gone, nil
}

// write stores the rows that changed and the events, and deletes the rows that are gone.
func (c *checkedReport) write(tx *store.Tx, cluster string) error {
	if err := c.tell(tx, cluster); err != nil {
		return err
	}
	gone, err := c.gone(tx, cluster)
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := store.Reports.Delete(tx, key); err != nil {
			return err
		}
	}
	for key, row := range c.rows {
		old, ok, err := store.Reports.Get(tx, key)
		if err != nil {
			return err
		}
		if ok && bytes.Equal(old.Value, row.Value) {
			continue
		}
		if err := store.Reports.Put(tx, key, row); err != nil {
			return err
		}
	}
	for _, e := range c.events {
		if err := store.Record(tx, e); err != nil {
			return err
		}
	}
	return nil
}

// tells reports whether the report says something new about the spoke itself.
func (c *checkedReport) tells(row store.Spoke) bool {
	return row.Unreported != c.unreported || c.upgrade != nil &&
		(c.upgrade.Image != row.Upgrade.Image || c.upgrade.Failure != row.Upgrade.Failure)
}

// tell writes what the report says about the spoke of a registered cluster.
func (c *checkedReport) tell(tx *store.Tx, cluster string) error {
	row, _, err := store.Spokes.Get(tx, cluster)
	if err != nil || row.RegisteredAt.IsZero() || !c.tells(row) {
		return err
	}
	row.Unreported = c.unreported
	if c.upgrade != nil {
		row.Upgrade = *c.upgrade
	}
	return store.Spokes.Put(tx, cluster, row)
}
