package helm

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// layerType is the media type of the layer that has the archive of a chart.
const layerType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// reference is a chart on a registry.
type reference struct {
	url      *url.URL // oci://host/path/chart
	tag      string   // exactly this one; or
	versions string   // the highest version in this range
	insecure bool
	secrets  map[string]source.Secret // as for an OCIRepository
	verify   *sourcev1.OCIRepositoryVerification
	last     *artifact.Artifact // of the same reference, as pulled; or nil
}

// name sets the tag of a version, or the range.
func (ref *reference) name(wanted string) {
	if _, exact := parse(wanted); exact {
		ref.tag = tagOf(wanted)
	} else {
		ref.versions = cmp.Or(wanted, "*")
	}
}

// pulled is the layer of a chart.
type pulled struct {
	artifact.Artifact // of the layer
	version           string
	archive           []byte // nil: the layer is still the last one
}

// pullFrom pulls a chart of a HelmRepository of type oci. As in Flux, a version that is the last one is not pulled
// again. If signatures are verified, the registry is asked in any case, because the keys may have changed.
func (f *fetching) pullFrom(ctx context.Context, repo *sourcev1.HelmRepositorySpec) (a artifact.Artifact, err error) {
	at, err := url.Parse(repo.URL)
	if err != nil {
		return a, fmt.Errorf("%w: spec.url cannot be read", source.ErrRequest)
	}
	ref := reference{url: at.JoinPath(f.spec.Chart), insecure: repo.Insecure, verify: f.spec.Verify, last: f.lastPulled()}
	ref.name(f.spec.Version)
	isLast := f.Last != nil && f.Last.Revision == versionOf(ref.tag)
	if isLast && ref.verify == nil && f.Last.Verification == (artifact.Verification{}) {
		return *f.Last, nil
	}
	if ref.secrets, err = registrySecrets(f.Secrets, at.Host); err != nil {
		return a, err
	}
	p, err := f.pull(ctx, ref)
	if err != nil {
		return a, err
	}
	if p.archive == nil || f.Last != nil && f.Last.Revision == p.version && ref.verify == nil {
		a = *f.Last
		a.Verification = p.Verification
		return a, nil
	}
	c, err := unpack(ctx, strings.NewReader(string(p.archive)), f.limits)
	if err != nil {
		return a, fmt.Errorf("version %s: %w", source.Quote(p.version), err)
	}
	a, err = f.PutFiles(ctx, f.CacheID(repo.URL), p.version, c.files)
	a.Verification, a.Origin = p.Verification, artifact.Origin{Revision: p.Revision, Source: ref.url.String()}
	return a, err
}

// lastPulled returns the artifact of the layer that the last chart was made of, as far as the last chart says it.
func (f *fetching) lastPulled() *artifact.Artifact {
	if f.Last == nil || f.Last.Origin.Revision == "" {
		return nil
	}
	last := *f.Last
	last.Revision = last.Origin.Revision
	return &last
}

// pull pulls the layer of a chart through the fetcher of OCIRepositories.
func (f *fetching) pull(ctx context.Context, ref reference) (p pulled, err error) {
	r := f.Request
	if r.Object, err = ref.object(); err != nil {
		return p, err
	}
	r.Secrets, r.Last, r.Inputs, r.Upstream, r.Servers = ref.secrets, ref.last, nil, nil, nil
	p.Artifact, err = f.registries.Fetch(ctx, r)
	if errors.Is(err, source.ErrReferenceNotFound) || errors.Is(err, source.ErrRepositoryNotFound) {
		return p, invalid("%v", err)
	}
	if err != nil {
		return p, err
	}
	tag, _, _ := strings.Cut(p.Revision, "@")
	p.version = versionOf(tag)
	if ref.last != nil && ref.last.Revision == p.Revision && ref.last.Dir == p.Dir {
		return p, nil
	}
	files, err := r.Workspace.Files(p.Artifact)
	if err != nil {
		return p, err
	}
	if len(files) != 1 {
		return p, fmt.Errorf("%w: the layer has %d files", artifact.ErrStorage, len(files))
	}
	p.archive, err = r.Workspace.ReadFile(ctx, p.Artifact, files[0], f.limits.Archive)
	return p, err
}

// object returns the OCIRepository of the layer.
func (ref reference) object() (*api.Object, error) {
	return api.NewOCIRepository(sourcev1.OCIRepositorySpec{
		URL: ref.url.String(), Insecure: ref.insecure, Verify: ref.verify,
		Reference:     &sourcev1.OCIRepositoryRef{Tag: ref.tag, SemVer: ref.versions},
		LayerSelector: &sourcev1.OCILayerSelector{MediaType: layerType, Operation: sourcev1.OCILayerCopy},
	})
}

// tagOf returns the tag of a version: tags have no +.
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }

// versionOf returns the version of a tag.
func versionOf(tag string) string { return strings.ReplaceAll(tag, "_", "+") }

// registrySecrets returns the Secrets of a HelmRepository as an OCIRepository has them: a username and a password
// become a Docker configuration for the registry.
func registrySecrets(secrets map[string]source.Secret, host string) (map[string]source.Secret, error) {
	const field = "spec.secretRef"
	found := maps.Clone(secrets)
	s, ok := secrets[field]
	if _, isConfig := s[source.DockerConfigKey]; !ok || isConfig {
		return found, nil
	}
	delete(found, field)
	username, password := string(s["username"]), string(s["password"])
	if username != "" && password != "" {
		auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
		config, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"auth": auth}}})
		if err != nil {
			return nil, err
		}
		found[field] = source.Secret{source.DockerConfigKey: config}
		return found, nil
	}
	if username+password != "" {
		return nil, source.SecretError(errors.New("username and password belong together; one is missing"))
	}
	if _, other := secrets["spec.certSecretRef"]; !other { // the Secret has certificates only
		found["spec.certSecretRef"] = s
	}
	return found, nil
}
