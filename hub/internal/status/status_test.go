package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// at is a time of the tests, in minutes.
func at(minutes int) time.Time { return time.Date(2026, 1, 2, 3, minutes, 0, 0, time.UTC) }

var digest = manifest.DigestOf([]byte("application"))

// well returns a healthy Kustomization, changed by the test.
func well(change func(*Facts)) Facts { return application("apps", "", change) }

func application(name, spec string, change func(*Facts)) Facts {
	key := api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: name}
	f := Facts{
		Resource: store.Resource{
			Key: key, UID: "uid", Generation: 2, Created: at(1),
			Object: api.StoredObject(key, fmt.Appendf(nil,
				`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization",
				"metadata":{"name":%q,"namespace":"flux-system"},
				"spec":{"interval":"10m0s","prune":true,"path":"./apps","sourceRef":{"kind":"GitRepository","name":"fleet"}%s}}`, name, spec)),
		},
		Condition: &store.Condition{
			ObservedGeneration: 2, Ready: "True", Reason: "BuildSucceeded", Message: "Built", Since: at(2),
			Revision: "main@sha1:b", Attempted: "main@sha1:b", HandledRequest: "hub",
		},
		Entry: &store.Entry{Content: store.Content{Digest: digest, Revision: "main@sha1:b"}},
		Spoke: &store.Spoke{Connected: true, Since: at(1)},
		Report: &spokev1.ApplicationReport{
			Digest: digest[:], Revision: "main@sha1:b", AppliedRevision: "main@sha1:b", Ready: "True",
			Reason:  "ReconciliationSucceeded",
			Message: "Applied revision: main@sha1:b", Since: timestamppb.New(at(3)), Current: 2, HandledRequest: "spoke",
			Inventory: []*bundlev1.ObjectIdentity{
				{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "default", Name: "web"},
				{Version: "v1", Kind: "Namespace", Name: "shop"},
				{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Name: "system:web"},
			},
		},
	}
	if change != nil {
		change(&f)
	}
	return f
}

// TestFold_objects counts the healthy ones of all objects, of those that fail, too.
func TestFold_objects(t *testing.T) {
	o := fold(t, well(func(f *Facts) { f.Report.InProgress, f.Report.Failed = 3, 4 }))
	if o.Status.Objects != (objectCounts{Total: 9, Healthy: 2}) {
		t.Errorf("objects %+v", o.Status.Objects)
	}
}

func TestVerdict_application(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*Facts)
		ready   string
		reason  string
		message string
		since   time.Time
	}{
		{"ready", nil, "True", "ReconciliationSucceeded", "Applied revision: main@sha1:b", at(3)},
		{"unprocessed", func(f *Facts) { f.Condition, f.Entry, f.Report = nil, nil, nil },
			"Unknown", "Progressing", "The hub has not processed the object yet", at(1)},
		{"newest_version_unprocessed", func(f *Facts) { f.Resource.Generation = 3 },
			"Unknown", "Progressing", "The hub has not processed the newest version yet", at(2)},
		{"build_failed", func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason, f.Condition.Message = "False",
				"BuildFailed", "no"
		},
			"False", "BuildFailed", "no. The cluster keeps main@sha1:b", at(2)},
		{"never_built", func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason, f.Condition.Message, f.Report = "False", "BuildFailed", "no", nil
		}, "False", "BuildFailed", "no", at(2)},
		{"spoke_never_registered", func(f *Facts) { f.Spoke, f.Report = nil, nil },
			"Unknown", "NotRegistered", "The spoke of cluster east has not registered yet; waiting for it", at(2)},
		{"spoke_offline_and_behind", func(f *Facts) { f.Spoke.Connected, f.Report.Revision = false, "main@sha1:a" },
			"Unknown", "Offline", "The spoke of cluster east has been offline since " +
				"2026-01-02T03:01:00Z; waiting for it", at(3)},
		{"spoke_offline_and_applied", func(f *Facts) { f.Spoke.Connected = false },
			"True", "ReconciliationSucceeded", "Applied revision: main@sha1:b (the spoke has been offline since " +
				"2026-01-02T03:01:00Z)", at(3)},
		{"spoke_behind", func(f *Facts) { f.Report.Digest, f.Superseded = []byte("other"), at(5) },
			"Unknown", "Progressing", "The spoke is applying revision main@sha1:b", at(5)},
		{"spoke_behind_again", func(f *Facts) {
			f.Report.Digest, f.Report.Ready, f.Superseded = []byte("other"), "Unknown", at(5)
		}, "Unknown", "Progressing", "The spoke is applying revision main@sha1:b", at(3)},
		{"spoke_not_reached", func(f *Facts) {
			f.Report.Revision, f.Bundle = "main@sha1:a", &store.SignedBundle{Bundle: bundle.ID{Sequence: 7}}
		}, "Unknown", "Progressing", "The hub is sending revision main@sha1:b", at(3)},
		{"not_signed_yet", func(f *Facts) {
			f.Report.Revision, f.PlannedAt = "main@sha1:a", at(3)
			f.Bundle = &store.SignedBundle{Bundle: bundle.ID{Sequence: 7}, ChangedAt: at(2)}
			f.Spoke.Acks = map[bundle.Stage]bundle.ID{bundle.Received: f.Bundle.Bundle}
		}, "Unknown", "Progressing", "The hub is sending revision main@sha1:b", at(3)},
		{"spoke_received", func(f *Facts) {
			f.Report.Revision, f.Bundle = "main@sha1:a", &store.SignedBundle{Bundle: bundle.ID{Sequence: 7}}
			f.Spoke.Acks = map[bundle.Stage]bundle.ID{bundle.Received: f.Bundle.Bundle}
		}, "Unknown", "Progressing", "The spoke is applying revision main@sha1:b", at(3)},
		{"bundle_rejected", func(f *Facts) { f.Spoke.Rejected, f.Report = "expired", nil },
			"False", "BundleRejected", "Expired", at(2)},
		{"bundle_held_back", func(f *Facts) {
			f.Report, f.Spoke.Version = nil, "v0.1.0"
			f.Bundle = &store.SignedBundle{Bundle: bundle.ID{Sequence: 7}, Features: "hooks,removals", ChangedAt: at(4)}
		}, "False", "BundleHeldBack",
			"Bundle 7 is held back: spoke v0.1.0 does not know bundle feature hooks; upgrade the spoke",
			at(4)},
		{"spoke_fails", func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Message = "False", "HealthCheckFailed", "sick"
		},
			"False", "HealthCheckFailed", "sick", at(3)},
		{"unknown_report", func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Message = "",
				"", ""
		},
			"Unknown", "Progressing", "", at(3)},
		{"suspended", func(f *Facts) { f.Resource.Suspended, f.Entry.Revision = true, "main@sha1:c" },
			"True", "ReconciliationSucceeded", "Applied revision: main@sha1:b", at(3)},
		{"hub_object", func(f *Facts) { f.Resource.Key.Cluster, f.Entry, f.Report, f.Spoke = "", nil, nil, nil },
			"True", "ReconciliationSucceeded", "Applied revision: main@sha1:b", at(2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := well(tt.change).verdict()
			want := verdict{tt.ready, tt.reason, tt.message, tt.since, false}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestFold_handled_request(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Facts)
		want   string
	}{
		{"carried_out", nil, "spoke"},
		{"not_yet", func(f *Facts) { f.Report = nil }, ""},
		{"hub_failed", func(f *Facts) { f.Condition.Ready = "False" }, "hub"},
		{"not_planned", func(f *Facts) { f.Entry = nil }, "hub"},
		{"unseen", func(f *Facts) { f.Condition = nil }, ""},
	} {
		if got := well(tt.change).handled(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// object is a folded object, as clients read it.
type object struct {
	Metadata struct {
		UID         string
		Generation  int64
		Annotations map[string]string
	}
	Spec   map[string]any
	Status struct {
		ObservedGeneration    int64
		Conditions            []metav1.Condition
		LastAppliedRevision   string
		LastAttemptedRevision string
		Inventory             struct{ Entries []inventoryEntry }
		Objects               objectCounts
		Artifact              map[string]string
		Clusters              map[string]int
		Acks                  map[string]any
		Bundle                map[string]any
	}
}

func fold(t *testing.T, f Facts) object {
	t.Helper()
	data, err := Fold(f)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// show lists conditions as "Type=Status/Reason".
func show(o object) string {
	var all []string
	for _, c := range o.Status.Conditions {
		all = append(all, c.Type+"="+string(c.Status)+"/"+c.Reason)
	}
	return strings.Join(all, " ")
}

func TestFold(t *testing.T) {
	o := fold(t, well(func(f *Facts) { f.Resource.Suspended, f.Resource.RequestedAt = true, "token" }))
	if o.Metadata.UID != "uid" || o.Metadata.Generation != 2 ||
		o.Metadata.Annotations["reconcile.fluxcd.io/requestedAt"] != "token" {
		t.Errorf("metadata %+v", o.Metadata)
	}
	if o.Spec["suspend"] != true {
		t.Error("an operator's suspension does not show")
	}
	if o.Status.ObservedGeneration != 2 || o.Status.LastAppliedRevision != "main@sha1:b" ||
		o.Status.LastAttemptedRevision != "main@sha1:b" {
		t.Errorf("status %+v", o.Status)
	}
	want := []inventoryEntry{
		{"default_web_apps_Deployment", "v1"}, {"_shop__Namespace",
			"v1"}, {"_system__web_rbac.authorization.k8s.io_ClusterRole", "v1"},
	}
	if !slices.Equal(o.Status.Inventory.Entries, want) {
		t.Errorf("inventory %v, want %v", o.Status.Inventory.Entries, want)
	}
	if o.Status.Objects != (objectCounts{Total: 2, Healthy: 2}) {
		t.Errorf("objects %+v", o.Status.Objects)
	}
	if got := show(o); got != "Ready=True/ReconciliationSucceeded Healthy=True/Succeeded Suspended=Unknown/Progressing" {
		t.Error(got)
	}
}

func TestConditions(t *testing.T) {
	signed := &store.SignedBundle{Bundle: bundle.ID{Epoch: 1, Sequence: 4, Digest: digest}, ChangedAt: at(4)}
	spoke := func(connected bool, stages ...bundle.Stage) *store.Spoke {
		s := &store.Spoke{Connected: connected, Since: at(3), Acks: map[bundle.Stage]bundle.ID{}}
		for _, stage := range stages {
			s.Acks[stage] = signed.Bundle
		}
		return s
	}
	hubs := func(kind, spec string, change func(*Facts)) Facts {
		f := Facts{
			Resource: store.Resource{
				Key: api.Key{Kind: kind, Name: "east"}, Created: at(1), Generation: 1,
				Object: api.StoredObject(api.Key{Kind: kind, Name: "east"}, fmt.Appendf(nil,
					`{"metadata":{"name":"east"},"spec":{%s}}`, spec)),
			},
			Condition: &store.Condition{ObservedGeneration: 1, Ready: "True", Reason: "Planned", Since: at(2)}, Bundle: signed,
		}
		change(&f)
		return f
	}
	for _, tt := range []struct {
		name  string
		facts Facts
		want  string
	}{
		{"build_failed", well(func(f *Facts) { f.Condition.Ready, f.Condition.Reason = "False", "BuildFailed" }),
			"Ready=False/BuildFailed Healthy=True/Succeeded"},
		{"stalled", well(func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason,
				f.Report = "False", "Refused", nil
		}),
			"Ready=False/Refused Stalled=True/Refused"},
		{"release_without_retries", well(func(f *Facts) { f.Report.Ready, f.Report.Reason = "False", "RetriesExceeded" }),
			"Ready=False/RetriesExceeded Healthy=True/Succeeded Stalled=True/RetriesExceeded"},
		{"progressing", well(func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.InProgress = "Unknown",
				"Progressing", 1
		}),
			"Ready=Unknown/Progressing Healthy=Unknown/Progressing Reconciling=True/Progressing"},
		{"unhealthy_objects", well(func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Failed = "False",
				"HealthCheckFailed", 1
		}),
			"Ready=False/HealthCheckFailed Healthy=False/HealthCheckFailed"},
		{"cluster_without_spoke", hubs("Cluster", "", func(*Facts) {}),
			"Ready=Unknown/NotRegistered Connected=False/NotRegistered"},
		{"cluster_offline", hubs("Cluster", "",
			func(f *Facts) { f.Spoke = spoke(false, bundle.Received, bundle.Applied, bundle.Healthy) }),
			"Ready=Unknown/Offline Connected=False/Offline"},
		{"cluster_join_token_refused", hubs("Cluster", "",
			func(f *Facts) { f.Spoke = &store.Spoke{Refused: "a join token was refused: expired"} }),
			"Ready=False/JoinTokenRefused Connected=False/NotRegistered"},
		{"cluster_progressing", hubs("Cluster", "", func(f *Facts) { f.Spoke = spoke(true, bundle.Received) }),
			"Ready=Unknown/Progressing Connected=True/Online Reconciling=True/Progressing"},
		{"cluster_ready", hubs("Cluster", "",
			func(f *Facts) { f.Spoke = spoke(true, bundle.Received, bundle.Applied, bundle.Healthy) }),
			"Ready=True/ReconciliationSucceeded Connected=True/Online"},
		{"cluster_bundle_rejected", hubs("Cluster", "",
			func(f *Facts) { f.Spoke = spoke(true); f.Spoke.Rejected = "signature" }),
			"Ready=False/BundleRejected Connected=True/Online"},
		{"cluster_bundle_refused", hubs("Cluster", "", func(f *Facts) { // although the last one is healthy, and it is offline
			f.Spoke, f.Refusal = spoke(false, bundle.Healthy), &store.Refusal{Message: "no bundle", Since: at(5)}
		}), "Ready=False/BundleRefused Connected=False/Offline"},
		{"bundle_refused", well(func(f *Facts) {
			f.Entry.Revision, f.Condition.Revision = "main@sha1:c", "main@sha1:c"
			f.Refusal = &store.Refusal{Message: "no bundle", Since: at(5)}
		}), "Ready=False/BundleRefused Healthy=True/Succeeded"},
		{"cluster_unreported", hubs("Cluster", "", func(f *Facts) { // although everything is acknowledged as healthy
			f.Spoke = spoke(true, bundle.Received, bundle.Applied, bundle.Healthy)
			f.Spoke.Unreported = 100
		}), "Ready=Unknown/ReportsLimited Connected=True/Online"},
		{"unreported", well(func(f *Facts) { f.Spoke.Unreported, f.Report = 100, nil }), "Ready=Unknown/ReportsLimited"},
		{"cluster_bundle_held_back", hubs("Cluster", "", func(f *Facts) {
			f.Spoke, f.Bundle = spoke(true, bundle.Healthy), withFeatures(f.Bundle, "hooks")
		}), "Ready=False/BundleHeldBack Connected=True/Online"},
		{"cluster_features_listed", hubs("Cluster", "", func(f *Facts) {
			f.Spoke, f.Bundle = spoke(true, bundle.Healthy), withFeatures(f.Bundle, "hooks")
			f.Spoke.Features = "hooks,removals"
		}), "Ready=True/ReconciliationSucceeded Connected=True/Online"},
		{"cluster_blocked", hubs("Cluster", `"blocked":true`, func(f *Facts) { f.Spoke = spoke(false) }),
			"Ready=False/Blocked Connected=False/Offline"},
		{"cluster_broken_graph", hubs("Cluster", "", func(f *Facts) {
			f.Spoke, f.Condition.Ready, f.Condition.Reason = spoke(true, bundle.Healthy), "False", "BuildFailed"
		}),
			"Ready=False/BuildFailed Connected=True/Online"},
		{"fleet_cluster_never_joined",
			hubs("Fleet", "", func(f *Facts) { f.Members = []Facts{member("a", well(nil)), member("b")} }),
			"Ready=Unknown/NotRegistered"},
		{"fleet_ready", hubs("Fleet", "", func(f *Facts) { f.Members = []Facts{member("a", well(nil))} }),
			"Ready=True/ReconciliationSucceeded"},
		{"fleet_without_clusters", hubs("Fleet", "", func(*Facts) {}), "Ready=False/NoClusters"},
		{"source_keeps_artifact", hubs("GitRepository", "", func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason = "False", "GitOperationFailed"
			f.Fetched = &store.Fetched{Artifact: &artifact.Artifact{Revision: "main@sha1:a", Digest: digest, FetchedAt: at(1)}}
		}), "Ready=False/GitOperationFailed ArtifactInStorage=True/Succeeded FetchFailed=True/GitOperationFailed"},
		{"source_verified", hubs("GitRepository", "", func(f *Facts) {
			f.Fetched = &store.Fetched{Artifact: &artifact.Artifact{Revision: "main@sha1:a", Digest: digest, FetchedAt: at(1),
				Verification: artifact.Verification{Mode: "HEAD", Message: "verified"}}}
		}), "Ready=True/Planned ArtifactInStorage=True/Succeeded SourceVerified=True/Succeeded"},
		{"source_not_verified", hubs("GitRepository", "", func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason = "False", "InvalidCommitSignature"
			f.Fetched = &store.Fetched{Artifact: &artifact.Artifact{Revision: "main@sha1:a", Digest: digest, FetchedAt: at(1),
				Verification: artifact.Verification{Mode: "HEAD", Message: "verified"}}}
		}), "Ready=False/InvalidCommitSignature ArtifactInStorage=True/Succeeded " +
			"SourceVerified=False/InvalidCommitSignature"},
		{"source_never_verified", hubs("GitRepository", "", func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason = "False", "VerificationError"
		}), "Ready=False/VerificationError SourceVerified=False/VerificationError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(fold(t, tt.facts)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestFold_scan shows what a scan found and when it was, also when a later one failed.
func TestFold_scan(t *testing.T) {
	key := api.Key{Cluster: "east", Kind: "ImageRepository", Namespace: "apps", Name: "app"}
	data, err := Fold(Facts{
		Resource: store.Resource{Key: key, Generation: 1, Object: api.StoredObject(key,
			[]byte(`{"metadata":{"name":"app"},"spec":{"image":"ghcr.io/org/app","interval":"1m"}}`))},
		Condition: &store.Condition{Ready: "False", Reason: "ReadOperationFailed", ObservedGeneration: 1},
		Fetched: &store.Fetched{CheckedAt: at(9), SucceededAt: at(5), Artifact: &artifact.Artifact{
			Revision: "sha256:0", FetchedAt: at(1), Status: `{"canonicalImageName": "ghcr.io/org/app", "conditions": "mine",
			"lastScanResult": {"tagCount": 2, "latestTags": ["b", "a"], "revision": "sha256:0"}}`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Status imagev1.ImageRepositoryStatus `json:"status"`
	}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	s := o.Status.LastScanResult
	if o.Status.CanonicalImageName != "ghcr.io/org/app" || s == nil || s.TagCount != 2 || len(s.LatestTags) != 2 ||
		!s.ScanTime.Time.Equal(at(5)) || s.Revision != "sha256:0" || len(o.Status.Conditions) == 0 {
		t.Errorf("got %s", data)
	}
}

func TestFleetCounts(t *testing.T) {
	signed, planned := &store.SignedBundle{Bundle: bundle.ID{Sequence: 2}}, &store.Condition{Ready: "True"}
	connected := &store.Spoke{Connected: true, Acks: map[bundle.Stage]bundle.ID{bundle.Applied: {Sequence: 2}}}
	o := fold(t, Facts{
		Resource: store.Resource{Key: api.Key{Kind: "Fleet", Name: "prod"}, Object: api.StoredObject(api.Key{Kind: "Fleet",
			Name: "prod"}, []byte(`{"metadata":{"name":"prod"},"spec":{}}`))},
		Members: []Facts{
			{Condition: planned, Spoke: connected, Bundle: signed, Covered: []Facts{well(nil)}},
			{Condition: planned, Spoke: connected, Bundle: signed,
				Covered: []Facts{well(func(f *Facts) { f.Report.Ready = "Unknown" })}},
			{Spoke: &store.Spoke{}, Bundle: signed}, {},
		},
	})
	if got := fmt.Sprint(o.Status.Clusters); got != "map[connected:2 ready:1 selected:4 updated:2]" {
		t.Error(got)
	}
}

// troubled returns a world in which apps and middle wait for infra, which is unhealthy.
func troubled() *World {
	after := func(name string) string { return `,"dependsOn":[{"name":"` + name + `"}]` }
	waiting := func(f *Facts) {
		f.Report.Ready, f.Report.Reason, f.Report.Message = "False", "DependencyNotReady", "waits"
	}
	return newWorld(
		application("apps", after("middle"), waiting),
		application("middle", after("infra"), waiting),
		application("infra", "", func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Message, f.Report.Since = "False", "HealthCheckFailed", "1 object is "+
				"sick", timestamppb.New(at(1))
			f.Report.Objects = []*spokev1.ObjectReport{{Object: deploymentWeb, Status: "Failed",
				Message: "no image", Since: timestamppb.New(at(2))}}
		}),
		application("fine", "", nil),
		application("paused", "", func(f *Facts) {
			f.Resource.Suspended, f.Resource.SuspendedAt = true, at(5)
			f.Entry.Suspended, f.Bundle = true, &store.SignedBundle{} // which the spoke has received
		}),
		application("frozen", `,"suspend":true`, func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Message, f.Resource.SuspendedAt = "False", "HealthCheckFailed", "sick",
				at(5)
		}),
		Facts{
			Resource: store.Resource{Key: api.Key{Cluster: "east", Kind: "Alert", Namespace: "flux-system",
				Name: "chart"}},
			Condition: &store.Condition{Ready: "False", Reason: "Refused", Message: "not supported yet", Since: at(9)},
		},
	)
}

func lines(list []*adminv1.Explanation) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%s/%s %s %q", e.Object.Kind, e.Object.Name, e.Reason, e.Message)
		if len(e.WaitsFor) > 0 {
			fmt.Fprintf(&b, " waits for %s", strings.Join(e.WaitsFor, ", "))
		}
		for i, a := range e.Affects {
			fmt.Fprintf(&b, "%s%s/%s", []string{" affects ", ", "}[min(i, 1)], a.Kind, a.Name)
		}
		if e.Advice == "" {
			b.WriteString(" WITHOUT ADVICE")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestExplain_chain(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  api.Key
		want string
	}{
		{"one_object", api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
			`Kustomization/apps DependencyNotReady "It waits for Kustomization flux-system/middle, which waits for Kustomization flux-system/infra, ` +
				`which failed (HealthCheckFailed): 1 object is sick" waits for Kustomization flux-system/middle, Kustomization flux-system/infra
`},
		{"ready", api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "fine"}, ""},
		{"suspended", api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "paused"},
			`Kustomization/paused Suspended "Suspended by an operator since 2026-01-02T03:05:00Z; Applied revision: main@sha1:b"
`},
		{"other_cluster", api.Key{Cluster: "west"}, ""},
		{"whole_fleet", api.Key{}, `Kustomization/infra HealthCheckFailed "1 object is sick\nDeployment.apps default/web: no image" affects Kustomization/apps, Kustomization/middle
Kustomization/frozen HealthCheckFailed "sick. Suspended by spec.suspend since 2026-01-02T03:05:00Z"
Alert/chart Refused "not supported yet"
Kustomization/paused Suspended "Suspended by an operator since 2026-01-02T03:05:00Z; Applied revision: main@sha1:b"
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := lines(Explain(troubled(), tt.key)); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func TestExplain_once(t *testing.T) {
	w := newWorld(
		well(func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason, f.Report = "False", "ArtifactFailed", nil
			f.Condition.Message = "GitRepository flux-system/fleet has not been fetched: wrong password"
		}),
		Facts{
			Resource: store.Resource{Key: api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
				Object: api.StoredObject(api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, []byte(`{}`))},
			Condition: &store.Condition{Ready: "False", Reason: "AuthenticationFailed", Message: "wrong password", Since: at(1)},
		},
	)
	if got := lines(Explain(w, api.Key{Cluster: "east"})); strings.Count(got, "wrong password") != 1 {
		t.Errorf("the cause is told several times: %s", got)
	}
}

func TestHealth(t *testing.T) {
	for name, c := range map[string]struct {
		report *spokev1.ApplicationReport
		want   string
	}{
		"one":   {&spokev1.ApplicationReport{Ready: condition.True, Current: 1}, "True Succeeded 1 object is healthy"},
		"two":   {&spokev1.ApplicationReport{Ready: condition.True, Current: 2}, "True Succeeded 2 objects are healthy"},
		"empty": {&spokev1.ApplicationReport{Ready: condition.True}, "True Succeeded 0 objects are healthy"},
		"refused": {&spokev1.ApplicationReport{Ready: condition.False, Reason: "ReconciliationFailed"},
			"Unknown ReconciliationFailed no object was applied"},
		"health_check": {&spokev1.ApplicationReport{Ready: condition.False, Reason: "HealthCheckFailed", Current: 3,
			Message: "not healthy after 1m0s: Deployment.apps x/y is NotFound"},
			"False HealthCheckFailed not healthy after 1m0s: Deployment.apps x/y is NotFound"},
		"awaited": {&spokev1.ApplicationReport{Ready: condition.Unknown, Reason: "Progressing", Current: 3, Digest: digest[:],
			AppliedDigest: digest[:], Message: "waiting for health: Deployment.apps x/y is NotFound"},
			"Unknown Progressing waiting for health: Deployment.apps x/y is NotFound"},
		"applying": {&spokev1.ApplicationReport{Ready: condition.Unknown, Reason: "Progressing", Current: 3,
			Digest: digest[:]}, "True Succeeded 3 objects are healthy"},
		"one_refused": {&spokev1.ApplicationReport{Ready: condition.False, Reason: "ReconciliationFailed", Current: 2,
			Message: "Deployment.apps x/y: no"},
			"Unknown ReconciliationFailed 2 objects are healthy, without those that were refused: Deployment.apps x/y: no"},
		"one_encrypted": {&spokev1.ApplicationReport{Ready: condition.False, Reason: "DecryptionFailed", Current: 1,
			Message: "no key"}, "Unknown DecryptionFailed 1 object is healthy, without those that were refused: no key"},
		"dependency": {&spokev1.ApplicationReport{Ready: condition.False, Reason: "DependencyNotReady", Current: 2},
			"True Succeeded 2 objects are healthy"},
		"unhealthy_and_refused": {&spokev1.ApplicationReport{Ready: condition.False, Reason: "ReconciliationFailed",
			Current: 1, Failed: 1}, "False HealthCheckFailed 1 of 2 objects are not healthy"},
	} {
		t.Run(name, func(t *testing.T) {
			value, reason, message := healthOf(c.report)
			if got := value + " " + reason + " " + message; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestVerdict_refused_twice: the hub refuses one object of an application, and the cluster the others.
func TestVerdict_refused_twice(t *testing.T) {
	f := well(func(f *Facts) {
		f.Condition.Ready, f.Condition.Reason, f.Condition.Message = condition.False, "ObjectRefused", "Fleet evil is refused"
		f.Report.Ready, f.Report.Reason, f.Report.Message = condition.False, "ReconciliationFailed", "web is forbidden"
	})
	if got, want := f.verdict().message, "Fleet evil is refused. In the cluster: ReconciliationFailed: web is "+
		"forbidden"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVerdict_held(t *testing.T) {
	f := well(func(f *Facts) { f.Condition.Held = 3 })
	if v := f.verdict(); v.ready != condition.True || !strings.Contains(v.message,
		"the removal of 3 that it gave before is held: nave confirm cluster east") {
		t.Errorf("%s %s", v.ready, v.message)
	}
}

// TestVerdict_notice checks that the notice of a build stays in the message of a ready application, and only there.
func TestVerdict_notice(t *testing.T) {
	f := well(func(f *Facts) { f.Condition.Notice = "; left out 13 objects of Flux itself" })
	if v := f.verdict(); v.message != "Applied revision: main@sha1:b; left out 13 objects of Flux itself" {
		t.Errorf("ready: %s", v.message)
	}
	f.Report.Ready, f.Report.Message = condition.False, "no key"
	if v := f.verdict(); v.message != "no key" {
		t.Errorf("not ready: %s", v.message)
	}
}

func TestExplain_source(t *testing.T) {
	w := newWorld(
		well(func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason, f.Condition.Message, f.Report = "False", "ArtifactFailed", "never fetched",
				nil
		}),
		Facts{
			Resource: store.Resource{Key: api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
				Object: api.StoredObject(api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, []byte(`{}`))},
			Condition: &store.Condition{Ready: "False", Reason: "AuthenticationFailed", Message: "wrong password", Since: at(1)},
		},
	)
	list := Explain(w, appsKey)
	got := lines(list)
	if advice := list[0].Advice; !strings.Contains(advice, "nave describe gitrepository fleet shows") {
		t.Errorf("the advice does not name the source: %s", advice)
	}
	want := `Kustomization/apps ArtifactFailed "never fetched. It waits for GitRepository flux-system/fleet of the hub, which failed (AuthenticationFailed): wrong password" ` +
		"waits for GitRepository flux-system/fleet of the hub\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	got = lines(Explain(w, api.Key{Cluster: "east"}))
	want = `GitRepository/fleet AuthenticationFailed "wrong password" affects Kustomization/apps` + "\n"
	if got != want {
		t.Errorf("of the cluster: got\n%swant\n%s", got, want)
	}
}

// TestExplain_drift names the fields that drifted, and those that were repaired only if the drift came back too often.
func TestExplain_drift(t *testing.T) {
	drifts := []*spokev1.DriftReport{
		{Object: &bundlev1.ObjectIdentity{Kind: "ConfigMap", Namespace: "shop", Name: "app"}, Kind: "changed",
			By: []string{"kubectl-edit"}, Time: timestamppb.New(at(4)), More: 2, Changes: []*spokev1.FieldChange{
				{Path: "/data/a", Old: `"1"`, New: `"2"`}, {Path: "/data/b", New: `"3"`}, {Path: "/data/c", Old: `"4"`}}},
		{Object: &bundlev1.ObjectIdentity{Kind: "ConfigMap", Name: "gone"}, Kind: "missing", Repaired: true},
	}
	for reason, want := range map[string]int{"DriftDetected": 1, "DriftHeld": 2, "HealthCheckFailed": 1} {
		f := well(func(f *Facts) { f.Report.Ready, f.Report.Reason, f.Report.Drifts = "False", reason, drifts })
		list := Explain(newWorld(f), api.Key{})
		if len(list) != want {
			t.Errorf("%s: %d explanations, want %d", reason, len(list), want)
		}
		text := `ConfigMap shop/app was changed by kubectl-edit: /data/a: "1" became "2", /data/b was added: "3", ` +
			`/data/c was removed: "4", and 2 more`
		if found := strings.Contains(lines(list), fmt.Sprintf("%q", text)); found != (reason != "HealthCheckFailed") {
			t.Errorf("%s: %s", reason, lines(list))
		}
	}
}

// TestExplain_drift_of_flux advises on the controller that applies the object, too.
func TestExplain_drift_of_flux(t *testing.T) {
	for by, want := range map[string]string{
		"kubectl-edit":         "Stop whoever changes the object",
		"kustomize-controller": "flux suspend kustomization apps --namespace flux-system",
		"argocd-controller":    "Argo CD",
	} {
		f := well(func(f *Facts) {
			f.Report.Ready, f.Report.Reason = "False", "DriftHeld"
			f.Report.Drifts = []*spokev1.DriftReport{{Object: &bundlev1.ObjectIdentity{Kind: "ConfigMap", Name: "a"},
				Kind: "changed", By: []string{by}}}
		})
		if list := explainDrifts(f); len(list) != 1 || !strings.Contains(list[0].Advice, want) {
			t.Errorf("%s: %v", by, list)
		}
	}
}

func TestExplain_circle(t *testing.T) {
	sick := func(f *Facts) { f.Report.Ready, f.Report.Reason = "False", "DependencyNotReady" }
	w := newWorld(
		application("a", `,"dependsOn":[{"name":"b"}]`, sick), application("b", `,"dependsOn":[{"name":"a"}]`, sick),
	)
	got := Explain(w, api.Key{})
	if len(got) != 1 || got[0].Object.Name != "a" || len(got[0].Affects) != 1 || got[0].Affects[0].Name != "b" {
		t.Errorf("got %v, want a, which affects b", got)
	}
}

// draw writes a tree with one line a node.
func draw(n *adminv1.TreeNode, indent string) string {
	s := indent + n.Object + " " + n.Status + "\n"
	for _, c := range n.Children {
		s += draw(c, indent+"  ")
	}
	return s
}

func withFeatures(d *store.SignedBundle, features bundle.FeatureSet) *store.SignedBundle {
	changed := *d
	changed.Features = features
	return &changed
}

var deploymentWeb = &bundlev1.ObjectIdentity{Group: "apps", Kind: "Deployment", Namespace: "default", Name: "web"}

var deploymentAPI = &bundlev1.ObjectIdentity{Group: "apps", Kind: "Deployment", Namespace: "default", Name: "api"}

func TestTree(t *testing.T) {
	fleet, cluster := api.Key{Kind: "Fleet", Name: "prod"}, api.Key{Kind: "Cluster", Name: "east"}
	root := application("root", "", func(f *Facts) { f.Resource.Owner, f.Report.Inventory = &fleet, nil })
	apps := application("apps", "", func(f *Facts) {
		f.Resource.Owner = &root.Resource.Key
		f.Report.Objects = []*spokev1.ObjectReport{
			{Object: deploymentWeb, Status: "InProgress"}, {Object: &bundlev1.ObjectIdentity{Group: "example.com",
				Kind: "Widget", Namespace: "default", Name: "w"},
				Status: "Refused"},
		}
	})
	left := application("left", "", func(f *Facts) {
		f.Resource.Object, f.Report.Inventory, f.Report.Reason = nil, nil, condition.RemovalHeld
		f.Report.Ready = "False"
	})
	w := newWorld(root, apps, left,
		Facts{Resource: store.Resource{Key: fleet, Object: api.StoredObject(fleet, []byte(`{"spec":{}}`))},
			Condition: &store.Condition{Ready: "True"}, Members: []Facts{member("east", root, apps)}},
		Facts{Resource: store.Resource{Key: cluster, Object: api.StoredObject(cluster, []byte(`{"spec":{}}`))}},
	)
	below := `  Kustomization.kustomize.toolkit.fluxcd.io flux-system/root on east True
    Kustomization.kustomize.toolkit.fluxcd.io flux-system/apps True
      Deployment.apps default/web InProgress
      Namespace shop Current
      ClusterRole.rbac.authorization.k8s.io system:web Current
      Widget.example.com default/w Refused
`
	for key, first := range map[api.Key]string{fleet: "Fleet.fleet.nave.io prod True\n",
		cluster: "Cluster.fleet.nave.io east Unknown\n" +
			"  Kustomization.kustomize.toolkit.fluxcd.io flux-system/left on east False\n",
	} {
		n, ok := Tree(w, key)
		if !ok {
			t.Fatalf("no tree of %s", key)
		}
		if got := draw(n, ""); got != first+below {
			t.Errorf("got\n%swant\n%s", got, first+below)
		}
	}
	if _, ok := Tree(w, api.Key{Kind: "Fleet", Name: "other"}); ok {
		t.Error("a tree of nothing")
	}
	for name, want := range map[string]string{
		"web": "[east: Deployment.apps default/web InProgress below [Kustomization.kustomize.toolkit.fluxcd.io " +
			"flux-system/root on east Kustomization.kustomize.toolkit.fluxcd.io flux-system/apps]]",
		"left": "[east: Kustomization.kustomize.toolkit.fluxcd.io flux-system/left on east False below []]",
		"system:web": "[east: ClusterRole.rbac.authorization.k8s.io system:web Current below [Kustomization.kustomize." +
			"toolkit.fluxcd.io flux-system/root on east Kustomization.kustomize.toolkit.fluxcd.io flux-system/apps]]",
		"east": "[]",
	} {
		var got []string
		for _, o := range Locate(w, name) {
			got = append(got, fmt.Sprintf("%s: %s %s below %v", o.Cluster, o.Object, o.Status, o.Above))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: found %v, want %s", name, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	s := store.OpenMemory(store.Twice)
	t.Cleanup(func() { s.Close() })
	want := well(nil)
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		value, err := proto.Marshal(want.Report)
		if err != nil {
			return err
		}
		key := want.Resource.Key.Path()
		plan := store.Plan{Applications: []store.Entry{{Content: store.Content{
			Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system",
				Name: "apps"}, Digest: digest, Revision: "main@sha1:b",
		}}}}
		return errors.Join(
			store.Resources.Put(tx, key, want.Resource), store.Conditions.Put(tx, key, *want.Condition),
			store.Spokes.Put(tx, "east", *want.Spoke), store.Plans.Put(tx, "east", plan),
			store.Reports.Put(tx, key, store.Report{Value: value}),
			store.Conditions.Put(tx, "east/Alert/flux-system/chart", store.Condition{Ready: "False", Reason: "Refused"}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		f, ok, err := NewReader(tx).Read(want.Resource.Key)
		if err != nil || !ok {
			return fmt.Errorf("read: %v %w", ok, err)
		}
		if got, want := f.verdict(), want.verdict(); got != want {
			t.Errorf("read %+v, want %+v", got, want)
		}
		for cluster, n := range map[string]int{"": 2, "east": 2, "west": 0} {
			w, err := Load(tx, cluster)
			if err != nil {
				return err
			}
			if len(w.facts) != n {
				t.Errorf("the world of %q has %d facts, want %d", cluster, len(w.facts), n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
