package fetch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// secret is the Secret that a source names.
type secret struct {
	namespace, name string // name is empty: none
	bound           bool   // it must be bound to the source; see store.Resource.Bound
}

// rows are the keys of the Secrets that may be meant: the one of the source's own namespace comes before the one that
// the operators share with namespaces.
func (s secret) rows() []string {
	own := s.namespace + "/" + s.name
	if s.namespace == api.DefaultNamespace {
		return []string{own}
	}
	return []string{own, api.DefaultNamespace + "/" + s.name}
}

// permits reports whether the Secret of the row may be shown to the server of the URL for the source.
func (s secret) permits(row string, b api.Binding, url string) bool {
	shared := row != s.rows()[0]
	if (s.bound || shared) && !slices.Contains(b.Namespaces, s.namespace) {
		return false
	}
	return len(b.Hosts) == 0 && !s.bound || b.Names(url)
}

// credentials opens the Secret that a source may use.
func (l *Loop) credentials(ctx context.Context, url string, s secret) (map[string][]byte, error) {
	name, row, err := l.find(ctx, url, s)
	if err != nil {
		return nil, err
	}
	data, err := l.Vault.Open(name, row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: Secret %s: %w", source.ErrAuthentication, name, err)
	}
	return data, nil
}

// find returns the Secret that a source may use, and the key of its row.
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

// refusal says why there is no Secret for a source. Who must be allowed to use it does not learn whether there is one;
// own says that there is, in the source's namespace.
func (s secret) refusal(url string, own bool) error {
	host, err := api.HostOf(url)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", source.ErrAccess, err)
	case s.bound:
		return fmt.Errorf("%w: no Secret %s of the hub is bound to host %s and namespace %s; let an operator apply "+
			"the Secret %s to the hub, with the annotations %s: %s and %s: %s", source.ErrAccess, s.name, host, s.namespace,
			strings.Join(s.rows(), " or "), api.HostsAnnotation, host, api.NamespacesAnnotation, s.namespace)
	case own:
		return fmt.Errorf("%w: Secret %s is not bound to host %s; add the host to its annotation %s, or correct spec.url",
			source.ErrAccess, s.rows()[0], host, api.HostsAnnotation)
	}
	return fmt.Errorf("%w: the hub has no Secret %s, which spec.secretRef names: give it one", source.ErrAuthentication,
		s.rows()[0])
}
