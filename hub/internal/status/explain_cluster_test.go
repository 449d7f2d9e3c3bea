package status

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// TestExplain_offline: an application whose last report was good is no all-clear while nobody hears from its cluster.
func TestExplain_offline(t *testing.T) {
	away := &store.Spoke{Since: at(9), Heard: at(8), RegisteredAt: at(1)}
	app := application("apps", "", func(f *Facts) { f.Spoke = away })
	cluster := member("east", app)
	cluster.Spoke = away
	const want = `Cluster/east Offline "The spoke has been offline since 2026-01-02T03:09:00Z, last heard from at ` +
		`2026-01-02T03:08:00Z"` + "\n"
	for name, key := range map[string]api.Key{
		"application": app.Resource.Key,
		"by_name":     {Kind: "Kustomization", Name: "apps"},
		"cluster":     cluster.Resource.Key,
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(Explain(newWorld(app, cluster), key)); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestExplain_upgrade tells the cause of a failed upgrade once: at the cluster, and not again at its Fleet.
func TestExplain_upgrade(t *testing.T) {
	w := newFleetWorld(t)
	w.update(func(tx *store.Tx) error {
		return upgrades(tx, "prod", condition.SpokeUpgradeFailed, "ImagePullBackOff")
	})
	var got string
	err := w.store.View(t.Context(), func(tx *store.Tx) error {
		world, err := Load(tx, "")
		got = lines(Explain(world, fleetKey))
		return err
	})
	want := `Cluster/east SpokeUpgradeFailed "The spoke was not upgraded to r/s:v2: ImagePullBackOff" affects Fleet/prod` + "\n" +
		`Fleet/prod SpokeUpgradeFailed "1 of 2 clusters are ready; east: SpokeUpgradeFailed"` + "\n"
	if got != want || err != nil {
		t.Errorf("got\n%swant\n%s%v", got, want, err)
	}
}

// TestExplain_clusters counts the clusters that have an object of the same name.
func TestExplain_clusters(t *testing.T) {
	failing := application("apps", "", failsAs("BuildFailed", "no such file"))
	fine := application("apps", "", nil)
	fine.Resource.Key.Cluster = "west"
	w := newWorld(failing, fine)
	list := Explain(w, api.Key{})
	if len(list) != 1 || list[0].Clusters != 2 {
		t.Errorf("got %v, want 2 clusters", list)
	}
	if got := strings.Join(w.Clusters(api.Key{Kind: "Kustomization", Name: "apps"}), " "); got != "east west" {
		t.Errorf("the clusters are %q", got)
	}
}

// TestExplain_progressing: nobody is told to wait for what has failed objects, or takes longer than its timeout.
func TestExplain_progressing(t *testing.T) {
	starting := func(change func(*Facts)) func(*Facts) {
		return func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Message = condition.Unknown, condition.Progressing, "waiting for health"
			f.Report.AppliedDigest, f.Report.Since = f.Report.Digest, timestamppb.New(at(1))
			change(f)
		}
	}
	applies := func(f *Facts) { f.Report.AppliedDigest = nil }
	for name, c := range map[string]struct {
		spec   string
		change func(*Facts)
		after  time.Duration
		want   string
	}{
		"starts":         {"", applies, time.Minute, advices[condition.Progressing]},
		"awaits":         {"", func(*Facts) {}, time.Minute, awaitAdvice},
		"failed_object":  {"", func(f *Facts) { f.Report.Failed = 1 }, time.Minute, advices[condition.HealthCheckFailed]},
		"awaits_overdue": {"", func(*Facts) {}, 2 * time.Hour, overdueAdvice},
		"overdue":        {"", applies, 2 * time.Hour, overdueAdvice},
		"within_timeout": {`,"timeout":"10m"`, applies, 6 * time.Minute, advices[condition.Progressing]},
		"over_timeout":   {`,"timeout":"10m"`, applies, 11 * time.Minute, overdueAdvice},
		"short_timeout":  {`,"timeout":"30s"`, applies, time.Minute, advices[condition.Progressing]},
		"no_time":        {"", applies, -time.Hour, advices[condition.Progressing]},
	} {
		t.Run(name, func(t *testing.T) {
			app := application("apps", c.spec, starting(c.change))
			w := newWorld(app)
			w.now = at(1).Add(c.after)
			list := Explain(w, app.Resource.Key)
			if len(list) != 1 || list[0].Advice != c.want {
				t.Errorf("got %v, want the advice %q", list, c.want)
			}
		})
	}
}

// TestSuspended_by names the operator, and counts the revisions that wait.
func TestSuspended_by(t *testing.T) {
	s := store.OpenMemory(store.Twice)
	source := api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "hub"}
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i, reason := range []string{condition.NewArtifact, condition.NewArtifact, "GitOperationFailed",
			condition.NewArtifact} {
			if err := store.Record(tx, store.Event{Object: source, Time: at(i), Reason: reason}); err != nil {
				return err
			}
		}
		n, err := NewReader(tx).artifactsSince(source, at(0))
		if got := behindBy(n); err == nil && got != ", 2 revisions ahead," {
			t.Errorf("got %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f := well(func(f *Facts) {
		f.Resource.Suspended, f.Resource.SuspendedAt = true, at(1)
		f.Resource.SuspendedBy = "spiffe://nave-1/operator/alice"
	})
	if got := f.suspension().text(f); got != "Suspended by alice since 2026-01-02T03:01:00Z" {
		t.Errorf("got %q", got)
	}
	if behindBy(0) != "" || behindBy(1) != ", 1 revision ahead," ||
		behindBy(maxCounted) != ", 100 or more revisions ahead," {
		t.Errorf("unknown: %q, one: %q, many: %q", behindBy(0), behindBy(1), behindBy(maxCounted))
	}
}

// TestCertificateNotice: a Cluster that is well tells that its spoke does not renew its certificate.
func TestCertificateNotice(t *testing.T) {
	const notice = "; its certificate ends at 2026-01-02T03:59:00Z and was not renewed"
	cluster := member("east", well(nil))
	cluster.Bundle = &store.SignedBundle{Bundle: bundle.ID{Sequence: 1}}
	cluster.Spoke = &store.Spoke{Connected: true, Since: at(1), RegisteredAt: at(1),
		Acks: map[bundle.Stage]bundle.ID{bundle.Healthy: cluster.Bundle.Bundle}}
	if v := cluster.verdict(); strings.Contains(v.message, "certificate") {
		t.Error(v.message)
	}
	spoke := *cluster.Spoke
	spoke.Expiring, spoke.CertificateExpiry = true, at(59)
	cluster.Spoke = &spoke
	v := cluster.verdict()
	connected := meta.FindStatusCondition(fold(t, cluster).Status.Conditions, condition.Connected)
	if v.ready != condition.True || !strings.HasSuffix(v.message, notice) ||
		!strings.HasSuffix(connected.Message, notice) {
		t.Errorf("%+v, connected: %+v", v, connected)
	}
}

// TestCertificateNotice_ended: of a spoke whose certificate an operator ended, the status says what lets it in again.
func TestCertificateNotice_ended(t *testing.T) {
	const notice = "; it is refused, because an operator ended its certificate: apply what nave cluster rotate east " +
		"printed, or get a new manifest with nave cluster add east"
	cluster := member("east", well(nil))
	cluster.Spoke = &store.Spoke{Since: at(1), RegisteredAt: at(1), Registration: store.Ended}
	v := cluster.verdict()
	connected := meta.FindStatusCondition(fold(t, cluster).Status.Conditions, condition.Connected)
	if v.reason != condition.Offline || !strings.HasSuffix(v.message, notice) ||
		!strings.HasSuffix(connected.Message, notice) {
		t.Errorf("%+v, connected: %+v", v, connected)
	}
}
