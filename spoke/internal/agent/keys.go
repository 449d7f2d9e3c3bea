package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/decrypt"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
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

// keyNames are the public names of the keys that an application has, or why it has none. No key is in them.
type keyNames struct {
	read    bool
	names   string // in lines
	missing string
}

// keysRead are the names of keys that were looked for.
type keysRead map[bundle.ApplicationName]keyNames

// advance notes the names.
func (in keysRead) advance(m *model) []action {
	for name, keys := range in {
		if n := m.nodes[name]; n != nil {
			n.keys = keys
		}
	}
	return nil
}

// lookForKeys finds the names of an application's keys.
type lookForKeys struct{ name bundle.ApplicationName }

func (act lookForKeys) perform(a *Agent) {
	if n := a.model.nodes[act.name]; n != nil && n.app != nil {
		a.lookForKeys(applications{act.name: n.app})
	}
}

// lookForKeys finds the names of the keys of those applications that have sealed files. Each Secret is read once.
func (a *Agent) lookForKeys(apps applications) {
	wanted := applications{}
	for name, app := range apps {
		if len(app.SealedFiles) > 0 {
			wanted[name] = app
		}
	}
	if len(wanted) == 0 || a.draining {
		return
	}
	type answer struct {
		data map[string][]byte
		err  error
	}
	read := map[bundle.SecretReference]answer{}
	secret := func(ctx context.Context, namespace, name string) (map[string][]byte, error) {
		ref := bundle.SecretReference{Namespace: namespace, Name: name}
		if _, known := read[ref]; !known {
			data, err := a.Kubernetes.Secret(ctx, namespace, name)
			read[ref] = answer{data, err}
		}
		return read[ref].data, read[ref].err
	}
	a.spawn(func() input {
		found := keysRead{}
		for name, app := range wanted {
			l := &loader{app: app, secret: secret, service: a.keyServiceOf(app)}
			found[name] = l.keyNames(a.base)
		}
		return found
	})
}

// keyNames reads the keys and returns their names.
func (l *loader) keyNames(ctx context.Context) keyNames {
	if err := l.needKeys(ctx); err != nil {
		return keyNames{read: true, missing: err.Error()}
	}
	names := l.keys.Fingerprints()
	if l.service != nil {
		names = append(names, "the key service")
	}
	return keyNames{read: true, names: strings.Join(names[:min(len(names), reporting.MaxKeys)], "\n")}
}

// unknownKeys returns the applications whose keys were not looked for yet.
func (m *model) unknownKeys(apps applications) applications {
	unknown := applications{}
	for name, app := range apps {
		if n := m.nodes[name]; n != nil && !n.keys.read {
			unknown[name] = app
		}
	}
	return unknown
}

// wire returns the names as protocol message; nil if they were not read.
func (k keyNames) wire(d discretion) *spokev1.KeyNames {
	if !k.read {
		return nil
	}
	w := &spokev1.KeyNames{Missing: d.text(k.missing)}
	if k.names != "" {
		w.Names = strings.Split(k.names, "\n")
	}
	return w
}
