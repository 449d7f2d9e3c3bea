package status

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// failsAs returns a change that gives an application a failure of the hub.
func failsAs(reason, message string) func(*Facts) {
	return func(f *Facts) {
		f.Condition.Ready, f.Condition.Reason, f.Condition.Message = condition.False, reason, message
		f.Report = nil
	}
}

// TestExplain_own_cause checks which cause comes first if a dependency is not ready either.
func TestExplain_own_cause(t *testing.T) {
	const waits = "waits for Kustomization flux-system/infra, which failed (BuildFailed): no such file"
	infra := application("infra", "", failsAs("BuildFailed", "no such file"))
	for name, c := range map[string]struct {
		reason, message string
		want, advice    string
	}{
		"path": {"PathNotFound", "no folder apps", "no folder apps. It also " + waits,
			advices["PathNotFound"] + ". Fix Kustomization flux-system/infra, too"},
		"waits": {"DependencyNotReady", "waits", "It " + waits,
			"Fix Kustomization flux-system/infra first; the others will then become ready by themselves"},
		"circle": {"DependencyCycle", "apps and infra", "apps and infra", advices["DependencyCycle"]},
		"held":   {"RemovalHeld", "its removal is held", "its removal is held", ""},
	} {
		t.Run(name, func(t *testing.T) {
			apps := application("apps", `,"dependsOn":[{"name":"infra"}]`, failsAs(c.reason, c.message))
			list := Explain(newWorld(apps, infra), apps.Resource.Key)
			if len(list) != 1 || list[0].Message != c.want || list[0].Advice != c.advice {
				t.Errorf("got %v, want %q, advice %q", list, c.want, c.advice)
			}
		})
	}
}

// TestExplain_bases names the remote bases of an application that fails in the cluster, and no others.
func TestExplain_bases(t *testing.T) {
	for name, c := range map[string]struct {
		bases  []string
		change func(*Facts)
		want   string
	}{
		"none":     {nil, fails, "no such field"},
		"one":      {[]string{"a at v1"}, fails, "no such field; remote bases: a at v1"},
		"many":     {[]string{"a", "b", "c", "d"}, fails, "no such field; remote bases: a, b, c, and 1 more"},
		"of_a_hub": {[]string{"a at v1"}, failsAs("BuildFailed", "no such file"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			app := application("apps", "", func(f *Facts) {
				f.Entry.Bases = store.NewBaseNames(c.bases)
				c.change(f)
			})
			list := Explain(newWorld(app), app.Resource.Key)
			if len(list) != 1 || list[0].Message != c.want {
				t.Errorf("got %v, want %q", list, c.want)
			}
		})
	}
}

// fails gives an application a failure of the spoke.
func fails(f *Facts) {
	f.Report.Ready, f.Report.Reason, f.Report.Message = condition.False, "ReconciliationFailed", "no such field"
}

// TestExplain_circle_advice checks that nobody is told to fix one end of a circle first.
func TestExplain_circle_advice(t *testing.T) {
	waits := failsAs("DependencyNotReady", "waits")
	w := newWorld(
		application("a", `,"dependsOn":[{"name":"b"}]`, waits), application("b", `,"dependsOn":[{"name":"a"}]`, waits),
		application("outside", `,"dependsOn":[{"name":"a"}]`, waits),
	)
	for _, e := range Explain(w, api.Key{}) {
		if e.Advice != advices[condition.DependencyCycle] {
			t.Errorf("%s: %s", e.Object.Name, e.Advice)
		}
	}
}

// TestExplain_bundle checks that a bundle that the hub cannot make, or that the spoke refuses, is explained for the
// Cluster, which names the application that waits for it, and for that application if it is named.
func TestExplain_bundle(t *testing.T) {
	for reason, spoil := range map[string]func(*Facts){
		condition.BundleRefused: func(f *Facts) {
			f.Refusal = &store.Refusal{Message: "no bundle can be made", Since: at(4)}
		},
		condition.BundleRejected: func(f *Facts) { f.Spoke = &store.Spoke{Connected: true, Rejected: "no signature"} },
	} {
		t.Run(reason, func(t *testing.T) {
			waiting := well(func(f *Facts) {
				f.Condition.Revision, f.Entry.Revision = "main@sha1:c", "main@sha1:c"
				spoil(f)
			})
			cluster := member("east", waiting)
			spoil(&cluster)
			w := newWorld(cluster, waiting)
			all, named := Explain(w, api.Key{}), Explain(w, waiting.Resource.Key)
			if len(all) != 1 || len(all[0].Affects) != 1 || all[0].Affects[0].Name != "apps" {
				t.Errorf("got %v, want one explanation, which affects apps", all)
			}
			var reasons []string
			for _, e := range append(all, named...) {
				reasons = append(reasons, e.Object.Kind+" "+e.Reason)
				if e.Advice == "" {
					t.Errorf("no advice: %v", e)
				}
			}
			slices.Sort(reasons)
			if want := []string{"Cluster " + reason, "Kustomization " + reason}; !slices.Equal(reasons, want) {
				t.Errorf("got %v, want %v", reasons, want)
			}
		})
	}
}

// TestExplain_ready_expression checks that a wait for a readyExpr names the dependency, also if the dependency is
// ready, and that a dependency whose readyExpr holds is not blamed.
func TestExplain_ready_expression(t *testing.T) {
	const expressed = `{"name":"db","readyExpr":"dep.metadata.labels.schema == '2'"}`
	says := func(message string) func(*Facts) {
		return func(f *Facts) {
			f.Report.Ready, f.Report.Reason, f.Report.Message = condition.False, condition.DependencyNotReady, message
		}
	}
	const unmet = "dependency Kustomization flux-system/db is not ready: readyExpr does not hold"
	const fix = "Compare the readyExpr of Kustomization flux-system/app with its dependency, or correct one of them: " +
		"nave get kustomization db --cluster east -o yaml"
	starting := func(f *Facts) { f.Report.Ready, f.Report.Reason, f.Report.Message = "Unknown", "Progressing", "starts" }
	for name, c := range map[string]struct {
		others  []Facts
		app     Facts
		want    string // the line about app
		advices string
	}{
		"ready": {[]Facts{application("db", "", nil)}, application("app", `,"dependsOn":[`+expressed+`]`, says(unmet)),
			`Kustomization/app DependencyNotReady "` + unmet + `" waits for Kustomization flux-system/db`, fix},
		"chain": {
			[]Facts{application("db", "", nil), application("app", `,"dependsOn":[`+expressed+`]`, says(unmet))},
			application("web", `,"dependsOn":[{"name":"app"}]`,
				says("dependency Kustomization flux-system/app is not ready")),
			`Kustomization/web DependencyNotReady "It waits for Kustomization flux-system/app, which waits for Kustomization ` +
				`flux-system/db: ` + unmet + `" waits for Kustomization flux-system/app, Kustomization flux-system/db`, fix},
		"holds": {
			[]Facts{application("db", "", starting), application("cache", "", starting)},
			application("app", `,"dependsOn":[`+expressed+`,{"name":"cache"}]`,
				says("dependency Kustomization flux-system/cache is not ready")),
			`Kustomization/app DependencyNotReady "It waits for Kustomization flux-system/cache, which is not ready yet ` +
				`(Progressing): starts" waits for Kustomization flux-system/cache`,
			"Fix Kustomization flux-system/cache first; the others will then become ready by themselves"},
	} {
		t.Run(name, func(t *testing.T) {
			list := Explain(newWorld(append(c.others, c.app)...), c.app.Resource.Key)
			if got := strings.TrimSpace(lines(list)); got != c.want || list[0].Advice != c.advices {
				t.Errorf("got\n%s\n%s\nwant\n%s\n%s", got, list[0].Advice, c.want, c.advices)
			}
		})
	}
}

// TestExplain_awaits checks the advice about an application that waits for the health of an object.
func TestExplain_awaits(t *testing.T) {
	f := well(func(f *Facts) {
		f.Report.Ready, f.Report.Reason, f.Report.AppliedDigest = condition.Unknown, condition.Progressing, f.Report.Digest
		f.Report.Message = "waiting for health: Deployment.apps x/y is NotFound"
	})
	list := Explain(newWorld(f), api.Key{})
	if len(list) != 1 || list[0].Advice != awaitAdvice {
		t.Errorf("%v", list)
	}
	f.Condition.Revision = "main@sha1:c" // not planned yet
	if list := Explain(newWorld(f), api.Key{}); len(list) != 1 || list[0].Advice != advices[condition.Progressing] {
		t.Errorf("of another revision: %v", list)
	}
}

// TestHealth_awaited checks that Healthy is no better than a child that the application waits for.
func TestHealth_awaited(t *testing.T) {
	f := well(func(f *Facts) {
		f.Awaited = &peer{appsKey, failing("BuildFailed", "no such file", at(1))}
	})
	value, reason, message := f.health()
	if value != condition.False || reason != condition.HealthCheckFailed || !strings.Contains(message, "no such file") {
		t.Errorf("%s %s %s", value, reason, message)
	}
	kinds := []string{}
	for _, c := range fold(t, f).Status.Conditions {
		if c.Status == "True" {
			kinds = append(kinds, c.Type)
		}
	}
	if slices.Contains(kinds, condition.Healthy) {
		t.Errorf("true are %v", kinds)
	}
}

// TestHealth_hub_refused checks that Healthy is not True while the hub refuses an object of the application.
func TestHealth_hub_refused(t *testing.T) {
	f := well(func(f *Facts) {
		f.Condition.Ready, f.Condition.Reason = condition.False, condition.ObjectRefused
		f.Condition.Message = "GitRepository x/y: no"
	})
	value, reason, message := f.health()
	if value != condition.Unknown || reason != condition.ObjectRefused || !strings.Contains(message, "x/y: no") {
		t.Errorf("%s %s %s", value, reason, message)
	}
}

// TestExplain_cause_once checks that a cause is told once, with what follows from it. Its Cluster is listed only if it
// is named.
func TestExplain_cause_once(t *testing.T) {
	infra := application("infra", "", func(f *Facts) {
		f.Report.Ready, f.Report.Reason = condition.False, "DecryptionFailed"
		f.Report.Message = "Deployment.apps default/web: no key"
		f.Report.Objects = []*spokev1.ObjectReport{{Object: deploymentWeb, Status: condition.Refused, Message: "no key",
			Since: timestamppb.New(at(0))}}
	})
	apps := application("apps", `,"dependsOn":[{"name":"infra"}]`, func(f *Facts) {
		f.Report.Ready, f.Report.Reason, f.Report.Message = condition.False, "DependencyNotReady", "waits"
		f.Report.Since = timestamppb.New(at(1))
	})
	w := newWorld(infra, apps, member("east", infra, apps))
	want := `Kustomization/infra DecryptionFailed "Deployment.apps default/web: no key" affects Cluster/east, Kustomization/apps
`
	const cluster = `Cluster/east DecryptionFailed "Kustomization flux-system/infra: DecryptionFailed (and 1 more is not ready)"
`
	for key, want := range map[api.Key]string{{}: want, {Cluster: "east"}: want, api.ClusterKey("east"): want + cluster} {
		if got := lines(Explain(w, key)); got != want {
			t.Errorf("%v: got\n%swant\n%s", key, got, want)
		}
	}
}

// TestExplain_repeated leaves out a Cluster only if the object that it quotes is listed as no operator wants it to be.
func TestExplain_repeated(t *testing.T) {
	starting := func(f *Facts) { f.Report.Ready, f.Report.Reason, f.Report.Message = "Unknown", "Progressing", "starts" }
	suspended := func(f *Facts) { f.Resource.Suspended, f.Resource.SuspendedAt = true, at(1) }
	for name, c := range map[string]struct {
		app, cluster func(*Facts)
		want         bool
	}{
		"failed":            {fails, func(*Facts) {}, false},
		"in_progress":       {starting, func(*Facts) {}, false},
		"suspended_object":  {func(f *Facts) { starting(f); suspended(f) }, func(*Facts) {}, true},
		"suspended_cluster": {fails, suspended, true},
		"other_cause": {fails, func(f *Facts) {
			f.Refusal = &store.Refusal{Message: "no bundle can be made", Since: at(4)}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			app := application("apps", "", c.app)
			cluster := member("east", app)
			cluster.Bundle = &store.SignedBundle{Bundle: bundle.ID{Sequence: 1}}
			cluster.Spoke = &store.Spoke{Connected: true, Acks: map[bundle.Stage]bundle.ID{}}
			c.cluster(&cluster)
			got := lines(Explain(newWorld(app, cluster), api.Key{}))
			if strings.Contains(got, "Cluster/east ") != c.want || !strings.Contains(got, "Kustomization/apps") {
				t.Errorf("want the Cluster listed: %t, got\n%s", c.want, got)
			}
		})
	}
}

// TestExplain_unhealthy tells of an unhealthy object in the explanation of the application that waits for it.
func TestExplain_unhealthy(t *testing.T) {
	const text = "Deployment.apps default/web is InProgress (LessUpdated)"
	for name, c := range map[string]struct {
		ready, reason, message, status, said string
		want                                 string
	}{
		"waits": {"Unknown", "Progressing", "waiting for health: " + text, "InProgress", "Updated: 1/2",
			`Kustomization/apps Progressing "waiting for health: ` + text + `\nDeployment.apps default/web: Updated: 1/2"`},
		"failed": {"False", "HealthCheckFailed", "not healthy after 5m0s: " + text, "InProgress", "Updated: 1/2",
			`Kustomization/apps HealthCheckFailed "not healthy after 5m0s: ` + text +
				`\nDeployment.apps default/web: Updated: 1/2"`},
		"no_text": {"False", "HealthCheckFailed", "not healthy after 5m0s: " + text, "InProgress", "",
			`Kustomization/apps HealthCheckFailed "not healthy after 5m0s: ` + text + `"`},
		"other_failure": {"False", "DecryptionFailed", "no key", "InProgress", "Updated: 1/2",
			"Kustomization/apps DecryptionFailed \"no key\"\n" +
				`Kustomization/apps InProgress "Deployment.apps default/web: Updated: 1/2"`},
	} {
		t.Run(name, func(t *testing.T) {
			app := application("apps", "", func(f *Facts) {
				f.Report.Ready, f.Report.Reason, f.Report.Message = c.ready, c.reason, c.message
				f.Report.AppliedDigest, f.Report.Since = f.Report.Digest, timestamppb.New(at(1))
				f.Report.Objects = []*spokev1.ObjectReport{{Object: deploymentWeb, Status: c.status, Message: c.said,
					Since: timestamppb.New(at(2))}}
			})
			if got := strings.TrimSpace(lines(Explain(newWorld(app), api.Key{}))); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestExplain_awaits_failed advises no waiting for an application that has failed.
func TestExplain_awaits_failed(t *testing.T) {
	parent := application("root", `,"wait":true`, func(f *Facts) {
		f.Report.Ready, f.Report.Reason, f.Report.AppliedDigest = condition.Unknown, condition.Progressing, f.Report.Digest
		f.Report.Message = "waiting for health: Kustomization flux-system/apps is not ready"
	})
	for want, change := range map[string]func(*Facts){
		"Fix Kustomization flux-system/apps first": fails,
		awaitAdvice: nil,
	} {
		w := newWorld(application("apps", "", change), parent)
		if list := Explain(w, parent.Resource.Key); len(list) != 1 || list[0].Advice != want {
			t.Errorf("got %v, want the advice %q", list, want)
		}
	}
}

// TestVerdict_object_refused names the revision of everything else, if one object of it was refused.
func TestVerdict_object_refused(t *testing.T) {
	for attempted, want := range map[string]string{
		"main@sha1:b": "Fleet evil is refused. The cluster has everything else of main@sha1:b",
		"main@sha1:c": "Fleet evil is refused. The cluster keeps main@sha1:b",
	} {
		f := well(func(f *Facts) {
			f.Condition.Ready, f.Condition.Reason = condition.False, "ObjectRefused"
			f.Condition.Message = "Fleet evil is refused"
			f.Condition.Attempted = attempted
		})
		if got := f.verdict().message; got != want {
			t.Errorf("%s: got %q, want %q", attempted, got, want)
		}
	}
}

// TestAdvice_decryption checks that the advice fits a file that was changed without sops, and an application without
// spec.decryption.
func TestAdvice_decryption(t *testing.T) {
	keyed := application("apps", `,"decryption":{"provider":"sops"}`, nil)
	if got := keyed.advice(condition.DecryptionFailed); !strings.Contains(got, "correct the file with sops") {
		t.Error(got)
	}
	if got := well(nil).advice(condition.DecryptionFailed); !strings.Contains(got, "Set spec.decryption") {
		t.Error(got)
	}
}

// TestAdvice_name checks that a command in an advice names the object, or the message does.
func TestAdvice_name(t *testing.T) {
	key := api.Key{Cluster: "east", Kind: "HelmRelease", Namespace: "apps", Name: "web"}
	release := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(
		`{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"web","namespace":"apps"},
		"spec":{"interval":"10m0s","chartRef":{"kind":"OCIRepository","name":"web"}}}`))}}
	source := Facts{Resource: store.Resource{Key: api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}}}
	cluster := Facts{Resource: store.Resource{Key: api.ClusterKey("east")}}
	for want, got := range map[string]string{
		"nave reconcile helmrelease web -n apps --cluster east --reset": release.advice(condition.RetriesExceeded),
		"nave reconcile source git fleet tries at once":                 source.advice("GitOperationFailed"),
		"nave reconcile helmrelease NAME --reset":                       cluster.advice(condition.RetriesExceeded),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestAdvice_unread_values checks the advice about values that only the cluster can read.
func TestAdvice_unread_values(t *testing.T) {
	if got := well(nil).advice(condition.InputUnreadable); !strings.Contains(got, "in Git or in the cluster") {
		t.Error(got)
	}
}

// TestAdvice_remote_base checks the advice about what only the hub fetches.
func TestAdvice_remote_base(t *testing.T) {
	for reason, want := range map[string]string{
		condition.BuildFailed: "unless it is in a remote base, which only the hub fetches",
		condition.FetchFailed: "Check the address",
	} {
		if got := well(nil).advice(reason); !strings.Contains(got, want) {
			t.Errorf("%s: %s", reason, got)
		}
	}
}
