package fetch

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/forge"
	"github.com/navefleet/nave/hub/internal/store"
)

// secret is a Secret that a source names.
type secret struct {
	api.SecretReference
	namespace string
	bound     bool // it must be bound to the source; see store.Resource.Bound
}

// serverOf returns the URL of the server that gets the Secret, in a fetch from the server of a URL. The error is
// source.ErrRequest.
func (s secret) serverOf(address string) (string, error) {
	switch {
	case s.API == nil:
		return address, nil
	case s.API.Address != "":
		return s.API.Address, nil
	}
	repository, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%w: spec.url cannot be read", source.ErrRequest)
	}
	api, err := forge.APIOf(s.API.Provider, repository)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Field, err)
	}
	return api.String(), nil
}

// rows returns the keys of the rows that the name may mean: the Secret of the source's own namespace, then the one that
// operators share with namespaces.
func (s secret) rows() []string {
	own := store.CredentialPath(s.namespace, s.Name)
	if s.namespace == api.DefaultNamespace {
		return []string{own}
	}
	return []string{own, store.CredentialPath(api.DefaultNamespace, s.Name)}
}

// permits reports whether the source may send the Secret of a row to the server of a URL.
func (s secret) permits(row string, b api.Binding, url string) bool {
	shared := row != s.rows()[0]
	if (s.bound || shared) && !slices.Contains(b.Namespaces, s.namespace) {
		return false
	}
	return len(b.Hosts) == 0 && !s.bound || b.Names(url)
}

// pluginGiver is the source.Server.Giver of credentials that a plugin gave.
const pluginGiver = "the credential provider plugin of the hub"

// credentials returns the data of Secrets, and their bindings, by the field that names each. A Secret that the source
// may not use is source.ErrAccess.
func (l *Loop) credentials(ctx context.Context, address string, secrets []secret) (given source.Server, err error) {
	given.Secrets, given.Bindings = map[string]source.Secret{}, map[string]api.Binding{}
	for _, s := range secrets {
		server, err := s.serverOf(address)
		if err != nil {
			return given, err
		}
		name, row, err := l.find(ctx, server, s)
		if err != nil {
			return given, err
		}
		data, err := l.Vault.Open(name, row.Sealed)
		if err != nil {
			return given, fmt.Errorf("%w: Secret %s: %w", source.ErrAuthentication, name, err)
		}
		data, giver, err := l.completed(ctx, server, s, data)
		if err != nil {
			return given, fmt.Errorf("Secret %s: %w", name, err)
		}
		given.Secrets[s.Field], given.Bindings[s.Field] = data, row.Binding
		given.Giver = cmp.Or(given.Giver, giver)
	}
	return given, nil
}

// find returns the key and the row of the Secret that a source may use.
func (l *Loop) find(ctx context.Context, url string, s secret) (name string, found store.Secret, err error) {
	own := false
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		name, own = "", false
		for i, key := range s.rows() {
			row, there, err := store.Secrets.Get(tx, key)
			if err != nil {
				return err
			}
			own = own || there && i == 0
			if there && s.permits(key, row.Binding, url) {
				name, found = key, row
				return nil
			}
		}
		return nil
	})
	if err == nil && name == "" {
		err = s.refusal(url, own)
	}
	return name, found, err
}

// refusal returns why a source gets no Secret. own says that the source's namespace has the Secret. If the source
// needs a binding, the error does not reveal whether the Secret exists.
func (s secret) refusal(url string, own bool) error {
	host, err := api.HostOf(url)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", source.ErrAccess, err)
	case s.bound:
		return fmt.Errorf("%w: no Secret %s of the hub is bound to host %s and namespace %s; let an operator apply "+
			"the Secret %s to the hub, with the annotations %s: %s and %s: %s", source.ErrAccess, s.Name, host, s.namespace,
			strings.Join(s.rows(), " or "), api.HostsAnnotation, host, api.NamespacesAnnotation, s.namespace)
	case own:
		return fmt.Errorf("%w: Secret %s is not bound to host %s; add the host to its annotation %s, or correct %s",
			source.ErrAccess, s.rows()[0], host, api.HostsAnnotation, s.addressField())
	}
	return fmt.Errorf("%w: the hub has no Secret %s, which %s names: give it one", source.ErrAuthentication,
		s.rows()[0], s.Field)
}

// addressField returns the field that has the address of the server which gets the Secret.
func (s secret) addressField() string {
	if s.API != nil && s.API.Address != "" {
		return strings.TrimSuffix(s.Field, "secretRef") + "address"
	}
	return "spec.url"
}

// pluginCredentials returns the credentials that a plugin of the hub gives. A plugin acts with the identity of the hub,
// so only the operators' own sources may use one.
func (l *Loop) pluginCredentials(ctx context.Context, by server, anew bool) (source.Secret, error) {
	switch {
	case by.bound:
		return nil, fmt.Errorf("%w: spec.provider uses the cloud identity of the hub, which only the hub's own sources may "+
			"use; apply this source to the hub, or name a Secret in spec.secretRef", source.ErrAccess)
	case l.Plugins == nil:
		return nil, fmt.Errorf("%w: spec.provider needs a credential provider plugin, and the hub has none; start it with "+
			"--credential-provider-config, or name a Secret in spec.secretRef", source.ErrAuthentication)
	}
	return l.Plugins(ctx, by.view.URL, anew)
}

// assist returns the credentials of the hub's own cloud identity for a source. Only operators' sources get some: such
// an identity may read what no tenant may.
func (l *Loop) assist(ctx context.Context, s *scheduled) (source.Secret, error) {
	provider := s.server.view.Provider
	if s.server.bound {
		return nil, fmt.Errorf("%w: spec.provider %s would give this source the hub's own cloud identity, which only "+
			"sources that operators apply to the hub may use; name a Secret in spec.secretRef instead", source.ErrAccess,
			provider)
	}
	return l.GitHelpers.Credentials(ctx, provider, s.server.view.URL)
}

// isRefused reports whether the server refused the credentials of the last fetch.
func (s *scheduled) isRefused() bool {
	return s.row.Reason == source.Reason(source.ErrAuthentication, "")
}

// completed returns the data of a Secret with the credentials that a credential helper gives, and the helper, if the
// Secret's Docker configuration names one for the registry of a URL instead of having credentials. A helper acts with
// the identity of the hub, so only the operators' own sources may use one.
func (l *Loop) completed(ctx context.Context, address string, s secret, data source.Secret) (all source.Secret,
	giver string, err error) {
	u, err := url.Parse(address)
	if s.Field != "spec.secretRef" || err != nil {
		return data, "", nil // the fetcher tells of a bad URL
	}
	name, server := source.CredentialHelper(data, u.Host, strings.Trim(u.Path, "/"))
	switch {
	case name == "":
		return data, "", nil
	case s.bound:
		return nil, "", fmt.Errorf("%w: its credential helper %s uses the identity of the hub, which only the hub's own "+
			"sources may use; give the Secret auths for %s", source.ErrAccess, source.Quote(name), u.Host)
	case l.DockerHelpers == nil:
		return nil, "", fmt.Errorf("%w: it names the credential helper %s, and the hub runs none; start it with "+
			"--docker-credential-helper-dir, or give the Secret auths for %s", source.ErrAuthentication, source.Quote(name),
			u.Host)
	}
	found, err := l.DockerHelpers(ctx, name, server)
	if err != nil {
		return nil, "", err
	}
	all, err = source.WithCredentials(data, found)
	return all, "the credential helper " + source.Quote(name), err
}

// servers returns the servers that a composition may ask for parts, with their credentials.
func (l *Loop) servers(ctx context.Context, s *scheduled) (found []source.Server, err error) {
	for _, by := range s.servers {
		server, err := l.credentials(ctx, by.view.URL, by.secrets)
		if server.Object = by.upstream; err == nil && by.view.Provider == api.RegistryPlugin {
			server.Giver = pluginGiver
			server.Secrets["spec.secretRef"], err = l.pluginCredentials(ctx, by, s.isRefused())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", by.upstream.Key.Local(), err)
		}
		found = append(found, server)
	}
	return found, nil
}
