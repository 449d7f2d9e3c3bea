package migrate

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// TestPassed lists the kinds that Flux's controllers keep, and those of the sources that their objects name.
func TestPassed(t *testing.T) {
	for name, c := range map[string]struct{ objects, want string }{
		"none": {`{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: a, namespace: x}}`, ""},
		"chart": {`{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: a, namespace: x},
  spec: {chart: {spec: {sourceRef: {kind: Bucket}}}}}`,
			"Bucket.source.toolkit.fluxcd.io HelmRelease.helm.toolkit.fluxcd.io"},
		"chart_of_a_repository": {`{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: a, namespace: x},
  spec: {chart: {spec: {sourceRef: {kind: HelmRepository}}}}}`,
			"HelmRelease.helm.toolkit.fluxcd.io HelmRepository.source.toolkit.fluxcd.io"},
		"chart_reference": {`{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: a, namespace: x},
  spec: {chartRef: {kind: OCIRepository}}}`,
			"HelmRelease.helm.toolkit.fluxcd.io OCIRepository.source.toolkit.fluxcd.io"},
		"image_automation": {`{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageUpdateAutomation,
  metadata: {name: a, namespace: x}, spec: {sourceRef: {kind: GitRepository}}}`,
			""},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := manifest.Parse([]byte(c.objects))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join((&Flux{Objects: objects}).passed(), " "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
