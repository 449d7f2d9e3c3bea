// Package registry is the access of fetchers to a repository of an OCI registry: the credentials, the login, the rules
// for requests, and the meaning of errors.
//
// go-containerregistry speaks the protocol. guard stands between it and the network: it keeps the rules for redirects,
// plain HTTP and credentials, and limits answers.
package registry

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/source"
)

// connection sends requests to a repository of a registry: it logs in, and keeps the token.
type connection struct {
	client *http.Client // below login
	login  http.RoundTripper
}

// Connections are kept by Access.ID, so that a poll does not log in again. The zero value has none.
type Connections = source.Kept[string, connection]

// Access is the access of one fetch to a repository.
type Access struct {
	Repository name.Repository
	ID         string // of the connection; it depends on the credentials
	Insecure   bool   // plain HTTP is allowed
	// Puller asks the registry. Connect sets it.
	Puller *remote.Puller

	connection connection
	config     source.DockerConfig
	giver      string // see source.Server
}

// Connect logs in with the credentials of a request, unless an earlier fetch did. The caller must call Close if there
// is no error. Errors that Classify does not know are those of package source.
func (a *Access) Connect(ctx context.Context, r source.Request, kept *Connections) error {
	auth, err := a.credentials(r)
	if err != nil {
		return err
	}
	var ok bool
	if a.connection, ok = kept.Get(a.ID); !ok {
		if a.connection, err = a.open(ctx, r, auth); err != nil {
			return err
		}
		kept.Put(a.ID, a.connection)
	}
	a.Puller, err = remote.NewPuller(remote.WithTransport(a.connection.login), remote.WithContext(ctx))
	return err
}

// Close closes idle connections.
func (a *Access) Close() { a.connection.client.CloseIdleConnections() }

// Client returns a client that is logged in, for requests to the registry that Puller has no method for.
func (a *Access) Client() *http.Client { return &http.Client{Transport: a.connection.login} }

// Origin returns the address of the registry.
func (a *Access) Origin() *url.URL {
	origin := &url.URL{Scheme: "https", Host: a.Repository.RegistryStr()}
	if a.Insecure {
		origin.Scheme = "http"
	}
	return origin
}

// credentials returns the credentials of the Secret for this registry. If there are none, access is anonymous.
func (a *Access) credentials(r source.Request) (authn.Authenticator, error) {
	secret, ok := r.Secrets["spec.secretRef"]
	if !ok {
		return authn.Anonymous, nil
	}
	a.giver = r.Giver
	var err error
	if a.config, err = source.ReadDockerConfig(secret); err != nil {
		return nil, err
	}
	if found, ok := a.config.For(a.Repository.RegistryStr(), a.Repository.RepositoryStr()); ok {
		return authn.FromConfig(found), nil
	}
	return authn.Anonymous, nil
}

// open makes a connection and logs in.
func (a *Access) open(ctx context.Context, r source.Request, auth authn.Authenticator) (connection, error) {
	r.Secrets = maps.Clone(r.Secrets)
	delete(r.Secrets, "spec.secretRef") // the login adds credentials, not the client
	origin := a.Origin()
	client, err := r.HTTP(origin)
	if err != nil {
		return connection{}, err
	}
	g := &guard{client: client, origin: origin, insecure: a.Insecure, config: a.config}
	login, err := transport.NewWithContext(ctx, a.Repository.Registry, auth, g,
		[]string{a.Repository.Scope(transport.PullScope)})
	return connection{client, login}, err
}
