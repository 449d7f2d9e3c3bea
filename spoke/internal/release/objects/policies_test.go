package objects_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
)

const gadgets = "CustomResourceDefinition.apiextensions.k8s.io"

// TestObjects_definitions installs and upgrades a chart with a definition by each policy.
func TestObjects_definitions(t *testing.T) {
	definition := func(name, color string) string {
		text := strings.NewReplacer("widgets", name, "Widget", "Gadget"+name).Replace(widgets)
		return strings.Replace(text, "metadata: {", "metadata: {labels: {color: "+color+"}, ", 1)
	}
	for name, c := range map[string]struct {
		policy             bundle.CRDPolicy
		install, again, up string // the color of the definition after an install, after one over another, after an upgrade
	}{
		"skip":    {bundle.SkipCRDs, "", "red", "red"},
		"create":  {bundle.CreateCRDs, "blue", "red", "red"},
		"replace": {bundle.ReplaceCRDs, "blue", "blue", "green"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpoke(t)
			color := func() string {
				o, err := s.cluster.Get(t.Context(), gadgets, "", name+".release.example.com")
				if err != nil {
					return ""
				}
				return o.GetLabels()["color"]
			}
			s.desired.Namespace = "definitions-" + name
			s.desired.StorageNamespace = s.desired.Namespace
			s.desired.Install.CRDs, s.desired.Upgrade.CRDs = c.policy, c.policy
			config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: $NS}\n"
			_, err := s.run(config, definition(name, "blue"))
			s.must(err)
			s.expect("installed", color(), c.install)
			s.desired.Removed = true
			_, err = s.run(config, "")
			s.must(err)
			s.expect("uninstalled", color(), c.install)

			s.must(s.cluster.Apply(t.Context(), []byte(definition(name, "red"))))
			s.desired.Removed = false
			_, err = s.run(config, definition(name, "blue"))
			s.must(err)
			s.expect("installed over another", color(), c.again)
			_, err = s.run(config+"data: {a: b}\n", definition(name, "green"))
			s.must(err)
			s.expect("upgraded", color(), c.up)
			s.helm("history web", "superseded", "deployed")
		})
	}
}

// TestObjects_jobs installs a Job that does not complete: only a release that waits for Jobs fails.
func TestObjects_jobs(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bundle.ReleaseAction)
		want   string
	}{
		"awaited":     {func(*bundle.ReleaseAction) {}, "[install] Failed RetriesExceeded"},
		"not_awaited": {func(a *bundle.ReleaseAction) { a.DisableWaitForJobs = true }, "[install] InSync"},
		"no_wait":     {func(a *bundle.ReleaseAction) { a.DisableWait = true }, "[install] InSync"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpoke(t)
			s.desired.Namespace = "jobs-" + strings.ReplaceAll(name, "_", "-")
			s.desired.StorageNamespace = s.desired.Namespace
			s.desired.Install.Timeout = 2 * time.Second
			c.change(&s.desired.Install)
			got, _ := s.run(job, "")
			s.expect("install", got, c.want)
		})
	}
}

// TestObjects_propagation uninstalls a Deployment by each policy: what it owns goes before it, after it, or stays.
func TestObjects_propagation(t *testing.T) {
	deployment := web[strings.LastIndex(web, "---"):]
	for name, c := range map[string]struct {
		propagation bundle.Propagation
		sets        int
	}{
		"background": {bundle.Background, 0},
		"foreground": {bundle.Foreground, 0},
		"orphan":     {bundle.OrphanOwned, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpoke(t)
			s.desired.Namespace = "propagation-" + name
			s.desired.StorageNamespace, s.desired.Uninstall.Propagation = s.desired.Namespace, c.propagation
			_, err := s.run(deployment, "")
			s.must(err)
			s.desired.Removed = true
			_, err = s.run(deployment, "")
			s.must(err)
			s.expect("Deployment", s.field("Deployment.apps", "web", "kind"), "")
			sets := func() int {
				r, err := s.cluster.Resource("ReplicaSet.apps", s.desired.Namespace)
				s.must(err)
				list, err := r.List(t.Context(), metav1.ListOptions{})
				s.must(err)
				return len(list.Items)
			}
			check := func(context.Context) error {
				if got := sets(); got != c.sets {
					return fmt.Errorf("%d ReplicaSets, want %d", got, c.sets)
				}
				return nil
			}
			if c.propagation != bundle.Background { // else the collector of garbage comes later
				s.must(check(t.Context()))
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s.must(kubetest.Until(ctx, "the ReplicaSet to go", check))
		})
	}
}
