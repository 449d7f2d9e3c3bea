package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

func report(name, message string) *spokev1.ApplicationReport {
	return &spokev1.ApplicationReport{Name: nameOf("Kustomization", "flux-system", name), Ready: "True", Message: message}
}

func nameOf(kind, namespace, name string) *bundlev1.ApplicationName {
	return &bundlev1.ApplicationName{Kind: kind, Namespace: namespace, Name: name}
}

// reports are the stored messages by key.
func (r *rig) reports() map[string]string {
	r.t.Helper()
	rows := map[string]string{}
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		return store.Reports.Scan(tx, "", func(key string, row store.Report) error {
			var a spokev1.ApplicationReport
			rows[key] = "?"
			if err := proto.Unmarshal(row.Value, &a); err != nil {
				return err
			}
			rows[key] = a.Message
			return nil
		})
	}))
	return rows
}

func TestReportStored(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	a, b := r.dial(identity.Cluster, "a"), r.dial(identity.Cluster, "b")
	send := func(client spokev1.SpokeServiceClient, m *spokev1.ReportRequest) {
		t.Helper()
		if _, err := client.Report(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	send(b, &spokev1.ReportRequest{Full: true, Applications: []*spokev1.ApplicationReport{report("app", "of b")}})
	send(a, &spokev1.ReportRequest{Full: true, Applications: []*spokev1.ApplicationReport{report("one", "1"),
		report("two", "2"), report("three", "3")}})
	send(a, &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{report("two", "2b")},
		Removed: []*bundlev1.ApplicationName{nameOf("Kustomization", "flux-system", "three")}})
	want := map[string]string{
		"a/Kustomization/flux-system/one": "1", "a/Kustomization/flux-system/two": "2b",
		"b/Kustomization/flux-system/app": "of b",
	}
	if got := r.reports(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v", got)
	}
	send(a, &spokev1.ReportRequest{Full: true, Applications: []*spokev1.ApplicationReport{report("two", "2b")}})
	want = map[string]string{"a/Kustomization/flux-system/two": "2b", "b/Kustomization/flux-system/app": "of b"}
	if got := r.reports(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("after a full report: %v", got)
	}
}

func TestReportRepeated(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	m := &spokev1.ReportRequest{Full: true, Applications: []*spokev1.ApplicationReport{report("one", "1")}}
	_, err := client.Report(t.Context(), m)
	must(t, err)
	w := r.store.Watch(t.Context())
	defer w.Close()
	_, err = client.Report(t.Context(), m)
	must(t, err)
	if changes := w.Take(); len(changes) != 0 {
		t.Fatalf("changed %v", changes)
	}
}

func TestReportOfDeletedCluster(t *testing.T) {
	r := newRig(t)
	c, err := checkReport("gone", &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{report("one", "1")}},
		time.Now())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, r.server.batch.report(ctx, &pendingReport{cluster: "gone", report: c, done: make(chan error, 1)}))
	if got := r.reports(); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
}

func TestReportEvents(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	_, err := client.Report(t.Context(), &spokev1.ReportRequest{Events: []*spokev1.Event{
		{Application: nameOf("Kustomization", "flux-system", "app"), Type: "Warning", Reason: "Drift", Message: "put back",
			Time: timestamppb.Now()},
		{Application: nameOf("Cluster", "", "b"), Reason: "Cheat", Time: &timestamppb.Timestamp{Seconds: 1 << 40}},
	}})
	must(t, err)
	if e := r.awaitEvent("Drift"); e.Object != (api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system",
		Name: "app"}) || e.Type != "Warning" {
		t.Fatalf("event is %+v", e)
	}
	if e := r.awaitEvent("Cheat"); e.Object != api.ClusterKey("a") || e.Type != "Normal" ||
		time.Since(e.Time) > time.Minute {
		t.Fatalf("event is %+v", e)
	}
}

func TestReportLimits(t *testing.T) {
	app := func(change func(*spokev1.ApplicationReport)) *spokev1.ReportRequest {
		a := report("app", "")
		change(a)
		return &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{a}}
	}
	for name, m := range map[string]*spokev1.ReportRequest{
		"applications":   {Applications: make([]*spokev1.ApplicationReport, reporting.MaxApplications+1)},
		"nil":            {Applications: make([]*spokev1.ApplicationReport, 1)},
		"events":         {Events: make([]*spokev1.Event, reporting.MaxEvents+1)},
		"removed":        {Removed: []*bundlev1.ApplicationName{{Kind: "Kustomization"}}},
		"nil_removed":    {Removed: make([]*bundlev1.ApplicationName, 1)},
		"removed_v1":     {RemovedV1: []string{"Kustomization/x"}},
		"slash_in_name":  app(func(a *spokev1.ApplicationReport) { a.Name.Name = "a/b" }),
		"no_name":        app(func(a *spokev1.ApplicationReport) { a.Name.Name = "" }),
		"no_identity":    app(func(a *spokev1.ApplicationReport) { a.Name = nil }),
		"kind":           app(func(a *spokev1.ApplicationReport) { a.Name.Kind = "../x" }),
		"namespace":      app(func(a *spokev1.ApplicationReport) { a.Name.Namespace = "a\nb" }),
		"healthy_digest": app(func(a *spokev1.ApplicationReport) { a.HealthyDigest = []byte{1} }),
		"ready":          app(func(a *spokev1.ApplicationReport) { a.Ready = "maybe" }),
		"digest":         app(func(a *spokev1.ApplicationReport) { a.Digest = []byte{1} }),
		"objects": app(func(a *spokev1.ApplicationReport) {
			a.Objects = make([]*spokev1.ObjectReport,
				reporting.MaxObjects+1)
		}),
		"nil_object": app(func(a *spokev1.ApplicationReport) { a.Objects = make([]*spokev1.ObjectReport, 1) }),
		"held_objects": app(func(a *spokev1.ApplicationReport) {
			a.HeldPrune = &spokev1.HeldPrune{Objects: slices.Repeat([]*bundlev1.ObjectIdentity{{}}, reporting.MaxHeld+1)}
		}),
		"keys": app(func(a *spokev1.ApplicationReport) {
			a.Keys = &spokev1.KeyNames{Names: make([]string, reporting.MaxKeys+1)}
		}),
		"nil_held_object": app(func(a *spokev1.ApplicationReport) {
			a.HeldPrune = &spokev1.HeldPrune{Objects: make([]*bundlev1.ObjectIdentity, 1)}
		}),
		"drifts": app(func(a *spokev1.ApplicationReport) {
			a.Drifts = slices.Repeat([]*spokev1.DriftReport{{Object: &bundlev1.ObjectIdentity{}}}, reporting.MaxDrifts+1)
		}),
		"drift_of_nothing": app(func(a *spokev1.ApplicationReport) { a.Drifts = []*spokev1.DriftReport{{}} }),
		"no_drift":         app(func(a *spokev1.ApplicationReport) { a.Drifts = make([]*spokev1.DriftReport, 1) }),
		"drift_changes": app(func(a *spokev1.ApplicationReport) {
			a.Drifts = []*spokev1.DriftReport{{Object: &bundlev1.ObjectIdentity{},
				Changes: slices.Repeat([]*spokev1.FieldChange{{}}, reporting.MaxChanges+1)}}
		}),
		"drift_change_nil": app(func(a *spokev1.ApplicationReport) {
			a.Drifts = []*spokev1.DriftReport{{Object: &bundlev1.ObjectIdentity{}, Changes: make([]*spokev1.FieldChange, 1)}}
		}),
		"held_digest": app(func(a *spokev1.ApplicationReport) { a.HeldPrune = &spokev1.HeldPrune{Digest: []byte{1}} }),
		"inventory": app(func(a *spokev1.ApplicationReport) {
			a.Inventory = slices.Repeat([]*bundlev1.ObjectIdentity{{Kind: "ConfigMap", Name: "c"}}, reporting.MaxInventory+1)
		}),
		"nil_in_inventory": app(func(a *spokev1.ApplicationReport) {
			a.Inventory = make([]*bundlev1.ObjectIdentity,
				1)
		}),
		"event_names": {Events: []*spokev1.Event{{Application: nameOf("Pod", "", "a/b")}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := checkReport("a", m, time.Now())
			wantCode(t, err, codes.InvalidArgument)
		})
	}
}

// TestReportDrift cuts what a spoke says about drift, and keeps it free of control characters.
func TestReportDrift(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	a := report("app", "")
	a.Drifts = []*spokev1.DriftReport{{
		Object: &bundlev1.ObjectIdentity{Kind: "ConfigMap", Name: long}, Kind: long, By: []string{"\x1b[31m" + long},
		Changes: []*spokev1.FieldChange{{Path: long, Old: long, New: "\x1b[31m"}},
	}}
	_, value, err := checkApplication("east", a)
	must(t, err)
	got, err := reporting.ReadApplication(value)
	must(t, err)
	if proto.Size(got) > 6*reporting.MaxWord || strings.ContainsFunc(got.String(), unicode.IsControl) {
		t.Errorf("%d bytes: %v", proto.Size(got), got)
	}
	if c := got.Drifts[0].Changes[0]; len(c.Old) > reporting.MaxValue || len(c.Path) > reporting.MaxWord {
		t.Errorf("%v", c)
	}
}

func TestReportHeldPrune(t *testing.T) {
	digest := manifest.DigestOf([]byte("set"))
	a := report("app", "")
	a.HeldPrune = &spokev1.HeldPrune{Digest: digest[:], Total: 30, Objects: []*bundlev1.ObjectIdentity{
		{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a\x1b[2J"},
	}}
	c, err := checkReport("a", &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{a}}, time.Now())
	must(t, err)
	var got spokev1.ApplicationReport
	must(t, proto.Unmarshal(c.rows["a/Kustomization/flux-system/app"].Value, &got))
	held := got.HeldPrune
	if held.GetTotal() != 30 || string(held.GetDigest()) != string(digest[:]) ||
		held.GetObjects()[0].GetName() != "a\ufffd[2J" {
		t.Errorf("%v", held)
	}
}

func TestReportQuota(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.update(func(tx *store.Tx) error {
		for i := range reporting.MaxApplications {
			key := api.Key{Cluster: "a", Kind: "Kustomization", Namespace: "x", Name: fmt.Sprintf("app-%d", i)}
			if err := store.Reports.Put(tx, key.Path(), store.Report{}); err != nil {
				return err
			}
		}
		return nil
	})
	client := r.dial(identity.Cluster, "a")
	_, err := client.Report(t.Context(),
		&spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{report("one-more", "")}})
	wantCode(t, err, codes.ResourceExhausted)
	_, err = client.Report(t.Context(), &spokev1.ReportRequest{ // a renamed one
		Applications: []*spokev1.ApplicationReport{report("one-more", "")},
		Removed:      []*bundlev1.ApplicationName{nameOf("Kustomization", "x", "app-0")},
	})
	must(t, err)
	for _, unreported := range []uint32{3, 0} { // that the spoke leaves out
		_, err = client.Report(t.Context(), &spokev1.ReportRequest{Unreported: unreported})
		must(t, err)
		must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
			row, _, err := store.Spokes.Get(tx, "a")
			if row.Unreported != int(unreported) {
				t.Errorf("%d are unreported, want %d", row.Unreported, unreported)
			}
			return err
		}))
	}
	for _, c := range []struct {
		request *spokev1.ReportRequest
		want    string
	}{
		{&spokev1.ReportRequest{Upgrade: &spokev1.SpokeUpgrade{Image: "r/s:v2"}}, "r/s:v2 "},
		{&spokev1.ReportRequest{Upgrade: &spokev1.SpokeUpgrade{Image: "r/s:v2", Failure: "no\x1btag"}}, "r/s:v2 no\uFFFDtag"},
		{&spokev1.ReportRequest{Unreported: 1}, "r/s:v2 no\uFFFDtag"},
		{&spokev1.ReportRequest{Full: true}, " "},
	} {
		_, err = client.Report(t.Context(), c.request)
		must(t, err)
		must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
			row, _, err := store.Spokes.Get(tx, "a")
			if got := row.Upgrade.Image + " " + row.Upgrade.Failure; got != c.want {
				t.Errorf("the upgrade is %q, want %q", got, c.want)
			}
			return err
		}))
	}
	q, now := newQuotas(), time.Now()
	if n := q.events.Take("a", 10*eventBurst, now); n != eventBurst {
		t.Fatalf("%d events at once", n)
	}
	if n := q.events.Take("a", 10, now); n != 0 {
		t.Fatalf("%d events after the burst", n)
	}
	if n := q.events.Take("b", 10, now); n != 10 {
		t.Fatalf("%d events of another cluster", n)
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"short", "short"},
		{"tab\tline\n", "tab\tline\n"},
		{"\x1b[2Jx\x00", "\ufffd[2Jx\ufffd"},
		{strings.Repeat("ä", 10), "äääää…"},
	} {
		if got := clean(c.in, 14); got != c.want {
			t.Errorf("clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzCheckReport(f *testing.F) {
	seed, _ := proto.Marshal(&spokev1.ReportRequest{
		Full: true, Applications: []*spokev1.ApplicationReport{report("app", "ok")},
		Removed: []*bundlev1.ApplicationName{nameOf("Kustomization", "a", "b")},
		Events:  []*spokev1.Event{{Application: nameOf("Pod", "", "x")}},
	})
	f.Add(seed)
	seed, _ = proto.Marshal(&spokev1.ReportRequest{
		Applications: []*spokev1.ApplicationReport{{KindV1: "Kustomization", NamespaceV1: "a", NameV1: "app",
			InventoryV1: []string{"v1/ConfigMap default/c", "x"}, Objects: []*spokev1.ObjectReport{{ObjectV1: "Pod a/b"}}}},
		RemovedV1: []string{"Kustomization/a/b"}, Events: []*spokev1.Event{{KindV1: "Pod", NameV1: "x"}},
	})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m spokev1.ReportRequest
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		c, err := checkReport("a", &m, time.Now())
		if err != nil {
			return
		}
		for key, row := range c.rows {
			if strings.Count(key, "/") != 3 || !strings.HasPrefix(key, "a/") {
				t.Fatalf("key %q", key)
			}
			var a spokev1.ApplicationReport
			if err := proto.Unmarshal(row.Value, &a); err != nil {
				t.Fatal(err)
			}
			if len(a.Message) > reporting.MaxMessage || strings.ContainsFunc(a.Message,
				func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
				t.Fatalf("message %q", a.Message)
			}
		}
	})
}

func TestIsName(t *testing.T) {
	for name, c := range map[string]struct {
		name string
		ok   bool
	}{
		"dns":       {"apps.example", true},
		"rbac":      {"system:node-proxier", true},
		"letters":   {"größe", true},
		"longest":   {strings.Repeat("ö", 253), true},
		"too_long":  {strings.Repeat("a", 254), false},
		"empty":     {"", false},
		"slash":     {"a/b", false},
		"space":     {"a b", false},
		"line":      {"a\nb", false},
		"control":   {"a\u0085b", false},
		"invisible": {"a\u200bb", false},
	} {
		t.Run(name, func(t *testing.T) {
			if isName(c.name) != c.ok {
				t.Errorf("%q: %v", c.name, !c.ok)
			}
		})
	}
}
