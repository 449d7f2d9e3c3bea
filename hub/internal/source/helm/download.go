package helm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// downloadFrom chooses the version from the index of a repository and downloads the archive. As in Flux, a version that
// is the last one is not downloaded again.
func (f *fetching) downloadFrom(ctx context.Context, repo *sourcev1.HelmRepositorySpec) (a artifact.Artifact,
	err error) {
	all, err := f.versions(ctx, f.spec.Chart)
	if err != nil {
		return a, err
	}
	v, err := choose(all, f.spec.Version)
	if err != nil {
		return a, err
	}
	if f.Last != nil && f.Last.Revision == v.Version {
		return *f.Last, nil
	}
	archive, err := f.archive(ctx, repo, v)
	if err != nil {
		return a, fmt.Errorf("version %s: %w", source.Quote(v.Version), err)
	}
	c, err := unpack(ctx, bytes.NewReader(archive), f.limits)
	if err != nil {
		return a, fmt.Errorf("version %s: %w", source.Quote(v.Version), err)
	}
	return f.PutFiles(ctx, f.CacheID(repo.URL), v.Version, c.files)
}

// archive downloads the archive of a version.
func (f *fetching) archive(ctx context.Context, repo *sourcev1.HelmRepositorySpec, v version) ([]byte, error) {
	base, at, err := locate(repo.URL, v)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "oci" { // as Bitnami's index has it
		layer, err := f.pull(ctx, reference{url: at, tag: tagOf(v.Version)})
		return layer.archive, err
	}
	archive, err := f.download(ctx, repo, base, at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source.Redact(at.String()), err)
	}
	return archive, checkDigest(archive, v)
}

// locate returns the address of a repository, and that of the archive of a version.
func locate(repository string, v version) (base, at *url.URL, err error) {
	base, err = url.Parse(repository)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: spec.url cannot be read", source.ErrRequest)
	}
	if len(v.URLs) == 0 {
		return nil, nil, fmt.Errorf("%w: the index has no URL for it", source.ErrProtocol)
	}
	ref, err := url.Parse(v.URLs[0])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the URL in the index cannot be read", source.ErrProtocol)
	}
	at = ref
	if !ref.IsAbs() {
		folder := *base
		folder.Path, folder.RawPath = strings.TrimSuffix(base.Path, "/")+"/", ""
		at = folder.ResolveReference(ref)
		at.RawQuery = base.RawQuery
	}
	at.User = nil // an index names no credentials
	switch at.Scheme {
	case "http", "https", "oci":
		return base, at, nil
	}
	return nil, nil, fmt.Errorf("%w: the index has a URL of the scheme %s; want http, https or oci", source.ErrProtocol,
		source.Quote(at.Scheme))
}

// download returns the archive at an address.
func (f *fetching) download(ctx context.Context, repo *sourcev1.HelmRepositorySpec, base, at *url.URL) ([]byte,
	error) {
	client, err := f.client(repo, base, at)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL in the index cannot be read", source.ErrProtocol)
	}
	request.Header.Set("Accept-Encoding", "identity") // the archive is compressed, and its digest is over what is sent
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if err := source.CheckStatus(answer, "the archive"); err != nil {
		if !source.SameOrigin(base, at) && answer.StatusCode == http.StatusUnauthorized {
			err = fmt.Errorf("%w; the index names another host than spec.url, which gets credentials only with "+
				"spec.passCredentials of the HelmRepository", err)
		}
		return nil, err
	}
	return io.ReadAll(artifact.Bound(answer.Body, f.limits.Archive, "the archive"))
}

// client returns the client for an archive. The origin of the repository gets the credentials, another one only if the
// repository passes them on and they may be shown there.
func (f *fetching) client(repo *sourcev1.HelmRepositorySpec, base, at *url.URL) (*http.Client, error) {
	r := f.Request
	switch {
	case source.SameOrigin(base, at):
		return r.HTTP(base)
	case !repo.PassCredentials:
		r.Secrets = withoutCredentials(r.Secrets)
		return r.HTTP(at)
	case base.Scheme == "https" && at.Scheme != "https":
		return nil, fmt.Errorf("%w: the index names a server without TLS, which must not see credentials: remove "+
			"spec.passCredentials of the HelmRepository", source.ErrAccess)
	}
	for field := range r.Secrets {
		if b := r.Bindings[field]; len(b.Hosts) > 0 && !b.Names(at.String()) {
			return nil, fmt.Errorf("%w: spec.passCredentials would show the Secret of %s of the HelmRepository to %s, and "+
				"the Secret is not bound to that host: add the host to its annotation fleet.nave.io/hosts, or remove "+
				"spec.passCredentials", source.ErrAccess, field, source.Quote(at.Host))
		}
	}
	return r.HTTP(at)
}

// withoutCredentials returns only the authorities of Secrets, which are no secrets.
func withoutCredentials(secrets map[string]source.Secret) map[string]source.Secret {
	trusted := map[string]source.Secret{}
	for _, field := range []string{"spec.secretRef", "spec.certSecretRef"} {
		if ca := secrets[field].Authority(); len(ca) > 0 {
			trusted["spec.certSecretRef"] = source.Secret{"ca.crt": ca}
		}
	}
	return trusted
}

// checkDigest compares an archive with the digest in the index. As in Helm, an index need not have digests.
func checkDigest(archive []byte, v version) error {
	want := strings.ToLower(strings.TrimPrefix(v.Digest, "sha256:"))
	sum := sha256.Sum256(archive)
	if got := hex.EncodeToString(sum[:]); want != "" && got != want {
		return fmt.Errorf("%w: the archive has the digest sha256:%s, and the index says %s: the archive was replaced or "+
			"damaged", source.ErrProtocol, got, source.Quote(v.Digest))
	}
	return nil
}
