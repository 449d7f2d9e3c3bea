package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
)

// maxResident is how many bytes a spoke with 20 releases of Helm may have in memory a while after it installed them.
const maxResident = 41 << 20

// release returns an application that is a release of Helm with some 30 objects.
func (h *scriptedHub) release(name, namespace string) *bundle.Application {
	h.tb.Helper()
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s-%02d, namespace: %s}\ndata: {text: %q}\n",
			name, i, namespace, strings.Repeat("text ", 500))
	}
	references := h.objects(b.String(), nil)
	action := bundle.ReleaseAction{Timeout: time.Minute}
	install, upgrade := action, action
	install.Remediation.Strategy, upgrade.Remediation.Strategy = bundle.UninstallOnFailure, bundle.RollbackOnFailure
	return &bundle.Application{
		Name:    bundle.ApplicationName{Kind: "HelmRelease", Namespace: namespace, Name: name},
		Objects: references, Interval: time.Hour, RetryInterval: time.Hour,
		Release: &bundle.Release{Name: name, Namespace: namespace, StorageNamespace: namespace, MaxHistory: 5,
			Chart: []byte(`{"name":"web","version":"1.0.0"}`), Install: install, Upgrade: upgrade, Rollback: action,
			Uninstall: action},
	}
}

// TestReleases_memory installs 20 releases of Helm at once, and holds the memory of the spoke.
func TestReleases_memory(t *testing.T) {
	needsLab(t)
	ctx := t.Context()
	h := newScriptedHub(t, "east")
	east := lab.Clusters[0]
	spoke := h.spoke(ctx, east)
	must(t, east.Apply(ctx, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: releases}\n")))
	b := h.bundle(5, value("five"))
	for i := range 20 {
		app := h.release(fmt.Sprintf("web-%02d", i), "releases")
		data, err := app.Encode()
		must(t, err)
		b.Applications = append(b.Applications, bundle.Entry{Name: app.Name, Digest: h.put(data), Revision: "1.0.0",
			Features: app.Features()})
	}
	id, envelope := h.envelope(h.signer, b)
	h.offer(id, envelope)
	h.waitAck(ctx, id, applied)
	var resident float64
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := kubetest.Until(limited, "the spoke to return memory", func(ctx context.Context) (err error) {
		http.DefaultClient.CloseIdleConnections()
		if resident, err = spoke.Metric(ctx, "process_resident_memory_bytes"); err == nil && resident > maxResident {
			err = fmt.Errorf("%.1f MiB resident", resident/(1<<20))
		}
		return err
	})
	must(t, err)
	t.Logf("%.1f MiB resident", resident/(1<<20))
}
