package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// TestReadApplications_unnamed refuses an application that uses a feature which its entry does not name.
func TestReadApplications_unnamed(t *testing.T) {
	known := bundle.Known
	bundle.Known = bundle.Baseline
	t.Cleanup(func() { bundle.Known = known })
	name := bundle.ApplicationName{Kind: "HelmRelease", Namespace: "shop", Name: "web"}
	action := bundle.ReleaseAction{Timeout: time.Minute}
	install, upgrade := action, action
	install.Remediation.Strategy, upgrade.Remediation.Strategy = bundle.UninstallOnFailure, bundle.RollbackOnFailure
	app := bundle.Application{Name: name, Release: &bundle.Release{
		Name: "web", Namespace: "shop", StorageNamespace: "shop", Chart: []byte(`{"name":"web","version":"1.0.0"}`), Install: install, Upgrade: upgrade, Rollback: action,
		Uninstall: action}}
	data, err := app.Encode()
	if err != nil {
		t.Fatal(err)
	}
	digest := manifest.DigestOf(data)
	_, err = (&Agent{}).readApplications([]bundle.Entry{{Name: name, Digest: digest}},
		map[manifest.Digest][]byte{digest: data})
	if !errors.Is(err, trust.ErrMalformed) || !strings.Contains(err.Error(), "helm-release; upgrade the spoke") {
		t.Error(err)
	}
}
