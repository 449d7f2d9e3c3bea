package oci

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/source"
)

// connection sends requests to a repository of a registry: it logs in, and keeps the token.
type connection struct {
	client *http.Client // below login
	login  http.RoundTripper
}

// connections are kept by the id of a fetch, which depends on the credentials.
type connections = source.Kept[string, connection]

// connect sets f.puller. It returns the client, whose idle connections the caller must close.
func (f *fetching) connect(ctx context.Context, kept *connections) (*http.Client, error) {
	auth, err := f.credentials()
	if err != nil {
		return nil, err
	}
	c, ok := kept.Get(f.id)
	if !ok {
		if c, err = f.open(ctx, auth); err != nil {
			return nil, err
		}
		kept.Put(f.id, c)
	}
	f.puller, err = remote.NewPuller(remote.WithTransport(c.login), remote.WithContext(ctx))
	return c.client, err
}

// credentials returns the credentials of the Secret for this registry. If there are none, access is anonymous.
func (f *fetching) credentials() (authn.Authenticator, error) {
	secret, ok := f.Secrets["spec.secretRef"]
	if !ok {
		return authn.Anonymous, nil
	}
	var err error
	if f.config, err = source.ReadDockerConfig(secret); err != nil {
		return nil, err
	}
	if a, ok := f.config.For(f.repo.RegistryStr(), f.repo.RepositoryStr()); ok {
		return authn.FromConfig(a), nil
	}
	return authn.Anonymous, nil
}

// open makes a connection and logs in.
func (f *fetching) open(ctx context.Context, auth authn.Authenticator) (connection, error) {
	origin := &url.URL{Scheme: "https", Host: f.repo.RegistryStr()}
	if f.spec.Insecure {
		origin.Scheme = "http"
	}
	r := f.Request
	r.Secrets = maps.Clone(r.Secrets)
	delete(r.Secrets, "spec.secretRef") // the login adds credentials, not the client
	client, err := r.HTTP(origin)
	if err != nil {
		return connection{}, err
	}
	g := &guard{client: client, origin: origin, insecure: f.spec.Insecure, config: f.config}
	login, err := transport.NewWithContext(ctx, f.repo.Registry, auth, g, []string{f.repo.Scope(transport.PullScope)})
	return connection{client, login}, err
}
