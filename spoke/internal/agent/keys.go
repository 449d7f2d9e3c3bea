package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/decrypt"
)

// keyServiceOf returns the key service that an application may ask; nil if there is none. The service opens every file
// that is encrypted for its keys. So an application with a service account, which may be a tenant's, may ask only if an
// operator named its namespace.
func (a *Agent) keyServiceOf(app *bundle.Application) *decrypt.Service {
	if app.ServiceAccount != "" && !slices.Contains(a.KeyServiceNamespaces, app.Name.Namespace) {
		return nil
	}
	return a.KeyService
}

// needKeys reads the keys of the application, once. Without a Secret, or with one that has no key, there is only the
// key service.
func (l *loader) needKeys(ctx context.Context) error {
	if l.keys != nil {
		return nil
	}
	keys, err := l.readKeys(ctx)
	if err != nil && (l.service == nil || keys == nil) {
		return err
	}
	l.keys = keys.With(l.service)
	return nil
}

// readKeys returns the keys in the Secret that the application names. If the application may be decrypted, but there
// is no key of its own, the error is decrypt.ErrNoKey beside empty Keys.
func (l *loader) readKeys(ctx context.Context) (*decrypt.Keys, error) {
	ref := l.app.Decryption
	switch {
	case ref == bundle.SecretReference{}:
		return nil, fmt.Errorf("%w: %s has no spec.decryption", decrypt.ErrNoKey, l.app.Name)
	case ref.Name == "":
		return &decrypt.Keys{}, fmt.Errorf("%w: %s names no keys (spec.decryption.secretRef), and %s", decrypt.ErrNoKey,
			l.app.Name, l.whyNoService())
	case l.app.ServiceAccount != "" && ref.Namespace != l.app.Name.Namespace:
		return nil, fmt.Errorf("%w: keys of namespace %s are not for an application with a service account of namespace %s",
			decrypt.ErrNoKey, ref.Namespace, l.app.Name.Namespace)
	}
	data, err := l.secret(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	keys, err := decrypt.ParseKeys(data)
	if err != nil {
		err = fmt.Errorf("keys of Secret %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return keys, err
}

// whyNoService returns why the application may ask no key service.
func (l *loader) whyNoService() string {
	if l.app.ServiceAccount != "" {
		return "applications with a service account may not ask the spoke's key service (--key-service-namespaces)"
	}
	return "this spoke has no key service to ask (docs/secrets.md)"
}
